package oracle

import (
	"cmp"
	"slices"
	"time"
)

// This file reads the log, counts what becomes of its events, and keeps the dead
// letters; what anything costs is rate.go's.

// Replay goes through the log of a partition that owns the accounts which owns
// selects. Usage of closed periods is adjusted at the next close.
func Replay(log []Entry, owns func(account string) bool) Result {
	r := replay(log, owns)
	for p, b := range r.bills {
		r.show(p, b)
	}
	slices.Sort(r.result.Lines)
	slices.Sort(r.result.Open)
	return r.result
}

func replay(log []Entry, owns func(account string) bool) *rater {
	r := &rater{
		owns: owns, priced: map[[3]string]*priced{}, bills: map[period]*bill{}, first: map[string]time.Time{}, begun: map[calendar]time.Time{},
		closed: map[calendar]time.Time{}, past: map[calendar][]time.Time{},
	}
	for _, e := range log {
		switch {
		case e.Catalog != nil:
			r.apply(e.Catalog, e.Reprice)
		case e.Close != nil:
			r.close(e.Close)
		case e.Letters != nil:
			r.settle(e.Letters)
		}
		for i, event := range e.Events {
			r.result.Read++
			if outcome, reason := r.event(event); outcome == "" {
				r.result.Letters = append(r.result.Letters, Letter{len(r.result.Letters) + 1, e.Position, i, event, reason, ""})
			}
		}
		r.result.After = append(r.result.After, r.result.Counts)
	}
	return r
}

// event counts an event; one that stays a dead letter has no outcome.
func (r *rater) event(e Event) (outcome, reason string) {
	switch reason = r.take(e); reason {
	case "":
		r.result.Priced++
		return "priced", ""
	case "duplicate":
		r.result.Duplicates++
		return "duplicate", ""
	}
	r.result.DeadLettered++
	return "", reason
}

// settle acts on an order.
func (r *rater) settle(o *Order) {
	slices.SortFunc(o.Letters, func(a, b Letter) int { return cmp.Compare(a.Number, b.Number) })
	for _, ref := range o.Letters {
		for i := range r.result.Letters {
			l := &r.result.Letters[i]
			switch {
			case l.Outcome != "" || l.Number != ref.Number || l.Position != ref.Position || l.Index != ref.Index:
			case o.Discard:
				l.Outcome = "discarded"
				r.result.Discarded++
			default:
				r.result.DeadLettered--
				was := l.Reason
				l.Outcome, l.Reason = r.event(l.Event)
				l.Reason = cmp.Or(l.Reason, was)
			}
		}
	}
}

// Rate prices all events of a log as if each period closed after the last event.
func Rate(c *Catalog, events []Event) Result {
	log := []Entry{{Catalog: c}, {Events: events}}
	everybody := func(string) bool { return true }
	first, last := endOfTime, time.Time{}
	for _, e := range replay(log, everybody).priced {
		if e.Of == nil {
			first, last = earliest(first, e.Time), latest(last, e.Time)
		}
	}
	for _, a := range append([]Account{{}}, c.Accounts...) {
		k := c.calendarOf(a.ID)
		for start := k.start(first, 0); !start.After(last); start = k.start(start, 1) {
			log = append(log, Entry{Close: &Close{k.zone, k.day, start, k.start(start, 1)}})
		}
	}
	return Replay(log, everybody)
}
