package billing

// Amount is money in the unit of a currency that is known from where the amount stands: 12.35 is 12 euros and
// 35 cents. It is a [Decimal] of its own type, so that money and usage cannot be mixed up; Amount(d) and
// [Amount.D] convert.
type Amount Decimal

// ParseAmount reads what [ParseDecimal] reads.
func ParseAmount(s string) (Amount, error) {
	d, err := ParseDecimal(s)
	return Amount(d), err
}

// D returns the number itself, for arithmetic that leaves the type.
func (a Amount) D() Decimal { return Decimal(a) }

// Add returns the sum, or [ErrOverflow].
func (a Amount) Add(b Amount) (Amount, error) {
	sum, err := a.D().Add(b.D())
	return Amount(sum), err
}

// Sub returns the difference, or [ErrOverflow].
func (a Amount) Sub(b Amount) (Amount, error) {
	difference, err := a.D().Sub(b.D())
	return Amount(difference), err
}

// Neg returns the opposite, or [ErrOverflow] as [Decimal.Neg] does.
func (a Amount) Neg() (Amount, error) {
	opposite, err := a.D().Neg()
	return Amount(opposite), err
}

// Round returns the amount rounded as r says. To the currency's smallest unit that is
// Rounding{Scale: currency.Digits(), Mode: mode}.
func (a Amount) Round(r Rounding) (Amount, error) {
	rounded, err := a.D().Round(r)
	return Amount(rounded), err
}

// Cmp returns -1, 0 or 1 as a is less than, equal to or greater than b.
func (a Amount) Cmp(b Amount) int { return a.D().Cmp(b.D()) }

// Sign returns -1, 0 or 1.
func (a Amount) Sign() int { return a.D().Sign() }

// IsZero reports whether a is 0.
func (a Amount) IsZero() bool { return a.D().IsZero() }

// String is [Decimal.String].
func (a Amount) String() string { return a.D().String() }

// Fixed is [Decimal.Fixed].
func (a Amount) Fixed(scale int) string { return a.D().Fixed(scale) }

// AppendText is [Decimal.AppendText].
func (a Amount) AppendText(b []byte) ([]byte, error) { return a.D().AppendText(b) }

// MarshalText is [Decimal.MarshalText].
func (a Amount) MarshalText() ([]byte, error) { return a.D().MarshalText() }

// UnmarshalText is [Decimal.UnmarshalText].
func (a *Amount) UnmarshalText(text []byte) error { return (*Decimal)(a).UnmarshalText(text) }
