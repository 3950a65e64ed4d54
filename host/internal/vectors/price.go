package vectors

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// pricing is a case while it is priced.
type pricing struct {
	c        *testCase
	instance *plugins.Instance
	plan     *plugins.Plan
	groupBy  []string
	slots    map[string]*plugins.Slot // by group
	groups   map[string]map[string]string
	clock    time.Time
}

// check prices the case and says what came out other than expected.
func (c *testCase) check(ctx context.Context, instance *plugins.Instance) ([]string, error) {
	groupBy, err := c.groupBy()
	if err != nil {
		return nil, err
	}
	params, err := json.Marshal(c.Params)
	if err != nil {
		return nil, err
	}
	plans, err := instance.Configure(ctx, []plugins.ConfigRequest{{Tariff: c.Model, Params: params, Currency: c.Currency}})
	if err != nil {
		return nil, err
	}
	p := &pricing{
		c: c, instance: instance, plan: plans[0], groupBy: groupBy,
		slots: map[string]*plugins.Slot{}, groups: map[string]map[string]string{},
		clock: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	var wrong []string
	if n := max(len(c.Expected.Cumulative), len(c.Expected.PerEvent)); n > len(c.Events) {
		return nil, fmt.Errorf("%d events, and numbers for %d", len(c.Events), n)
	}
	before := billing.Decimal{}
	for i := range c.Events {
		if err := p.event(ctx, &c.Events[i]); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		total, err := p.total()
		if err != nil {
			return nil, err
		}
		if i < len(c.Expected.Cumulative) {
			differ(&wrong, fmt.Sprintf("cumulative[%d]", i), &c.Expected.Cumulative[i], total)
		}
		step, err := total.Sub(before)
		if err != nil {
			return nil, err
		}
		if i < len(c.Expected.PerEvent) {
			differ(&wrong, fmt.Sprintf("per_event[%d]", i), &c.Expected.PerEvent[i], step)
		}
		before = total
	}
	if err := p.finish(ctx); err != nil {
		return nil, err
	}
	return wrong, p.compare(&wrong)
}

// event prices one event in the slot of its group.
func (p *pricing) event(ctx context.Context, e *testEvent) error {
	p.clock = p.clock.Add(time.Second)
	at := e.Time
	if at.IsZero() {
		at = p.clock
	}
	values := make([]string, len(p.groupBy))
	group := map[string]string{}
	for i, name := range p.groupBy {
		values[i], group[name] = e.Attributes[name], e.Attributes[name]
	}
	slot := p.slot(strings.Join(values, "\x00"), group)
	event := plugins.Event{Time: at.UnixNano(), Quantity: billing.DecimalFromInt(1)}
	if e.Quantity != nil {
		event.Quantity = *e.Quantity
	}
	if e.Amount != nil {
		event.Amount, event.HasAmount = *e.Amount, true
	}
	batch := plugins.Batch{Slots: []plugins.Slot{*slot}, Values: []string{""}}
	for _, name := range p.plan.Dimensions {
		batch.Values = append(batch.Values, e.Attributes[name])
		batch.Dims = append(batch.Dims, uint32(len(batch.Values)-1))
	}
	batch.Events = []plugins.Event{event}
	rejects, err := p.instance.Price(ctx, &batch)
	if err != nil {
		return err
	}
	if len(rejects) > 0 {
		return fmt.Errorf("rejected: %s: %s", rejects[0].Reason, rejects[0].Detail)
	}
	*slot = batch.Slots[0]
	slot.Keep()
	slot.New = false
	return nil
}

// slot returns the slot of a group, a new one if there is none.
func (p *pricing) slot(key string, group map[string]string) *plugins.Slot {
	if s := p.slots[key]; s != nil {
		return s
	}
	month := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &plugins.Slot{
		Plan: p.plan, PeriodStart: month.UnixNano(), PeriodEnd: month.AddDate(0, 1, 0).UnixNano(), New: true,
		ActiveFrom: month.UnixNano(), ActiveUntil: month.AddDate(0, 1, 0).UnixNano(),
	}
	p.slots[key], p.groups[key] = s, group
	return s
}

// finish ends the period in every slot; without any event there is one, as for
// every subscription.
func (p *pricing) finish(ctx context.Context) error {
	if len(p.slots) == 0 {
		p.slot("", nil)
	}
	for _, key := range slices.Sorted(maps.Keys(p.slots)) {
		slot := p.slots[key]
		slot.Final = true
		batch := plugins.Batch{Slots: []plugins.Slot{*slot}, Values: []string{""}}
		if _, err := p.instance.Price(ctx, &batch); err != nil {
			return err
		}
		*slot = batch.Slots[0]
		slot.Keep()
	}
	return nil
}

// total is the sum of all lines of all slots.
func (p *pricing) total() (sum billing.Decimal, err error) {
	for _, s := range p.slots {
		for _, l := range plugins.AppendLines(nil, s.Lines) {
			if sum, err = sum.Add(l.Amount); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}
