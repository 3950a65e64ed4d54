// Package plugintest holds a tariff's module against what the engine expects of it, in the engine's
// own loader:
//
//	func TestConformance(t *testing.T) {
//		plugintest.Run(t, wasm, []plugintest.Case{{
//			Tariff: "per_unit", Params: `{"unit_price":"0.10"}`,
//			Events: []plugintest.Event{{Quantity: "3"}, {Quantity: "4.5"}},
//			Want:   map[string]string{"usage": "0.75"},
//		}})
//	}
//
// What a module must do is written in sdk/ABI.md. Much of it the engine enforces; what it cannot
// enforce, a price depends on, and this package looks for: that a result does not hang on how
// events are cut into batches, on which other slots are in a batch, on what an instance did
// before, or on chance.
package plugintest
