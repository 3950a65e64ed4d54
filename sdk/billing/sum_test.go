package billing_test

import (
	"errors"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// TestSumIsExact adds and takes away products and rounds a share of what they come to, beside the same in rationals.
func TestSumIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum billing.Sum
		exact := new(big.Rat)
		limit := new(big.Rat).SetFrac(new(big.Int).Lsh(big.NewInt(1), 255), powerOfTen(2*billing.Scale))
		for range rapid.IntRange(0, 6).Draw(t, "products") {
			d, e := decimals().Draw(t, "d"), decimals().Draw(t, "e")
			product := new(big.Rat).Mul(rat(d), rat(e))
			next, err := sum.AddProduct(d, e)
			if rapid.Bool().Draw(t, "minus") {
				next, err = sum.Sub(billing.SumOf(d, e))
				product.Neg(product)
			}
			total := new(big.Rat).Add(exact, product)
			fits := total.Cmp(limit) < 0 && total.Cmp(new(big.Rat).Neg(limit)) >= 0
			if fits != (err == nil) {
				t.Fatalf("%v, but the sum is %s", err, total.FloatString(40))
			}
			if err != nil {
				continue
			}
			if want := total.Cmp(exact); next.Cmp(sum) != want || sum.Cmp(next) != -want {
				t.Fatalf("%s compares as %d, not %d", total.FloatString(40), next.Cmp(sum), want)
			}
			sum, exact = next, total
		}
		if sum.Sign() != exact.Sign() {
			t.Fatalf("sign %d, want %d", sum.Sign(), exact.Sign())
		}
		if again := billing.SumOfHalves(sum.Halves()); again != sum {
			t.Fatalf("%v became %v", sum, again)
		}
		n := rapid.OneOf(rapid.Int64Range(1, 400), rapid.Int64Min(1)).Draw(t, "n")
		r := roundings().Draw(t, "rounding")
		want, wantErr := roundBig(new(big.Rat).Quo(exact, new(big.Rat).SetInt64(n)), r)
		got, err := sum.Quo(n, r)
		if !errors.Is(err, wantErr) || got != want {
			t.Fatalf("%s / %d: %s, %v; want %s, %v", exact.FloatString(40), n, got, err, want, wantErr)
		}
		divisor := decimals().Draw(t, "divisor")
		if divisor.IsZero() {
			want, wantErr = billing.Decimal{}, billing.ErrDivideByZero
		} else {
			want, wantErr = roundBig(new(big.Rat).Quo(exact, rat(divisor)), r)
		}
		if got, err = sum.QuoDecimal(divisor, r); !errors.Is(err, wantErr) || got != want {
			t.Fatalf("%s / %s: %s, %v; want %s, %v", exact.FloatString(40), divisor, got, err, want, wantErr)
		}
	})
}

func TestSumDivisor(t *testing.T) {
	for _, n := range []int64{0, -1} {
		if _, err := billing.SumOf(billing.DecimalFromInt(1), billing.DecimalFromInt(1)).Quo(n, billing.Rounding{}); !errors.Is(err, billing.ErrDivideByZero) {
			t.Errorf("by %d: %v", n, err)
		}
	}
	third, err := billing.DecimalFromInt(1).MulQuo(billing.DecimalFromInt(2), 3, billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp})
	if err != nil || third.String() != "0.67" {
		t.Errorf("1 * 2 / 3 = %s, %v", third, err)
	}
	if _, err := billing.DecimalFromInt(1).MulQuo(billing.DecimalFromInt(1), 3, billing.Rounding{Scale: 99}); !errors.Is(err, billing.ErrRounding) {
		t.Errorf("rounding at 99 places: %v", err)
	}
}
