package ingest

import (
	"bytes"
	"strconv"
)

// plainMax is the longest canonical number, in digits, that is written without an exponent. Every number that a
// billing.Decimal can hold is shorter; what is longer keeps its digits and gets an exponent, so that "1e300" costs five
// bytes and not three hundred.
const plainMax = 64

// exponentMax bounds the exponent a number may have. It is far outside what can be billed, and keeps the arithmetic on
// exponents inside an int on every platform.
const exponentMax = 1_000_000

// appendNumber appends the canonical decimal text of a JSON number: no sign on zero, no leading zeros, no zeros behind
// the last fraction digit, no exponent unless the plain form is longer than plainMax digits ("1.50" is "1.5", "1e3" is
// "1000", "-0.0" is "0", "1e300" stays "1e300"). No digit is lost: equal numbers have equal texts, unequal ones do not.
// It reports false for an exponent beyond exponentMax. The literal must be a valid JSON number.
func appendNumber(dst, literal []byte) ([]byte, bool) {
	if plainInteger(literal) {
		return append(dst, literal...), true
	}
	n, ok := parseNumber(literal)
	if !ok {
		return dst, false
	}
	return n.append(dst), true
}

// plainInteger reports whether a JSON number is canonical as it stands because it is a short integer: the common case.
func plainInteger(literal []byte) bool {
	digits := literal
	if digits[0] == '-' {
		digits = digits[1:]
		if digits[0] == '0' {
			return false
		}
	}
	if len(digits) > plainMax {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// number is digits × 10^exponent, digits having neither leading nor trailing zeros. Zero has no digits.
type number struct {
	negative bool
	digits   []byte
	exponent int
}

// parseNumber takes a valid JSON number apart. It reports false for an exponent beyond exponentMax.
func parseNumber(literal []byte) (n number, ok bool) {
	mantissa, exponent := literal, 0
	ok = true
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		// The literal is a valid number, so Atoi fails only when the exponent does not fit an int.
		var err error
		exponent, err = strconv.Atoi(string(literal[i+1:]))
		mantissa, ok = literal[:i], err == nil && exponent <= exponentMax && exponent >= -exponentMax
	}
	if mantissa[0] == '-' {
		n.negative, mantissa = true, mantissa[1:]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	all := append(append(make([]byte, 0, len(mantissa)), whole...), fraction...)
	kept := bytes.TrimRight(all, "0")
	n.exponent = exponent - len(fraction) + len(all) - len(kept)
	n.digits = bytes.TrimLeft(kept, "0")
	if len(n.digits) == 0 {
		return number{}, true // zero is zero with any exponent
	}
	return n, ok
}

// append writes the canonical text.
func (n number) append(dst []byte) []byte {
	if len(n.digits) == 0 {
		return append(dst, '0')
	}
	if n.negative {
		dst = append(dst, '-')
	}
	point := len(n.digits) + n.exponent // where the decimal point stands among the digits
	switch {
	case n.exponent >= 0 && point <= plainMax:
		return appendZeros(append(dst, n.digits...), n.exponent)
	case n.exponent < 0 && point > 0 && len(n.digits) <= plainMax:
		dst = append(append(dst, n.digits[:point]...), '.')
		return append(dst, n.digits[point:]...)
	case n.exponent < 0 && point <= 0 && -n.exponent < plainMax:
		dst = appendZeros(append(dst, '0', '.'), -point)
		return append(dst, n.digits...)
	}
	dst = append(dst, n.digits[0])
	if len(n.digits) > 1 {
		dst = append(append(dst, '.'), n.digits[1:]...)
	}
	return strconv.AppendInt(append(dst, 'e'), int64(point-1), 10)
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}

// appendScaled appends the canonical text of unscaled × 10^-scale, the form in which packed batches carry numbers. It
// reports false where appendNumber would.
func appendScaled(dst []byte, unscaled, scale int64) ([]byte, bool) {
	if unscaled == 0 {
		return append(dst, '0'), true
	}
	for scale > 0 && unscaled%10 == 0 {
		unscaled /= 10
		scale--
	}
	if scale == 0 {
		return strconv.AppendInt(dst, unscaled, 10), true
	}
	if scale < 0 || scale > scaleMax {
		if scale > exponentMax || scale < -exponentMax { // before the negation, which could overflow
			return dst, false
		}
		literal := strconv.AppendInt(make([]byte, 0, 48), unscaled, 10)
		return appendNumber(dst, strconv.AppendInt(append(literal, 'e'), -scale, 10))
	}
	return appendFraction(dst, unscaled, int(scale)), true
}

// scaleMax is the largest scale of the fast path of appendScaled and the largest that the Packer writes: that of a
// billing.Decimal.
const scaleMax = 18

// appendFraction writes unscaled × 10^-scale for 1 ≤ scale ≤ scaleMax and an unscaled that does not end in zero.
func appendFraction(dst []byte, unscaled int64, scale int) []byte {
	magnitude := uint64(unscaled)
	if unscaled < 0 {
		magnitude = -magnitude
	}
	var text [len("-0.123456789012345678") + 2]byte
	at := len(text)
	for range scale {
		at--
		text[at] = byte('0' + magnitude%10)
		magnitude /= 10
	}
	at--
	text[at] = '.'
	for again := true; again; again = magnitude > 0 {
		at--
		text[at] = byte('0' + magnitude%10)
		magnitude /= 10
	}
	if unscaled < 0 {
		at--
		text[at] = '-'
	}
	return append(dst, text[at:]...)
}

// scaled is the inverse of appendScaled for texts that are canonical and fit: it reports false for any text that
// appendScaled would not give back byte for byte, which then travels as text.
func scaled(text string) (unscaled, scale int64, ok bool) {
	const digitsMax = 18 // always fits an int64
	first := 0
	if text != "" && text[0] == '-' {
		first = 1
	}
	if n := len(text) - first; n == 0 || n > digitsMax+len(".") || text == "-0" {
		return 0, 0, false
	}
	point := len(text)
	for i := first; i < len(text); i++ {
		digit := text[i] - '0'
		if digit > 9 {
			if text[i] != '.' || point < len(text) {
				return 0, 0, false
			}
			point = i
			continue
		}
		unscaled = unscaled*10 + int64(digit)
	}
	fraction := len(text) - point - 1 // -1 without a point
	switch {
	case point == first || text[first] == '0' && point > first+1,
		fraction == 0 || fraction > 0 && text[len(text)-1] == '0',
		fraction < 0 && len(text)-first > digitsMax:
		return 0, 0, false
	}
	if first > 0 {
		unscaled = -unscaled
	}
	return unscaled, int64(max(fraction, 0)), true
}
