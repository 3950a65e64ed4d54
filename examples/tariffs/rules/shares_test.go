package main

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// TestSharesOfUnits holds that small amounts, which are spread in machine words, get the shares that amounts of any
// size get.
func TestSharesOfUnits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, billing.Scale).Draw(t, "scale")
		p := placesOf(scale)
		number := rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, unitsMax/64))
		total := p.decimal(number.Draw(t, "total"))
		weights := make([]billing.Decimal, rapid.IntRange(1, 60).Draw(t, "count"))
		for i := range weights {
			weights[i] = p.decimal(number.Draw(t, "weight"))
		}
		want, err := allocateAny(total, weights, scale, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := allocateUnits(total, weights, scale)
		if !ok || !slices.Equal(got, want) {
			t.Fatalf("%v by %v: %v, %v, want %v", total, weights, got, ok, want)
		}
	})
}

// TestWhatIsNoUnits holds that nothing but whole units in range is taken for them.
func TestWhatIsNoUnits(t *testing.T) {
	p := placesOf(2)
	for _, text := range []string{"-1", "0.001", "0.000000000000000001", "21474836.49", "170141183460469231731.687303715884105727", "-0.01"} {
		if n, ok := p.units(billing.MustDecimal(text)); ok {
			t.Errorf("%s is %d units", text, n)
		}
	}
	if n, ok := p.units(billing.MustDecimal("21474836.48")); !ok || n != unitsMax {
		t.Errorf("the most is %d, %v", n, ok)
	}
}
