package main

import (
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

const tiers = `{"tiers": [
	{"up_to": "10", "unit_price": "1", "flat_fee": "5"},
	{"up_to": "20", "unit_price": "0.5", "flat_fee": "0"},
	{"up_to": null, "unit_price": "0.25", "flat_fee": "2"}]}`

func TestFlat(t *testing.T) {
	tarifftest.Run(t, flat, []tarifftest.Case{
		{Name: "due without usage", Params: `{"amount": "9.99"}`, Want: []string{"fee 1 9.99"}},
		{Name: "due once", Params: `{"amount": "9.99"}`, Events: tarifftest.Quantities("1", "5"), Want: []string{"fee 1 9.99"}},
		{Name: "rounded", Params: `{"amount": "9.995", "rounding": {"scale": 2, "mode": "half_up"}}`, Want: []string{"fee 1 10"}},
		{Name: "in the middle of a split period", Params: `{"amount": "9", "payment_term": "in_arrears", "position": "middle"}`},
		{Name: "arrears in the last part", Params: `{"amount": "9", "payment_term": "in_arrears", "position": "last"}`, Want: []string{"fee 1 9"}},
		{Name: "advance in the first part", Params: `{"amount": "9", "payment_term": "in_advance", "position": "first"}`, Want: []string{"fee 1 9"}},
		{Name: "advance in the last part", Params: `{"amount": "9", "payment_term": "in_advance", "position": "last"}`},
	})
}

func TestPerUnit(t *testing.T) {
	tarifftest.Run(t, perUnit, []tarifftest.Case{
		{Name: "no usage", Params: `{"unit_price": "2"}`},
		{Name: "the sum", Params: `{"unit_price": "5.12345"}`, Events: tarifftest.Quantities("4", "6"), Want: []string{"usage 10 51.2345"}},
		{Name: "a correction", Params: `{"unit_price": "2"}`, Events: tarifftest.Quantities("4", "-6"), Want: []string{"usage -2 -4"}},
		{
			Name: "corrections that count nothing", Params: `{"unit_price": "2", "negative_units": "clamp_to_zero"}`,
			Events: tarifftest.Quantities("4", "-6", "1"), Want: []string{"usage 5 10"},
		},
		{
			Name: "rounded once, ties away from zero", Params: `{"unit_price": "0.005", "rounding": {"scale": 2, "mode": "half_up"}}`,
			Events: tarifftest.Quantities("1", "1", "1"), Want: []string{"usage 3 0.02"},
		},
		{
			Name: "an overflow rejects the event that causes it", Params: `{"unit_price": "1000"}`,
			Events: tarifftest.Quantities("1", "170141183460469231731", "1"), Want: []string{"usage 2 2000"},
			Rejects: []string{"1 overflow: overflow: beyond ±170141183460469231731.687303715884105727"},
		},
	})
}

func TestGraduated(t *testing.T) {
	tarifftest.Run(t, graduated, []tarifftest.Case{
		{Name: "the first tier's fee is due without usage", Params: tiers, Want: []string{"tier_1_flat_fee 1 5"}},
		{
			Name: "the upper bound belongs to the tier", Params: tiers, Events: tarifftest.Quantities("10"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 5"},
		},
		{
			Name: "over the bound", Params: tiers, Events: tarifftest.Quantities("10", "0.5"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 5", "tier_2 0.5 0.25"},
		},
		{
			Name: "all tiers", Params: tiers, Events: tarifftest.Quantities("24"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 5", "tier_2 10 5", "tier_3 4 1", "tier_3_flat_fee 1 2"},
		},
		{
			Name: "a correction goes back", Params: tiers, Events: tarifftest.Quantities("24", "-14"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 5"},
		},
	})
}

func TestVolume(t *testing.T) {
	tarifftest.Run(t, volume, []tarifftest.Case{
		{Name: "no usage", Params: tiers, Want: []string{"tier_1_flat_fee 1 5"}},
		{
			Name: "the upper bound belongs to the tier", Params: tiers, Events: tarifftest.Quantities("10"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 5"},
		},
		{Name: "all units at one price", Params: tiers, Events: tarifftest.Quantities("10", "2"), Want: []string{"tier_2 12 6"}},
		{Name: "the last tier", Params: tiers, Events: tarifftest.Quantities("40"), Want: []string{"tier_3 40 10", "tier_3_flat_fee 1 2"}},
	})
}

func TestPackage(t *testing.T) {
	const params = `{"package_size": "10", "package_price": "100", "free_units": "5"}`
	tarifftest.Run(t, packaged, []tarifftest.Case{
		{Name: "no usage", Params: params},
		{Name: "free", Params: params, Events: tarifftest.Quantities("5"), Want: []string{"usage 5 0"}},
		{Name: "the first paid unit opens a package", Params: params, Events: tarifftest.Quantities("5", "0.001"), Want: []string{"usage 5.001 100"}},
		{Name: "a full package", Params: params, Events: tarifftest.Quantities("15"), Want: []string{"usage 15 100"}},
		{Name: "the next one", Params: params, Events: tarifftest.Quantities("16"), Want: []string{"usage 16 200"}},
	})
}

func TestDynamic(t *testing.T) {
	event := func(quantity, amount string) tarifftest.Event {
		return tarifftest.Event{Quantity: quantity, Amount: amount}
	}
	tarifftest.Run(t, dynamic, []tarifftest.Case{
		{
			Name: "the amounts add up", Params: `{"flavor": "event_amount"}`,
			Events: []tarifftest.Event{event("1", "0.402"), event("1", "1")}, Want: []string{"usage 2 1.402"},
		},
		{Name: "no units, no charge", Params: `{"flavor": "event_amount"}`, Events: []tarifftest.Event{event("0", "0.402")}},
		{
			Name: "a mark-up", Params: `{"flavor": "multiplier", "multiplier": "1.33333", "rounding": {"scale": 2, "mode": "half_up"}}`,
			Events: tarifftest.Quantities("10"), Want: []string{"usage 10 13.33"},
		},
	})
}

func TestPriceTable(t *testing.T) {
	row := func(quantity, sku string) tarifftest.Event {
		return tarifftest.Event{Quantity: quantity, Dimensions: map[string]string{"sku": sku}}
	}
	const prices = `"prices": {"a": {"unit_price": "0.5", "rounding": {"scale": 1, "mode": "half_up"}}, "b": {"unit_price": "2"}}`
	tarifftest.Run(t, priceTable, []tarifftest.Case{
		{
			Name: "each event is rounded as its row says", Params: `{"dimension": "sku", ` + prices + `, "default": null}`,
			Events: []tarifftest.Event{row("0.1", "a"), row("0.1", "a"), row("1", "b")}, Want: []string{"usage 1.2 2.2"},
		},
		{
			Name: "no row and no default", Params: `{"dimension": "sku", ` + prices + `, "default": null}`,
			Events: []tarifftest.Event{row("1", "b"), row("1", "x")}, Want: []string{"usage 1 2"},
			Rejects: []string{`1 no_price: sku "x" has no price and there is no default`},
		},
		{
			Name: "the default", Params: `{"dimension": "sku", ` + prices + `, "default": {"unit_price": "7"}}`,
			Events: []tarifftest.Event{row("1", "x")}, Want: []string{"usage 1 7"},
		},
	})
}

func TestParametersAreRefused(t *testing.T) {
	for _, c := range []struct{ tariff, params, want string }{
		{"per_unit", `{}`, "params.unit_price: is missing"},
		{"per_unit", `{"unit_price": "x"}`, `params.unit_price: decimal "x": invalid syntax`},
		{"per_unit", `{"unit_price": "1", "unit_prize": "2"}`, "params.unit_prize: unknown parameter; known here: "},
		{"per_unit", `{"unit_price": "1", "commitments": {}}`, "params.commitments: unknown parameter; known here: "},
		{"graduated", `{"tiers": []}`, "params.tiers"},
		{"graduated", `{"tiers": [{"up_to": "10", "unit_price": "1"}, {"up_to": "5", "unit_price": "1"}, {"up_to": null, "unit_price": "1"}]}`, "params.tiers[1].up_to"},
		{"graduated", `{"tiers": [{"up_to": "10", "unit_price": "1"}]}`, "params.tiers[0].up_to"},
		{"package", `{"package_size": "0", "package_price": "1"}`, "params.package_size"},
		{"price_table", `{"dimension": "sku", "prices": {"a": {}}}`, `params.prices`},
		{"dynamic", `{"flavor": "vanilla"}`, "params.flavor"},
	} {
		var err error
		for _, tr := range module.Tariffs {
			if tr.Name == c.tariff {
				_, err = tarifftest.NewBench(t, tr).Configure(c.tariff, c.params)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: refused with %v, want %q", c.tariff, c.params, err, c.want)
		}
	}
}
