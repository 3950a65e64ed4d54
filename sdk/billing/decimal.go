package billing

// Scale is the number of decimal places that every [Decimal] carries.
const Scale = 18

// unit is the stored integer that stands for 1: 10^Scale.
const unit = 1_000_000_000_000_000_000

// Decimal is an exact decimal number: a signed 128-bit integer, two's complement, counted in units of
// 10^-18. Its value is (Hi*2^64 + Lo) / 10^18, so it reaches from about -1.7e20 to 1.7e20 and never loses a
// digit inside that range.
//
// The zero value is 0. Decimals are plain values: copy them, compare them with ==, use them as map keys.
// Arithmetic allocates nothing and returns [ErrOverflow] instead of wrapping around; every operation that may
// drop digits takes a [Rounding] that says how.
type Decimal struct {
	Hi int64
	Lo uint64
}

// DecimalFromInt returns the decimal of a whole number. Every int64 fits.
func DecimalFromInt(n int64) Decimal {
	magnitude := uint64(n)
	if n < 0 {
		magnitude = -magnitude
	}
	hi, lo := mul64(magnitude, unit)
	d := Decimal{Hi: int64(hi), Lo: lo}
	if n < 0 {
		d = d.negated()
	}
	return d
}

// DecimalLE reads the 16 bytes that [Decimal.PutLE] wrote. It panics when b is shorter than that.
func DecimalLE(b []byte) Decimal {
	_ = b[15] // one bounds check for all sixteen
	return Decimal{
		Lo: uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
			uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56,
		Hi: int64(uint64(b[8]) | uint64(b[9])<<8 | uint64(b[10])<<16 | uint64(b[11])<<24 |
			uint64(b[12])<<32 | uint64(b[13])<<40 | uint64(b[14])<<48 | uint64(b[15])<<56),
	}
}

// PutLE writes d as 16 bytes, little endian, two's complement: the form it has in the tariff ABI, in
// checkpoints and in packed batches. It panics when b is shorter than that.
func (d Decimal) PutLE(b []byte) {
	_ = b[15]
	lo, hi := d.Lo, uint64(d.Hi)
	b[0], b[1], b[2], b[3] = byte(lo), byte(lo>>8), byte(lo>>16), byte(lo>>24)
	b[4], b[5], b[6], b[7] = byte(lo>>32), byte(lo>>40), byte(lo>>48), byte(lo>>56)
	b[8], b[9], b[10], b[11] = byte(hi), byte(hi>>8), byte(hi>>16), byte(hi>>24)
	b[12], b[13], b[14], b[15] = byte(hi>>32), byte(hi>>40), byte(hi>>48), byte(hi>>56)
}

// Add returns d + e, or [ErrOverflow].
func (d Decimal) Add(e Decimal) (Decimal, error) {
	lo, hi := d.Lo+e.Lo, d.Hi+e.Hi
	if lo < d.Lo {
		hi++
	}
	// Two numbers of one sign cannot have a sum of the other.
	if (d.Hi^hi)&(e.Hi^hi) < 0 {
		return Decimal{}, ErrOverflow
	}
	return Decimal{Hi: hi, Lo: lo}, nil
}

// Sub returns d - e, or [ErrOverflow].
func (d Decimal) Sub(e Decimal) (Decimal, error) {
	lo, hi := d.Lo-e.Lo, d.Hi-e.Hi
	if d.Lo < e.Lo {
		hi--
	}
	if (d.Hi^e.Hi)&(d.Hi^hi) < 0 {
		return Decimal{}, ErrOverflow
	}
	return Decimal{Hi: hi, Lo: lo}, nil
}

// Neg returns -d, or [ErrOverflow] for the smallest decimal, which has no opposite.
func (d Decimal) Neg() (Decimal, error) {
	if d.Hi == -1<<63 && d.Lo == 0 {
		return Decimal{}, ErrOverflow
	}
	return d.negated(), nil
}

// Abs returns d without its sign, or [ErrOverflow] for the smallest decimal.
func (d Decimal) Abs() (Decimal, error) {
	if d.Hi < 0 {
		return d.Neg()
	}
	return d, nil
}

// Cmp returns -1 when d is less than e, 0 when they are equal and 1 when d is greater.
func (d Decimal) Cmp(e Decimal) int {
	switch {
	case d == e:
		return 0
	case d.Hi < e.Hi, d.Hi == e.Hi && d.Lo < e.Lo:
		return -1
	default:
		return 1
	}
}

// Sign returns -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.Hi < 0:
		return -1
	case d.Hi == 0 && d.Lo == 0:
		return 0
	default:
		return 1
	}
}

// IsZero reports whether d is 0. Codecs that omit zero values ask it.
func (d Decimal) IsZero() bool { return d == Decimal{} }

// negated is two's complement negation; the smallest decimal is its own result.
func (d Decimal) negated() Decimal {
	hi := ^d.Hi
	if d.Lo == 0 {
		hi++
	}
	return Decimal{Hi: hi, Lo: -d.Lo}
}

// magnitude returns |d| in units of 10^-18. It has 128 bits: the smallest decimal's is 2^127.
func (d Decimal) magnitude() (hi, lo uint64) {
	sign := uint64(d.Hi >> 63) // all ones for a negative d
	hi, lo = uint64(d.Hi)^sign, (d.Lo^sign)-sign
	if lo == 0 {
		hi -= sign
	}
	return hi, lo
}

// decimalFrom is the inverse of magnitude.
func decimalFrom(negative bool, hi, lo uint64) (Decimal, error) {
	if hi >= 1<<63 && (!negative || hi > 1<<63 || lo != 0) {
		return Decimal{}, ErrOverflow
	}
	d := Decimal{Hi: int64(hi), Lo: lo}
	if negative {
		d = d.negated()
	}
	return d, nil
}
