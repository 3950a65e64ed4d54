package billing

// Quantity is how much was used, in the unit of a meter. It is a [Decimal] of its own type, so that money and
// usage cannot be mixed up; Quantity(d) and [Quantity.D] convert.
type Quantity Decimal

// ParseQuantity reads what [ParseDecimal] reads.
func ParseQuantity(s string) (Quantity, error) {
	d, err := ParseDecimal(s)
	return Quantity(d), err
}

// D returns the number itself, for arithmetic that leaves the type.
func (q Quantity) D() Decimal { return Decimal(q) }

// Add returns the sum, or [ErrOverflow].
func (q Quantity) Add(p Quantity) (Quantity, error) {
	sum, err := q.D().Add(p.D())
	return Quantity(sum), err
}

// Sub returns the difference, or [ErrOverflow].
func (q Quantity) Sub(p Quantity) (Quantity, error) {
	difference, err := q.D().Sub(p.D())
	return Quantity(difference), err
}

// Neg returns the opposite, or [ErrOverflow] as [Decimal.Neg] does.
func (q Quantity) Neg() (Quantity, error) {
	opposite, err := q.D().Neg()
	return Quantity(opposite), err
}

// Cmp returns -1, 0 or 1 as q is less than, equal to or greater than p.
func (q Quantity) Cmp(p Quantity) int { return q.D().Cmp(p.D()) }

// Sign returns -1, 0 or 1.
func (q Quantity) Sign() int { return q.D().Sign() }

// IsZero reports whether q is 0.
func (q Quantity) IsZero() bool { return q.D().IsZero() }

// String is [Decimal.String].
func (q Quantity) String() string { return q.D().String() }

// Fixed is [Decimal.Fixed].
func (q Quantity) Fixed(scale int) string { return q.D().Fixed(scale) }

// AppendText is [Decimal.AppendText].
func (q Quantity) AppendText(b []byte) ([]byte, error) { return q.D().AppendText(b) }

// MarshalText is [Decimal.MarshalText].
func (q Quantity) MarshalText() ([]byte, error) { return q.D().MarshalText() }

// UnmarshalText is [Decimal.UnmarshalText].
func (q *Quantity) UnmarshalText(text []byte) error { return (*Decimal)(q).UnmarshalText(text) }
