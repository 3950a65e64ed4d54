package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// biller makes invoices: at the close of a period, and for a preview of one that
// is open. Both are the same computation on the same slots, so a preview is what a
// close at that moment would issue.
type biller struct {
	rater   *rate.Rater
	catalog *catalog.Catalog
}

// bill is what a period comes to for one account.
type bill struct {
	account  billing.AccountID
	slots    []*rate.Slot // due, sorted by key
	finished []*rate.Slot // the same with the closing fold
	invoices []export.Invoice
	parked   *accumulate.Parked // why there are no invoices; nil when there are, or nothing is due

	corrections []*correction // of earlier periods, that the invoices tell
	empty       []*rate.Slot  // open ones that have no events any more and are not due
}

// due begins the bill of an account's period with the slots that its invoice is made
// of: those given, which are open, and one for each active subscription that has none
// among them, so that fees fall due. They are sorted by key. One that has lost its
// events again, since they were voided, is due only if it would be without them.
func due(r *rate.Rater, account string, c rate.Calendar, period billing.Period, slots []*rate.Slot) *bill {
	l := &bill{account: billing.AccountID(account)}
	for _, s := range slots {
		if s.Events == 0 && len(s.CarryIn) == 0 {
			l.empty = append(l.empty, s)
		} else {
			l.slots = append(l.slots, s)
		}
	}
	if r.CalendarOf(account) == c {
		l.slots = append(l.slots, r.Unused(account, c, period, l.slots)...)
	}
	slices.SortFunc(l.slots, func(a, b *rate.Slot) int { return a.Compare(b.Key) })
	if len(l.empty) > 0 {
		l.empty = slices.DeleteFunc(l.empty, func(e *rate.Slot) bool {
			return slices.ContainsFunc(l.slots, func(s *rate.Slot) bool { return s.Key == e.Key })
		})
	}
	return l
}

// make finishes the slots of the bills and makes their invoices. What fails parks
// the bill that it belongs to; an error means that nothing was decided.
func (b *biller) make(ctx context.Context, c rate.Calendar, period billing.Period, bills []*bill) error {
	var slots []*rate.Slot
	for _, l := range bills {
		slots = append(slots, l.slots...)
	}
	finished, faults, err := b.rater.Finish(ctx, slots)
	if err != nil {
		return err
	}
	var drafts []*draft
	for _, l := range bills {
		n := len(l.slots)
		l.finished = finished[:n:n]
		for i, f := range faults[:n] {
			if f != nil && l.parked == nil {
				l.park(c, period, accumulate.Parked{Reason: accumulate.ParkedTariffFault, Detail: f.Detail, Tariff: l.slots[i].Tariff, Module: f.Module})
			}
		}
		finished, faults = finished[n:], faults[n:]
		if l.parked == nil {
			drafts = append(drafts, b.drafts(l, c, period)...)
		}
	}
	if err := b.runRules(ctx, c, period, drafts); err != nil {
		return err
	}
	for _, d := range drafts {
		if d.of.parked == nil {
			b.finish(d, c, period)
		}
	}
	for _, l := range bills {
		b.correctOnly(l, c, period)
	}
	return nil
}

// finish makes the invoices of a draft, with what they tell of earlier periods.
func (b *biller) finish(d *draft, c rate.Calendar, period billing.Period) {
	l := d.of
	if d.Draft == nil {
		l.invoices = append(l.invoices, d.split...)
		head := b.head(l, period, d.slots[0].Plan.Currency)
		head.Counter = len(d.split)
		d.Draft = export.EmptyDraft(head)
	}
	if err := l.adjust(d.Draft, d.slots[0].Plan.Currency); err != nil {
		l.park(c, period, accumulate.Parked{Reason: accumulate.ParkedOverflow, Detail: err.Error()})
		return
	}
	if inv := d.Invoice(); len(inv.Lines) > 0 {
		l.invoices = append(l.invoices, inv)
	}
}

// correctOnly makes the invoices in currencies in which a bill has nothing but what it
// tells of earlier periods.
func (b *biller) correctOnly(l *bill, c rate.Calendar, period billing.Period) {
	told := map[billing.Currency]bool{}
	for i := range l.invoices {
		told[l.invoices[i].Currency] = true
	}
	more := map[billing.Currency]bool{}
	for _, k := range l.corrections {
		for currency := range k.lines {
			more[currency] = more[currency] || !told[currency]
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(more)) {
		if l.parked != nil || !more[currency] {
			continue
		}
		d := export.EmptyDraft(b.head(l, period, currency))
		if err := l.adjust(d, currency); err != nil {
			l.park(c, period, accumulate.Parked{Reason: accumulate.ParkedOverflow, Detail: err.Error()})
			return
		}
		l.invoices = append(l.invoices, d.Invoice())
	}
	slices.SortStableFunc(l.invoices, func(a, b export.Invoice) int { return cmp.Compare(a.Currency, b.Currency) })
}

// adjust adds what a bill tells of earlier periods to its draft in a currency.
func (l *bill) adjust(d *export.Draft, currency billing.Currency) error {
	for _, k := range l.corrections {
		if lines := k.lines[currency]; len(lines) > 0 {
			if err := d.Adjust(k.cause(), lines); err != nil {
				return err
			}
		}
	}
	return nil
}

// head is what an invoice says beside its lines.
func (b *biller) head(l *bill, period billing.Period, currency billing.Currency) export.Head {
	head := export.Head{Account: l.account, Period: period, Currency: currency, Seller: b.catalog.Billing.Seller}
	if a := b.catalog.Accounts[l.account]; a != nil {
		head.AccountDetails = a.Details
	}
	return head
}

// park says why a bill has no invoices.
func (l *bill) park(c rate.Calendar, period billing.Period, why accumulate.Parked) {
	why.Account, why.Calendar = string(l.account), c
	why.Period, why.PeriodEnd = period.Start.UnixNano(), period.End.UnixNano()
	l.parked, l.invoices = &why, nil
}

// draft is the invoice of one currency while it is made.
type draft struct {
	of *bill
	*export.Draft
	slots []*rate.Slot
	rules []*catalog.InvoiceRule
	ran   map[string]*catalog.InvoiceRule // those that have run, by name
	split []export.Invoice                // in place of the draft: invoices that together hold the sum
}

// drafts begins the invoices of a bill, one for each currency, with the lines of
// its tariffs.
func (b *biller) drafts(l *bill, c rate.Calendar, period billing.Period) []*draft {
	byCurrency := map[billing.Currency][]*rate.Slot{}
	for _, s := range l.finished {
		byCurrency[s.Plan.Currency] = append(byCurrency[s.Plan.Currency], s)
	}
	currencies := make([]billing.Currency, 0, len(byCurrency))
	for c := range byCurrency {
		currencies = append(currencies, c)
	}
	slices.SortFunc(currencies, func(a, b billing.Currency) int { return cmp.Compare(a, b) })
	var drafts []*draft
	for _, currency := range currencies {
		d := &draft{of: l, slots: byCurrency[currency], ran: map[string]*catalog.InvoiceRule{}}
		head := b.head(l, period, currency)
		d.rules = b.rulesOf(l.account, currency, d.slots)
		var err error
		if d.Draft, err = newDraft(head, d.slots); errors.Is(err, billing.ErrOverflow) && len(d.rules) == 0 {
			d.Draft = nil
			d.split, err = split(head, d.slots)
		}
		if err != nil {
			reason := accumulate.ParkedInvoiceFault
			if errors.Is(err, billing.ErrOverflow) {
				reason = accumulate.ParkedOverflow
			}
			l.park(c, period, accumulate.Parked{Reason: reason, Detail: err.Error()})
			return nil
		}
		drafts = append(drafts, d)
	}
	return drafts
}

// rulesOf returns the invoice rules that run over an account's invoice of a
// currency: those that look at a tariff to which it has a subscription, with usage
// or without.
func (b *biller) rulesOf(account billing.AccountID, currency billing.Currency, slots []*rate.Slot) []*catalog.InvoiceRule {
	all := b.catalog.RulesOf(account)
	var rules []*catalog.InvoiceRule
	for i := range all {
		r := &all[i]
		if r.Currency == currency && slices.ContainsFunc(slots, func(s *rate.Slot) bool { return r.Covers(s.Tariff) }) {
			rules = append(rules, r)
		}
	}
	return rules
}

// runRules runs the drafts' invoice rules: each sees the lines that stand when its
// turn comes. The first rules of all drafts run together, then the second ones, so
// that a plugin is called for many invoices at once.
func (b *biller) runRules(ctx context.Context, c rate.Calendar, period billing.Period, drafts []*draft) error {
	for turn := 0; ; turn++ {
		var run []*draft
		var invoices []rate.Invoice
		for _, d := range drafts {
			if turn < len(d.rules) && d.of.parked == nil {
				run = append(run, d)
				invoices = append(invoices, d.seenBy(d.rules[turn], period))
			}
		}
		if len(run) == 0 {
			return nil
		}
		lines, faults, err := b.rater.RunRules(ctx, invoices)
		if err != nil {
			return err
		}
		for i, d := range run {
			rule := d.rules[turn]
			d.ran[rule.Name] = rule
			if f := faults[i]; f != nil {
				d.of.park(c, period, accumulate.Parked{Reason: accumulate.ParkedRuleFault, Detail: f.Detail, Rule: rule.Name, Module: f.Module})
				continue
			}
			added := export.Rule{Name: rule.Name, Rounding: rule.Rounding, Module: rule.Module}
			for _, l := range lines[i] {
				added.Lines = append(added.Lines, export.SlotLine{
					ID: l.ID, Description: l.Description, Quantity: billing.Quantity(l.Quantity), Amount: billing.Amount(l.Amount),
				})
			}
			if err := d.Add(added); err != nil {
				d.of.park(c, period, accumulate.Parked{Reason: accumulate.ParkedOverflow, Detail: err.Error(), Rule: rule.Name, Module: rule.Module})
			}
		}
	}
}

// seenBy returns what an invoice rule sees of the draft.
func (d *draft) seenBy(rule *catalog.InvoiceRule, period billing.Period) rate.Invoice {
	v := rate.Invoice{
		Rule: rule, PeriodStart: period.Start.UnixNano(), PeriodEnd: period.End.UnixNano(),
		ActiveFrom: rate.Forever, ActiveUntil: rate.Beginning,
	}
	for _, s := range d.slots {
		if rule.Covers(s.Tariff) {
			v.ActiveFrom, v.ActiveUntil = min(v.ActiveFrom, s.ActiveFrom), max(v.ActiveUntil, s.ActiveUntil)
		}
	}
	v.ActiveFrom, v.ActiveUntil = max(v.ActiveFrom, v.PeriodStart), min(v.ActiveUntil, v.PeriodEnd)
	lines := d.Lines()
	for i := range lines {
		l := &lines[i]
		if l.Rule == "" && rule.Covers(l.Tariff) || l.Rule != "" && rule.Sees(d.ran[l.Rule]) {
			v.Items = append(v.Items, rate.Item{Quantity: l.Quantity, Amount: l.Amount, Value: l.Dimension})
		}
	}
	return v
}

// split makes the invoices of an account's finished slots of one currency whose
// sum is more than an amount can hold: as few as hold it. Amounts so large come
// from mistaken usage.
func split(head export.Head, slots []*rate.Slot) ([]export.Invoice, error) {
	d, err := newDraft(head, slots)
	if errors.Is(err, billing.ErrOverflow) && len(slots) > 1 {
		half := len(slots) / 2
		first, err := split(head, slots[:half])
		if err != nil {
			return nil, err
		}
		head.Counter += len(first)
		second, err := split(head, slots[half:])
		return append(first, second...), err
	}
	if err != nil {
		return nil, err
	}
	if inv := d.Invoice(); len(inv.Lines) > 0 {
		return []export.Invoice{inv}, nil
	}
	return nil, nil
}

// newDraft begins an invoice with finished slots of one currency.
func newDraft(head export.Head, slots []*rate.Slot) (*export.Draft, error) {
	list := make([]export.Slot, len(slots))
	for i, s := range slots {
		values, err := rate.DecodeGroup(s.Group)
		if err != nil {
			return nil, err
		}
		if len(values) != len(s.Plan.GroupBy) || len(s.Lines) != len(s.Plan.Lines) {
			return nil, fmt.Errorf("slot of tariff %q has %d group values and %d lines, its plan %d and %d",
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
	return export.NewDraft(head, list)
}
