// Package tarifftest tests tariffs natively: the same code runs over the same bytes as in the
// engine, under go test, with a debugger and coverage.
//
//	func TestNight(t *testing.T) {
//		tarifftest.Run(t, night, []tarifftest.Case{{
//			Name:   "a call at noon",
//			Params: `{"day": "0.10", "night": "0.05"}`,
//			Events: []tarifftest.Event{{Quantity: "60", Time: "2026-01-05T12:00:00Z"}},
//			Want:   []string{"day 60 6"},
//		}})
//	}
//
// Each case is priced as one batch, event by event, and in two halves, each time among events of
// another slot; all must come out the same to the last bit. So a tariff that depends on where
// batches begin, or that lets slots touch each other, fails without a test written for it.
package tarifftest
