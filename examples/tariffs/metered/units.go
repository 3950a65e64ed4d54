package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// rounding rounds what the events come to: their quantities, and the money that they carry.
var rounding = tariff.Tariff{
	Name:  "rounding",
	Title: "The events' sum, rounded",
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		r := &rounded{line: c.Line(usageLine, usageText), units: c.State.Quantity(), amount: c.State.Amount(), rounding: tariff.Exact}
		name := p.Choice("mode", "Which way; half_up takes ties away from zero.", "none", "half_up", "half_even", "floor", "ceiling")
		scale := p.IntOr("scale", "Decimal places kept; negative rounds to tens, hundreds.", billing.RoundingScaleMin, billing.RoundingScaleMax, 0)
		if mode, err := billing.ParseRoundingMode(name); err == nil && mode != billing.RoundNone {
			r.rounding = billing.Rounding{Scale: scale, Mode: mode}
		}
		return r
	},
}

type rounded struct {
	line     tariff.Line
	units    tariff.QuantityCell
	amount   tariff.AmountCell
	rounding billing.Rounding
}

func (r *rounded) Price(s *tariff.Slot, e *tariff.Event) error {
	units, err := r.units.Add(s, e.Quantity())
	if err != nil {
		return err
	}
	carried, _ := e.Amount()
	amount, err := r.amount.Add(s, carried)
	if err != nil {
		return err
	}
	quantity, err := units.D().Round(r.rounding)
	if err != nil {
		return err
	}
	if amount, err = amount.Round(r.rounding); err != nil {
		return err
	}
	r.line.Set(s, billing.Quantity(quantity), amount)
	return nil
}

// unitConversion turns metered units into billed ones. It has no price: what counts is the quantity of its line.
var unitConversion = tariff.Tariff{
	Name:  "unit_conversion",
	Title: "Metered units as billed ones, without a price",
	Configure: func(c *tariff.Config) tariff.Pricer {
		return &converted{c.Line(usageLine, usageText), c.State.Quantity(), tariff.ReadConversion(c.Params)}
	},
}

type converted struct {
	line       tariff.Line
	metered    tariff.QuantityCell
	conversion tariff.Conversion
}

func (u *converted) Price(s *tariff.Slot, e *tariff.Event) error {
	metered, err := u.metered.Add(s, e.Quantity())
	if err != nil {
		return err
	}
	units, err := u.conversion.Convert(metered)
	if err == nil {
		u.line.Set(s, units, billing.Amount{})
	}
	return err
}
