package rate

import (
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/sdk/billing"
)

// lane is the way of an account's events of one type where they can meet several
// slots: which meters select them and which subscriptions price them. It says
// nothing that the catalog in force does not.
type lane struct {
	calendar *calendar
	meters   []laneMeter
}

// laneMeter is a meter of the event type with the account's subscriptions to it.
type laneMeter struct {
	meter *catalog.Meter
	stops []stop
}

// stop is a subscription on a lane, as it is for event times from (inclusive)
// until (exclusive), unix ns; for none before the first.
type stop struct {
	binding     *catalog.Binding
	from, until int64
	terms       *Terms
	slot        *Live // the slot, once there is one, where the tariff does not group
}

// lanesMax bounds the memory of a rater: beyond, it begins to remember anew.
const lanesMax = 1 << 16

// laneKey names a lane.
type laneKey struct {
	account *Account
	kind    kindNumber
}

// lane returns the lane of an account's events of a type.
func (r *Rater) lane(a *Account, k *kind) *lane {
	key, lanes := laneKey{a, k.number}, r.lanes
	if !a.Known() {
		lanes = r.batch.lanes // its memory is another's in the next batch
	}
	if l := lanes[key]; l != nil {
		return l
	}
	l := &lane{calendar: r.calendar(a.ID()), meters: make([]laneMeter, len(k.meters))}
	for i, m := range k.meters {
		bindings := r.catalog.Bindings(billing.AccountID(a.ID()), m)
		stops := make([]stop, len(bindings))
		for n := range bindings {
			stops[n].binding = &bindings[n]
		}
		l.meters[i] = laneMeter{meter: m, stops: stops}
	}
	if len(lanes) >= lanesMax {
		clear(lanes)
	}
	lanes[key] = l
	return l
}

// forget has the ways of all accounts found anew.
func (r *Rater) forget() {
	r.epoch++
	r.lanes = map[laneKey]*lane{}
}

// at makes the stop hold for a time, unix ns, and reports whether the
// subscription prices events of that time.
func (s *stop) at(t int64, r *Rater, c *calendar) bool {
	if s.from <= t && t < s.until {
		return true
	}
	terms := r.termsAt(s.binding, t, c)
	if terms == nil {
		return false
	}
	s.terms, s.slot = terms, nil
	s.from, s.until = max(terms.ActiveFrom, terms.Period), min(terms.ActiveUntil, terms.PeriodEnd)
	return true
}

// termsRef names terms by what they are made of.
type termsRef struct {
	plan              planRef
	subscription      string
	calendar          *calendar
	from, until       int64
	period, periodEnd int64
}

// termsAt returns the terms by which a subscription prices events of a time,
// unix ns, nil when it prices none.
func (r *Rater) termsAt(b *catalog.Binding, t int64, c *calendar) *Terms {
	version := b.Tariff.VersionAt(t)
	if version < 0 || !b.ActiveAt(t) {
		return nil
	}
	start, end := c.at(t)
	return r.terms(b, version, c, start, end)
}

// terms returns the terms of a subscription under a version in a period.
func (r *Rater) terms(b *catalog.Binding, version int, c *calendar, start, end int64) *Terms {
	from, until := b.Span(version)
	ref := termsRef{plan: refOf(b, version), subscription: b.Subscription.ID, calendar: c, from: from, until: until, period: start, periodEnd: end}
	t := r.termsOf[ref]
	if t == nil {
		t = &Terms{
			Subscription: b.Subscription.ID, Tariff: b.Tariff.Name, Version: b.Version(version),
			Period: start, PeriodEnd: end, ActiveFrom: from, ActiveUntil: until, Calendar: c.name, Plan: r.plan(b, version),
		}
		r.termsOf[ref] = t
	}
	return t
}
