package main

import "github.com/tollway/tollway/sdk/tariff"

// packaged sells whole packages of units: the first unit of a package costs all of it. (The name
// package is Go's.)
var packaged = tariff.Tariff{
	Name:  "package",
	Title: "Whole packages of units, after free ones",
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		readBilling(p)
		size := p.Quantity("package_size", "Units in a package.")
		if size.Sign() <= 0 {
			p.Fail("package_size", "must be greater than 0")
		}
		price := p.Amount("package_price", "The price of a package.")
		free, _ := p.OptionalQuantity("free_units", "Units before the first package.")
		rounding := p.Rounding("rounding", tariff.AboutRounding)
		return tariff.NewPackage(c, usageLine, usageText, size, free, price, rounding)
	},
}
