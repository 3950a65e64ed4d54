package main

import (
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// discount takes something off the line items: a percentage of each, a number of units at the price that they had,
// and an amount. In this order, and never below zero by units or amount.
var discount = tariff.Tariff{
	Name:  "discount",
	Title: "Invoice rule: takes off a percentage, units or an amount",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		d := &discountRule{line: c.Line("discount", "Discount"), unitsLeft: c.State.Quantity(), begun: c.State.Int(), taken: c.State.Amount(), sum: total{c.State.Amount()}}
		d.percent, _ = p.OptionalDecimal("percent", "Taken off each line item, in percent of it, rounded.")
		d.units, _ = p.OptionalQuantity("units", "Units taken off the line items, from the first on, at the average price of the line item.")
		d.amount = p.AmountOr("amount", "Taken off the sum, as far as it goes.", billing.Amount{})
		if d.percent.Sign() < 0 || d.percent.Cmp(billing.DecimalFromInt(100)) > 0 {
			p.Fail("percent", "must be 0 to 100")
		}
		if d.units.Sign() < 0 {
			p.Fail("units", "must not be below 0")
		}
		if d.amount.Sign() < 0 {
			p.Fail("amount", "must not be below 0")
		}
		if !p.Present("percent") && !p.Present("units") && !p.Present("amount") {
			p.Fail("percent", "or units or amount must be given")
		}
		d.rounding = p.Rounding("rounding", "Rounding of what is taken off a line item.")
		return d
	},
}

type discountRule struct {
	line      tariff.Line
	percent   billing.Decimal
	units     billing.Quantity
	amount    billing.Amount
	rounding  billing.Rounding
	begun     tariff.IntCell
	unitsLeft tariff.QuantityCell
	taken     tariff.AmountCell // by percentage and units
	sum       total
}

func (d *discountRule) Price(s *tariff.Slot, e *tariff.Event) error {
	sum, err := d.sum.add(s, e)
	if err != nil {
		return err
	}
	amount, _ := e.Amount()
	off, err := amount.D().MulQuo(d.percent, 100, d.rounding)
	if err != nil {
		return err
	}
	rest, err := amount.Sub(billing.Amount(off))
	if err != nil {
		return err
	}
	free, err := d.freeUnits(s, e.Quantity(), rest)
	if err != nil {
		return err
	}
	taken, err := d.taken.Add(s, billing.Amount(off))
	if err == nil {
		taken, err = d.taken.Add(s, free)
	}
	if err != nil {
		return err
	}
	if rest, err = sum.Sub(taken); err != nil {
		return err
	}
	if flat := least(d.amount, rest); flat.Sign() > 0 {
		if taken, err = taken.Add(flat); err != nil {
			return err
		}
	}
	return subtract(s, d.line, taken)
}

// freeUnits returns what the units cost that a line item has of those still free.
func (d *discountRule) freeUnits(s *tariff.Slot, quantity billing.Quantity, amount billing.Amount) (billing.Amount, error) {
	left := d.unitsLeft.Get(s)
	if d.begun.Get(s) == 0 {
		left = d.units
		d.begun.Set(s, 1)
		d.unitsLeft.Set(s, left)
	}
	if quantity.Sign() <= 0 || left.IsZero() {
		return billing.Amount{}, nil
	}
	free := left
	if quantity.Cmp(free) < 0 {
		free = quantity
	}
	left, err := left.Sub(free)
	if err != nil {
		return billing.Amount{}, err
	}
	d.unitsLeft.Set(s, left)
	if free == quantity {
		return amount, nil
	}
	off, err := billing.SumOf(amount.D(), free.D()).QuoDecimal(quantity.D(), d.rounding)
	return billing.Amount(off), err
}

func least(a, b billing.Amount) billing.Amount {
	if b.Cmp(a) < 0 {
		return b
	}
	return a
}

// credits draws prepaid amounts, in their order, until nothing is due.
var credits = tariff.Tariff{
	Name:  "credits",
	Title: "Invoice rule: draws credits until nothing is due",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		r := &creditRule{sum: total{c.State.Amount()}}
		for i, d := range c.Params.OptionalDecimals("credits", "The credits that are left, drawn in this order.") {
			if d.Sign() < 0 {
				c.Params.Fail("credits", "must not be below 0")
			}
			number := strconv.Itoa(i + 1)
			r.credits = append(r.credits, billing.Amount(d))
			r.lines = append(r.lines, c.Line("credit_"+number, "Credit "+number))
		}
		return r
	},
}

type creditRule struct {
	sum     total
	credits []billing.Amount
	lines   []tariff.Line
}

func (r *creditRule) Price(s *tariff.Slot, e *tariff.Event) error {
	due, err := r.sum.add(s, e)
	if err != nil {
		return err
	}
	for i, credit := range r.credits {
		drawn := least(credit, due)
		if drawn.Sign() < 0 {
			drawn = billing.Amount{}
		}
		if err := subtract(s, r.lines[i], drawn); err != nil {
			return err
		}
		if due, err = due.Sub(drawn); err != nil {
			return err
		}
	}
	return nil
}
