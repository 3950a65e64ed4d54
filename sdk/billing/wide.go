package billing

import (
	"math/bits"
	"runtime"
)

// wide is an unsigned 256-bit integer, most significant word first: the room in which products and quotients
// of decimals are exact until they are rounded, once. A struct, not an array, so that it stays in registers.
type wide struct{ w3, w2, w1, w0 uint64 }

// fits128 reports whether x is below 2^128.
func (x wide) fits128() bool { return x.w3|x.w2 == 0 }

// next returns x + 1. Callers never hold the largest wide.
func (x wide) next() wide {
	var carry uint64
	x.w0, carry = bits.Add64(x.w0, 1, 0)
	x.w1, carry = bits.Add64(x.w1, 0, carry)
	x.w2, carry = bits.Add64(x.w2, 0, carry)
	x.w3 += carry
	return x
}

// mul64 returns the 128-bit product of x and y.
func mul64(x, y uint64) (hi, lo uint64) {
	if runtime.GOARCH == "wasm" { // a constant: only one branch is compiled
		return mul64Portable(x, y)
	}
	return bits.Mul64(x, y)
}

// mul64Portable is mul64 without a machine instruction for it, which WebAssembly does not have. It is short enough
// for the compiler to put in place; the one in math/bits is called, at several times the price.
func mul64Portable(x, y uint64) (hi, lo uint64) {
	x0, x1 := x&(1<<32-1), x>>32
	y0, y1 := y&(1<<32-1), y>>32
	middle := x1*y0 + x0*y0>>32
	hi = x1*y1 + middle>>32 + (middle&(1<<32-1)+x0*y1)>>32
	return hi, x * y
}

// mul128 returns the product of two 128-bit integers.
func mul128(ahi, alo, bhi, blo uint64) wide {
	var p wide
	p.w1, p.w0 = mul64(alo, blo)
	if ahi != 0 {
		hi, lo := mul64(ahi, blo)
		var carry uint64
		p.w1, carry = bits.Add64(p.w1, lo, 0)
		p.w2 = hi + carry // a product's high word is at most 2^64-2
	}
	if bhi != 0 {
		hi, lo := mul64(alo, bhi)
		var carry uint64
		p.w1, carry = bits.Add64(p.w1, lo, 0)
		p.w2, carry = bits.Add64(p.w2, hi, carry)
		p.w3 = carry
	}
	if ahi != 0 && bhi != 0 {
		hi, lo := mul64(ahi, bhi)
		var carry uint64
		p.w2, carry = bits.Add64(p.w2, lo, 0)
		p.w3 += hi + carry
	}
	return p
}

// mulPowerOfTen returns x * 10^n for a 128-bit x and n up to 38, and whether that fits 128 bits.
func mulPowerOfTen(hi, lo uint64, n int) (uint64, uint64, bool) {
	for n > 0 {
		step := min(n, powerMax)
		n -= step
		over, middle := mul64(hi, powers[step].value)
		top, bottom := mul64(lo, powers[step].value)
		var carry uint64
		hi, carry = bits.Add64(middle, top, 0)
		lo = bottom
		if over|carry != 0 {
			return 0, 0, false
		}
	}
	return hi, lo, true
}

// divPowerOfTen returns x / 10^n and the remainder, for n from 1 to powerMax.
func (x wide) divPowerOfTen(n int) (q wide, remainder uint64) {
	q.w3, q.w2, remainder = divWords(0, x.w3, x.w2, n)
	q.w1, q.w0, remainder = divWords(remainder, x.w1, x.w0, n)
	return q, remainder
}

// divWords returns the quotient, in two words, and the remainder of x2 x1 x0 / 10^n, for n from 1 to powerMax and
// x2 below 10^n.
//
// For each word of the quotient this multiplies by a reciprocal (Möller and Granlund, "Improved division by
// invariant integers", algorithm 4), and it is written without loops and calls: tariffs run it in WebAssembly,
// which cannot divide 128 bits by 64, and where Go's branches and calls cost more than the arithmetic.
func divWords(x2, x1, x0 uint64, n int) (q1, q0, remainder uint64) {
	p := &powers[n]
	// The divisor is used with its top bit set, so the dividend is shifted by as much.
	up := p.shift & 63
	r := x2<<up | x1>>1>>(63-up)
	x1 = x1<<up | x0>>1>>(63-up)
	x0 <<= up

	hi, lo := mul64(p.reciprocal, r)
	lo += x1
	q1 = hi + r + 1
	if lo < x1 {
		q1++
	}
	r = x1 - q1*p.normal
	if r > lo {
		q1--
		r += p.normal
	}
	if r >= p.normal { // rare
		q1++
		r -= p.normal
	}

	hi, lo = mul64(p.reciprocal, r)
	lo += x0
	q0 = hi + r + 1
	if lo < x0 {
		q0++
	}
	r = x0 - q0*p.normal
	if r > lo {
		q0--
		r += p.normal
	}
	if r >= p.normal { // rare
		q0++
		r -= p.normal
	}
	return q1, q0, r >> up
}

// divide128 returns x / (hi*2^64 + lo) and the rest of that division, for a divisor other than 0 and a quotient
// of which the caller checks the size. x is below 2^190.
func (x wide) divide128(hi, lo uint64) (wide, rest) {
	if hi == 0 {
		return x.divide64(lo)
	}
	// Long division in base 2^64 with a divisor of two digits, its top bit set. x has room above for the shift,
	// and since the divisor is at least 2^64, the quotient has two digits.
	up := uint(bits.LeadingZeros64(hi))
	down := 64 - up
	d1, d0 := hi<<up|lo>>down, lo<<up
	var q wide
	if x.fits128() { // as when whole packages are counted: one digit
		r1, r0 := x.w1>>down, x.w1<<up|x.w0>>down
		q.w0, r1, r0 = divideDigit(r1, r0, x.w0<<up, d1, d0)
		return q, compareHalf(r1, r0, d1, d0)
	}
	r1, r0 := x.w3<<up|x.w2>>down, x.w2<<up|x.w1>>down
	q.w1, r1, r0 = divideDigit(r1, r0, x.w1<<up|x.w0>>down, d1, d0)
	q.w0, r1, r0 = divideDigit(r1, r0, x.w0<<up, d1, d0)
	return q, compareHalf(r1, r0, d1, d0)
}

// divide64 is divide128 for a divisor of one word.
func (x wide) divide64(divisor uint64) (wide, rest) {
	var q wide
	var r uint64
	q.w3, r = x.w3/divisor, x.w3%divisor
	q.w2, r = bits.Div64(r, x.w2, divisor)
	q.w1, r = bits.Div64(r, x.w1, divisor)
	q.w0, r = bits.Div64(r, x.w0, divisor)
	return q, compareHalf(0, r, 0, divisor)
}

// divideDigit divides the three digits r1 r0 next by the two digits d1 d0, where r1 r0 is less than d1 d0 and
// the top bit of d1 is set, into one digit and a remainder of two (Knuth, The Art of Computer Programming,
// volume 2, 4.3.1, algorithm D).
func divideDigit(r1, r0, next, d1, d0 uint64) (digit, rest1, rest0 uint64) {
	// Guess from the leading digit of the divisor; the guess is at most two too large.
	var over uint64
	if r1 >= d1 {
		digit = 1<<64 - 1
		rest1, over = bits.Add64(r0, d1, 0)
	} else {
		digit, rest1 = bits.Div64(r1, r0, d1)
	}
	for over == 0 {
		hi, lo := mul64(digit, d0)
		if hi < rest1 || hi == rest1 && lo <= next {
			break
		}
		digit--
		rest1, over = bits.Add64(rest1, d1, 0)
	}
	// The remainder fits two digits, so the borrow out of the second is the word that cancels.
	hi, lo := mul64(digit, d0)
	var borrow uint64
	rest0, borrow = bits.Sub64(next, lo, 0)
	rest1, _ = bits.Sub64(rest1, hi, borrow)
	return digit, rest1, rest0
}

// compareHalf returns the rest of a division with this remainder and divisor.
func compareHalf(r1, r0, d1, d0 uint64) rest {
	if r1|r0 == 0 {
		return restNone
	}
	// remainder against divisor - remainder: doubling could overflow.
	c0, borrow := bits.Sub64(d0, r0, 0)
	c1, _ := bits.Sub64(d1, r1, borrow)
	switch {
	case r1 == c1 && r0 == c0:
		return restHalf
	case r1 < c1, r1 == c1 && r0 < c0:
		return restLess
	default:
		return restMore
	}
}

// powerMax is the largest power of ten in the table: 10^19 is the largest in one word.
const powerMax = 19

// power is a power of ten, ready to divide by.
type power struct {
	value      uint64
	shift      uint   // leading zero bits of value
	normal     uint64 // value << shift: its top bit is set
	reciprocal uint64 // floor((2^128-1) / normal) - 2^64
}

// powers[n] is 10^n. Written out, so that a guest has it without running anything at start.
var powers = [powerMax + 1]power{
	{1, 63, 0x8000000000000000, 0xffffffffffffffff},
	{10, 60, 0xa000000000000000, 0x9999999999999999},
	{100, 57, 0xc800000000000000, 0x47ae147ae147ae14},
	{1000, 54, 0xfa00000000000000, 0x624dd2f1a9fbe76},
	{10000, 50, 0x9c40000000000000, 0xa36e2eb1c432ca57},
	{100000, 47, 0xc350000000000000, 0x4f8b588e368f0846},
	{1000000, 44, 0xf424000000000000, 0xc6f7a0b5ed8d36b},
	{10000000, 40, 0x9896800000000000, 0xad7f29abcaf48578},
	{100000000, 37, 0xbebc200000000000, 0x5798ee2308c39df9},
	{1000000000, 34, 0xee6b280000000000, 0x12e0be826d694b2e},
	{10000000000, 30, 0x9502f90000000000, 0xb7cdfd9d7bdbab7d},
	{100000000000, 27, 0xba43b74000000000, 0x5fd7fe17964955fd},
	{1000000000000, 24, 0xe8d4a51000000000, 0x19799812dea11197},
	{10000000000000, 20, 0x9184e72a00000000, 0xc25c268497681c26},
	{100000000000000, 17, 0xb5e620f480000000, 0x6849b86a12b9b01e},
	{1000000000000000, 14, 0xe35fa931a0000000, 0x203af9ee756159b2},
	{10000000000000000, 10, 0x8e1bc9bf04000000, 0xcd2b297d889bc2b6},
	{100000000000000000, 7, 0xb1a2bc2ec5000000, 0x70ef54646d496892},
	{1000000000000000000, 4, 0xde0b6b3a76400000, 0x2725dd1d243aba0e},
	{10000000000000000000, 0, 0x8ac7230489e80000, 0xd83c94fb6d2ac34a},
}
