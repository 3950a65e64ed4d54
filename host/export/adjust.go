package export

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Adjustment says of a line that it corrects an invoice which was issued before:
// the line's own quantity and amount are what is new less what was old. An issued
// invoice never changes, so what changes afterwards is said on a later one.
type Adjustment struct {
	Invoice string         // id of the invoice that is corrected; empty when the period had none in the currency
	Period  billing.Period // that is corrected
	// Old is what the line came to on all invoices before, New what it comes to now.
	OldQuantity, NewQuantity billing.Quantity
	OldAmount, NewAmount     billing.Amount
}

// Correction lists the events because of which an earlier period is corrected.
type Correction struct {
	Period billing.Period
	Events []Cause
	More   uint64 // events beyond those listed
}

// Cause is an event that changed what a closed period comes to.
type Cause struct {
	Kind     string `json:"kind"` // why: "late", "void", "amend", …
	Source   string `json:"source"`
	ID       string `json:"id"`
	Position uint64 `json:"position"` // stream sequence of the message that carried it
	Index    int    `json:"index"`    // of the event in that message, from 0
}

// CorrectionOf returns what the invoice says of the period that a line adjusts; nil
// for a line that adjusts nothing.
func (inv *Invoice) CorrectionOf(l *Line) *Correction {
	if l.Adjustment == nil {
		return nil
	}
	for i := range inv.Corrections {
		if c := &inv.Corrections[i]; c.Period.Start.Equal(l.Adjustment.Period.Start) {
			return c
		}
	}
	return nil
}

// EventsJSON are the events as the document has them, a JSON list.
func (c *Correction) EventsJSON() (string, error) {
	b, err := encode(c.Events)
	return string(b), err
}

// lineKey names a line across the invoices of a period.
type lineKey struct {
	rule, tariff, subscription, group, id string
	version                               int64
}

func (l *Line) key() lineKey {
	fields := slices.Clone(l.Group)
	slices.SortFunc(fields, func(a, b billing.Field) int { return strings.Compare(a.Key, b.Key) })
	var group strings.Builder
	for _, f := range fields {
		fmt.Fprintf(&group, "%d:%s%d:%s", len(f.Key), f.Key, len(f.Text), f.Text)
	}
	return lineKey{rule: l.Rule, tariff: l.Tariff, subscription: l.Subscription, group: group.String(), id: l.ID, version: l.Version.UnixNano()}
}

// change is a line with what it came to and comes to.
type change struct {
	line               Line
	quantity, newQ     billing.Quantity
	amount, newA       billing.Amount
	unrounded, newUnro billing.Amount
	decimals           int
}

// Difference makes the lines that correct a period in one currency: from what has
// been billed of it so far, which are the lines of its own invoices and those by
// which later ones adjust it, to what it comes to now. Lines that come to the same
// are left out. The order is that of now, then that of what has gone.
//
// The error is billing.ErrOverflow, wrapped with the line it concerns.
func Difference(period billing.Period, billed, now []Invoice) ([]Line, error) {
	changes := map[lineKey]*change{}
	var order []*change
	of := func(l *Line) *change {
		k := l.key()
		c := changes[k]
		if c == nil {
			c = &change{line: *l}
			changes[k] = c
			order = append(order, c)
		}
		c.decimals = max(c.decimals, decimals(l.AmountText))
		return c
	}
	for i := range now {
		for j := range now[i].Lines {
			l := &now[i].Lines[j]
			c := of(l)
			if err := sumUp(&c.newQ, l.Quantity, &c.newA, l.Amount, &c.newUnro, l.Unrounded); err != nil {
				return nil, fmt.Errorf("export: line %s: %w", l.ID, err)
			}
		}
	}
	original := ""
	for i := range billed {
		inv := &billed[i]
		if inv.Period.Start.Equal(period.Start) && original == "" {
			original = inv.ID
		}
		for j := range inv.Lines {
			l := &inv.Lines[j]
			if !l.bills(inv, period) {
				continue
			}
			c := of(l)
			if err := sumUp(&c.quantity, l.Quantity, &c.amount, l.Amount, &c.unrounded, l.Unrounded); err != nil {
				return nil, fmt.Errorf("export: line %s of invoice %s: %w", l.ID, inv.ID, err)
			}
		}
	}
	var lines []Line
	for _, c := range order {
		if c.quantity == c.newQ && c.amount == c.newA {
			continue
		}
		l, err := c.adjusting(original, period)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// bills reports whether a line of an invoice bills usage of a period: as its own,
// or by adjusting it.
func (l *Line) bills(inv *Invoice, period billing.Period) bool {
	if l.Adjustment != nil {
		return l.Adjustment.Period.Start.Equal(period.Start)
	}
	return inv.Period.Start.Equal(period.Start)
}

// sumUp adds a line's numbers to sums.
func sumUp(quantity *billing.Quantity, q billing.Quantity, amount *billing.Amount, a billing.Amount, unrounded *billing.Amount, u billing.Amount) (err error) {
	if *quantity, err = quantity.Add(q); err != nil {
		return err
	}
	if *amount, err = amount.Add(a); err != nil {
		return err
	}
	*unrounded, err = unrounded.Add(u)
	return err
}

// adjusting makes the line that says the change.
func (c *change) adjusting(invoice string, period billing.Period) (Line, error) {
	l := c.line
	var err error
	if l.Quantity, err = c.newQ.Sub(c.quantity); err == nil {
		if l.Amount, err = c.newA.Sub(c.amount); err == nil {
			l.Unrounded, err = c.newUnro.Sub(c.unrounded)
		}
	}
	if err != nil {
		return Line{}, fmt.Errorf("export: adjustment of line %s: %w", l.ID, err)
	}
	l.AmountText = l.Amount.Fixed(c.decimals)
	l.Adjustment = &Adjustment{
		Invoice: invoice, Period: period,
		OldQuantity: c.quantity, NewQuantity: c.newQ, OldAmount: c.amount, NewAmount: c.newA,
	}
	return l, nil
}

// decimals counts the digits behind an amount's point.
func decimals(text string) int {
	_, fraction, _ := strings.Cut(text, ".")
	return len(fraction)
}

// EmptyDraft begins an invoice that has nothing of its own period.
func EmptyDraft(head Head) *Draft { return &Draft{invoice: head.invoice()} }

// Adjust adds the lines that correct an earlier period. Invoice rules do not see
// them: those of the corrected period have been run again, and what that changed is
// among the lines. After an error, billing.ErrOverflow, the draft is as it was.
func (d *Draft) Adjust(c Correction, lines []Line) error {
	total, scale := d.invoice.Total, d.scale
	for i := range lines {
		var err error
		if total, err = total.Add(lines[i].Amount); err != nil {
			return fmt.Errorf("export: adjustment of period %s, line %s: %w", c.Period.ID(), lines[i].ID, err)
		}
		scale = max(scale, decimals(lines[i].AmountText))
	}
	d.invoice.Total, d.scale = total, scale
	d.invoice.Lines = append(d.invoice.Lines, lines...)
	d.invoice.Corrections = append(d.invoice.Corrections, c)
	return nil
}

// adjustmentJSON is an adjustment in the document.
type adjustmentJSON struct {
	Invoice string     `json:"invoice,omitempty"`
	Period  periodJSON `json:"period"`
	Old     sidesJSON  `json:"old"`
	New     sidesJSON  `json:"new"`
}

type sidesJSON struct {
	Quantity billing.Quantity `json:"quantity"`
	Amount   string           `json:"amount"`
}

// correctionJSON is a correction in the document.
type correctionJSON struct {
	Period periodJSON `json:"period"`
	Events []Cause    `json:"events"`
	More   uint64     `json:"more,omitempty"`
}

// adjustment returns what the document says of the line's adjustment, nil for none.
func (l *Line) adjustment() *adjustmentJSON {
	a := l.Adjustment
	if a == nil {
		return nil
	}
	n := decimals(l.AmountText)
	return &adjustmentJSON{
		Invoice: a.Invoice, Period: periodOf(a.Period),
		Old: sidesJSON{a.OldQuantity, a.OldAmount.Fixed(n)}, New: sidesJSON{a.NewQuantity, a.NewAmount.Fixed(n)},
	}
}

// decode reads what adjustment returned.
func (a *adjustmentJSON) decode() (*Adjustment, error) {
	if a == nil {
		return nil, nil
	}
	out := &Adjustment{
		Invoice: a.Invoice, Period: billing.Period{Start: a.Period.Start, End: a.Period.End},
		OldQuantity: a.Old.Quantity, NewQuantity: a.New.Quantity,
	}
	var err error
	if out.OldAmount, err = billing.ParseAmount(a.Old.Amount); err == nil {
		out.NewAmount, err = billing.ParseAmount(a.New.Amount)
	}
	return out, err
}

// corrections returns what the document says of the events behind adjustments.
func (inv *Invoice) corrections() []correctionJSON {
	var list []correctionJSON
	for _, c := range inv.Corrections {
		list = append(list, correctionJSON{Period: periodOf(c.Period), Events: c.Events, More: c.More})
	}
	return list
}
