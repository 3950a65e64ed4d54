package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

const largest = "170141183460469231731.687303715884105727"

func TestFlat(t *testing.T) {
	one := tarifftest.Quantities("1")
	run(t, flat, []tarifftest.Case{
		{Name: "once however much is used", Params: `{"amount":"100"}`, Events: tarifftest.Quantities("1", "500", "-3"), Want: []string{"fee 1 100"}},
		{Name: "without usage", Params: `{"amount":"100"}`, Want: []string{"fee 1 100"}},
		{Name: "in advance, from the first event", Params: `{"amount":"100"}`, Events: one, Open: true, Want: []string{"fee 1 100"}},
		{Name: "in arrears, not before the end", Params: `{"amount":"100","payment_term":"in_arrears"}`, Events: one, Open: true},
		{Name: "in arrears, at the end", Params: `{"amount":"100","payment_term":"in_arrears"}`, Events: one, Want: []string{"fee 1 100"}},
		{Name: "rounded", Params: `{"amount":"0.125","rounding":{"scale":2,"mode":"half_even"}}`, Want: []string{"fee 1 0.12"}},
		{Name: "in advance in the first slice", Params: `{"amount":"1","position":"first"}`, Want: []string{"fee 1 1"}},
		{Name: "in advance not in a middle slice", Params: `{"amount":"1","position":"middle"}`},
		{Name: "in advance not in the last slice", Params: `{"amount":"1","position":"last"}`, Events: one},
		{Name: "in arrears not in the first slice", Params: `{"amount":"1","payment_term":"in_arrears","position":"first"}`, Events: one},
		{Name: "in arrears in the last slice", Params: `{"amount":"1","payment_term":"in_arrears","position":"last"}`, Want: []string{"fee 1 1"}},
		{Name: "unknown parameter", Params: `{"amount":"1","amont":"2"}`, Refused: "params.amont: unknown parameter; known here: billing, rounding, amount, payment_term, position"},
		{Name: "too large to round", Params: `{"amount":"` + largest + `","rounding":{"scale":-20,"mode":"ceiling"}}`, Refused: "params.amount: overflow: beyond ±" + largest},
	})
}

func TestPerUnit(t *testing.T) {
	run(t, perUnit, []tarifftest.Case{
		{Name: "exact", Params: `{"unit_price":"0.123456789"}`, Events: tarifftest.Quantities("3", "0.5"), Want: []string{"usage 3.5 0.4320987615"}},
		{Name: "nothing used", Params: `{"unit_price":"5"}`},
		{Name: "corrections count back", Params: `{"unit_price":"2"}`, Events: tarifftest.Quantities("5", "-7"), Want: []string{"usage -2 -4"}},
		{Name: "clamped", Params: `{"unit_price":"2","negative_units":"clamp_to_zero"}`, Events: tarifftest.Quantities("5", "-7", "1"), Want: []string{"usage 6 12"}},
		{Name: "the sum is rounded, not the events", Params: `{"unit_price":"0.004","rounding":{"scale":2,"mode":"half_up"}}`, Events: tarifftest.Quantities("1", "1", "1"), Want: []string{"usage 3 0.01"}},
		{Name: "ties away from zero", Params: `{"unit_price":"0.005","rounding":{"scale":2,"mode":"half_up"}}`, Events: tarifftest.Quantities("-1"), Want: []string{"usage -1 -0.01"}},
		{Name: "more digits than there are", Params: `{"unit_price":"0.000000000000000001"}`, Events: tarifftest.Quantities("0.5", "0.2", "1"), Want: []string{"usage 1.7 0.000000000000000002"}},
		{Name: "before the start", Params: `{"unit_price":"2","period_start":"2026-01-10T00:00:00Z"}`, Events: []tarifftest.Event{
			{Quantity: "100", Time: "2026-01-09T23:59:59.999999999Z"}, {Quantity: "2", Time: "2026-01-10T00:00:00Z"},
		}, Want: []string{"usage 2 4"}},
		{
			Name: "overflow rejects one event", Params: `{"unit_price":"1000000000000000"}`, Events: tarifftest.Quantities("1", "1000000", "2"),
			Want: []string{"usage 3 3000000000000000"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
		{Name: "bad price", Params: `{"unit_price":"cheap"}`, Refused: `params.unit_price: decimal "cheap": invalid syntax`},
	})
}

func TestGraduated(t *testing.T) {
	const tiers = `{"tiers":[{"up_to":"10","unit_price":"10","flat_fee":"2"},{"up_to":"20","unit_price":"5","flat_fee":"0"},{"up_to":null,"unit_price":"1.5","flat_fee":"3"}]}`
	run(t, graduated, []tarifftest.Case{
		{Name: "the first flat fee without usage", Params: tiers, Want: []string{"tier_1_flat_fee 1 2"}},
		{Name: "an event of nothing makes it due", Params: tiers, Events: tarifftest.Quantities("0"), Open: true, Want: []string{"tier_1_flat_fee 1 2"}},
		{Name: "up to and including the bound", Params: tiers, Events: tarifftest.Quantities("4", "6"), Want: []string{"tier_1 10 100", "tier_1_flat_fee 1 2"}},
		{Name: "strictly above it", Params: tiers, Events: tarifftest.Quantities("10", "0.5"), Want: []string{"tier_1 10 100", "tier_1_flat_fee 1 2", "tier_2 0.5 2.5"}},
		{Name: "through all at once", Params: tiers, Events: tarifftest.Quantities("22"), Want: []string{"tier_1 10 100", "tier_1_flat_fee 1 2", "tier_2 10 50", "tier_3 2 3", "tier_3_flat_fee 1 3"}},
		{Name: "down again takes fees back", Params: tiers, Events: tarifftest.Quantities("22", "-13", "2"), Want: []string{"tier_1 10 100", "tier_1_flat_fee 1 2", "tier_2 1 5"}},
		{Name: "below nothing", Params: tiers, Events: tarifftest.Quantities("3", "-5"), Want: []string{"tier_1 -2 -20", "tier_1_flat_fee 1 2"}},
		{Name: "to nothing and on", Params: tiers, Events: tarifftest.Quantities("3", "-3", "1"), Want: []string{"tier_1 1 10", "tier_1_flat_fee 1 2"}},
		{
			Name: "each line is rounded", Params: `{"tiers":[{"up_to":"1","unit_price":"0.005","flat_fee":"0.125"},{"up_to":null,"unit_price":"0.004"}],"rounding":{"scale":2,"mode":"half_up"}}`,
			Events: tarifftest.Quantities("2"), Want: []string{"tier_1 1 0.01", "tier_1_flat_fee 1 0.13", "tier_2 1 0"},
		},
		{
			Name: "overflow is undone", Params: `{"tiers":[{"up_to":"1","unit_price":"1","flat_fee":"7"},{"up_to":null,"unit_price":"100000000000000000000"}]}`, Events: tarifftest.Quantities("0.5", "5", "0.25"),
			Want: []string{"tier_1 0.75 0.75", "tier_1_flat_fee 1 7"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
		{Name: "out of order", Params: `{"tiers":[{"up_to":"1000","unit_price":"1"},{"up_to":"1000","unit_price":"1"},{"up_to":null,"unit_price":"1"}]}`, Refused: "params.tiers[1].up_to: must be greater than 1000"},
		{Name: "open in the middle", Params: `{"tiers":[{"up_to":null,"unit_price":"1"},{"up_to":null,"unit_price":"1"}]}`, Refused: "params.tiers[0].up_to: only the last tier is open"},
		{Name: "closed at the end", Params: `{"tiers":[{"up_to":"5","unit_price":"1"}]}`, Refused: "params.tiers[0].up_to: must be null: the last tier is open"},
		{
			Name: "all problems at once", Params: `{"tiers":[{"up_to":"0"},{"unit_prize":"1","unit_price":true}]}`,
			Refused: "params.tiers[0].unit_price: is missing; params.tiers[0].up_to: must be greater than 0; params.tiers[1].unit_price: must be a decimal number, not true or false; params.tiers[1].unit_prize: unknown parameter; known here: up_to, unit_price, flat_fee",
		},
		{Name: "too many", Params: `{"tiers":[` + strings.Repeat(`{"unit_price":"1"},`, 256) + `{"unit_price":"1"}]}`, Refused: "params.tiers: must be at most 256"},
	})
}

func TestVolume(t *testing.T) {
	const tiers = `{"tiers":[{"up_to":"100","unit_price":"2","flat_fee":"10"},{"up_to":"200","unit_price":"1"},{"up_to":null,"unit_price":"0.5","flat_fee":"50"}]`
	run(t, volume, []tarifftest.Case{
		{Name: "the first flat fee without usage", Params: tiers + `}`, Want: []string{"tier_1_flat_fee 1 10"}},
		{Name: "up to and including the bound", Params: tiers + `}`, Events: tarifftest.Quantities("60", "40"), Want: []string{"tier_1 100 200", "tier_1_flat_fee 1 10"}},
		{Name: "crossing reprices all units", Params: tiers + `}`, Events: tarifftest.Quantities("100", "0.5"), Want: []string{"tier_2 100.5 100.5"}},
		{Name: "into the last at once", Params: tiers + `}`, Events: tarifftest.Quantities("300"), Want: []string{"tier_3 300 150", "tier_3_flat_fee 1 50"}},
		{Name: "back to the first", Params: tiers + `}`, Events: tarifftest.Quantities("300", "-299"), Want: []string{"tier_1 1 2", "tier_1_flat_fee 1 10"}},
		{Name: "the tier is given", Params: tiers + `,"tier_units":"250"}`, Events: tarifftest.Quantities("10"), Want: []string{"tier_3 10 5", "tier_3_flat_fee 1 50"}},
		{Name: "the tier is given and nothing used", Params: tiers + `,"tier_units":"101"}`},
		{
			Name: "overflow is undone", Params: `{"tiers":[{"up_to":"10","unit_price":"1","flat_fee":"1"},{"up_to":null,"unit_price":"100000000000000000000"}]}`, Events: tarifftest.Quantities("10", "5"),
			Want: []string{"tier_1 10 10", "tier_1_flat_fee 1 1"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
	})
}

func TestPackage(t *testing.T) {
	run(t, packaged, []tarifftest.Case{
		{Name: "nothing used", Params: `{"package_size":"10","package_price":"15"}`},
		{Name: "the first unit of a package", Params: `{"package_size":"10","package_price":"15"}`, Events: tarifftest.Quantities("0.000000000000000001"), Want: []string{"usage 0.000000000000000001 15"}},
		{Name: "exactly one", Params: `{"package_size":"10","package_price":"15"}`, Events: tarifftest.Quantities("4", "6"), Want: []string{"usage 10 15"}},
		{Name: "one and a bit", Params: `{"package_size":"10","package_price":"15"}`, Events: tarifftest.Quantities("10", "1"), Want: []string{"usage 11 30"}},
		{Name: "not above the free units", Params: `{"package_size":"10","package_price":"15","free_units":"5"}`, Events: tarifftest.Quantities("5"), Want: []string{"usage 5 0"}},
		{Name: "above the free units", Params: `{"package_size":"10","package_price":"15","free_units":"5"}`, Events: tarifftest.Quantities("15.5"), Want: []string{"usage 15.5 30"}},
		{Name: "below nothing", Params: `{"package_size":"10","package_price":"15"}`, Events: tarifftest.Quantities("3", "-5"), Want: []string{"usage -2 0"}},
		{Name: "rounded", Params: `{"package_size":"3","package_price":"0.125","rounding":{"scale":2,"mode":"floor"}}`, Events: tarifftest.Quantities("1"), Want: []string{"usage 1 0.12"}},
		{Name: "no size", Params: `{"package_size":"0","package_price":"1"}`, Refused: "params.package_size: must be greater than 0"},
		{
			Name: "overflow is undone", Params: `{"package_size":"0.000000000000000001","package_price":"1"}`, Events: tarifftest.Quantities("1", "1000"),
			Want: []string{"usage 1 1000000000000000000"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
	})
}

func TestDynamic(t *testing.T) {
	run(t, dynamic, []tarifftest.Case{
		{Name: "the events' money", Params: `{"flavor":"event_amount"}`, Events: []tarifftest.Event{{Quantity: "20", Amount: "0.402"}, {Quantity: "1", Amount: "0.1"}}, Want: []string{"usage 21 0.502"}},
		{Name: "the sum is rounded", Params: `{"flavor":"event_amount","rounding":{"scale":2,"mode":"half_up"}}`, Events: []tarifftest.Event{{Amount: "0.004"}, {Amount: "0.004"}}, Want: []string{"usage 2 0.01"}},
		{Name: "nothing in sum costs nothing", Params: `{"flavor":"event_amount"}`, Events: []tarifftest.Event{{Quantity: "2", Amount: "5"}, {Quantity: "-2", Amount: "1"}}},
		{Name: "and counts again when there is something", Params: `{"flavor":"event_amount"}`, Events: []tarifftest.Event{{Quantity: "0", Amount: "5"}, {Quantity: "1", Amount: "1"}}, Want: []string{"usage 1 6"}},
		{Name: "without money", Params: `{"flavor":"event_amount"}`, Events: []tarifftest.Event{{Quantity: "1"}, {Quantity: "1", Amount: "1"}}, Want: []string{"usage 1 1"}, Rejects: []string{"0 no_amount: the event carries no amount"}},
		{Name: "a mark-up", Params: `{"flavor":"multiplier","multiplier":"1.33333","rounding":{"scale":2,"mode":"half_up"}}`, Events: tarifftest.Quantities("4", "6"), Want: []string{"usage 10 13.33"}},
		{Name: "no mark-up", Params: `{"flavor":"multiplier"}`, Events: tarifftest.Quantities("4"), Want: []string{"usage 4 4"}},
		{Name: "mark-up of the other flavor", Params: `{"flavor":"event_amount","multiplier":"2"}`, Refused: "params.multiplier: belongs to flavor multiplier only"},
		{Name: "no flavor", Params: `{}`, Refused: "params.flavor: is missing"},
		{
			Name: "overflow is undone", Params: `{"flavor":"event_amount"}`, Events: []tarifftest.Event{{Amount: "1"}, {Amount: largest}, {Amount: "2"}},
			Want: []string{"usage 2 3"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
	})
}

// sku is an event with a value of the dimension sku.
func sku(value, quantity string) tarifftest.Event {
	return tarifftest.Event{Quantity: quantity, Dimensions: map[string]string{"sku": value}}
}

func TestPriceTable(t *testing.T) {
	const rows = `"dimension":"sku","prices":{"A":{"unit_price":"0.17","rounding":{"scale":1,"mode":"half_up"}},"b c":{"unit_price":"2"}}`
	run(t, priceTable, []tarifftest.Case{
		{Name: "each event by its row, rounded as the row says", Params: `{` + rows + `}`, Events: []tarifftest.Event{sku("A", "1"), sku("b c", "0.25"), sku("A", "1")}, Want: []string{"usage 2.25 0.9"}},
		{
			Name: "no row", Params: `{` + rows + `,"default":null}`, Events: []tarifftest.Event{sku("x\"y", "1"), sku("A", "1"), sku("x\"y", "1")}, Want: []string{"usage 1 0.2"},
			Rejects: []string{`0 no_price: sku "x\"y" has no price and there is no default`, `2 no_price: sku "x\"y" has no price and there is no default`},
		},
		{Name: "no value", Params: `{` + rows + `}`, Events: tarifftest.Quantities("1"), Rejects: []string{`0 no_price: sku "" has no price and there is no default`}},
		{Name: "the default is a row", Params: `{` + rows + `,"default":{"unit_price":"0.004","rounding":{"scale":2,"mode":"ceiling"}}}`, Events: []tarifftest.Event{sku("x", "1"), sku("", "1"), sku("A", "1")}, Want: []string{"usage 3 0.22"}},
		{Name: "not a dimension", Params: `{"dimension":"SKU","prices":{}}`, Refused: "params.dimension: must be a dimension of the meter"},
		{Name: "a bad row", Params: `{"dimension":"sku","prices":{"a.b":{"unit_price":"x"}}}`, Refused: `params.prices["a.b"].unit_price: decimal "x": invalid syntax`},
		{Name: "a row that is none", Params: `{"dimension":"sku","prices":{"a":"1"}}`, Refused: `params.prices.a: must be an object, not a string`},
		{Name: "a row with more", Params: `{"dimension":"sku","prices":{"a":{"unit_price":"1","price":"2"}}}`, Refused: `params.prices.a.price: unknown parameter; known here: unit_price, rounding`},
		{Name: "a rounding with more", Params: `{"dimension":"sku","prices":{"a":{"unit_price":"1","rounding":{"mode":"none","scales":2}}}}`, Refused: `params.prices.a.rounding.scales: unknown parameter; known here: scale, mode`},
		{
			Name: "a row twice", Params: `{"dimension":"sku","prices":{"a":{"unit_price":"1"},"a":{"unit_price":"2"}}}`,
			Refused: `result code 1: configure: request: at byte 118: key "a" is there twice`,
		},
		{
			Name: "overflow is undone", Params: `{"dimension":"sku","prices":{"a":{"unit_price":"1"}}}`, Events: []tarifftest.Event{sku("a", largest), sku("a", "1"), sku("a", "-1")},
			Want: []string{"usage 170141183460469231730.687303715884105727 170141183460469231730.687303715884105727"}, Rejects: []string{"1 overflow: overflow: beyond ±" + largest},
		},
	})
}

func TestPriceTableOfThousands(t *testing.T) {
	var rows strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&rows, `,"sku-%d":{"unit_price":"0.%04d"}`, i, i)
	}
	bench := tarifftest.NewBench(t, priceTable)
	plan, err := bench.Configure("price_table", `{"dimension":"sku","prices":{`+rows.String()[1:]+`}}`)
	if err != nil {
		t.Fatal(err)
	}
	slot := tarifftest.NewSlot(plan)
	var events []tarifftest.Event
	for i := range 3000 {
		events = append(events, sku(fmt.Sprintf("sku-%d", i*7%5000), "1"))
	}
	if _, err := bench.Price([]*tarifftest.Slot{slot}, events); err != nil {
		t.Fatal(err)
	}
	sum := 0
	for i := range 3000 {
		sum += i * 7 % 5000
	}
	want := billing.MustDecimal(fmt.Sprintf("%d.%04d", sum/10000, sum%10000))
	if got := slot.Lines[0]; got.Amount != want || got.Quantity != billing.DecimalFromInt(3000) {
		t.Errorf("got %q, want %s", slot.Show(), want)
	}
}
