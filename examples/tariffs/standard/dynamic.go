package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// dynamic takes the price from the usage itself: as money that each event carries, or as a
// metered value that is money, times a mark-up.
var dynamic = tariff.Tariff{
	Name:      "dynamic",
	Title:     "The price comes with the event",
	Configure: configureDynamic,
}

const (
	flavorEventAmount = "event_amount"
	flavorMultiplier  = "multiplier"
)

func configureDynamic(c *tariff.Config) tariff.Pricer {
	p := c.Params
	inAdvance := readBilling(p)
	flavor := p.Choice("flavor", "Where the money is: the event's amount, or its quantity times the multiplier.",
		flavorEventAmount, flavorMultiplier)
	multiplier, given := p.OptionalDecimal("multiplier", "The mark-up on the metered value, for flavor multiplier; 1 without.")
	rounding := p.Rounding("rounding", tariff.AboutRounding)
	if flavor == flavorEventAmount {
		if given {
			p.Fail("multiplier", "belongs to flavor multiplier only")
		}
		return &eventAmount{c.Line(usageLine, usageText), c.State.Amount(), rounding, inAdvance}
	}
	if !given {
		multiplier = billing.DecimalFromInt(1)
	}
	if inAdvance {
		return tariff.NewInAdvance(c, usageLine, usageText, tariff.PerUnitCost(billing.Amount(multiplier)), rounding)
	}
	return tariff.NewPerUnit(c, usageLine, usageText, billing.Amount(multiplier), rounding)
}

// eventAmount sums the money of the events and rounds the sum. A quantity of 0 in sum, such as
// usage that was taken back, costs nothing whatever amounts came with it. In advance each event
// is a fee of its own, rounded by itself.
type eventAmount struct {
	line     tariff.Line
	sum      tariff.AmountCell
	rounding billing.Rounding
	each     bool // events are rounded one by one
}

func (d *eventAmount) Price(s *tariff.Slot, e *tariff.Event) error {
	amount, ok := e.Amount()
	if !ok {
		return tariff.Reject("no_amount", "the event carries no amount")
	}
	if d.each {
		return d.charge(s, e.Quantity(), amount)
	}
	sum, err := d.sum.Add(s, amount)
	if err != nil {
		return err
	}
	units, err := d.line.Quantity(s).Add(e.Quantity())
	if err != nil {
		return err
	}
	if units.IsZero() {
		d.line.Set(s, units, billing.Amount{})
		return nil
	}
	amount, err = sum.Round(d.rounding)
	if err != nil {
		return err
	}
	d.line.Set(s, units, amount)
	return nil
}

// charge adds the fee of one event.
func (d *eventAmount) charge(s *tariff.Slot, quantity billing.Quantity, amount billing.Amount) error {
	if quantity.IsZero() {
		return nil
	}
	fee, err := amount.Round(d.rounding)
	if err != nil {
		return err
	}
	return d.line.Add(s, quantity, fee)
}
