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
	plans    map[*Plan]*plugins.Plan
	shapes   map[*plugins.Plan]string // dimension list as one text, by plan
	wanted   []*Plan                  // to be configured before the next call
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
	m := &module{digest: digest, instance: instance, plans: map[*Plan]*plugins.Plan{}, shapes: map[*plugins.Plan]string{}}
	r.modules[digest] = m
	return m, nil
}

// want notes that a plan must be configured before the next call.
func (m *module) want(p *Plan) {
	if _, ok := m.plans[p]; !ok {
		m.plans[p] = nil
		m.wanted = append(m.wanted, p)
	}
}

// configure gives the instance the plans that were wanted, all at once.
func (m *module) configure(ctx context.Context) error {
	if len(m.wanted) == 0 {
		return nil
	}
	requests := make([]plugins.ConfigRequest, len(m.wanted))
	for i, p := range m.wanted {
		requests[i] = plugins.ConfigRequest{Tariff: p.Name, Params: json.RawMessage(p.Params), Currency: string(p.Currency)}
	}
	configured, err := m.instance.Configure(ctx, requests)
	if err != nil {
		return fmt.Errorf("rate: plugin %s: %w", m.digest, err)
	}
	for i, p := range m.wanted {
		m.plans[p] = configured[i]
		m.shapes[configured[i]] = strings.Join(configured[i].Dimensions, "\x00")
		if p.Lines == nil {
			p.Lines = make([]PlanLine, len(configured[i].Lines))
			for j, l := range configured[i].Lines {
				p.Lines[j] = PlanLine{ID: l.ID, Description: l.Description}
			}
		}
	}
	m.wanted = m.wanted[:0]
	return nil
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
