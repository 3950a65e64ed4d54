package tariff_test

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// TestNth finds the values of all places among few different ones, at the ends of the range too, as a sort does.
func TestNth(t *testing.T) {
	words := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, 2, math.MaxUint64, 1 << 63, 1<<63 - 1}), rapid.Uint64())
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) billing.Decimal {
			return billing.Decimal{Hi: int64(words.Draw(t, "high")), Lo: words.Draw(t, "low")}
		}), 1, 300).Draw(t, "values")
		sorted := slices.Clone(values)
		slices.SortFunc(sorted, billing.Decimal.Cmp)
		n := rapid.IntRange(0, len(values)-1).Draw(t, "place")
		if got := tariff.Nth(values, n); got != sorted[n] {
			t.Fatalf("place %d of %v is %v, want %v", n, sorted, got, sorted[n])
		}
		slices.SortFunc(values, billing.Decimal.Cmp)
		if !slices.Equal(values, sorted) {
			t.Fatal("the values are others afterwards")
		}
	})
}

func TestNthOfNoPlace(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	tariff.Nth(nil, 0)
}
