package vectors

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// pricing is a case while it is priced.
type pricing struct {
	c      *testCase
	p      *plan
	engine *engine
	tariff configured
	past   configured // the tariff in the period before, without what the case brings into its own
	clock  time.Time
	slots  []*slot // in the order of their first event
}

// slot is one group, or one window of a group.
type slot struct {
	plugins.Slot
	group map[string]string
	from  time.Time
}

// line is a line item.
type line struct {
	id   string
	slot *slot // nil for the line of a rule
	plugins.Line
}

// check prices the case and says what came out other than expected.
func (c *testCase) check(ctx context.Context, e *engine, p *plan) ([]string, error) {
	if n := max(len(c.Expected.Cumulative), len(c.Expected.PerEvent)); n > len(c.Events) {
		return nil, fmt.Errorf("%d events, and numbers for %d", len(c.Events), n)
	}
	if p.end.IsZero() {
		p.start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		p.end = p.start.AddDate(0, 1, 0)
	}
	r := &pricing{c: c, p: p, engine: e, clock: p.start}
	if err := r.configure(ctx); err != nil {
		return nil, err
	}
	if err := r.before(ctx); err != nil {
		return nil, err
	}
	var wrong []string
	var before billing.Decimal
	for i := range c.Events {
		last := i == len(c.Events)-1
		if err := r.event(ctx, &c.Events[i]); err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		if last && p.progressive && p.final {
			if err := r.finish(ctx); err != nil {
				return nil, err
			}
		}
		lines, err := r.lines(ctx, last && p.progressive && p.final)
		if err != nil {
			return nil, err
		}
		after, err := r.billed(lines)
		if err != nil {
			return nil, err
		}
		if err := c.compareEvent(&wrong, i, before, after); err != nil {
			return nil, err
		}
		before = after
	}
	if p.final && !(p.progressive && len(c.Events) > 0) {
		if err := r.finish(ctx); err != nil {
			return nil, err
		}
	}
	lines, err := r.lines(ctx, p.final)
	if err != nil {
		return nil, err
	}
	return wrong, r.compare(&wrong, lines)
}

// compareEvent compares what was billed by one event.
func (c *testCase) compareEvent(wrong *[]string, i int, before, after billing.Decimal) error {
	if i < len(c.Expected.Cumulative) {
		differ(wrong, fmt.Sprintf("cumulative[%d]", i), &c.Expected.Cumulative[i], after)
	}
	step, err := after.Sub(before)
	if err == nil && i < len(c.Expected.PerEvent) {
		differ(wrong, fmt.Sprintf("per_event[%d]", i), &c.Expected.PerEvent[i], step)
	}
	return err
}

// configure configures the tariff, and for events of the period before a second time without the level that the case
// gives at the start of its own.
func (r *pricing) configure(ctx context.Context) (err error) {
	r.tariff, err = r.engine.configure(ctx, r.p.tariff, r.p.params, r.c.Currency)
	if err != nil {
		return err
	}
	past := params{}
	for name, raw := range r.p.params {
		if !strings.HasPrefix(name, "initial") {
			past[name] = raw
		}
	}
	r.past, err = r.engine.configure(ctx, r.p.tariff, past, r.c.Currency)
	return err
}

// before prices and closes the period before, for what it carries into that of the case.
func (r *pricing) before(ctx context.Context) error {
	first := r.p.start
	for i := range r.c.Events {
		if at := r.c.Events[i].Time; !at.IsZero() && at.Before(first) && r.inPeriods() {
			first = at
		}
	}
	if first.Equal(r.p.start) {
		return nil
	}
	past := &pricing{c: r.c, p: &plan{groupBy: r.p.groupBy, start: first, end: r.p.start}, tariff: r.past, clock: first}
	for i := range r.c.Events {
		if e := &r.c.Events[i]; e.Time.Before(r.p.start) {
			if err := past.event(ctx, e); err != nil {
				return err
			}
		}
	}
	if err := past.finish(ctx); err != nil {
		return err
	}
	for _, s := range past.slots {
		if len(s.CarryOut) > 0 {
			r.slot(s.group, r.p.start).CarryIn = s.CarryOut
		}
	}
	return nil
}

// inPeriods reports whether the case says which events lie in its period. A case that names only its start leaves it
// to the tariff.
func (r *pricing) inPeriods() bool { return r.c.Params["period_end"] != nil }

// event prices one event in its slot. One outside the period belongs to the slot of another.
func (r *pricing) event(ctx context.Context, e *testEvent) error {
	r.clock = r.clock.Add(time.Second)
	at := e.Time
	if at.IsZero() {
		at = r.clock
	}
	if r.inPeriods() && (at.Before(r.p.start) || !at.Before(r.p.end)) {
		return nil
	}
	group := map[string]string{}
	for _, name := range r.p.groupBy {
		group[name] = e.dimension(name)
	}
	from := r.p.start
	if r.p.window > 0 {
		from = at.Truncate(r.p.window)
	}
	row := event{at: at.UnixNano(), quantity: billing.DecimalFromInt(1), amount: e.Amount, dimension: e.dimension}
	if e.Quantity != nil {
		row.quantity = *e.Quantity
	}
	return r.tariff.price(ctx, &r.slot(group, from).Slot, []event{row}, false)
}

// slot returns the slot of a group and window, a new one if there is none.
func (r *pricing) slot(group map[string]string, from time.Time) *slot {
	for _, s := range r.slots {
		if fmt.Sprint(s.group) == fmt.Sprint(group) && s.from.Equal(from) {
			return s
		}
	}
	until := r.p.end
	if r.p.window > 0 {
		until = from.Add(r.p.window)
	}
	s := &slot{group: group, from: from, Slot: plugins.Slot{
		Plan: r.tariff.plan, PeriodStart: from.UnixNano(), PeriodEnd: until.UnixNano(),
		ActiveFrom: from.UnixNano(), ActiveUntil: until.UnixNano(), New: true,
	}}
	r.slots = append(r.slots, s)
	return s
}

// finish ends the period in every slot; without any event there is one, as for every subscription.
func (r *pricing) finish(ctx context.Context) error {
	if len(r.slots) == 0 {
		r.slot(map[string]string{}, r.p.start)
	}
	if r.p.window > 0 {
		slices.SortStableFunc(r.slots, func(a, b *slot) int { return a.from.Compare(b.from) })
	}
	for _, s := range r.slots {
		if err := r.tariff.price(ctx, &s.Slot, nil, true); err != nil {
			return err
		}
	}
	return nil
}

// lines returns the line items of all slots and, behind them, those of the invoice rules, each of which gets all line
// items before its own.
func (r *pricing) lines(ctx context.Context, final bool) ([]line, error) {
	var lines []line
	for _, s := range r.slots {
		for i, l := range plugins.AppendLines(nil, s.Lines) {
			lines = append(lines, line{s.Plan.Lines[i].ID, s, l})
		}
	}
	for _, rule := range r.p.rules {
		c, err := r.engine.configure(ctx, rule.plugin, rule.params, r.c.Currency)
		if err != nil {
			return nil, err
		}
		var items []event
		for _, l := range lines {
			if !l.Amount.IsZero() {
				items = append(items, event{at: r.p.start.UnixNano(), quantity: l.Quantity, amount: &l.Amount, dimension: l.dimension})
			}
		}
		slot := plugins.Slot{
			Plan: c.plan, PeriodStart: r.p.start.UnixNano(), PeriodEnd: r.p.end.UnixNano(),
			ActiveFrom: r.p.start.UnixNano(), ActiveUntil: r.p.end.UnixNano(), New: true,
		}
		if err := c.price(ctx, &slot, items, final); err != nil {
			return nil, fmt.Errorf("invoice rule %s: %w", rule.plugin, err)
		}
		for i, l := range plugins.AppendLines(nil, slot.Lines) {
			lines = append(lines, line{c.plan.Lines[i].ID, nil, l})
		}
	}
	return lines, nil
}

// dimension is what a rule may ask of a line item.
func (l line) dimension(name string) string {
	if name == "line" {
		return l.id
	}
	return ""
}

// billed is what has been billed by now: the sum of the lines, or where bills are made on the way, of those.
func (r *pricing) billed(lines []line) (billing.Decimal, error) {
	if r.p.tariff != "progressive_threshold" {
		return sum(lines, func(line) bool { return true })
	}
	invoiced, err := sum(lines, func(l line) bool { return l.id == "invoiced_before" })
	if err != nil {
		return invoiced, err
	}
	return invoiced.Neg()
}

// sum adds up the amounts of some lines.
func sum(lines []line, which func(line) bool) (total billing.Decimal, err error) {
	for _, l := range lines {
		if which(l) && err == nil {
			total, err = total.Add(l.Amount)
		}
	}
	return total, err
}
