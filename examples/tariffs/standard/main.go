// Command standard is the plugin of the built-in tariffs: flat, per_unit, graduated, volume,
// package, dynamic and price_table. They are ordinary tariffs, one file each, and meant to be
// read: the engine knows none of them.
//
//	GOOS=wasip1 GOARCH=wasm go build -trimpath -buildvcs=false -buildmode=c-shared \
//		-ldflags='-s -w -buildid=' -o standard.wasm .
package main

import "github.com/tollway/tollway/sdk/tariff"

var module = tariff.Register(tariff.Module{
	Name:    "standard",
	Version: "1.0.0",
	Tariffs: []tariff.Tariff{flat, perUnit, graduated, volume, packaged, dynamic, priceTable},
})

func main() { module.Main() }

// usageLine is the line of the tariffs that have one.
const (
	usageLine = "usage"
	usageText = "Usage"
)

// readBilling reads the parameter that says when usage is billed, for the one answer there is.
func readBilling(p tariff.Params) {
	p.ChoiceOr("billing", "When usage is billed: in arrears, one bill on the period's sum.", "arrears", "arrears")
}
