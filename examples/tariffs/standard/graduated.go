package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// graduated spreads units over tiers: each part has its tier's price, and the flat fees of all
// entered tiers are due.
var graduated = tariff.Tariff{
	Name:  "graduated",
	Title: "Each tier's units at that tier's price",
	Configure: func(c *tariff.Config) tariff.Pricer {
		return configureGraduated(c, tariff.ReadTiers)
	},
}

// graduatedPercentage is graduated for units that are money: the price of a unit is a rate.
var graduatedPercentage = tariff.Tariff{
	Name:  "graduated_percentage",
	Title: "Each tier's value at that tier's rate",
	Configure: func(c *tariff.Config) tariff.Pricer {
		return configureGraduated(c, func(p tariff.Params) []tariff.Tier { return tariff.ReadTiersOf(p, readRate) })
	},
}

func configureGraduated(c *tariff.Config, tiers func(tariff.Params) []tariff.Tier) tariff.Pricer {
	return tiered(c, tiers, func(list []tariff.Tier, r billing.Rounding) tariff.Adder {
		return tariff.NewGraduated(c, "", list, r)
	}, tariff.GraduatedCost)
}

// readRate reads a percentage of the value as the price of a unit.
func readRate(p tariff.Params) billing.Amount {
	percent := p.Decimal("rate_percent", "The price of the tier's value, in percent of it.")
	rate, err := percent.MulQuo(billing.DecimalFromInt(1), 100, billing.Rounding{})
	if err != nil {
		p.Fail("rate_percent", "must have at most 16 decimal places")
	}
	return billing.Amount(rate)
}
