package rate

import (
	"strings"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/sdk/billing"
)

// laneKey names a lane.
type laneKey struct{ account, kind string }

// lane is the way of an account's events of one type: which meters select them
// and which slots they meet. What was found for one event is kept for the next,
// since most fall into the same period and version. It says nothing that the
// catalog in force does not, and may be dropped at any time.
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
	version     int // of the tariff
	key         Key // of the slot, but for the group
	periodEnd   int64

	// cell is that of the slot in the batch with this number, where the tariff
	// does not group.
	batch uint64
	cell  int32
}

// lanesMax bounds the memory of a rater: beyond, it begins to remember anew.
const lanesMax = 1 << 16

// lane returns the lane of an event.
func (r *Rater) lane(e *Event) *lane {
	if l := r.lanes[laneKey{e.Account, e.Type}]; l != nil {
		return l
	}
	meters := r.catalog.MetersOf(e.Type)
	if len(meters) == 0 {
		return &lane{} // not kept: anything can be sent
	}
	account := strings.Clone(e.Account)
	l := &lane{calendar: r.calendar(account), meters: make([]laneMeter, len(meters))}
	for i, m := range meters {
		bindings := r.catalog.Bindings(billing.AccountID(account), m)
		stops := make([]stop, len(bindings))
		for n := range bindings {
			b := &bindings[n]
			stops[n] = stop{binding: b, key: Key{Account: account, Subscription: b.Subscription.ID, Tariff: b.Tariff.Name}}
		}
		l.meters[i] = laneMeter{meter: m, stops: stops}
	}
	if len(r.lanes) >= lanesMax {
		clear(r.lanes)
	}
	r.lanes[laneKey{account, meters[0].EventType}] = l
	return l
}

// at makes the stop hold for a time, unix ns, and reports whether the
// subscription prices events of that time.
func (s *stop) at(t int64, c *calendar) bool {
	if s.from <= t && t < s.until {
		return true
	}
	b := s.binding
	version := b.Tariff.VersionAt(t)
	if version < 0 || !b.ActiveAt(t) {
		return false
	}
	start, end := c.at(t)
	from, until := b.Span(version)
	s.from, s.until, s.version, s.batch = max(from, start), min(until, end), version, 0
	s.key.Version, s.key.Period, s.periodEnd = b.Tariff.Versions[version].EffectiveFrom.UnixNano(), start, end
	return true
}
