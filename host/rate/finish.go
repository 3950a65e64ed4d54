package rate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// Fault is why a slot cannot be finished, or an invoice rule cannot run: the
// plugin trapped, ran out of fuel or reported an error. It is the same for the
// same slot, whatever is finished beside it.
type Fault struct {
	Module string // digest of the plugin
	Detail string // for people
}

// Finish folds the end of the period into slots, with or without events, and
// returns them as they stand on the invoice, in the same order. The slots given
// are not changed. One whose plugin fails is nil, with its fault beside it; an
// error means that nothing was decided.
func (r *Rater) Finish(ctx context.Context, slots []*Slot) ([]*Slot, []*Fault, error) {
	works := make([]work, len(slots))
	for i, s := range slots {
		works[i] = work{
			plan: s.Plan,
			slot: plugins.Slot{
				PeriodStart: s.Period, PeriodEnd: s.PeriodEnd, ActiveFrom: s.ActiveFrom, ActiveUntil: s.ActiveUntil,
				New: s.Events == 0, Final: true, CarryIn: s.CarryIn,
			},
		}
		if s.Events > 0 {
			data := s.Data()
			end := len(s.Lines) * LineBytes
			works[i].slot.Lines, works[i].slot.State = data[:end:end], data[end:]
		}
	}
	faults, err := r.finish(ctx, works)
	if err != nil {
		return nil, nil, err
	}
	finished := make([]*Slot, len(slots))
	for i, s := range slots {
		if faults[i] != nil {
			continue
		}
		w, slot := &works[i].slot, *s
		slot.Final, slot.Lines, slot.State, slot.CarryOut = true, LinesOf(w.Lines), w.State, w.CarryOut
		finished[i] = &slot
	}
	return finished, faults, nil
}

// Item is a line of an invoice, as an invoice rule sees it.
type Item struct {
	Quantity billing.Quantity
	Amount   billing.Amount // as it stands on the invoice
	Value    func(dimension string) string
}

// Invoice is what an invoice rule runs over.
type Invoice struct {
	Rule                    *catalog.InvoiceRule
	PeriodStart, PeriodEnd  int64 // unix ns
	ActiveFrom, ActiveUntil int64 // of the subscriptions that the rule looks at, within the period
	Items                   []Item
}

// RuleLine is a line that an invoice rule adds, not rounded.
type RuleLine struct {
	PlanLine
	Line
}

// RunRules runs one invoice rule over each of a number of invoices and returns its
// lines. Where the rule fails there are none, but its fault.
func (r *Rater) RunRules(ctx context.Context, invoices []Invoice) ([][]RuleLine, []*Fault, error) {
	works := make([]work, len(invoices))
	for i := range invoices {
		v := &invoices[i]
		works[i] = work{
			plan: r.rulePlan(v.Rule), items: v.Items,
			slot: plugins.Slot{
				PeriodStart: v.PeriodStart, PeriodEnd: v.PeriodEnd, ActiveFrom: v.ActiveFrom, ActiveUntil: v.ActiveUntil,
				New: true, Final: true,
			},
		}
	}
	faults, err := r.finish(ctx, works)
	if err != nil {
		return nil, nil, err
	}
	lines := make([][]RuleLine, len(invoices))
	for i := range works {
		if faults[i] != nil {
			continue
		}
		for n, l := range LinesOf(works[i].slot.Lines) {
			lines[i] = append(lines[i], RuleLine{works[i].plan.Lines[n], l})
		}
	}
	return lines, faults, nil
}

// ruleRef names the plan of an invoice rule by what decides its lines, so that
// accounts whose rules are equal share one.
type ruleRef struct {
	module, entry, params string
	currency              billing.Currency
}

// rulePlan returns how an invoice rule is configured.
func (r *Rater) rulePlan(rule *catalog.InvoiceRule) *Plan {
	ref := ruleRef{rule.Module, rule.Entry, string(rule.Params), rule.Currency}
	p := r.rules[ref]
	if p == nil {
		p = &Plan{Tariff: rule.Entry, Currency: rule.Currency, Module: rule.Module, Name: rule.Entry, Params: ref.params}
		r.rules[ref] = p
	}
	return p
}

// work is a slot that is finished. What the plugin leaves replaces what is in the
// slot, in memory of its own.
type work struct {
	plan  *Plan
	slot  plugins.Slot
	items []Item // its events, at the period's start
	ready *configured
}

// finish has the plugins finish slots, in as few calls as there are modules and
// lists of dimensions. It returns the faults by slot.
func (r *Rater) finish(ctx context.Context, works []work) ([]*Fault, error) {
	if err := r.trim(ctx); err != nil {
		return nil, err
	}
	var calls []*pluginCall
	of := map[*pluginCall][]int{}
	for i := range works {
		m, err := r.module(ctx, works[i].plan.Module)
		if err != nil {
			return nil, err
		}
		works[i].ready = m.want(works[i].plan)
	}
	for _, m := range r.modules {
		if err := m.configure(ctx, r); err != nil {
			return nil, err
		}
	}
	f := finishing{works: works, faults: make([]*Fault, len(works))}
	for i := range works {
		w := &works[i]
		if carried, most := len(w.slot.CarryIn), w.ready.plan.CarrySize; carried > most {
			f.faults[i] = &Fault{Module: w.plan.Module, Detail: fmt.Sprintf("it is left %d bytes, and the tariff takes %d", carried, most)}
			continue
		}
		c := w.ready.call
		if of[c] == nil {
			calls = append(calls, c)
		}
		of[c] = append(of[c], i)
	}
	for _, c := range calls {
		if err := f.all(ctx, c, of[c]); err != nil {
			return nil, err
		}
	}
	return f.faults, nil
}

// finishing is one run of finish.
type finishing struct {
	works  []work
	faults []*Fault
}

// all finishes the slots of one call. A failing plugin leaves nothing of its call:
// what stands before the slot that it failed at, and what stands behind, is
// finished without that.
func (f *finishing) all(ctx context.Context, call *pluginCall, of []int) error {
	for len(of) > 0 {
		failed, err := f.some(ctx, call, of)
		if err != nil || failed < 0 {
			return err
		}
		if err := f.all(ctx, call, of[:failed]); err != nil {
			return err
		}
		of = of[failed+1:]
	}
	return nil
}

// some makes one call. It returns the place among those given of the slot at which
// the plugin failed, which has its fault then; -1 when all are finished.
func (f *finishing) some(ctx context.Context, call *pluginCall, of []int) (failed int, err error) {
	b := f.batch(call, of)
	rejects, err := call.module.instance.Price(ctx, b)
	var fault *plugins.FaultError
	switch {
	case errors.As(err, &fault) && (fault.Slot >= 0 || len(of) == 1):
		failed = max(fault.Slot, 0)
		f.faults[of[failed]] = &Fault{Module: call.module.digest, Detail: fault.Text}
		return failed, nil
	case errors.As(err, &fault): // it did not say where: the first half of them tells
		half := len(of) / 2
		if err := f.all(ctx, call, of[:half]); err != nil {
			return 0, err
		}
		return -1, f.all(ctx, call, of[half:])
	case err != nil:
		return 0, fmt.Errorf("rate: plugin %s: %w", call.module.digest, err)
	case len(rejects) > 0:
		x := rejects[0]
		failed = int(b.Events[x.Event].Slot)
		f.faults[of[failed]] = &Fault{
			Module: call.module.digest,
			Detail: fmt.Sprintf("it refuses a line of the invoice: %s: %s", x.Reason, x.Detail),
		}
		return failed, nil
	}
	for i, n := range of {
		b.Slots[i].Keep()
		f.works[n].slot = b.Slots[i]
	}
	return -1, nil
}

// batch puts the slots of one call together.
func (f *finishing) batch(call *pluginCall, of []int) *plugins.Batch {
	b := &plugins.Batch{Values: []string{""}}
	values := map[string]uint32{"": 0}
	for _, n := range of {
		w := &f.works[n]
		s := w.slot
		s.Plan = w.ready.plan
		for i := range w.items {
			item := &w.items[i]
			for _, name := range call.names {
				text := item.Value(name)
				id, known := values[text]
				if !known {
					id = uint32(len(b.Values))
					values[text], b.Values = id, append(b.Values, text)
				}
				b.Dims = append(b.Dims, id)
			}
			b.Events = append(b.Events, plugins.Event{
				Slot: int32(len(b.Slots)), Time: s.PeriodStart,
				Quantity: item.Quantity.D(), Amount: item.Amount.D(), HasAmount: true,
			})
		}
		b.Slots = append(b.Slots, s)
	}
	return b
}

// Heir returns the slot to which a finished one leaves what it carries: that of the
// same subscription and group in the next period, empty as it begins; nil when the
// subscription has ended by then, or another plugin prices it. Of a tariff's
// versions that is the one in force at the period's start.
func (r *Rater) Heir(ctx context.Context, s *Slot, next billing.Period) (*Slot, error) {
	start, end := next.Start.UnixNano(), next.End.UnixNano()
	calendar := r.calendarWith(s.Calendar, billing.Calendar{Zone: next.Start.Location(), AnchorDay: s.Calendar.AnchorDay})
	bindings := r.catalog.BindingsOf(billing.AccountID(s.Account))
	for n := range bindings {
		b := &bindings[n]
		if b.Tariff.Name != s.Tariff || b.Subscription.ID != s.Subscription {
			continue
		}
		for version := range b.Tariff.Versions {
			from, until := b.Span(version)
			if from >= end || until <= start || from >= until {
				continue
			}
			t := r.terms(b, version, calendar, start, end)
			if err := r.Settle(ctx, t.Plan); err != nil {
				return nil, err
			}
			if !t.Plan.Follows(s.Plan) {
				return nil, nil
			}
			heir := NewSlot(s.Account, t, s.Group, Content{})
			heir.CarryIn = s.CarryOut
			return heir, nil
		}
	}
	return nil, nil
}

// Follows reports whether slots of the plan, which is settled, begin with what those of the
// plan before leave.
func (p *Plan) Follows(before *Plan) bool {
	return p.Carries && p.Name == before.Name && slices.Equal(p.GroupBy, before.GroupBy)
}

// Span returns when a slot's subscription is active within its version by the catalog in
// force: from (inclusive) until (exclusive), unix ns, or Beginning and Forever; false
// when the catalog does not have them.
func (r *Rater) Span(s *Slot) (from, until int64, known bool) {
	bindings := r.catalog.BindingsOf(billing.AccountID(s.Account))
	for n := range bindings {
		b := &bindings[n]
		if b.Tariff.Name != s.Tariff || b.Subscription.ID != s.Subscription {
			continue
		}
		for version := range b.Tariff.Versions {
			if b.Version(version) != s.Version {
				continue
			}
			if from, until = b.Span(version); from < until {
				return from, until, true
			}
		}
	}
	return 0, 0, false
}

// Settle has a plan configured, so that its lines are known and whether it carries.
func (r *Rater) Settle(ctx context.Context, p *Plan) error {
	m, err := r.module(ctx, p.Module)
	if err != nil {
		return err
	}
	m.want(p)
	return m.configure(ctx, r)
}

// Carrying reports whether some tariff that was in use carries something into the
// next period.
func (r *Rater) Carrying() bool { return r.carrying }

// Forget has every account's slots looked for anew, so that one whose period has
// been closed, but which is not final, is met by no event any more.
func (r *Rater) Forget() { r.forget() }
