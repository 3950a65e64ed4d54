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
	e, r := &b.events[i], b.rater
	if r.catalog == nil {
		return refuse(ReasonNoCatalog, "no catalog had been applied when the event was read; apply one and replay the event")
	}
	k := b.kinds[i]
	if k == nil {
		return noMeter(e)
	}
	if s := b.met[i]; s != nil && !s.Final && s.Terms().holds(e.Time) {
		h := b.nextHit(i)
		if v := h.measure(e, k.meters[0]); v != nil {
			return v
		}
		return b.hit(ctx, s)
	}
	a := b.accounts[i]
	if a == nil {
		a = b.comer(e)
	}
	if k.single {
		if c, s := r.single(a, k); s != nil {
			return b.routeSingle(ctx, i, a, k, c, s)
		}
	}
	return b.routeLane(ctx, i, a, k)
}

// single returns the calendar and the one subscription of an account to the one
// meter of an event type, nil when there is not one or it groups.
func (r *Rater) single(a *Account, k *kind) (*calendar, *stop) {
	if _, listed := r.catalog.Accounts[billing.AccountID(a.ID())]; listed {
		if s, ok := r.oneStop(a.ID(), k); ok {
			return r.calendar(a.ID()), &s
		}
		return nil, nil
	}
	u := &k.usual
	if !u.known {
		u.known = true
		u.stop, u.one = r.oneStop(a.ID(), k)
		u.calendar = r.calendar(a.ID())
	}
	if !u.one {
		return nil, nil
	}
	return u.calendar, &u.stop
}

// oneStop returns the one subscription of an account to the one meter of an event
// type, false when there is not one or it groups.
func (r *Rater) oneStop(account string, k *kind) (stop, bool) {
	bindings := r.catalog.Bindings(billing.AccountID(account), k.meters[0])
	if len(bindings) != 1 || len(bindings[0].Tariff.GroupBy) > 0 {
		return stop{}, false
	}
	return stop{binding: &bindings[0]}, true
}

func noMeter(e *Event) *verdict {
	return refuse(ReasonNoMeter, "type: no meter selects an event of type %s with this data", quote(e.Type))
}

func noSubscription(e *Event) *verdict {
	return refuse(ReasonNoSubscription, "subject: account %s has no subscription that prices type %s at %s",
		quote(e.Account), quote(e.Type), time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano))
}

// comer returns an account that the book does not have.
func (b *batch) comer(e *Event) *Account {
	a := b.comers[e.Account]
	if a == nil {
		if b.coming == len(b.came) {
			b.came = append(b.came, new(comer))
		}
		a = b.came[b.coming].set(e.Account)
		b.coming++
		b.comers[e.Account] = a
	}
	return a
}

// routeSingle routes an event that meets the slot of one subscription at most,
// and remembers the slot.
func (b *batch) routeSingle(ctx context.Context, i int, a *Account, k *kind, c *calendar, s *stop) *verdict {
	e := &b.events[i]
	if !s.at(e.Time, b.rater, c) {
		return noSubscription(e)
	}
	h := b.nextHit(i)
	if v := h.measure(e, k.meters[0]); v != nil {
		return v
	}
	if v := b.closed(e, c); v != nil {
		return v
	}
	t := s.terms
	l := a.slot(t, "")
	if l == nil {
		return b.hitNew(ctx, newSlot{a, t, ""}, k)
	}
	if by := l.Terms(); by.PeriodEnd == t.PeriodEnd && by.ActiveFrom == t.ActiveFrom && by.ActiveUntil == t.ActiveUntil && by.Calendar == t.Calendar {
		a.remember(k, b.rater.epoch, l)
	}
	return b.hit(ctx, l)
}

// slot returns the account's slot with these terms and group, nil when it has
// none.
func (a *Account) slot(t *Terms, group string) *Live {
	if at, found := a.Find(t, group); found {
		return a.At(at)
	}
	return nil
}

// routeLane routes an event that can meet several slots.
func (b *batch) routeLane(ctx context.Context, i int, a *Account, k *kind) *verdict {
	e := &b.events[i]
	l := b.rater.lane(a, k)
	first := len(b.hits)
	metered := false
	for n := range l.meters {
		m := &l.meters[n]
		if !m.meter.Matches(e.Data) {
			continue
		}
		metered = true
		if v := b.meter(ctx, i, a, l, m); v != nil {
			b.hits = b.hits[:first]
			return v
		}
	}
	switch {
	case len(b.hits) > first:
		return nil
	case !metered:
		return noMeter(e)
	}
	return noSubscription(e)
}

// meter adds the hits of an event by one of the meters that select it.
func (b *batch) meter(ctx context.Context, i int, a *Account, l *lane, m *laneMeter) *verdict {
	e := &b.events[i]
	first := len(b.hits) // the subscriptions share what is measured
	for n := range m.stops {
		s := &m.stops[n]
		if !s.at(e.Time, b.rater, l.calendar) {
			continue
		}
		h := b.nextHit(i)
		if before := len(b.hits); before > first {
			*h = b.hits[before-1]
		} else if v := h.measure(e, m.meter); v != nil {
			return v
		}
		if v := b.closed(e, l.calendar); v != nil {
			return v
		}
		group := groupOf(e, s.binding.Tariff.GroupBy)
		slot := s.slot
		if slot == nil {
			slot = a.slot(s.terms, group)
		}
		if slot == nil {
			if v := b.hitNew(ctx, newSlot{a, s.terms, group}, nil); v != nil {
				return v
			}
			continue
		}
		if len(s.binding.Tariff.GroupBy) == 0 {
			s.slot = slot
		}
		if v := b.hit(ctx, slot); v != nil {
			return v
		}
	}
	return nil
}

// closed refuses an event whose billing period is closed and was not reopened.
func (b *batch) closed(e *Event, c *calendar) *verdict {
	if until := c.closedUntil(b); e.Time < until {
		if r, can := b.book.(Reopener); can {
			if start, _ := c.at(e.Time); r.Reopened(e.Account, c.name, start) {
				return nil
			}
		}
		return refuse(ReasonPeriodClosed, "time: %s lies in a billing period that is closed; usage counts from %s on",
			time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano), time.Unix(0, until).UTC().Format(time.RFC3339))
	}
	return nil
}

// one is the quantity of an event whose meter names none.
var one = billing.DecimalFromInt(1)

// measure reads the quantity and amount that a meter finds in an event.
func (h *hit) measure(e *Event, meter *catalog.Meter) *verdict {
	if meter.Quantity != "" {
		text := fieldText(e.Data, meter.Quantity)
		q, err := parseDecimal(text)
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

// parseDecimal is billing.ParseDecimal, which has more to look at than the digit or
// two that most quantities are.
func parseDecimal(text string) (billing.Decimal, error) {
	const most = 6 // digits
	if len(text) == 0 || len(text) > most {
		return billing.ParseDecimal(text)
	}
	n := int64(0)
	for i := range len(text) {
		digit := text[i] - '0'
		if digit > 9 {
			return billing.ParseDecimal(text)
		}
		n = 10*n + int64(digit)
	}
	return billing.DecimalFromInt(n), nil
}

func badNumber(reason string, meter *catalog.Meter, key, text string, err error) *verdict {
	if text == "" {
		return refuse(reason, "data.%s: is missing; meter %q reads it", key, meter.Name)
	}
	return refuse(reason, "data.%s: %s, read by meter %q: %v", key, quote(text), meter.Name, err)
}

// nextHit makes the hit that hit or hitNew will add, unless another is made before.
func (b *batch) nextHit(event int) *hit {
	n := len(b.hits)
	if n == cap(b.hits) {
		b.hits = slices.Grow(b.hits, n)
	}
	h := &b.hits[:n+1][n]
	h.event, h.hasAmount = int32(event), false
	h.quantity.Hi, h.quantity.Lo = one.Hi, one.Lo
	h.amount.Hi, h.amount.Lo = 0, 0
	return h
}

// add adds the hit that nextHit has made.
func (b *batch) add(cell int32) {
	n := len(b.hits)
	b.hits = b.hits[:n+1]
	b.hits[n].cell = cell
}

// hit adds the hit of a slot that the book has.
func (b *batch) hit(ctx context.Context, s *Live) *verdict {
	if s.batch != b.number {
		c, err := b.newCell(ctx, s.Terms())
		if err != nil {
			return &verdict{err: err}
		}
		data := s.Data()
		end := s.linesEnd(data)
		c.slot, c.account, c.group, c.lines, c.state, c.used = s, s.Account(), s.Group(), data[:end:end], data[end:], s.Events > 0
		s.batch, s.cell = b.number, int32(len(b.cells)-1)
	}
	b.add(s.cell)
	return nil
}

// newSlot names a slot that the book does not have. Terms are the same when their
// pointers are, within one epoch of the catalog.
type newSlot struct {
	account *Account
	terms   *Terms
	group   string
}

// hitNew adds the hit of a slot that the book does not have; single is its event
// type if events of it can meet no other.
func (b *batch) hitNew(ctx context.Context, name newSlot, single *kind) *verdict {
	n, ok := b.freshCell(&name)
	if !ok {
		c, err := b.newCell(ctx, name.terms)
		if err != nil {
			return &verdict{err: err}
		}
		n = int32(len(b.cells) - 1)
		c.account, c.single = name.account, single
		if name.group == "" {
			c.next = name.account.fresh // which freshCell has put right
			name.account.fresh = n
		} else {
			name.group = clone(name.group)
			c.group = name.group
			b.group(c).cells++
			b.made[name] = n
		}
	}
	b.add(n)
	return nil
}

// freshCell returns the batch's cell of a new slot, false when it has none.
func (b *batch) freshCell(name *newSlot) (int32, bool) {
	if name.group != "" {
		n, ok := b.made[*name]
		return n, ok
	}
	a := name.account
	if a.freshIn != b.number {
		a.fresh, a.freshIn = -1, b.number
	}
	for n := a.fresh; n >= 0; n = b.cells[n].next { // a few: one for each subscription at most
		if b.cells[n].terms == name.terms {
			return n, true
		}
	}
	return 0, false
}

// newCell makes a cell of the batch. It is valid until the next one is made.
func (b *batch) newCell(ctx context.Context, t *Terms) (*cell, error) {
	r := b.rater
	if t.ready == nil || t.readyIn != r.instances {
		m, err := r.module(ctx, t.Plan.Module)
		if err != nil {
			return nil, err
		}
		t.ready, t.readyIn = m.want(t.Plan), r.instances
	}
	n := len(b.cells)
	if n == cap(b.cells) { // append alone would copy five times as much
		b.cells = slices.Grow(b.cells, n+64)
	}
	b.cells = b.cells[:n+1]
	c := &b.cells[n]
	*c = cell{}
	c.terms, c.configured = t, t.ready
	return c, nil
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

// plan returns how a subscription is priced by a version of its tariff.
func (r *Rater) plan(binding *catalog.Binding, n int) *Plan {
	version, ref := binding.Tariff.Versions[n], refOf(binding, n)
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
	calendar := r.calendarWith(c, billing.Calendar{Zone: period.Start.Location(), AnchorDay: c.AnchorDay})
	var slots []*Slot
	bindings := r.catalog.BindingsOf(billing.AccountID(account))
	for n := range bindings {
		binding := &bindings[n]
		for version := range binding.Tariff.Versions {
			from, until := binding.Span(version)
			if from >= end || until <= start || from >= until {
				continue
			}
			t := r.terms(binding, version, calendar, start, end)
			if _, ok := used[t.key(account, "")]; ok {
				continue
			}
			group := ""
			if by := binding.Tariff.GroupBy; len(by) > 0 {
				group = EncodeGroup(make([]string, len(by)))
			}
			slots = append(slots, NewSlot(account, t, group, Content{}))
		}
	}
	return slots
}
