package main

import "github.com/tollway/tollway/sdk/tariff"

// graduated spreads units over tiers: each part has its tier's price, and the flat fees of all
// entered tiers are due.
var graduated = tariff.Tariff{
	Name:  "graduated",
	Title: "Each tier's units at that tier's price",
	Configure: func(c *tariff.Config) tariff.Pricer {
		readBilling(c.Params)
		rounding := c.Params.Rounding("rounding", tariff.AboutRounding)
		return tariff.NewGraduated(c, "", tariff.ReadTiers(c.Params), rounding)
	},
}
