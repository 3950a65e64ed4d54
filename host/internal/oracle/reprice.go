package oracle

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// reprice has the catalog in force price what an old one has, in the periods of accounts
// in which it prices otherwise.
func (r *rater) reprice(old *Catalog) {
	was := *r
	was.catalog = old
	touched := map[bill]bool{}
	for k, s := range r.slots {
		touched[bill{k.account, k.period, s.calendar}] = true
	}
	for _, a := range r.catalog.Accounts {
		for _, start := range r.periods[r.calendarOf(a.ID)] {
			touched[bill{a.ID, start.UnixNano(), r.calendarOf(a.ID)}] = r.owns(a.ID)
		}
	}
	for b, ours := range touched {
		if ours && b.calendar == r.calendarOf(b.account) && r.inForce(b) != was.inForce(b) {
			r.priceAnew(b)
		}
	}
}

// inForce writes what prices an account in a period.
func (r *rater) inForce(b bill) (text string) {
	start, end := time.Unix(0, b.period), b.start(time.Unix(0, b.period), 1)
	for _, s := range r.subscribed(b.account) {
		from, until := slices.MaxFunc([]time.Time{s.from, start}, time.Time.Compare), slices.MinFunc([]time.Time{s.until, end}, time.Time.Compare)
		if from.Before(until) {
			rounding := *cmp.Or(s.tariff.Rounding, &Rounding{})
			text += fmt.Sprintln(from.UTC(), until.UTC(), s.subscription, s.tariff.Name, s.meter, s.tariff.Currency, s.tariff.GroupBy, rounding, s.effective, s.plugin, s.params)
		}
	}
	return text
}

// priceAnew prices the events of an account's period by the catalog in force, and has
// what it comes to be billed again where it was billed.
func (r *rater) priceAnew(b bill) {
	for k, s := range r.slots {
		if (bill{k.account, k.period, s.calendar}) == b {
			if first, once := r.first[b.account]; !once || b.period < first {
				r.first[b.account] = b.period
			}
			delete(r.slots, k)
		}
	}
	for _, e := range r.content {
		if e.Of == nil && !e.voided && e.Account == b.account && b.start(e.Time, 0).UnixNano() == b.period {
			e.catalog = r.catalog
			found, _ := r.find(e)
			r.put(found)
		}
	}
	if start := time.Unix(0, b.period); start.Before(r.closed[b.calendar]) {
		r.again[b] = false
		r.fees(b.calendar, start, func(id string) bool { return id == b.account })
	}
}
