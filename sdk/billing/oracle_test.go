package billing_test

import (
	"math/big"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

// The oracle: the same arithmetic in math/big, written the slow and obvious way.

var (
	bigTen = big.NewInt(10)
	bigMax = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	bigMin = new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 127))
)

// toBig returns the stored integer of d.
func toBig(d billing.Decimal) *big.Int {
	n := new(big.Int).Lsh(big.NewInt(d.Hi), 64)
	return n.Add(n, new(big.Int).SetUint64(d.Lo))
}

// fromBig is the inverse of toBig; ok is false when n does not fit.
func fromBig(n *big.Int) (d billing.Decimal, ok bool) {
	if n.Cmp(bigMin) < 0 || n.Cmp(bigMax) > 0 {
		return billing.Decimal{}, false
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1))
	return billing.Decimal{Hi: new(big.Int).Rsh(n, 64).Int64(), Lo: low.Uint64()}, true
}

// mustFromBig panics where fromBig is not ok.
func mustFromBig(n *big.Int) billing.Decimal {
	d, ok := fromBig(n)
	if !ok {
		panic("does not fit a decimal: " + n.String())
	}
	return d
}

// powerOfTen returns 10^n.
func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(bigTen, big.NewInt(int64(n)), nil)
}

// rat returns the value of d.
func rat(d billing.Decimal) *big.Rat {
	return new(big.Rat).SetFrac(toBig(d), powerOfTen(billing.Scale))
}

// roundBig is what a correct operation with the exact result x returns under r.
func roundBig(x *big.Rat, r billing.Rounding) (billing.Decimal, error) {
	scale := r.Scale
	if r.Mode == billing.RoundNone {
		scale = billing.Scale
	}
	// In units of the last kept digit.
	step := new(big.Rat).SetFrac(powerOfTen(max(-scale, 0)), powerOfTen(max(scale, 0)))
	count := new(big.Rat).Quo(x, step)
	whole := wholeBig(count, r.Mode)
	if whole == nil {
		return billing.Decimal{}, billing.ErrInexact
	}
	stored := new(big.Rat).SetInt(whole)
	stored.Mul(stored, step).Mul(stored, new(big.Rat).SetInt(powerOfTen(billing.Scale)))
	d, ok := fromBig(stored.Num())
	if !ok {
		return billing.Decimal{}, billing.ErrOverflow
	}
	return d, nil
}

// wholeBig rounds x to an integer, nil when the mode is none and x is not one.
func wholeBig(x *big.Rat, mode billing.RoundingMode) *big.Int {
	if x.IsInt() {
		return new(big.Int).Set(x.Num())
	}
	floor, _ := new(big.Int).DivMod(x.Num(), x.Denom(), new(big.Int))
	ceiling := new(big.Int).Add(floor, big.NewInt(1))
	overFloor := new(big.Rat).Sub(x, new(big.Rat).SetInt(floor))
	half := overFloor.Cmp(big.NewRat(1, 2))
	switch mode {
	case billing.RoundFloor:
		return floor
	case billing.RoundCeiling:
		return ceiling
	case billing.RoundHalfUp:
		if half > 0 || half == 0 && x.Sign() > 0 {
			return ceiling
		}
		return floor
	case billing.RoundHalfEven:
		if half > 0 || half == 0 && floor.Bit(0) == 1 {
			return ceiling
		}
		return floor
	default:
		return nil
	}
}

// decimals draws decimals of every size and sign, with the ends of the range, whole numbers, short prices and
// numbers that end in a 5 (the ties) far more often than chance would.
func decimals() *rapid.Generator[billing.Decimal] {
	any128 := rapid.Custom(func(t *rapid.T) billing.Decimal {
		d := billing.Decimal{Hi: rapid.Int64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
		n := new(big.Int).Rsh(toBig(d), rapid.UintRange(0, 127).Draw(t, "shift"))
		return mustFromBig(n)
	})
	ends := rapid.Custom(func(t *rapid.T) billing.Decimal {
		away := big.NewInt(rapid.Int64Range(0, 3).Draw(t, "away"))
		if rapid.Bool().Draw(t, "min") {
			return mustFromBig(new(big.Int).Add(bigMin, away))
		}
		return mustFromBig(new(big.Int).Sub(bigMax, away))
	})
	short := rapid.Custom(func(t *rapid.T) billing.Decimal {
		n := big.NewInt(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "digits"))
		return mustFromBig(n.Mul(n, powerOfTen(rapid.IntRange(0, 30).Draw(t, "zeros"))))
	})
	ties := rapid.Custom(func(t *rapid.T) billing.Decimal {
		n := big.NewInt(rapid.Int64Range(-1_000_000, 1_000_000).Draw(t, "digits"))
		n.Mul(n, bigTen).Add(n, big.NewInt(5))
		n.Mul(n, powerOfTen(rapid.IntRange(0, 30).Draw(t, "zeros")))
		return mustFromBig(n)
	})
	words := rapid.Custom(func(t *rapid.T) billing.Decimal {
		edge := []uint64{0, 1, 2, 1<<32 - 1, 1 << 32, 1 << 63, 1<<63 - 1, 1<<64 - 2, 1<<64 - 1}
		return billing.Decimal{
			Hi: int64(rapid.SampledFrom(edge).Draw(t, "hi")),
			Lo: rapid.SampledFrom(edge).Draw(t, "lo"),
		}
	})
	return rapid.OneOf(any128, ends, short, ties, words)
}

// roundings draws valid roundings.
func roundings() *rapid.Generator[billing.Rounding] {
	return rapid.Custom(func(t *rapid.T) billing.Rounding {
		return billing.Rounding{
			Scale: rapid.IntRange(billing.RoundingScaleMin, billing.RoundingScaleMax).Draw(t, "scale"),
			Mode:  billing.RoundingMode(rapid.IntRange(0, 4).Draw(t, "mode")),
		}
	})
}
