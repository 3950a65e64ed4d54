package rate

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/sdk/billing"
)

// verdict is why an event cannot be routed. err is set instead when the host
// failed and nothing can be said of the event.
type verdict struct {
	reason, detail string
	err            error
}

func refuse(reason, format string, args ...any) *verdict {
	return &verdict{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// route finds the slots that an event meets and adds its hits to the batch. A
// verdict means that it meets none.
func (b *batch) route(ctx context.Context, i int) *verdict {
	e := &b.events[i]
	r := b.rater
	if r.catalog == nil {
		return refuse(ReasonNoCatalog, "no catalog had been applied when the event was read; apply one and replay the event")
	}
	first := len(b.hits)
	metered := false
	l := r.lane(e)
	for n := range l.meters {
		m := &l.meters[n]
		if !m.meter.Matches(e.Data) {
			continue
		}
		metered = true
		if v := b.meter(ctx, i, l, m); v != nil {
			b.hits = b.hits[:first]
			return v
		}
	}
	switch {
	case len(b.hits) > first:
		return nil
	case !metered:
		return refuse(ReasonNoMeter, "type: no meter selects an event of type %s with this data", quote(e.Type))
	}
	return refuse(ReasonNoSubscription, "subject: account %s has no subscription that prices type %s at %s",
		quote(e.Account), quote(e.Type), time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano))
}

// meter adds the hits of an event by one of the meters that select it.
func (b *batch) meter(ctx context.Context, i int, l *lane, m *laneMeter) *verdict {
	e := &b.events[i]
	h := hit{event: int32(i), quantity: one}
	read := false
	for n := range m.stops {
		s := &m.stops[n]
		if !s.at(e.Time, l.calendar) {
			continue
		}
		if !read {
			if v := h.measure(e, m.meter); v != nil {
				return v
			}
			read = true
		}
		cell, v := b.cell(ctx, e, l, s)
		if v != nil {
			return v
		}
		h.cell = cell
		b.hits = append(b.hits, h)
	}
	return nil
}

// one is the quantity of an event whose meter names none.
var one = billing.DecimalFromInt(1)

// measure reads the quantity and amount that a meter finds in an event.
func (h *hit) measure(e *Event, meter *catalog.Meter) *verdict {
	if meter.Quantity != "" {
		text := fieldText(e.Data, meter.Quantity)
		q, err := billing.ParseDecimal(text)
		if err != nil {
			return badNumber(ReasonBadQuantity, meter, meter.Quantity, text, err)
		}
		h.quantity = q
	}
	if meter.Amount != "" {
		text := fieldText(e.Data, meter.Amount)
		a, err := billing.ParseDecimal(text)
		if err != nil {
			return badNumber(ReasonBadAmount, meter, meter.Amount, text, err)
		}
		h.amount, h.hasAmount = a, true
	}
	return nil
}

func badNumber(reason string, meter *catalog.Meter, key, text string, err error) *verdict {
	if text == "" {
		return refuse(reason, "data.%s: is missing; meter %q reads it", key, meter.Name)
	}
	return refuse(reason, "data.%s: %s, read by meter %q: %v", key, quote(text), meter.Name, err)
}

// cell returns the batch's cell for an event at a stop of its lane, making it
// when the batch has none yet.
func (b *batch) cell(ctx context.Context, e *Event, l *lane, s *stop) (int32, *verdict) {
	if until := l.calendar.closedUntil(b); e.Time < until {
		return 0, refuse(ReasonPeriodClosed, "time: %s lies in a billing period that is closed; usage counts from %s on",
			time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), time.Unix(0, until).UTC().Format(time.RFC3339))
	}
	by := s.binding.Tariff.GroupBy
	if len(by) == 0 && s.batch == b.number {
		return s.cell, nil
	}
	key := s.key
	if len(by) > 0 {
		key.Group = groupOf(e, by)
	}
	n, ok := b.cellOf[key]
	if !ok {
		var err error
		if n, err = b.newCell(ctx, key, l, s); err != nil {
			return 0, &verdict{err: err}
		}
	}
	s.batch, s.cell = b.number, n
	return n, nil
}

// newCell makes the batch's cell for a key.
func (b *batch) newCell(ctx context.Context, key Key, l *lane, s *stop) (int32, error) {
	c := cell{base: b.book.Slot(key)}
	if c.base != nil {
		c.next = *c.base
	} else {
		key.Group = clone(key.Group)
		c.next = b.rater.newSlot(key, l.calendar.name, s.periodEnd, s.binding, s.version)
		if key.Group != "" {
			b.group(key).cells++
		}
	}
	m, err := b.rater.module(ctx, c.next.Plan.Module)
	if err != nil {
		return 0, err
	}
	c.module = m
	n := len(b.cells)
	if n == cap(b.cells) { // append alone would copy five times as much
		b.cells = slices.Grow(b.cells, n+64)
	}
	b.cells = append(b.cells, c)
	b.cellOf[c.next.Key] = int32(n)
	return int32(n), nil
}

// groupOf makes the group key of an event.
func groupOf(e *Event, dimensions []string) string {
	switch len(dimensions) {
	case 0:
		return ""
	case 1:
		return EncodeGroup([]string{fieldText(e.Data, dimensions[0])})
	}
	values := make([]string, len(dimensions))
	for i, d := range dimensions {
		values[i] = fieldText(e.Data, d)
	}
	return EncodeGroup(values)
}

// newSlot makes the slot of a key before its first event.
func (r *Rater) newSlot(k Key, c Calendar, end int64, binding *catalog.Binding, version int) Slot {
	from, until := binding.Span(version)
	return Slot{Key: k, Plan: r.plan(binding, version), Calendar: c, PeriodEnd: end, ActiveFrom: from, ActiveUntil: until}
}

// plan returns how a subscription is priced by a version of its tariff.
func (r *Rater) plan(binding *catalog.Binding, n int) *Plan {
	version := binding.Tariff.Versions[n]
	ref := planRef{version: version}
	if binding.Subscription.Params != nil {
		ref.sub = binding.Subscription
	}
	if p := r.plans[ref]; p != nil {
		return p
	}
	t := binding.Tariff
	p := &Plan{
		Tariff: t.Name, Meter: t.Meter, Currency: t.Currency, Rounding: t.Rounding, GroupBy: t.GroupBy,
		Module: version.Module, Name: version.Name, Params: string(catalog.EffectiveParams(version, binding.Subscription)),
	}
	r.plans[ref] = p
	return p
}

// Unused makes, for an account's subscriptions that are active in a period and
// have no slot among those given, the slots of no usage by which their fees fall
// due.
func (r *Rater) Unused(account string, c Calendar, period billing.Period, have []*Slot) []*Slot {
	used := make(map[Key]struct{}, len(have))
	for _, s := range have {
		used[s.WithoutGroup()] = struct{}{}
	}
	start, end := period.Start.UnixNano(), period.End.UnixNano()
	var slots []*Slot
	bindings := r.catalog.BindingsOf(billing.AccountID(account))
	for n := range bindings {
		binding := &bindings[n]
		for version := range binding.Tariff.Versions {
			from, until := binding.Span(version)
			if from >= end || until <= start || from >= until {
				continue
			}
			k := Key{
				Account: account, Subscription: binding.Subscription.ID, Tariff: binding.Tariff.Name,
				Version: binding.Tariff.Versions[version].EffectiveFrom.UnixNano(), Period: start,
			}
			if _, ok := used[k]; ok {
				continue
			}
			if len(binding.Tariff.GroupBy) > 0 {
				k.Group = EncodeGroup(make([]string, len(binding.Tariff.GroupBy)))
			}
			s := r.newSlot(k, c, end, binding, version)
			slots = append(slots, &s)
		}
	}
	return slots
}
