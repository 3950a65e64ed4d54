// Command metered is the plugin of the built-in tariffs that do more than look a price up: aggregation, rounding,
// unit_conversion, prorated_graduated, custom, credit_burndown, time_of_use and percentile. One file each, written
// with the SDK alone.
package main

import (
	_ "time/tzdata" // time_of_use: a module has no files

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

var module = tariff.Register(tariff.Module{
	Name:         "metered",
	Version:      "1.0.0",
	FuelPerEvent: 50_000_000, // a table of keys grows all at once; a percentile looks at every window of the period
	Tariffs: []tariff.Tariff{
		aggregation, rounding, unitConversion, proratedGraduated, custom, creditBurndown, timeOfUse, percentile,
	},
})

func main() { module.Main() }

// usageLine is the line of the tariffs that have one.
const (
	usageLine = "usage"
	usageText = "Usage"
)

// one is the quantity of a fee, and the factor that changes nothing.
var one = billing.DecimalFromInt(1)

// readArrears reads the parameter that says when usage is billed, for tariffs that cannot be billed in advance.
func readArrears(p tariff.Params) {
	p.ChoiceOr("billing", "When usage is billed: one bill in arrears, or progressive bills on the way.",
		"arrears", "arrears", "progressive")
}
