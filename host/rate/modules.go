package rate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// Modules finds compiled plugins by digest. It is safe for concurrent use.
type Modules interface {
	Module(ctx context.Context, digest string) (*plugins.Module, error)
}

// maxPlans is how many configurations an instance keeps before it is dropped
// and made again: each costs guest memory and lengthens every restore.
const maxPlans = 4096

// module is one plugin as this rater uses it.
type module struct {
	digest   string
	instance *plugins.Instance
	plans    map[*Plan]*configured
	calls    map[string]*pluginCall // by list of dimensions, as one text
	wanted   []*Plan                // to be configured before the next call
}

// configured is a plan as the instance has it, with the call that its slots go
// into.
type configured struct {
	plan *plugins.Plan
	call *pluginCall
}

// module returns the rater's instance of a plugin, making it when needed.
func (r *Rater) module(ctx context.Context, digest string) (*module, error) {
	if m := r.modules[digest]; m != nil {
		return m, nil
	}
	compiled, err := r.source.Module(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("rate: %w", err)
	}
	instance, err := compiled.NewInstance(ctx)
	if err != nil {
		return nil, fmt.Errorf("rate: plugin %s: %w", digest, err)
	}
	m := &module{digest: digest, instance: instance, plans: map[*Plan]*configured{}, calls: map[string]*pluginCall{}}
	r.modules[digest] = m
	return m, nil
}

// want returns a plan as it is configured, or an empty value that configure
// fills.
func (m *module) want(p *Plan) *configured {
	c := m.plans[p]
	if c == nil {
		c = &configured{}
		m.plans[p] = c
		m.wanted = append(m.wanted, p)
	}
	return c
}

// configure gives the instance the plans that were wanted, all at once.
func (m *module) configure(ctx context.Context, r *Rater) error {
	if len(m.wanted) == 0 {
		return nil
	}
	requests := make([]plugins.ConfigRequest, len(m.wanted))
	for i, p := range m.wanted {
		requests[i] = plugins.ConfigRequest{Tariff: p.Name, Params: json.RawMessage(p.Params), Currency: string(p.Currency)}
	}
	plans, err := m.instance.Configure(ctx, requests)
	if err != nil {
		return fmt.Errorf("rate: plugin %s: %w", m.digest, err)
	}
	for i, p := range m.wanted {
		m.plans[p].plan, m.plans[p].call = plans[i], m.callFor(plans[i].Dimensions)
		r.carrying = r.carrying || plans[i].CarrySize > 0
		// A plan that a state has is shared with its readers: it has its lines, if
		// none, and is not written to.
		if p.Lines == nil {
			p.Carries = plans[i].CarrySize > 0
			p.Lines = make([]PlanLine, len(plans[i].Lines))
			for j, l := range plans[i].Lines {
				p.Lines[j] = PlanLine{ID: l.ID, Description: l.Description}
			}
		}
	}
	m.wanted = m.wanted[:0]
	return nil
}

// callFor returns the call for plans that read the given dimensions.
func (m *module) callFor(dimensions []string) *pluginCall {
	shape := strings.Join(dimensions, "\x00")
	if m.calls[shape] == nil {
		m.calls[shape] = newPluginCall(m, dimensions)
	}
	return m.calls[shape]
}

// trim drops instances that hold too many configurations. It is called between
// batches: an instance is a cache.
func (r *Rater) trim(ctx context.Context) error {
	for digest, m := range r.modules {
		if len(m.plans) < maxPlans {
			continue
		}
		if err := m.instance.Close(ctx); err != nil {
			return fmt.Errorf("rate: plugin %s: %w", digest, err)
		}
		delete(r.modules, digest)
		r.instances++
	}
	return nil
}

// Close drops all plugin instances.
func (r *Rater) Close(ctx context.Context) error {
	for digest, m := range r.modules {
		if err := m.instance.Close(ctx); err != nil {
			return fmt.Errorf("rate: plugin %s: %w", digest, err)
		}
		delete(r.modules, digest)
	}
	return nil
}
