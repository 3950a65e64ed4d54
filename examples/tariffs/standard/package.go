package main

import "github.com/tollway/tollway/sdk/tariff"

// packaged sells whole packages of units: the first unit of a package costs all of it. (The name
// package is Go's.)
var packaged = tariff.Tariff{
	Name:  "package",
	Title: "Whole packages of units, after free ones",
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		inAdvance := readBilling(p)
		size := p.Quantity("package_size", "Units in a package.")
		if size.Sign() <= 0 {
			p.Fail("package_size", "must be greater than 0")
		}
		price := p.Amount("package_price", "The price of a package.")
		free, _ := p.OptionalQuantity("free_units", "Units before the first package.")
		rounding := p.Rounding("rounding", tariff.AboutRounding)
		net := tariff.NetUnits(c)
		if inAdvance {
			return net(tariff.NewInAdvance(c, usageLine, usageText, tariff.PackageCost(size, free, price), rounding))
		}
		return net(tariff.NewPackage(c, usageLine, usageText, size, free, price, rounding))
	},
}
