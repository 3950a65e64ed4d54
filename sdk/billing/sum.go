package billing

import "math/bits"

// Sum is an exact sum of products of decimals: a signed 256-bit integer, two's complement, counted in units of 10^-36.
// Where a price is made of several products and is to be rounded once, add them up in a Sum and round that.
//
// The zero value is 0. Sums are plain values, as [Decimal] is.
type Sum struct{ w3, w2, w1, w0 uint64 }

// SumOf returns the product of two decimals, exact.
func SumOf(d, e Decimal) Sum {
	dhi, dlo := d.magnitude()
	ehi, elo := e.magnitude()
	p := Sum(mul128(dhi, dlo, ehi, elo))
	if d.Hi^e.Hi < 0 {
		p = p.negated()
	}
	return p
}

// Add returns s + t, or [ErrOverflow].
func (s Sum) Add(t Sum) (Sum, error) {
	var sum Sum
	var carry uint64
	sum.w0, carry = bits.Add64(s.w0, t.w0, 0)
	sum.w1, carry = bits.Add64(s.w1, t.w1, carry)
	sum.w2, carry = bits.Add64(s.w2, t.w2, carry)
	sum.w3, _ = bits.Add64(s.w3, t.w3, carry)
	// Two numbers of one sign cannot have a sum of the other.
	if int64((s.w3^sum.w3)&(t.w3^sum.w3)) < 0 {
		return Sum{}, ErrOverflow
	}
	return sum, nil
}

// Sub returns s - t, or [ErrOverflow].
func (s Sum) Sub(t Sum) (Sum, error) {
	if t.w3 == 1<<63 && t.w2|t.w1|t.w0 == 0 {
		return Sum{}, ErrOverflow
	}
	return s.Add(t.negated())
}

// AddProduct returns s + d*e, or [ErrOverflow].
func (s Sum) AddProduct(d, e Decimal) (Sum, error) { return s.Add(SumOf(d, e)) }

// Cmp returns -1, 0 or 1 as s is less than, equal to or greater than t.
func (s Sum) Cmp(t Sum) int {
	switch {
	case s == t:
		return 0
	case int64(s.w3) != int64(t.w3):
		if int64(s.w3) < int64(t.w3) {
			return -1
		}
		return 1
	case s.w2 != t.w2:
		return order(s.w2, t.w2)
	case s.w1 != t.w1:
		return order(s.w1, t.w1)
	default:
		return order(s.w0, t.w0)
	}
}

func order(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

// Sign returns -1, 0 or 1.
func (s Sum) Sign() int {
	switch {
	case int64(s.w3) < 0:
		return -1
	case s == Sum{}:
		return 0
	default:
		return 1
	}
}

// Quo returns s / n, rounded once as r says from the exact quotient. In mode [RoundNone] a quotient with more than 18
// decimal places is [ErrInexact]. n is a count, such as the days of a period: for one that is not above 0 the error
// is [ErrDivideByZero]. A quotient that no [Decimal] holds is [ErrOverflow].
func (s Sum) Quo(n int64, r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	if n <= 0 {
		return Decimal{}, ErrDivideByZero
	}
	magnitude, dropped := wide(s), restNone
	negative := s.Sign() < 0
	if negative {
		magnitude = wide(s.negated())
	}
	if n != 1 {
		magnitude, dropped = magnitude.divide64(uint64(n))
	}
	return finish(magnitude, 2*Scale, dropped, negative, r)
}

// Round returns s rounded as r says: [Sum.Quo] by 1.
func (s Sum) Round(r Rounding) (Decimal, error) { return s.Quo(1, r) }

// Halves returns the low and the high 128 bits of s, to be kept where decimals are kept. Neither is a number of its
// own; [SumOfHalves] puts them together again.
func (s Sum) Halves() (low, high Decimal) {
	return Decimal{Hi: int64(s.w1), Lo: s.w0}, Decimal{Hi: int64(s.w3), Lo: s.w2}
}

// SumOfHalves is the inverse of [Sum.Halves].
func SumOfHalves(low, high Decimal) Sum {
	return Sum{w3: uint64(high.Hi), w2: high.Lo, w1: uint64(low.Hi), w0: low.Lo}
}

// negated is two's complement negation; the smallest sum is its own result.
func (s Sum) negated() Sum {
	return Sum(wide{^s.w3, ^s.w2, ^s.w1, ^s.w0}.next())
}

// MulQuo returns d * e / n, rounded once as r says from the exact quotient; n and the errors are those of [Sum.Quo].
func (d Decimal) MulQuo(e Decimal, n int64, r Rounding) (Decimal, error) {
	return SumOf(d, e).Quo(n, r)
}

// QuoDecimal returns s / e, rounded once as r says from the exact quotient. In mode [RoundNone] a quotient with more
// than 18 decimal places is [ErrInexact]. A divisor of 0 is [ErrDivideByZero].
func (s Sum) QuoDecimal(e Decimal, r Rounding) (Decimal, error) {
	if err := r.Validate(); err != nil {
		return Decimal{}, err
	}
	if e.IsZero() {
		return Decimal{}, ErrDivideByZero
	}
	magnitude, negative := wide(s), s.Sign() < 0
	if negative {
		magnitude = wide(s.negated())
	}
	hi, lo := e.magnitude()
	// Of the 36 places of s and the 18 of e, 18 are left.
	quotient, dropped := magnitude.divideAny(hi, lo)
	return finish(quotient, Scale, dropped, negative != (e.Hi < 0), r)
}

// divideAny is divide128 for any x, bit by bit where that one does not reach.
func (x wide) divideAny(hi, lo uint64) (q wide, dropped rest) {
	if x.w3 == 0 && x.w2 < 1<<62 {
		return x.divide128(hi, lo)
	}
	var r1, r0 uint64
	words, quotient := [4]uint64{x.w0, x.w1, x.w2, x.w3}, [4]uint64{}
	for i := 255; i >= 0; i-- {
		over := r1 >> 63
		r1, r0 = r1<<1|r0>>63, r0<<1|words[i/64]>>(i%64)&1
		if over == 1 || r1 > hi || r1 == hi && r0 >= lo {
			var borrow uint64
			r0, borrow = bits.Sub64(r0, lo, 0)
			r1, _ = bits.Sub64(r1, hi, borrow)
			quotient[i/64] |= 1 << (i % 64)
		}
	}
	return wide{quotient[3], quotient[2], quotient[1], quotient[0]}, compareHalf(r1, r0, hi, lo)
}
