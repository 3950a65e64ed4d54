package billing

import (
	"math/bits"
	"strconv"
)

// ParseDecimal reads a decimal number: an optional minus sign, digits, optionally a point and more digits,
// optionally an exponent ("12", "-0.5", "1.25e-3"). Nothing else is read: no plus sign in front, no spaces, no
// thousands separators, no bare points.
//
// The value is exact or an error, a [ParseError] around [ErrSyntax], [ErrTooPrecise] (a digit other than 0
// behind the 18th decimal place) or [ErrOverflow].
func ParseDecimal(s string) (Decimal, error) {
	n, ok := scanNumeral(s)
	if !ok {
		return Decimal{}, &ParseError{What: "decimal", Text: s, Err: ErrSyntax}
	}
	d, err := n.decimal()
	if err != nil {
		return Decimal{}, &ParseError{What: "decimal", Text: s, Err: err}
	}
	return d, nil
}

// MustDecimal is [ParseDecimal] for constants and tests: it panics when s is not a decimal.
func MustDecimal(s string) Decimal {
	d, err := ParseDecimal(s)
	if err != nil {
		panic(err) //nolint:forbidigo // what Must says
	}
	return d
}

// numeral is the text of a number taken apart: its value is digits * 10^exponent.
type numeral struct {
	negative bool
	digits   string // digits, at most one point among them, neither starting nor ending with a 0; empty for 0
	count    int    // digits without the point
	exponent int64
}

// exponentMax bounds the exponent that is computed. Text long enough to need a larger one does not exist.
const exponentMax = 1 << 40

// scanNumeral takes s apart and reports whether it is a number at all.
func scanNumeral(s string) (n numeral, ok bool) {
	if s != "" && s[0] == '-' {
		n.negative = true
		s = s[1:]
	}
	end := digitsAt(s, 0)
	whole := end
	if end == 0 {
		return n, false
	}
	if end < len(s) && s[end] == '.' {
		fraction := digitsAt(s, end+1)
		if fraction == end+1 {
			return n, false
		}
		end = fraction
		n.exponent = -int64(end - whole - 1)
	}
	n.digits = s[:end]
	if end < len(s) {
		exponent, ok := scanExponent(s[end:])
		if !ok {
			return n, false
		}
		n.exponent += exponent
	}
	n.trim(whole)
	return n, true
}

// trim drops zeros at both ends of the digits; point is where the point stands.
func (n *numeral) trim(point int) {
	start, end := 0, len(n.digits)
	for end > start && (n.digits[end-1] == '0' || n.digits[end-1] == '.') {
		end--
		if end != point {
			n.exponent++
		}
	}
	for start < end && (n.digits[start] == '0' || n.digits[start] == '.') {
		start++
	}
	n.digits = n.digits[start:end]
	n.count = len(n.digits)
	if start < point && point < end {
		n.count--
	}
}

// digitsAt returns where the digits of s that begin at i end.
func digitsAt(s string, i int) int {
	for i < len(s) && s[i]-'0' <= 9 {
		i++
	}
	return i
}

// scanExponent reads e, an optional sign and digits.
func scanExponent(s string) (exponent int64, ok bool) {
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	i := 1
	negative := false
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		negative = s[i] == '-'
		i++
	}
	if i == len(s) || digitsAt(s, i) != len(s) {
		return 0, false
	}
	for ; i < len(s); i++ {
		exponent = min(exponent*10+int64(s[i]-'0'), exponentMax)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

// decimal returns the numeral's value.
func (n *numeral) decimal() (Decimal, error) {
	if n.count == 0 {
		return Decimal{}, nil
	}
	shift := n.exponent + Scale // what the digits are multiplied by, as a power of ten
	if shift < 0 {
		return Decimal{}, ErrTooPrecise
	}
	const digitsMax = 39 // of 2^127
	if int64(n.count)+shift > digitsMax {
		return Decimal{}, ErrOverflow
	}
	var hi, lo uint64
	for i := 0; i < len(n.digits); {
		// A group of digits that fits one word, then one wide multiplication.
		var group uint64
		size := 0
		for ; i < len(n.digits) && size < powerMax; i++ {
			if c := n.digits[i]; c != '.' {
				group = group*10 + uint64(c-'0')
				size++
			}
		}
		var ok bool
		if hi, lo, ok = mulPowerOfTen(hi, lo, size); !ok {
			return Decimal{}, ErrOverflow
		}
		var carry uint64
		lo, carry = bits.Add64(lo, group, 0)
		if hi, carry = bits.Add64(hi, 0, carry); carry != 0 {
			return Decimal{}, ErrOverflow
		}
	}
	hi, lo, ok := mulPowerOfTen(hi, lo, int(shift))
	if !ok {
		return Decimal{}, ErrOverflow
	}
	return decimalFrom(n.negative, hi, lo)
}

// String returns the shortest text of d: no exponent, no zeros behind the last decimal place that counts, no
// point without decimal places: "-0.5", "100", "0".
func (d Decimal) String() string {
	var buffer [textMax]byte
	return string(d.append(buffer[:0], 0))
}

// Fixed returns d with at least scale decimal places, zeros added as needed: 1.5 at scale 2 is "1.50". It never
// drops a digit: 1.005 at scale 2 is "1.005". Round first to have exactly scale places.
func (d Decimal) Fixed(scale int) string {
	var buffer [textMax]byte
	return string(d.append(buffer[:0], scale))
}

// AppendText appends the text of [Decimal.String] to b. The error is always nil.
func (d Decimal) AppendText(b []byte) ([]byte, error) { return d.append(b, 0), nil }

// MarshalText returns the text of [Decimal.String], so that JSON and YAML carry a decimal as a string. The error
// is always nil.
func (d Decimal) MarshalText() ([]byte, error) { return d.append(make([]byte, 0, textMax), 0), nil }

// UnmarshalText reads what [ParseDecimal] reads.
func (d *Decimal) UnmarshalText(text []byte) error {
	parsed, err := ParseDecimal(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// textMax is the length of the longest text of a decimal: a sign, 21 digits, a point, 18 digits.
const textMax = 1 + 21 + 1 + Scale

// append appends the text of d with at least scale decimal places.
func (d Decimal) append(b []byte, scale int) []byte {
	if d.Hi < 0 {
		b = append(b, '-')
	}
	hi, lo := d.magnitude()
	whole, fraction := wide{w1: hi, w0: lo}.divPowerOfTen(Scale)
	if whole.w1 != 0 {
		upper, lower := whole.divPowerOfTen(powerMax)
		b = strconv.AppendUint(b, upper.w0, 10)
		b = appendPadded(b, lower, powerMax)
	} else {
		b = strconv.AppendUint(b, whole.w0, 10)
	}
	places := 0
	if fraction != 0 {
		b = append(b, '.')
		b = appendPadded(b, fraction, Scale)
		places = Scale
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
			places--
		}
	} else if scale > 0 {
		b = append(b, '.')
	}
	for ; places < scale; places++ {
		b = append(b, '0')
	}
	return b
}

// appendPadded appends n with zeros in front to the given width. n has at most that many digits.
func appendPadded(b []byte, n uint64, width int) []byte {
	for range width {
		b = append(b, '0')
	}
	for i := len(b) - 1; n != 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}
