package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
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
func (p *partition) closePeriod(ctx context.Context, d *accumulate.Delta, c closing) error {
	zone, err := time.LoadLocation(c.Zone)
	if err != nil {
		return fmt.Errorf("host: partition %d: close of period %s: time zone %q is not known on this machine: %w", p.number, c.Period, c.Zone, err)
	}
	end := c.End.UnixNano()
	if end <= d.ClosedUntil(c.Calendar) {
		p.host.log.Warn("close ignored: the period is closed already", "partition", p.number, "zone", c.Zone, "period", c.Period)
		return nil
	}
	if p.catalog == nil {
		// An apply had not come to this partition's marker yet, so nothing can have
		// been priced here.
		d.Close(c.Calendar, end)
		return nil
	}
	calendar := billing.Calendar{Zone: zone, AnchorDay: c.AnchorDay}
	period := calendar.PeriodOf(c.Start)
	if until := d.ClosedUntil(c.Calendar); until != rate.Beginning {
		period = calendar.PeriodOf(time.Unix(0, until))
	} else if first := p.firstOpen(d, c.Calendar); first < c.Start.UnixNano() {
		period = calendar.PeriodOf(time.Unix(0, first))
	}
	for ; period.Start.Before(c.End); period = calendar.Next(period) {
		if err := p.closeOne(ctx, d, c.Calendar, period); err != nil {
			return err
		}
		d.Close(c.Calendar, period.End.UnixNano())
	}
	return nil
}

// firstOpen returns the start of the calendar's earliest period with slots that
// are not final, unix ns, or rate.Forever.
func (p *partition) firstOpen(d *accumulate.Delta, c rate.Calendar) int64 {
	first := rate.Forever
	for _, open := range p.state.OpenPeriods() {
		if open.Calendar == c {
			first = min(first, open.Start)
		}
	}
	d.Slots(func(s *rate.Slot) {
		if s.Calendar == c && !s.Final {
			first = min(first, s.Period)
		}
	})
	return first
}

// closeOne closes one period of a calendar.
func (p *partition) closeOne(ctx context.Context, d *accumulate.Delta, c rate.Calendar, period billing.Period) error {
	due := p.due(d, c, period)
	accounts := make([]string, 0, len(due))
	for id := range due {
		accounts = append(accounts, id)
	}
	slices.Sort(accounts)
	for chunk := range slices.Chunk(accounts, closeChunk) {
		var slots []*rate.Slot
		for _, id := range chunk {
			slots = append(slots, due[id]...)
		}
		finished, err := p.rater.Finish(ctx, slots)
		if err != nil {
			return fmt.Errorf("host: partition %d: close of period %s: %w", p.number, period.ID(), err)
		}
		for _, s := range finished {
			if err := d.Put(s); err != nil {
				return err
			}
		}
		for _, id := range chunk {
			n := len(due[id])
			if err := p.invoice(d, billing.AccountID(id), period, finished[:n]); err != nil {
				return err
			}
			finished = finished[n:]
		}
	}
	return nil
}

// due returns, by account, the slots that the close of a period finishes: those
// with usage, and one for each active subscription that has none, so that fees
// fall due.
func (p *partition) due(d *accumulate.Delta, c rate.Calendar, period billing.Period) map[string][]*rate.Slot {
	due := map[string][]*rate.Slot{}
	start := period.Start.UnixNano()
	known := map[string]struct{}{} // unlisted accounts that have had usage by the period's end
	d.EachSlot(func(s *rate.Slot) {
		if s.Calendar == c && s.Period == start && !s.Final {
			due[s.Account] = append(due[s.Account], s)
		}
		if s.Period <= start {
			known[s.Account] = struct{}{}
		}
	})
	for id := range p.catalog.Accounts {
		if billing.Partition(id, p.host.config.Partitions) == p.number {
			known[string(id)] = struct{}{}
		}
	}
	for id := range known {
		if p.rater.CalendarOf(id) == c {
			due[id] = append(due[id], p.rater.Unused(id, c, period, due[id])...)
		}
		if len(due[id]) == 0 {
			delete(due, id)
		}
	}
	for _, slots := range due {
		slices.SortFunc(slots, func(a, b *rate.Slot) int { return a.Compare(b.Key) })
	}
	return due
}

// invoice makes an account's invoices of a period, one for each currency, from
// its finished slots. Nothing to say makes no invoice.
func (p *partition) invoice(d *accumulate.Delta, id billing.AccountID, period billing.Period, slots []*rate.Slot) error {
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
			d.AddInvoice(b)
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
