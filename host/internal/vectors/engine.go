package vectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// engine holds an instance of every module.
type engine struct {
	modules   []*plugins.Module
	instances map[*plugins.Module]*plugins.Instance
}

func newEngine(ctx context.Context, modules []*plugins.Module) (*engine, error) {
	e := &engine{modules: modules, instances: map[*plugins.Module]*plugins.Instance{}}
	for _, m := range modules {
		i, err := m.NewInstance(ctx)
		if err != nil {
			return nil, errors.Join(err, e.close(ctx))
		}
		e.instances[m] = i
	}
	return e, nil
}

func (e *engine) close(ctx context.Context) error {
	var problems []error
	for _, i := range e.instances {
		problems = append(problems, i.Close(ctx))
	}
	return errors.Join(problems...)
}

// find returns the module that has a tariff, or nil when none has it, and reports whether its schema has all
// parameters.
func (e *engine) find(tariff string, p params) (*plugins.Module, bool, error) {
	for _, m := range e.modules {
		manifest := m.Manifest()
		if t, ok := manifest.Tariff(tariff); ok {
			known, err := p.within(t.ParamsSchema)
			return m, known, err
		}
	}
	return nil, false, nil
}

// supports reports whether all that a case needs is there.
func (e *engine) supports(p *plan) (bool, error) {
	_, known, err := e.find(p.tariff, p.params)
	for _, r := range p.rules {
		if !known || err != nil {
			break
		}
		_, known, err = e.find(r.plugin, r.params)
	}
	return known, err
}

// configured is a tariff with its parameters, in an instance.
type configured struct {
	instance *plugins.Instance
	plan     *plugins.Plan
}

func (e *engine) configure(ctx context.Context, tariff string, p params, currency string) (configured, error) {
	m, _, err := e.find(tariff, p)
	if err != nil {
		return configured{}, err
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return configured{}, err
	}
	instance := e.instances[m]
	plans, err := instance.Configure(ctx, []plugins.ConfigRequest{{Tariff: tariff, Params: raw, Currency: currency}})
	if err != nil {
		return configured{}, err
	}
	return configured{instance, plans[0]}, nil
}

// event is one usage event or line item, with its dimensions by name.
type event struct {
	at        int64 // unix nanoseconds
	quantity  billing.Decimal
	amount    *billing.Decimal
	dimension func(name string) string
}

// price prices events in a slot; the slot is then brought up to date. Final ends its period.
func (c configured) price(ctx context.Context, slot *plugins.Slot, events []event, final bool) error {
	slot.Final = final
	batch := plugins.Batch{Slots: []plugins.Slot{*slot}, Values: []string{""}}
	for _, e := range events {
		row := plugins.Event{Time: e.at, Quantity: e.quantity}
		if e.amount != nil {
			row.Amount, row.HasAmount = *e.amount, true
		}
		for _, name := range c.plan.Dimensions {
			batch.Values = append(batch.Values, e.dimension(name))
			batch.Dims = append(batch.Dims, uint32(len(batch.Values)-1))
		}
		batch.Events = append(batch.Events, row)
	}
	rejects, err := c.instance.Price(ctx, &batch)
	if err != nil {
		return err
	}
	if len(rejects) > 0 {
		return fmt.Errorf("event %d rejected: %s: %s", rejects[0].Event, rejects[0].Reason, rejects[0].Detail)
	}
	*slot = batch.Slots[0]
	slot.Keep()
	slot.New = false
	return nil
}
