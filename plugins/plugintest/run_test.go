package plugintest_test

import (
	"testing"

	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/plugins/plugintest"
)

// quantities are events of one slot.
func quantities(list ...string) []plugintest.Event {
	events := make([]plugintest.Event, len(list))
	for k, q := range list {
		events[k].Quantity = q
	}
	return events
}

// spread deals events out to slots.
func spread(events []plugintest.Event, slots int) []plugintest.Event {
	for k := range events {
		events[k].Slot = k % slots
	}
	return events
}

// TestStandardTariffs holds the built-in tariffs against the contract, as they are built.
func TestStandardTariffs(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds and compiles a module")
	}
	wasm, err := build.Folder(t.Context(), "../../examples/tariffs/standard")
	if err != nil {
		t.Fatal(err)
	}
	tiers := `{"tiers":[{"up_to":"10","unit_price":"1","flat_fee":"5"},{"up_to":"20","unit_price":"0.5","flat_fee":"2"},{"up_to":null,"unit_price":"0.1","flat_fee":"0"}]}`
	usage := func() []plugintest.Event {
		return quantities("4", "3", "8", "0.5", "-2", "7", "100", "0.000000000000000001", "3", "9")
	}
	table := `{"dimension":"sku","prices":{"a":{"unit_price":"0.17","rounding":{"scale":1,"mode":"half_up"}},"b":{"unit_price":"2"}},"default":null}`
	skus := []plugintest.Event{
		{Quantity: "1", Dimensions: map[string]string{"sku": "a"}},
		{Quantity: "3", Dimensions: map[string]string{"sku": "b", "other": "x"}},
		{Quantity: "5", Dimensions: map[string]string{"sku": "missing"}},
		{Quantity: "7"},
		{Slot: 1, Quantity: "2", Dimensions: map[string]string{"sku": "a"}},
	}
	money := []plugintest.Event{{Amount: "1.5"}, {Amount: "-0.25"}, {Slot: 1, Amount: "10"}, {Amount: "3"}, {}}
	plugintest.Run(t, wasm, []plugintest.Case{
		{Tariff: "flat", Params: `{"amount":"9.99"}`, Events: usage()},
		{Tariff: "per_unit", Params: `{"unit_price":"0.10"}`, Events: spread(usage(), 3)},
		{Tariff: "graduated", Params: tiers, Events: spread(usage(), 2)},
		{Name: "graduated, one slot", Tariff: "graduated", Params: tiers, Events: quantities("4", "8", "10"), Want: map[string]string{
			"tier_1": "10", "tier_1_flat_fee": "5", "tier_2": "5", "tier_2_flat_fee": "2", "tier_3": "0.2",
		}},
		{Tariff: "volume", Params: tiers, Events: spread(usage(), 2)},
		{Tariff: "package", Params: `{"package_size":"10","package_price":"3","free_units":"5"}`, Events: spread(usage(), 2)},
		{Tariff: "dynamic", Params: `{"flavor":"event_amount"}`, Events: money, Rejects: 1},
		{Tariff: "price_table", Params: table, Events: skus, Rejects: 2},
	})
}
