package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// volume gives all units the price of the tier that their sum ends in, and charges that tier's
// flat fee only. More usage can cost less.
var volume = tariff.Tariff{
	Name:  "volume",
	Title: "All units at the price of the tier that the total reaches",
	Configure: func(c *tariff.Config) tariff.Pricer {
		units, fixed := c.Params.OptionalQuantity("tier_units", "Chooses the tier in place of the period's sum.")
		return tiered(c, tariff.ReadTiers, func(list []tariff.Tier, r billing.Rounding) tariff.Adder {
			price := tariff.NewVolume(c, "", list, r)
			if fixed && len(list) > 0 {
				price.FixTier(units)
			}
			return price
		}, func(list []tariff.Tier) tariff.Cost {
			if fixed && len(list) > 0 {
				list = tierOf(list, units)
			}
			return tariff.VolumeCost(list)
		})
	},
}

// tierOf returns the list of the one tier that so many units end in.
func tierOf(list []tariff.Tier, units billing.Quantity) []tariff.Tier {
	for i := range list {
		if i == len(list)-1 || units.Cmp(list[i].UpTo) <= 0 {
			return list[i : i+1]
		}
	}
	return list
}

// stairstep charges one amount for all usage: that of the step which the total reaches.
var stairstep = tariff.Tariff{
	Name:  "stairstep",
	Title: "One amount for all usage, by the step that the total reaches",
	Configure: func(c *tariff.Config) tariff.Pricer {
		noUnitPrice := func(tariff.Params) billing.Amount { return billing.Amount{} }
		return tiered(c, func(p tariff.Params) []tariff.Tier { return tariff.ReadTiersOf(p, noUnitPrice) },
			func(list []tariff.Tier, r billing.Rounding) tariff.Adder { return tariff.NewVolume(c, "", list, r) },
			tariff.VolumeCost)
	},
}
