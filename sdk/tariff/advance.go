package tariff

import "github.com/tollway/tollway/sdk/billing"

// Cost says what so many units cost, exact.
type Cost func(units billing.Quantity) (billing.Sum, error)

// PerUnitCost is the cost at one price for every unit.
func PerUnitCost(price billing.Amount) Cost {
	return func(units billing.Quantity) (billing.Sum, error) { return billing.SumOf(units.D(), price.D()), nil }
}

// PackageCost is the cost of whole packages of units, after free ones.
func PackageCost(size, free billing.Quantity, price billing.Amount) Cost {
	return func(units billing.Quantity) (billing.Sum, error) {
		paid, err := units.Sub(free)
		if err != nil || paid.Sign() <= 0 {
			return billing.Sum{}, err
		}
		packages, err := paid.D().Quo(size.D(), billing.Rounding{Mode: billing.RoundCeiling})
		return billing.SumOf(packages, price.D()), err
	}
}

// GraduatedCost is the cost of units that are spread over tiers, with the flat fees of all that are entered.
func GraduatedCost(tiers []Tier) Cost {
	return func(units billing.Quantity) (sum billing.Sum, err error) {
		var above billing.Quantity
		for i, t := range tiers {
			if i > 0 && units.Cmp(above) <= 0 {
				break
			}
			part := units
			if i < len(tiers)-1 && units.Cmp(t.UpTo) > 0 {
				part = t.UpTo
			}
			if part, err = part.Sub(above); err == nil {
				sum, err = sum.AddProduct(part.D(), t.UnitPrice.D())
			}
			if err == nil {
				sum, err = sum.AddProduct(one.D(), t.FlatFee.D())
			}
			if err != nil {
				return billing.Sum{}, err
			}
			above = t.UpTo
		}
		return sum, nil
	}
}

// VolumeCost is the cost of units that all have the price of the tier in which their sum ends, with that tier's flat
// fee.
func VolumeCost(tiers []Tier) Cost {
	return func(units billing.Quantity) (billing.Sum, error) {
		t := &tiers[len(tiers)-1]
		for i := range tiers[:len(tiers)-1] {
			if units.Cmp(tiers[i].UpTo) <= 0 {
				t = &tiers[i]
				break
			}
		}
		return billing.SumOf(units.D(), t.UnitPrice.D()).AddProduct(one.D(), t.FlatFee.D())
	}
}

// InAdvance bills usage when it arrives: an event costs by how much it raises the cost of the most units there ever
// were, rounded. A fall is not refunded, and what rises again up to the old peak is free. Before the first event
// nothing is due, so that event pays the flat fee of the first tier.
type InAdvance struct {
	line     Line
	peak     QuantityCell
	begun    IntCell
	cost     Cost
	rounding billing.Rounding
}

// NewInAdvance claims a line for usage that is billed when it arrives.
func NewInAdvance(c *Config, line, description string, cost Cost, r billing.Rounding) *InAdvance {
	return &InAdvance{
		line: c.Line(line, description), peak: c.State.Quantity(), begun: c.State.Int(), cost: cost, rounding: r,
	}
}

// Price adds the event's quantity.
func (a *InAdvance) Price(s *Slot, e *Event) error { return a.Add(s, e.Quantity()) }

// Add adds units.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (a *InAdvance) Add(s *Slot, q billing.Quantity) error {
	units, err := a.line.Quantity(s).Add(q)
	if err != nil {
		return err
	}
	return a.Level(s, units)
}

// Level sets the units, where something else than addition makes them.
//
// # Errors
//
// Those of [InAdvance.Add].
func (a *InAdvance) Level(s *Slot, units billing.Quantity) error {
	before, amount := a.peak.Get(s), a.line.amount(s)
	after := before
	if units.Cmp(before) > 0 {
		after = units
	}
	charge, err := a.cost(after)
	if err == nil && a.begun.Get(s) != 0 {
		var paid billing.Sum
		if paid, err = a.cost(before); err == nil {
			charge, err = charge.Sub(paid)
		}
	}
	if err != nil {
		return err
	}
	rounded, err := charge.Round(a.rounding)
	if err != nil {
		return err
	}
	if amount, err = amount.Add(billing.Amount(rounded)); err != nil {
		return err
	}
	a.begun.Set(s, 1)
	a.peak.Set(s, after)
	a.line.Set(s, units, amount)
	return nil
}

// amount returns the money of the line item so far.
func (l Line) amount(s *Slot) billing.Amount {
	_, amount := l.Get(s)
	return amount
}
