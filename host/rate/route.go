package rate

import (
	"context"
	"fmt"
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
	for _, meter := range r.catalog.MetersOf(e.Type) {
		if !meter.Matches(e.Data) {
			continue
		}
		metered = true
		if v := b.meter(ctx, i, meter); v != nil {
			b.forget(first)
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

// forget takes back the hits from first on.
func (b *batch) forget(first int) {
	for _, h := range b.hits[first:] {
		b.cells[h.cell].hits--
	}
	b.hits = b.hits[:first]
}

// meter adds the hits of an event by one of the meters that select it.
func (b *batch) meter(ctx context.Context, i int, meter *catalog.Meter) *verdict {
	e := &b.events[i]
	c := b.rater.catalog
	h := hit{event: i, quantity: one}
	read := false
	bindings := c.Bindings(billing.AccountID(e.Account), meter)
	for n := range bindings {
		binding := &bindings[n]
		version := binding.Tariff.VersionAt(e.Time)
		if version < 0 || !binding.ActiveAt(e.Time) {
			continue
		}
		if !read {
			if v := h.measure(e, meter); v != nil {
				return v
			}
			read = true
		}
		cell, v := b.cell(ctx, e, binding, version)
		if v != nil {
			return v
		}
		h.cell = cell
		b.cells[cell].hits++
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

// cell returns the batch's cell for an event under a subscription, making it
// when the batch has none yet.
func (b *batch) cell(ctx context.Context, e *Event, binding *catalog.Binding, version int) (int, *verdict) {
	r := b.rater
	calendar, periods := r.calendar(e.Account)
	if until := b.book.ClosedUntil(calendar); e.Time < until {
		return 0, refuse(ReasonPeriodClosed, "time: %s lies in a billing period that is closed; usage counts from %s on",
			time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), time.Unix(0, until).UTC().Format(time.RFC3339))
	}
	start, end := periods.at(e.Time)
	key := Key{
		Account: e.Account, Subscription: binding.Subscription.ID, Tariff: binding.Tariff.Name,
		Version: binding.Tariff.Versions[version].EffectiveFrom.UnixNano(), Period: start, Group: groupOf(e, binding.Tariff.GroupBy),
	}
	if n, ok := b.cellOf[key]; ok {
		return n, nil
	}
	c := &cell{base: b.book.Slot(key)}
	if c.base != nil {
		c.next = *c.base
	} else {
		key.Account, key.Group = clone(key.Account), clone(key.Group)
		c.next = r.newSlot(key, calendar, end, binding, version)
		c.careful = b.book.Groups(key)+b.added(key) >= MaxGroups
	}
	m, err := r.module(ctx, c.next.Plan.Module)
	if err != nil {
		return 0, &verdict{err: err}
	}
	c.module = m
	b.cells = append(b.cells, c)
	b.cellOf[key] = len(b.cells) - 1
	if c.base == nil {
		b.fresh[key.WithoutGroup()]++
	}
	return len(b.cells) - 1, nil
}

// added counts the group combinations that the batch may add to a key's.
func (b *batch) added(k Key) int { return b.fresh[k.WithoutGroup()] }

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

// CalendarOf names the billing calendar of an account by the catalog in force.
func (r *Rater) CalendarOf(account string) Calendar {
	c, _ := r.calendar(account)
	return c
}

// calendar returns an account's calendar by name and its periods.
func (r *Rater) calendar(account string) (Calendar, *periodCache) {
	c := r.catalog.Calendar(billing.AccountID(account))
	name := CalendarName(c)
	cache := r.calendars[name]
	if cache == nil {
		cache = &periodCache{calendar: c}
		r.calendars[name] = cache
	}
	return name, cache
}

// periodCache remembers the period that a calendar was last asked for: usage
// comes nearly in order.
type periodCache struct {
	calendar   billing.Calendar
	start, end int64 // unix ns
}

// at returns the billing period of a time, unix ns.
func (p *periodCache) at(t int64) (start, end int64) {
	if t < p.start || t >= p.end {
		period := p.calendar.PeriodOf(time.Unix(0, t))
		p.start, p.end = period.Start.UnixNano(), period.End.UnixNano()
	}
	return p.start, p.end
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
