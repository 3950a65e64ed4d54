package host

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Usage that comes after its period was closed reopens the period, for its account
// alone: the account's slots of the period are folded again from the log, without
// the end of the period, and take the event as if the close had not come yet. What
// the period comes to then stands beside what was billed, and the account's next
// invoice adjusts the difference (adjust.go). The invoice itself never changes.

// ReasonBeyondRetention is why an event of a period is a dead letter that was closed
// so long ago that nobody remembers which events it had.
const ReasonBeyondRetention = "beyond_retention"

// retentionMonths is for how long after its close a period takes late usage and
// corrections.
const retentionMonths = 13

// again names a closed period of an account.
type again struct {
	account  string
	calendar rate.Calendar
	period   billing.Period
}

// periodOf returns the billing period of an account that holds a time, unix ns, by
// the catalog in force.
func (p *partition) periodOf(account string, at int64) again {
	calendar := p.catalog.Calendar(billing.AccountID(account))
	return again{account: account, calendar: rate.CalendarName(calendar), period: calendar.PeriodOf(time.Unix(0, at))}
}

// beyondRetention reports whether a closed period is out of reach. The end of the
// calendar's last closed period says so, and that is the log's; of a calendar that is
// not in use any more, and is not closed any further, that its identities are gone.
func (p *partition) beyondRetention(g again) bool {
	return p.forgotten(g.period.Start.UnixNano()) || !g.period.End.After(p.horizon(g.calendar, g.period.Start.Location()))
}

// horizon is the time before which a calendar's periods are out of reach.
func (p *partition) horizon(c rate.Calendar, zone *time.Location) time.Time {
	until := p.state.Now().ClosedUntil(c)
	if until == rate.Beginning {
		return time.Time{}
	}
	return time.Unix(0, until).In(zone).AddDate(0, -retentionMonths, 0)
}

// rateLate takes the events that were refused since their period is closed: it opens
// the periods again and has all be rated anew. Those that are out of reach stay
// refused.
func (p *partition) rateLate(ctx context.Context, t *triage, out rate.Outcome) (rate.Outcome, error) {
	isLate := func(r rate.Rejection) bool { return r.Reason == rate.ReasonPeriodClosed }
	if !slices.ContainsFunc(out.Rejected, isLate) {
		return out, nil
	}
	var list []again
	for _, r := range out.Rejected {
		if !isLate(r) {
			continue
		}
		e := &t.events[r.Event]
		if g := p.periodOf(e.Account, e.Time); !p.beyondRetention(g) {
			g.account = strings.Clone(e.Account) // it outlives the batch
			list = append(list, g)
		}
	}
	if len(list) > 0 {
		ours := map[ingest.Hash]bool{} // known since this triage, and not priced
		for i, f := range t.fates {
			if f.kind == fateRate {
				ours[t.events[i].Identity] = true
			}
		}
		upTo := p.pending.messages[len(p.pending.messages)-1].position
		if err := p.reopen(ctx, list, nil, upTo, ours); err != nil {
			return out, err
		}
		var err error
		if out, err = p.rater.Rate(ctx, p.state, t.events, t.left...); err != nil {
			return out, err
		}
	}
	for i := range out.Rejected {
		if r := &out.Rejected[i]; isLate(*r) {
			r.Reason = ReasonBeyondRetention
			r.Detail = fmt.Sprintf("time: %s lies in a billing period that was closed more than %d months ago; bill it by hand",
				time.Unix(0, t.events[r.Event].Time).UTC().Format(time.RFC3339Nano), retentionMonths)
		}
	}
	return out, nil
}

// reopen opens closed periods again that are not: their slots are what the log up to
// a position comes to, of which the events with the identities given are left out.
// The causes are noted with each period.
func (p *partition) reopen(ctx context.Context, list []again, causes []accumulate.Cause, upTo uint64, leaveOut map[ingest.Hash]bool) error {
	type group struct {
		calendar rate.Calendar
		start    int64
	}
	periods := map[group]billing.Period{}
	accounts := map[group]map[string]bool{}
	for _, g := range p.withFollowing(list) {
		r, known := p.state.ReopenedOf(g.account, g.period.Start.UnixNano())
		fresh := !r.Open
		if !known {
			r = accumulate.Reopened{Account: g.account, Calendar: g.calendar, Period: g.period.Start.UnixNano(), PeriodEnd: g.period.End.UnixNano()}
		}
		if fresh && len(r.Gone) == 0 { // it may have been open before, for what was refused
			r.Whole = !p.hasSlots(g.account, func(l *rate.Live) bool { return l.Terms().Period == g.period.Start.UnixNano() })
		}
		r.Open = true
		for _, c := range causes {
			r.Add(c)
		}
		if fresh || len(causes) > 0 {
			if err := p.state.SetReopened(r); err != nil {
				return err
			}
		}
		if !fresh {
			continue
		}
		k := group{g.calendar, r.Period}
		if periods[k] = g.period; accounts[k] == nil {
			accounts[k] = map[string]bool{}
		}
		accounts[k][g.account] = true
	}
	keys := slices.SortedFunc(maps.Keys(periods), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.start, b.start), compareCalendars(a.calendar, b.calendar))
	})
	for _, k := range keys {
		if err := p.foldAgain(ctx, accounts[k], k.calendar, periods[k], nil, upTo, leaveOut); err != nil {
			return fmt.Errorf("host: partition %d: period %s, which late usage opens again: %w", p.number, periods[k].ID(), err)
		}
	}
	return nil
}

// withFollowing adds to closed periods those behind them that would have had fees
// had the usage come in time: an account that the catalog does not list is billed
// from its first usage on.
func (p *partition) withFollowing(list []again) []again {
	out := slices.Clone(list)
	for _, g := range list {
		if _, listed := p.catalog.Accounts[billing.AccountID(g.account)]; listed {
			continue
		}
		calendar := billing.Calendar{Zone: g.period.Start.Location(), AnchorDay: g.calendar.AnchorDay}
		closed := p.state.Now().ClosedUntil(g.calendar)
		for next := calendar.Next(g.period); next.End.UnixNano() <= closed; next = calendar.Next(next) {
			if p.hasSlots(g.account, func(l *rate.Live) bool { return l.Terms().Period <= next.Start.UnixNano() }) {
				break
			}
			out = append(out, again{g.account, g.calendar, next})
		}
	}
	slices.SortFunc(out, again.compare)
	return slices.CompactFunc(out, func(a, b again) bool { return a.compare(b) == 0 })
}

// endRefused closes the periods again that were opened for usage which was refused, where
// the account had nothing before and has nothing now. While such a period is open, usage
// that comes late for it is not seen to be late, and so opens none of those behind it: that
// must not hang on what was refused, over a close or a catalog that says otherwise who is
// billed from when.
func (p *partition) endRefused() error {
	k := p.corrector()
	for _, r := range p.state.OpenAgain("") {
		if !r.Whole || k.begun(r) {
			continue
		}
		r.Open, r.Whole = false, false
		if err := p.state.SetReopened(r); err != nil {
			return err
		}
	}
	return nil
}

// hasSlots reports whether an account has a slot of which something holds.
func (p *partition) hasSlots(account string, is func(*rate.Live) bool) bool {
	a := p.state.Account(account, billing.AccountID(account).TokenHash())
	return a != nil && a.Has(is)
}

// foldAgain folds accounts' events of a period again, as far as the log has them up
// to a position. Their slots of the period are emptied first, and heirs begin with
// what they are left. All slots of an account take part, since an event is priced
// in all of them or in none.
func (p *partition) foldAgain(ctx context.Context, accounts map[string]bool, c rate.Calendar, period billing.Period, heirs []*rate.Slot, upTo uint64, leaveOut map[ingest.Hash]bool) error {
	start, end := period.Start.UnixNano(), period.End.UnixNano()
	s := sought{from: start, until: end}
	for _, id := range slices.Sorted(maps.Keys(accounts)) {
		hash := billing.AccountID(id).TokenHash()
		s.places.add(accountPlace(hash))
		a := p.state.Account(id, hash)
		if a == nil {
			continue
		}
		for _, l := range slices.Collect(a.Slots()) {
			if l.Terms().Calendar != c || l.Terms().Period != start {
				continue
			}
			if err := p.state.Put(rate.NewSlot(id, l.Terms(), l.Group(), rate.Content{})); err != nil {
				return err
			}
		}
	}
	for _, heir := range heirs {
		if err := p.state.Inherit(heir); err != nil {
			return err
		}
	}
	if len(accounts) == 0 {
		return nil
	}
	// What is open has held the horizon since it had usage.
	if start < p.state.Now().ClosedUntil(c) && p.forgotten(start) {
		return fmt.Errorf("which events of it were priced is forgotten: its identities expired before %s", time.Unix(0, p.state.Now().Horizon).UTC().Format(time.RFC3339))
	}
	spans, err := p.find(&s, upTo)
	if err != nil {
		return err
	}
	r := &refold{
		partition: p, accounts: accounts, calendar: c, start: start, end: end, leaveOut: leaveOut,
		book: openBook{State: p.state, calendar: c, until: start}, spans: spans, upTo: upTo,
	}
	return r.all(ctx)
}

// noteCause records a priced event with the closed period that it has changed.
func (p *partition) noteCause(kind string, e *ingest.Event, position uint64) error {
	g := p.periodOf(e.Account, e.Time)
	r, known := p.state.ReopenedOf(e.Account, g.period.Start.UnixNano())
	if !known || !r.Open {
		return nil // the period is open, or parked and not billed yet
	}
	r.Add(accumulate.Cause{
		Kind: kind, Source: strings.Clone(e.Source), ID: strings.Clone(e.ID), Position: position, Index: e.Index,
	})
	return p.state.SetReopened(r)
}

// forgetOld lets go of what is known of periods that are out of reach.
func (p *partition) forgetOld(c rate.Calendar, zone *time.Location) {
	for _, until := range p.state.Now().Closed {
		if until < p.state.Now().ClosedUntil(c) {
			return // the calendar that is behind decides
		}
	}
	horizon := p.horizon(c, zone).AddDate(0, -1, 0).UnixNano() // a month more: calendars differ
	p.state.DropReopened(horizon)
	p.state.DropRules(horizon)
}

// compare orders by period, account and calendar.
func (g again) compare(o again) int {
	return cmp.Or(g.period.Start.Compare(o.period.Start), strings.Compare(g.account, o.account), compareCalendars(g.calendar, o.calendar))
}

func compareCalendars(a, b rate.Calendar) int {
	return cmp.Or(strings.Compare(a.Zone, b.Zone), cmp.Compare(a.AnchorDay, b.AnchorDay))
}
