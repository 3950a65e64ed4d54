package tariff

import "github.com/tollway/tollway/sdk/billing"

// AboutRounding describes the parameter `rounding` of the tariffs that have one.
const AboutRounding = "Rounding of each amount; without it amounts keep 18 decimal places."

// Multiply returns what q units cost at a price per unit, rounded once from the exact product.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func Multiply(q billing.Quantity, price billing.Amount, r billing.Rounding) (billing.Amount, error) {
	if n, not := count(q.Lo, uint64(q.Hi)); not == 0 && plain(price, r) {
		return billing.Amount{Hi: int64(n*uint64(price.Hi) + high(n, price.Lo)), Lo: n * price.Lo}, nil
	}
	amount, err := billing.Decimal(q).Mul(billing.Decimal(price), r)
	return billing.Amount(amount), err
}

// whole is 1 as a decimal holds it.
const whole = 1_000_000_000_000_000_000

// extend returns what units+q cost, given what units cost, for the commonest event of all: a
// small whole number of units at a price that is not rounded. It says false where this does not
// hold, and [Multiply] has to find the amount from the sum.
//
// The two agree: q times price is then a whole number of the last decimal place, and rounding to
// that place commutes with adding one of those, unless the sum changes its sign. It does not: the
// price is not negative, so neither are the units when the amount is not, nor what is added.
func extend(q billing.Quantity, amount, price billing.Amount, r billing.Rounding) (billing.Amount, bool) {
	const (
		countMax = 18      // q.Hi is 0 for these
		priceMax = 1 << 59 // price.Lo times countMax does not overflow
	)
	if r != Exact || q.Hi|price.Hi != 0 || price.Lo >= priceMax || amount.Hi < 0 {
		return billing.Amount{}, false
	}
	count := q.Lo / whole
	if count*whole != q.Lo {
		return billing.Amount{}, false
	}
	lo := amount.Lo + price.Lo*count
	if lo < amount.Lo {
		amount.Hi++
	}
	amount.Lo = lo
	return amount, amount.Hi >= 0
}

// one is the quantity of a fee.
var one = billing.Quantity(billing.DecimalFromInt(1))

// PerUnit prices every unit the same, on one line.
type PerUnit struct {
	line     Line
	price    billing.Amount
	rounding billing.Rounding
}

// NewPerUnit claims a line on which every unit has the given price.
func NewPerUnit(c *Config, line, description string, price billing.Amount, r billing.Rounding) *PerUnit {
	return &PerUnit{line: c.Line(line, description), price: price, rounding: r}
}

// Price adds the event's quantity.
func (p *PerUnit) Price(s *Slot, e *Event) error { return p.Add(s, e.Quantity()) }

// Add adds units. The line's amount is the rounded price of all units so far, so the roundings
// of single events do not add up.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (p *PerUnit) Add(s *Slot, q billing.Quantity) error {
	before, amount := p.line.Get(s)
	units, err := before.Add(q)
	if err != nil {
		return err
	}
	amount, ok := extend(q, amount, p.price, p.rounding)
	if !ok {
		if amount, err = Multiply(units, p.price, p.rounding); err != nil {
			return err
		}
	}
	s.setLine(p.line.index, units, amount)
	return nil
}

// Package prices whole packages of units: the first unit of a package costs all of it.
type Package struct {
	line       Line
	size, free billing.Quantity
	price      billing.Amount
	rounding   billing.Rounding
}

// NewPackage claims a line on which each package of size units costs price, after free units.
// The line's quantity is units, not packages. size must be above 0.
func NewPackage(
	c *Config, line, description string, size, free billing.Quantity, price billing.Amount, r billing.Rounding,
) *Package {
	return &Package{line: c.Line(line, description), size: size, free: free, price: price, rounding: r}
}

// Price adds the event's quantity.
func (p *Package) Price(s *Slot, e *Event) error { return p.Add(s, e.Quantity()) }

// Add adds units.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (p *Package) Add(s *Slot, q billing.Quantity) error {
	units, err := p.line.Quantity(s).Add(q)
	if err != nil {
		return err
	}
	amount, err := p.amount(units)
	if err != nil {
		return err
	}
	p.line.Set(s, units, amount)
	return nil
}

// amount is what so many units cost.
func (p *Package) amount(units billing.Quantity) (billing.Amount, error) {
	paid, err := units.Sub(p.free)
	if err != nil || paid.Sign() <= 0 {
		return billing.Amount{}, err
	}
	packages, err := billing.Decimal(paid).Quo(billing.Decimal(p.size), billing.Rounding{Mode: billing.RoundCeiling})
	if err != nil {
		return billing.Amount{}, err
	}
	return Multiply(billing.Quantity(packages), p.price, p.rounding)
}

// Flat is an amount that is due once per period, whatever the usage.
type Flat struct {
	line   Line
	amount billing.Amount
}

// NewFlat claims a line for an amount that is due once.
func NewFlat(c *Config, line, description string, amount billing.Amount) *Flat {
	return &Flat{line: c.Line(line, description), amount: amount}
}

// Price makes the amount due: the subscription is in use.
func (f *Flat) Price(s *Slot, _ *Event) error {
	f.Charge(s)
	return nil
}

// Finish makes the amount due: the period ends.
func (f *Flat) Finish(s *Slot) error {
	f.Charge(s)
	return nil
}

// Charge makes the amount due. Doing it again changes nothing.
func (f *Flat) Charge(s *Slot) {
	if f.line.Quantity(s).IsZero() {
		f.line.Set(s, one, f.amount)
	}
}
