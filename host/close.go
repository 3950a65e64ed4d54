package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// closeChunk is how many accounts are finished with one plugin call.
const closeChunk = 1024

// closePeriod closes a calendar's periods up to the end of the one named, for the
// close at a position: it folds the end of the period into every slot, makes each
// account's invoice, has the next period begin with what this one leaves, and turns
// away later events of these periods.
//
// Earlier periods that are still open are closed first, oldest first: the close
// says that all usage up to its end is complete.
func (p *partition) closePeriod(ctx context.Context, c closing, position uint64) error {
	h := p.state.Now()
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("host: partition %d: close of period %s: time zone %q is not known on this machine: %w", p.number, c.Period, c.Zone, err)
	}
	end := c.End.UnixNano()
	if end <= h.ClosedUntil(c.Calendar) {
		p.log().Warn("close ignored: the period is closed already", "partition", p.number, "zone", c.Zone, "period", c.Period)
		return nil
	}
	if p.catalog == nil {
		// An apply had not come to this partition's marker yet, so nothing can have
		// been priced here.
		h.Close(c.Calendar, end)
		return nil
	}
	calendar := billing.Calendar{Zone: zone, AnchorDay: c.AnchorDay}
	period := calendar.PeriodOf(c.Start)
	if until := h.ClosedUntil(c.Calendar); until != rate.Beginning {
		period = calendar.PeriodOf(time.Unix(0, until))
	} else if first := p.firstOpen(c.Calendar); first < c.Start.UnixNano() {
		period = calendar.PeriodOf(time.Unix(0, first))
	}
	failpoint.Hit("close.read-back")
	for ; period.Start.Before(c.End); period = calendar.Next(period) {
		left, err := p.closeAccounts(ctx, p.concerned(period), c.Calendar, period, position)
		if err != nil {
			return fmt.Errorf("host: partition %d: close of period %s: %w", p.number, period.ID(), err)
		}
		h.Close(c.Calendar, period.End.UnixNano())
		rules := accumulate.RulesRef{Revision: h.CatalogRevision, Digest: h.CatalogDigest}
		if err := p.state.SetRules(accumulate.PeriodKey{Calendar: c.Calendar, Start: period.Start.UnixNano()}, rules); err != nil {
			return err
		}
		if err := p.inherit(ctx, left, c.Calendar, calendar.Next(period), position); err != nil {
			return fmt.Errorf("host: partition %d: what period %s leaves: %w", p.number, period.ID(), err)
		}
		if len(p.state.Parked()) == 0 {
			h.ForgetCarrying(c.Calendar, period.Start.UnixNano())
		}
	}
	failpoint.Hit("close.done")
	if err := p.endRefused(); err != nil {
		return err
	}
	p.forgetOld(c.Calendar, zone)
	p.rater.Forget()
	return p.moveHorizon()
}

// firstOpen returns the start of the calendar's earliest period with slots that
// are not final, unix ns, or rate.Forever.
func (p *partition) firstOpen(c rate.Calendar) int64 {
	first := rate.Forever
	periods := p.state.OpenPeriods()
	if p.trial != nil {
		periods = append(periods, p.trial.part.Open...)
	}
	for _, open := range periods {
		if open.Calendar == c {
			first = min(first, open.Start)
		}
	}
	return first
}

// closeAccounts finishes the slots of accounts in a period and makes their
// invoices. Where a plugin fails the account is parked: its slots stay as they
// are, and it has no invoice of the period. It returns the finished slots that
// leave something to the next period. The invoices tell of earlier periods that were
// opened again.
func (p *partition) closeAccounts(ctx context.Context, accounts []string, c rate.Calendar, period billing.Period, position uint64) (left []*rate.Slot, err error) {
	held := p.heldUp(period)
	maker := biller{rater: p.rater, catalog: p.catalog}
	give := handing{partition: p, calendar: c, period: period, position: position, again: func(l *bill) error {
		now, err := p.due(string(l.account), c, period)
		if err == nil {
			l.slots, l.empty = now.slots, now.empty
		}
		return err
	}}
	for chunk := range slices.Chunk(accounts, closeChunk) {
		corrections, err := p.corrections(ctx, chunk, c, period, position)
		if err != nil {
			return nil, err
		}
		bills := make([]*bill, 0, len(chunk))
		for _, id := range chunk {
			l, err := p.due(id, c, period)
			if err != nil {
				return nil, err
			}
			l.corrections = corrections[id]
			waits, err := p.waits(ctx, l, held)
			if err != nil {
				return nil, err
			}
			if waits {
				l.park(c, period, accumulate.Parked{Reason: accumulate.ParkedEarlierPeriod, Detail: "an earlier period, which leaves something to this one, has to be invoiced first"})
				if err := p.parkBill(l); err != nil {
					return nil, err
				}
				continue
			}
			bills = append(bills, l)
		}
		failpoint.Hit("close.before-bills")
		if err := give.handOn(ctx, bills); err != nil {
			return nil, err
		}
		if err := maker.make(ctx, c, period, bills); err != nil {
			return nil, err
		}
		failpoint.Hit("close.after-bills")
		for _, l := range bills {
			if err := p.take(l, period); err != nil {
				return nil, err
			}
			if l.parked != nil {
				continue
			}
			last, _ := goOn(l.finished)
			left = append(left, slices.DeleteFunc(last, func(s *rate.Slot) bool { return len(s.CarryOut) == 0 })...)
		}
	}
	return left, nil
}

// heldUp returns the accounts that are parked in a period before.
func (p *partition) heldUp(period billing.Period) map[string]bool {
	held := map[string]bool{}
	for _, parked := range p.state.Parked() {
		if parked.Period < period.Start.UnixNano() {
			held[parked.Account] = true
		}
	}
	return held
}

// waits reports whether an account is parked in a period before and may get
// something from there.
func (p *partition) waits(ctx context.Context, l *bill, held map[string]bool) (bool, error) {
	if !held[string(l.account)] {
		return false, nil
	}
	for _, s := range l.slots {
		if err := p.rater.Settle(ctx, s.Plan); err != nil {
			return false, err
		}
	}
	return slices.ContainsFunc(l.slots, func(s *rate.Slot) bool { return s.Plan.Carries }), nil
}

// take puts a bill into the state.
func (p *partition) take(l *bill, period billing.Period) error {
	if l.parked != nil {
		p.log().Error("an account's invoices are parked", "partition", p.number, "account", l.account, "period", period.ID(),
			"reason", l.parked.Reason, "detail", l.parked.Detail)
		return p.parkBill(l)
	}
	for _, s := range l.finished {
		if err := p.state.Put(s); err != nil {
			return err
		}
	}
	if err := errors.Join(p.endEmpty(l.empty), p.settleCorrections(l)); err != nil {
		return err
	}
	if err := errors.Join(p.keepRules(l, period), p.bringBack(l, period)); err != nil {
		return err
	}
	for i := range l.invoices {
		b, err := l.invoices[i].Encode()
		if err != nil {
			return fmt.Errorf("invoice %s: %w", l.invoices[i].ID, err)
		}
		p.state.AddInvoice(b)
	}
	p.state.Unpark(string(l.account), period.Start.UnixNano())
	return nil
}

// retryParked makes the invoices that are parked by the catalog that is in force
// now, which may have mended their cause. Nothing else can: whether a plugin fails
// follows from the log and the catalog.
func (p *partition) retryParked(ctx context.Context, position uint64) error {
	parked := p.state.Parked() // by period: what one leaves, the next gets
	for len(parked) > 0 {
		first := parked[0]
		var accounts []string
		rest := parked[:0:0]
		for _, k := range parked {
			if k.Calendar == first.Calendar && k.Period == first.Period {
				accounts = append(accounts, k.Account)
			} else {
				rest = append(rest, k)
			}
		}
		parked = rest
		zone, err := time.LoadLocation(first.Calendar.Zone)
		if err != nil {
			return fmt.Errorf("host: partition %d: time zone %q is not known on this machine: %w", p.number, first.Calendar.Zone, err)
		}
		calendar := billing.Calendar{Zone: zone, AnchorDay: first.Calendar.AnchorDay}
		period := calendar.PeriodOf(time.Unix(0, first.Period))
		left, err := p.closeAccounts(ctx, accounts, first.Calendar, period, position)
		if err == nil {
			err = p.inherit(ctx, left, first.Calendar, calendar.Next(period), position)
		}
		if err != nil {
			return fmt.Errorf("host: partition %d: parked invoices of period %s: %w", p.number, period.ID(), err)
		}
	}
	p.rater.Forget()
	return nil
}

// concerned lists, sorted, the accounts that the close of a period may finish
// something of: those in the catalog, and others that have had usage by the
// period's end.
func (p *partition) concerned(period billing.Period) []string {
	start := period.Start.UnixNano()
	var ids []string
	p.state.EachAccount(func(a *rate.Account) {
		if _, listed := p.catalog.Accounts[billing.AccountID(a.ID())]; listed {
			return
		}
		if a.Has(func(l *rate.Live) bool { return l.Terms().Period <= start }) {
			ids = append(ids, a.ID())
		}
	})
	if p.trial != nil {
		for _, id := range p.trial.accounts {
			if _, listed := p.catalog.Accounts[billing.AccountID(id)]; listed {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	for id := range p.catalog.Accounts {
		if billing.Partition(id, p.host.config.Partitions) == p.number {
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return ids
}

// due returns the slots of an account that the close of a period finishes. They are
// active as the catalog in force says: it may have ended a subscription, or brought a
// version in behind another, after a slot had its first event.
func (p *partition) due(id string, c rate.Calendar, period billing.Period) (*bill, error) {
	var open []*rate.Slot
	start := period.Start.UnixNano()
	if a := p.state.Account(id, billing.AccountID(id).TokenHash()); a != nil {
		for l := range a.Slots() {
			if l.Terms().Calendar != c || l.Terms().Period != start || l.Final {
				continue
			}
			s := l.Slot()
			if from, until, known := p.rater.Span(s); known && (from != s.ActiveFrom || until != s.ActiveUntil) {
				s.ActiveFrom, s.ActiveUntil = from, until
				if err := p.state.Reterm(s); err != nil {
					return nil, err
				}
			}
			s.CarryIn = p.state.CarryIn(l)
			open = append(open, s)
		}
	}
	return due(p.rater, id, c, period, open), nil
}
