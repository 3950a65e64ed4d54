// Command standard is the plugin of the built-in price lists: flat, per_unit, graduated, graduated_percentage, volume,
// stairstep, package, percentage, dynamic and price_table. They are ordinary tariffs, one file each, and meant to be
// read: the engine knows none of them.
//
//	GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -buildmode=c-shared \
//		-ldflags='-s -w -buildid=' -o standard.wasm .
package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

var module = tariff.Register(tariff.Module{
	Name:    "standard",
	Version: "1.1.0",
	// No event needs it. With the usual budget a batch goes in shorter calls, since anybody may have that.
	FuelPerEvent: 2_000_000,
	Tariffs: []tariff.Tariff{
		flat, perUnit, graduated, graduatedPercentage, volume, stairstep, packaged, percentage, dynamic, priceTable,
	},
})

func main() { module.Main() }

// usageLine is the line of the tariffs that have one.
const (
	usageLine = "usage"
	usageText = "Usage"
)

// readBilling reads the parameter that says when usage is billed, and tells whether that is on arrival. Bills in the
// course of the period need nothing from a tariff: each is what the lines come to by then, less what was billed.
func readBilling(p tariff.Params) (inAdvance bool) {
	return p.ChoiceOr("billing", "When usage is billed: one bill in arrears, progressive bills on the way, or each event in advance, when it arrives.",
		"arrears", "arrears", "progressive", "in_advance") == "in_advance"
}

// readArrears is readBilling for tariffs that cannot be billed in advance.
func readArrears(p tariff.Params) {
	p.ChoiceOr("billing", "When usage is billed: one bill in arrears, or progressive bills on the way.",
		"arrears", "arrears", "progressive")
}

// tiered makes a price by tiers: in arrears with lines by tier, in advance with one line.
func tiered(c *tariff.Config, tiers func(tariff.Params) []tariff.Tier, inArrears func([]tariff.Tier, billing.Rounding) tariff.Adder,
	cost func([]tariff.Tier) tariff.Cost,
) tariff.Pricer {
	inAdvance := readBilling(c.Params)
	rounding := c.Params.Rounding("rounding", tariff.AboutRounding)
	net := tariff.NetUnits(c)
	list := tiers(c.Params)
	if inAdvance {
		return net(tariff.NewInAdvance(c, usageLine, usageText, cost(list), rounding))
	}
	return net(inArrears(list, rounding))
}
