package billing_test

import (
	"fmt"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// An event is put into its billing period and priced, and the amount rounded to the currency's minor unit.
func Example() {
	event := billing.UsageEvent{
		Source: "gateway-7", ID: "0001", Type: "api.request", Account: "emma.eu",
		Time: time.Date(2026, 10, 17, 9, 30, 0, 0, time.UTC),
		Data: []billing.Field{{Key: "calls", Text: "1234.5"}},
	}
	currency, err := billing.ParseCurrency("EUR")
	if err != nil {
		fmt.Println(err)
		return
	}
	calls, _ := event.Value("calls")
	quantity, err := billing.ParseQuantity(calls)
	if err != nil {
		fmt.Println(err)
		return
	}
	// The product is exact and rounded once, to cents.
	cents := billing.Rounding{Scale: currency.Digits(), Mode: billing.RoundHalfUp}
	product, err := quantity.D().Mul(billing.MustDecimal("0.00215"), cents)
	if err != nil {
		fmt.Println(err)
		return
	}
	period := billing.Calendar{AnchorDay: 15}.PeriodOf(event.Time)
	fmt.Println(event.Account.Token(), period.ID(), billing.Amount(product).Fixed(cents.Scale), currency)
	// Output: emma=2Eeu 2026-10-15 2.65 EUR
}

func ExampleDecimal_Round() {
	for _, mode := range []billing.RoundingMode{
		billing.RoundHalfUp, billing.RoundHalfEven, billing.RoundFloor, billing.RoundCeiling,
	} {
		d, err := billing.MustDecimal("-2.5").Round(billing.Rounding{Scale: 0, Mode: mode})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(mode, d)
	}
	// Output:
	// half_up -3
	// half_even -2
	// floor -3
	// ceiling -2
}
