package export

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Change is a line item that an account would be billed differently.
type Change struct {
	Account  billing.AccountID
	Period   billing.Period // of the usage that the line bills
	Closed   bool           // the period was invoiced before: the line is an adjustment
	Currency billing.Currency
	Line     Line // names it; its numbers are of the one side or the other
	Decimals int  // with which its amounts are shown
	// Old and New are what it comes to on the one side and on the other.
	OldQuantity, NewQuantity billing.Quantity
	OldAmount, NewAmount     billing.Amount
}

// changeKey names a line item across invoices.
type changeKey struct {
	account  billing.AccountID
	period   int64
	currency billing.Currency
	line     lineKey
}

// Compare returns the line items that are other on some invoices than on others, by
// account, period, currency and then as they stand on the invoices. What adjusts an
// earlier period is compared as that period's: with what was billed of it so far, where
// one side adjusts nothing.
//
// # Errors
//
// billing.ErrOverflow.
func Compare(before, after []Invoice) ([]Change, error) {
	changes := map[changeKey]*sides{}
	var order []changeKey
	for side, list := range [][]Invoice{before, after} {
		for i := range list {
			for j := range list[i].Lines {
				k, c := sidesOf(changes, &list[i], &list[i].Lines[j])
				if c.Account == "" {
					order = append(order, k)
				}
				if err := c.add(side, &list[i], &list[i].Lines[j]); err != nil {
					return nil, fmt.Errorf("export: line %s of invoice %s: %w", list[i].Lines[j].ID, list[i].ID, err)
				}
			}
		}
	}
	var out []Change
	for _, k := range order {
		if c := changes[k].change(); c.OldAmount != c.NewAmount || c.OldQuantity != c.NewQuantity {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int {
		return cmp.Or(strings.Compare(string(a.Account), string(b.Account)), a.Period.Start.Compare(b.Period.Start), strings.Compare(string(a.Currency), string(b.Currency)))
	})
	return out, nil
}

// sides are what a line item comes to on both sides.
type sides struct {
	Change
	quantity [2]billing.Quantity
	amount   [2]billing.Amount
	adjusted [2]bool
	billedQ  billing.Quantity // so far, of a closed period
	billedA  billing.Amount
}

func sidesOf(changes map[changeKey]*sides, inv *Invoice, l *Line) (changeKey, *sides) {
	period := inv.Period
	if l.Adjustment != nil {
		period = l.Adjustment.Period
	}
	k := changeKey{inv.Account, period.Start.UnixNano(), inv.Currency, l.key()}
	if changes[k] == nil {
		changes[k] = &sides{}
		changes[k].Period = period
	}
	return k, changes[k]
}

// add takes a line of one side.
func (c *sides) add(side int, inv *Invoice, l *Line) (err error) {
	c.Account, c.Currency, c.Line = inv.Account, inv.Currency, *l
	c.Decimals = max(c.Decimals, decimals(l.AmountText))
	if a := l.Adjustment; a != nil {
		c.Closed, c.adjusted[side] = true, true
		c.quantity[side], c.amount[side] = a.NewQuantity, a.NewAmount
		c.billedQ, c.billedA = a.OldQuantity, a.OldAmount
		return nil
	}
	if c.quantity[side], err = c.quantity[side].Add(l.Quantity); err == nil {
		c.amount[side], err = c.amount[side].Add(l.Amount)
	}
	return err
}

func (c *sides) change() Change {
	for side := range c.adjusted {
		if c.Closed && !c.adjusted[side] {
			c.quantity[side], c.amount[side] = c.billedQ, c.billedA
		}
	}
	out := c.Change
	out.OldQuantity, out.NewQuantity = c.quantity[0], c.quantity[1]
	out.OldAmount, out.NewAmount = c.amount[0], c.amount[1]
	return out
}
