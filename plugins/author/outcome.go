package author

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/tollway/tollway/plugins"
)

// engine prices batches: an instance of a module, or the tariff running natively.
type engine interface {
	Configure(ctx context.Context, requests []plugins.ConfigRequest) ([]*plugins.Plan, error)
	Price(ctx context.Context, b *plugins.Batch) ([]plugins.Reject, error)
}

// outcome is what became of a sample.
type outcome struct {
	plan    *plugins.Plan
	slots   []plugins.Slot
	rejects []plugins.Reject // Event is the index in the sample
}

// price prices a sample. Cuts are where one batch ends and the next begins, ascending, within the events; none means
// one batch. Slots that nothing was priced in yet are given again as new, as the engine does.
func price(ctx context.Context, e engine, p *plugins.Plan, s *sample, cuts ...int) (*outcome, error) {
	all := s.batch(p)
	dims := len(p.Dimensions)
	o := &outcome{plan: p, slots: s.fresh(p)}
	from := 0
	for _, to := range append(slices.Clone(cuts), len(all.Events)) {
		if to <= from && to != len(all.Events) {
			continue
		}
		last := to == len(all.Events)
		for k := range o.slots {
			o.slots[k].Final = last && !s.open
		}
		rejects, err := e.Price(ctx, &plugins.Batch{
			Slots: o.slots, Events: all.Events[from:to], Dims: all.Dims[dims*from : dims*to], Values: all.Values,
		})
		if err != nil {
			return nil, err
		}
		o.settle(all.Events[from:to], rejects, from)
		if last {
			break
		}
		from = to
	}
	return o, nil
}

// settle takes over what a batch, whose first event is event from of the sample, made of the slots.
func (o *outcome) settle(events []plugins.Event, rejects []plugins.Reject, from int) {
	priced := make([]bool, len(o.slots))
	refused := map[int]bool{}
	for _, r := range rejects {
		refused[r.Event] = true
		r.Event += from
		o.rejects = append(o.rejects, r)
	}
	for k := range events {
		if !refused[k] {
			priced[events[k].Slot] = true
		}
	}
	for k := range o.slots {
		s := &o.slots[k]
		s.Keep()
		switch {
		case s.Final || !s.New:
		case priced[k]:
			s.New = false
		default:
			s.State, s.Lines = nil, nil
		}
	}
}

// refused tells which events were rejected.
func (o *outcome) refused(event int) bool {
	return slices.ContainsFunc(o.rejects, func(r plugins.Reject) bool { return r.Event == event })
}

// lines are the line items of a slot, of which a new slot has zeros.
func (o *outcome) lines(slot int) []plugins.Line {
	lines := plugins.AppendLines(nil, o.slots[slot].Lines)
	for len(lines) < len(o.plan.Lines) {
		lines = append(lines, plugins.Line{})
	}
	return lines
}

// differs says where two outcomes of the same sample differ first, "" when nowhere. The words name the first so and
// the second other.
func (o *outcome) differs(other *outcome, so, otherwise string) string {
	for k := range o.slots {
		slot := ""
		if len(o.slots) > 1 {
			slot = fmt.Sprintf(" of slot %d", k)
		}
		a, b := o.lines(k), other.lines(k)
		for l := range a {
			if a[l] != b[l] {
				return fmt.Sprintf("line %s%s is %s %s, %s; and %s %s, %s", o.plan.Lines[l].ID, slot,
					a[l].Quantity, a[l].Amount, so, b[l].Quantity, b[l].Amount, otherwise)
			}
		}
		if x, y := o.slots[k].State, other.slots[k].State; !bytes.Equal(x, y) {
			return fmt.Sprintf("the state%s is %s, %s; and %s, %s", slot, short(x), so, short(y), otherwise)
		}
		if x, y := o.slots[k].CarryOut, other.slots[k].CarryOut; !bytes.Equal(x, y) {
			return fmt.Sprintf("the carry%s is %s, %s; and %s, %s", slot, short(x), so, short(y), otherwise)
		}
	}
	return differentRejects(o.rejects, other.rejects, so, otherwise)
}

func differentRejects(a, b []plugins.Reject, so, otherwise string) string {
	for k := range max(len(a), len(b)) {
		switch {
		case k < len(a) && k < len(b) && a[k] == b[k]:
			continue
		case k >= len(b) || k < len(a) && a[k].Event < b[k].Event:
			return fmt.Sprintf("event %d is rejected (%s), %s; and priced, %s", a[k].Event+1, text(a[k]), so, otherwise)
		case k >= len(a) || b[k].Event < a[k].Event:
			return fmt.Sprintf("event %d is priced, %s; and rejected (%s), %s", b[k].Event+1, so, text(b[k]), otherwise)
		}
		return fmt.Sprintf("event %d is rejected with %q, %s; and with %q, %s", a[k].Event+1, text(a[k]), so, text(b[k]), otherwise)
	}
	return ""
}

// text is a reject as people read it.
func text(r plugins.Reject) string {
	if r.Detail == "" {
		return r.Reason
	}
	return r.Reason + ": " + r.Detail
}

// short shows bytes, of many the beginning.
func short(b []byte) string {
	const most = 48
	switch {
	case len(b) == 0:
		return "empty"
	case len(b) > most:
		return fmt.Sprintf("%s… (%d bytes)", hex.EncodeToString(b[:most]), len(b))
	}
	return hex.EncodeToString(b)
}
