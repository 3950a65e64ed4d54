package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// closeChunk is how many accounts are finished with one plugin call.
const closeChunk = 1024

// closePeriod closes a calendar's periods up to the end of the one named: it
// folds the end of the period into every slot, makes each account's invoice,
// and turns away later events of these periods.
//
// Earlier periods that are still open are closed first, oldest first: the close
// says that all usage up to its end is complete.
func (p *partition) closePeriod(ctx context.Context, c closing) error {
	h := p.state.Now()
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("host: partition %d: close of period %s: time zone %q is not known on this machine: %w", p.number, c.Period, c.Zone, err)
	}
	end := c.End.UnixNano()
	if end <= h.ClosedUntil(c.Calendar) {
		p.host.log.Warn("close ignored: the period is closed already", "partition", p.number, "zone", c.Zone, "period", c.Period)
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
	for ; period.Start.Before(c.End); period = calendar.Next(period) {
		if err := p.closeOne(ctx, c.Calendar, period); err != nil {
			return err
		}
		h.Close(c.Calendar, period.End.UnixNano())
	}
	return nil
}

// firstOpen returns the start of the calendar's earliest period with slots that
// are not final, unix ns, or rate.Forever.
func (p *partition) firstOpen(c rate.Calendar) int64 {
	first := rate.Forever
	for _, open := range p.state.OpenPeriods() {
		if open.Calendar == c {
			first = min(first, open.Start)
		}
	}
	return first
}

// closeOne closes one period of a calendar.
func (p *partition) closeOne(ctx context.Context, c rate.Calendar, period billing.Period) error {
	for chunk := range slices.Chunk(p.concerned(period), closeChunk) {
		if err := p.closeAccounts(ctx, chunk, c, period); err != nil {
			return fmt.Errorf("host: partition %d: close of period %s: %w", p.number, period.ID(), err)
		}
	}
	return nil
}

// closeAccounts finishes the slots of accounts in a period and makes their
// invoices.
func (p *partition) closeAccounts(ctx context.Context, accounts []string, c rate.Calendar, period billing.Period) error {
	var slots []*rate.Slot
	ends := make([]int, len(accounts))
	for i, id := range accounts {
		slots = append(slots, p.due(id, c, period)...)
		ends[i] = len(slots)
	}
	finished, err := p.rater.Finish(ctx, slots)
	if err != nil {
		return err
	}
	first := 0
	for i, id := range accounts {
		for _, s := range finished[first:ends[i]] {
			if err := p.state.Put(s); err != nil {
				return err
			}
		}
		if err := p.invoice(billing.AccountID(id), period, finished[first:ends[i]]); err != nil {
			return err
		}
		first = ends[i]
	}
	return nil
}

// concerned lists, sorted, the accounts that the close of a period may finish
// something of: those in the catalog, and others that have had usage by the
// period's end.
func (p *partition) concerned(period billing.Period) []string {
	start := period.Start.UnixNano()
	var ids []string
	p.state.EachAccount(func(a *rate.Account) {
		if _, listed := p.catalog.Accounts[billing.AccountID(a.ID)]; listed {
			return
		}
		if slices.ContainsFunc(a.Slots, func(l *rate.Live) bool { return l.Terms.Period <= start }) {
			ids = append(ids, a.ID)
		}
	})
	for id := range p.catalog.Accounts {
		if billing.Partition(id, p.host.config.Partitions) == p.number {
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	return ids
}

// due returns the slots of an account that the close of a period finishes: those
// with usage, and one for each active subscription that has none, so that fees
// fall due.
func (p *partition) due(id string, c rate.Calendar, period billing.Period) []*rate.Slot {
	var due []*rate.Slot
	start := period.Start.UnixNano()
	if a := p.state.Account(id, billing.AccountID(id).TokenHash()); a != nil {
		for _, l := range a.Slots {
			if l.Terms.Calendar == c && l.Terms.Period == start && !l.Final {
				due = append(due, l.Slot())
			}
		}
	}
	if p.rater.CalendarOf(id) == c {
		due = append(due, p.rater.Unused(id, c, period, due)...)
	}
	slices.SortFunc(due, func(a, b *rate.Slot) int { return a.Compare(b.Key) })
	return due
}

// invoice makes an account's invoices of a period, one for each currency, from
// its finished slots. Nothing to say makes no invoice.
func (p *partition) invoice(id billing.AccountID, period billing.Period, slots []*rate.Slot) error {
	byCurrency := map[billing.Currency][]*rate.Slot{}
	for _, s := range slots {
		byCurrency[s.Plan.Currency] = append(byCurrency[s.Plan.Currency], s)
	}
	currencies := make([]billing.Currency, 0, len(byCurrency))
	for c := range byCurrency {
		currencies = append(currencies, c)
	}
	slices.SortFunc(currencies, func(a, b billing.Currency) int { return cmp.Compare(a, b) })
	for _, c := range currencies {
		invoices, err := p.split(export.Head{Account: id, Period: period, Currency: c, Seller: p.catalog.Billing.Seller}, byCurrency[c])
		if err != nil {
			return fmt.Errorf("host: partition %d: invoice of account %q for period %s: %w", p.number, id, period.ID(), err)
		}
		for _, inv := range invoices {
			b, err := inv.Encode()
			if err != nil {
				return fmt.Errorf("host: partition %d: invoice %s: %w", p.number, inv.ID, err)
			}
			p.state.AddInvoice(b)
		}
	}
	return nil
}

// split makes the invoices of an account's finished slots of one currency: one,
// or as few as hold the sum. Amounts so large come from mistaken usage; the
// close of everybody else's period must not fail because of it. None says that
// there is nothing to invoice.
func (p *partition) split(head export.Head, slots []*rate.Slot) ([]export.Invoice, error) {
	inv, err := p.newInvoice(head, slots)
	if errors.Is(err, billing.ErrOverflow) && len(slots) > 1 {
		half := len(slots) / 2
		first, err := p.split(head, slots[:half])
		if err != nil {
			return nil, err
		}
		head.Counter += len(first)
		second, err := p.split(head, slots[half:])
		return append(first, second...), err
	}
	if err != nil || len(inv.Lines) == 0 {
		return nil, err
	}
	return []export.Invoice{inv}, nil
}

// newInvoice makes one invoice from finished slots of one currency.
func (p *partition) newInvoice(head export.Head, slots []*rate.Slot) (export.Invoice, error) {
	if a := p.catalog.Accounts[head.Account]; a != nil {
		head.AccountDetails = a.Details
	}
	list := make([]export.Slot, len(slots))
	for i, s := range slots {
		values, err := rate.DecodeGroup(s.Group)
		if err != nil {
			return export.Invoice{}, err
		}
		if len(values) != len(s.Plan.GroupBy) || len(s.Lines) != len(s.Plan.Lines) {
			return export.Invoice{}, fmt.Errorf("slot of tariff %q has %d group values and %d lines, its plan %d and %d",
				s.Tariff, len(values), len(s.Lines), len(s.Plan.GroupBy), len(s.Plan.Lines))
		}
		list[i] = export.Slot{
			Tariff: s.Tariff, Meter: s.Plan.Meter, Subscription: s.Subscription, Version: time.Unix(0, s.Version).UTC(),
			Currency: s.Plan.Currency, Rounding: s.Plan.Rounding, Module: s.Plan.Module, Events: s.Events,
		}
		for j, v := range values {
			list[i].Group = append(list[i].Group, billing.Field{Key: s.Plan.GroupBy[j], Text: v})
		}
		for j, l := range s.Lines {
			list[i].Lines = append(list[i].Lines, export.SlotLine{
				ID: s.Plan.Lines[j].ID, Description: s.Plan.Lines[j].Description,
				Quantity: billing.Quantity(l.Quantity), Amount: billing.Amount(l.Amount),
			})
		}
	}
	return export.NewInvoice(head, list)
}
