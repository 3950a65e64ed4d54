package oracle

import (
	"maps"
	"slices"
)

// correct voids or amends an event, and has what it was in be billed again.
func (r *rater) correct(e Event) (outcome, reason string) {
	was := r.content[[3]string{e.Of[0], e.Of[1], e.Account}]
	switch {
	case was == nil || was.Of != nil:
		return "refused", "unknown_event"
	case was.voided && e.To == nil:
		return "duplicate", ""
	case was.voided:
		return "refused", "voided"
	}
	in := *r // as it was when the event was priced
	in.catalog = was.catalog
	c := in.calendarOf(e.Account)
	start := c.start(was.Time, 0)
	if e.To != nil {
		next := *was
		if next.now = was.Event; !e.To.Time.IsZero() {
			next.now.Time = e.To.Time
		}
		if e.To.Data != nil {
			next.now.Data = e.To.Data
		}
		if !c.start(next.now.Time, 0).Equal(start) {
			return "refused", "bad_correction"
		}
		if next.now.Time.Equal(was.now.Time) && maps.Equal(next.now.Data, was.now.Data) {
			return "duplicate", ""
		}
		if _, reason := in.find(&next); reason != "" {
			return "refused", reason
		}
		was.now = next.now
	}
	for _, s := range r.slots {
		s.events = slices.DeleteFunc(s.events, func(m measured) bool { return m.of == was })
	}
	if was.Time.Before(r.closed[c]) {
		r.reopen(e.Account, c, start)
	}
	if was.voided = e.To == nil; was.voided {
		return "priced", ""
	}
	in = *r
	in.catalog = was.catalog
	in.place(was)
	return "priced", ""
}
