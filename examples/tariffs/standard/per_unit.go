package main

import (
	"math"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// perUnit gives every unit the same price.
var perUnit = tariff.Tariff{
	Name:      "per_unit",
	Title:     "The same price for every unit",
	Configure: configurePerUnit,
}

func configurePerUnit(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readBilling(p)
	price := p.Amount("unit_price", "The price of one unit.")
	rounding := p.Rounding("rounding", tariff.AboutRounding)
	negative := p.ChoiceOr("negative_units", "What an event with a quantity below 0 counts: its quantity, or 0.",
		"keep", "keep", "clamp_to_zero")
	start, limited := p.OptionalTime("period_start", "Events before this instant are ignored.")
	if !limited {
		start = math.MinInt64
	}
	return &perUnitPrice{
		tariff.NewPerUnit(c, usageLine, usageText, price, rounding), negative == "clamp_to_zero", start,
	}
}

type perUnitPrice struct {
	usage *tariff.PerUnit
	clamp bool
	start int64 // unix nanoseconds
}

func (p *perUnitPrice) Price(s *tariff.Slot, e *tariff.Event) error {
	if e.Time() < p.start {
		return nil
	}
	quantity := e.Quantity()
	if p.clamp && quantity.Sign() < 0 {
		quantity = billing.Quantity{}
	}
	return p.usage.Add(s, quantity)
}
