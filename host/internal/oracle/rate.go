package oracle

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"
)

// rater is what a log has come to so far.
type rater struct {
	owns    func(string) bool
	catalog *Catalog              // in force
	priced  map[[3]string]*priced // events and corrections, by identity
	bills   map[period]*bill
	first   map[string]time.Time     // since when an account is billed: a listed one always, others since their first usage
	begun   map[calendar]time.Time   // the first period with a bill
	closed  map[calendar]time.Time   // until when
	past    map[calendar][]time.Time // periods that were closed, by their starts
	result  Result
}

// priced is an event that was priced.
type priced struct {
	Event            // as it came
	now     Event    // as it was amended to
	catalog *Catalog // that was in force, or has repriced it
	in      period
	voided  bool
}

// bill is what an account's period comes to.
type bill struct {
	events []*priced        // in the order of the log, also those that were voided
	whole  *Catalog         // what all is due by that needs no usage; nil: the next close says so
	open   bool             // the next close bills it
	left   map[key]measured // what the period before has left, as usage before all other
	handed map[key]measured // likewise what versions left to those behind them, when it was billed last
	lines  []string         // as billed last
}

// take prices an event under all that it meets, or says why not.
func (r *rater) take(e Event) (reason string) {
	identity := [3]string{e.Source, e.ID, e.Account}
	first, seen := r.priced[identity]
	switch {
	case !r.owns(e.Account):
		return "wrong_partition"
	case seen && reflect.DeepEqual(first.Event, e):
		return "duplicate"
	case seen:
		return "identity_conflict"
	case r.catalog == nil:
		return "no_catalog"
	}
	of := &priced{Event: e, now: e, catalog: r.catalog, in: r.catalog.period(e.Account, e.Time)}
	if e.Of != nil {
		reason = r.correct(e)
	} else if _, reason = of.meets(); reason == "" {
		r.place(of)
	}
	if reason == "" {
		r.priced[identity] = of
	}
	return reason
}

// place puts an event into its period. An account that is not listed is billed from its
// first usage on, in closed periods too.
func (r *rater) place(of *priced) {
	first := cmp.Or(r.first[of.Account], endOfTime)
	for p := of.in; p.start.Before(earliest(first, r.closed[p.calendar])); p = p.next() {
		r.bill(p)
	}
	b := r.bill(of.in)
	b.events = append(b.events, of)
}

// bill returns the bill of a period, which the next close makes.
func (r *rater) bill(p period) *bill {
	if r.bills[p] == nil {
		r.bills[p] = &bill{}
		r.first[p.account] = earliest(cmp.Or(r.first[p.account], endOfTime), p.start)
		r.begun[p.calendar] = earliest(cmp.Or(r.begun[p.calendar], endOfTime), p.start)
	}
	r.bills[p].open = true
	return r.bills[p]
}

// correct voids or amends an event.
func (r *rater) correct(e Event) (reason string) {
	was := r.priced[[3]string{e.Of[0], e.Of[1], e.Account}]
	if was == nil || was.Of != nil {
		return "unknown_event"
	}
	next := *was
	if next.voided = e.To == nil; !next.voided {
		next.now = was.amended(e.To) // what was amended before does not count
	}
	_, reason = next.meets()
	switch {
	case was.voided && !next.voided:
		return "voided"
	case was.catalog.period(e.Account, next.now.Time) != was.in:
		return "bad_correction"
	case reflect.DeepEqual(next, *was):
		return "duplicate"
	case reason == "" || next.voided:
		*was = next
		r.bill(was.in)
		return ""
	}
	return reason
}

// meets finds what an event meets, or says why it meets nothing.
func (e *priced) meets() (found []measured, reason string) {
	meters, reason := e.catalog.metersOf(e.now)
	for _, m := range meters {
		for _, b := range e.catalog.subscribedAt(e.Account, m, e.now.Time) {
			quantity, refused := b.measure(m, e.now)
			if refused != "" {
				return nil, refused
			}
			found, reason = append(found, measured{b, e.now.Time, quantity}), ""
		}
	}
	return found, reason
}

// close bills all periods up to an end, and those before them again in which something
// has changed. Each leaves its levels to the next one.
func (r *rater) close(e *Close) {
	c := calendar{e.Zone, e.AnchorDay}
	start := cmp.Or(r.closed[c], earliest(e.Start, cmp.Or(r.begun[c], e.Start)))
	if !e.End.After(start) {
		return
	}
	r.closed[c] = e.End
	for start = c.start(start, 0); start.Before(e.End); start = c.start(start, 1) {
		r.past[c] = append(r.past[c], start)
		for account, first := range r.first {
			if p := (period{account, start, c}); !first.After(start) && len(r.catalog.inForce(p)) > 0 {
				r.bill(p)
			}
		}
	}
	for p, b := r.firstOpen(c, e.End); b != nil; p, b = r.firstOpen(c, e.End) {
		b.whole, b.open, b.handed = cmp.Or(b.whole, r.catalog), false, map[key]measured{}
		for _, f := range b.followings(p) { // in order: a version has what it is left before it leaves that
			for _, s := range b.slots(p) {
				if s.key("") == f.before.key("") && f.goesOn() {
					b.handed[f.key(s.group)] = measured{f.binding, time.Time{}, aggregate(nil, s.events)}
				}
			}
		}
		left, slots := map[key]measured{}, b.slots(p)
		b.lines = lines(p, slots)
		for _, s := range slots {
			if heir := r.catalog.heir(s.binding, p.next()); heir != nil && !b.followed(s.binding, p) {
				left[heir.key(s.group)] = measured{*heir, time.Time{}, aggregate(nil, s.events)}
			}
		}
		if len(left) > 0 || r.bills[p.next()] != nil {
			r.bill(p.next()).left = left
		}
	}
}

// apply puts a catalog in force. A calendar that it brings begins where the shared
// one is open.
func (r *rater) apply(c *Catalog, reprice bool) {
	old := r.catalog
	until, closed := r.closed[c.calendarOf("")]
	r.catalog = c
	for _, a := range c.Accounts {
		k := c.calendarOf(a.ID)
		if !r.owns(a.ID) {
			continue
		}
		r.first[a.ID] = always
		if _, known := r.closed[k]; old != nil && closed && !known && r.begun[k].IsZero() {
			r.closed[k] = k.start(until, 0)
		}
		for _, start := range r.past[k] {
			r.reprice(period{a.ID, start, k}, old, reprice)
		}
	}
	for p := range r.bills {
		r.reprice(p, old, reprice)
	}
}

// reprice has the catalog in force price a period as if it had always been, if an old one
// has priced it otherwise.
func (r *rater) reprice(p period, old *Catalog, asked bool) {
	if !asked || old == nil || r.catalog.calendarOf(p.account) != p.calendar || r.catalog.priceList(p) == old.priceList(p) {
		return
	}
	b := r.bill(p)
	b.left, b.handed = r.catalog.heirs(b.left, p), nil
	if p.start.Before(r.closed[p.calendar]) {
		b.whole = r.catalog
	}
	for _, e := range b.events {
		e.catalog = r.catalog
	}
}

// slots is all that a period has, from its first event, by version, and behind it the fees
// of invoice rules. What has no usage, but needs none or had some that was voided, has a slot
// without events.
func (b *bill) slots(p period) []slot {
	slots, used, due := map[key]slot{}, map[key]bool{}, map[key]binding{}
	for k, m := range both(b.left, b.handed) {
		slots[k], used[m.key("")] = slot{m.binding, k.group, []measured{m}}, true
	}
	for _, e := range b.events {
		found, _ := e.meets()
		for _, m := range found {
			if due[m.key("")] = m.binding; e.voided {
				continue
			}
			group := m.group(e.now.Data)
			events := append(slots[m.key(group)].events, m)
			slots[m.key(group)], used[m.key("")] = slot{m.binding, group, events}, true
		}
	}
	for _, d := range b.whole.inForce(p) {
		due[d.key("")] = d
	}
	for k, d := range due {
		if !used[k] {
			slots[k] = slot{d, d.group(nil), nil}
		}
	}
	list := slices.SortedFunc(maps.Values(slots), slot.compare)
	return append(list, b.whole.fees(p, list)...)
}
