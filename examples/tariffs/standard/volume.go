package main

import "github.com/tollway/tollway/sdk/tariff"

// volume gives all units the price of the tier that their sum ends in, and charges that tier's
// flat fee only. More usage can cost less.
var volume = tariff.Tariff{
	Name:  "volume",
	Title: "All units at the price of the tier that the total reaches",
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		readBilling(p)
		rounding := p.Rounding("rounding", tariff.AboutRounding)
		price := tariff.NewVolume(c, "", tariff.ReadTiers(p), rounding)
		units, fixed := p.OptionalQuantity("tier_units", "Chooses the tier in place of the period's sum.")
		if fixed {
			price.FixTier(units)
		}
		return price
	},
}
