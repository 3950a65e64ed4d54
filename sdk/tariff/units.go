package tariff

import "github.com/tollway/tollway/sdk/billing"

// Adder is what prices units: [PerUnit], [Graduated], [Volume], [Package] and [InAdvance].
type Adder interface {
	Pricer
	// Add adds units to a slot; an error is to be returned from Price as it is.
	Add(s *Slot, q billing.Quantity) error
}

// Conversion turns metered units into billed ones.
type Conversion struct {
	multiply bool
	factor   billing.Decimal
	rounding billing.Rounding
}

// ReadConversion reads {operation, factor, rounding, precision} from an object of parameters.
func ReadConversion(p Params) Conversion {
	v := Conversion{
		multiply: p.Choice("operation", "How the factor applies.", "multiply", "divide") == "multiply",
		factor:   p.Decimal("factor", "What metered units are multiplied with or divided by."),
	}
	if v.factor.Sign() <= 0 {
		p.Fail("factor", "must be greater than 0")
	}
	mode := p.ChoiceOr("rounding", "How converted units are rounded; none keeps 18 decimal places.", "none",
		"none", "ceiling", "floor", "half_up", "half_even")
	v.rounding = Exact
	precision := p.IntOr("precision", "The decimal places that rounding keeps; 0 without.", billing.RoundingScaleMin, billing.RoundingScaleMax, 0)
	if parsed, err := billing.ParseRoundingMode(mode); err == nil && parsed != billing.RoundNone {
		v.rounding = billing.Rounding{Scale: precision, Mode: parsed}
	}
	return v
}

// Convert returns the billed units.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (v Conversion) Convert(q billing.Quantity) (billing.Quantity, error) {
	var d billing.Decimal
	var err error
	if v.multiply {
		d, err = q.D().Mul(v.factor, v.rounding)
	} else {
		d, err = q.D().Quo(v.factor, v.rounding)
	}
	return billing.Quantity(d), err
}

// netUnits prices what is left of metered units after their conversion and the free ones. Both apply to the sum of the
// period: its rounded conversion is priced, so that roundings of single events do not add up.
type netUnits struct {
	inner      Adder
	finisher   Finisher // nil when inner is none
	metered    QuantityCell
	billed     QuantityCell
	converted  bool
	conversion Conversion
	free       billing.Quantity
}

// NetUnits reads the parameters `unit_conversion` and `discounts.usage` and returns the function that puts them before
// a price, to be called once. Without either it returns the price itself.
func NetUnits(c *Config) func(Adder) Adder {
	conversion, converted := c.Params.OptionalObject("unit_conversion", "Turns metered units into billed ones, before anything else.")
	discounts, discounted := c.Params.OptionalObject("discounts", "What is taken off before prices.")
	n := &netUnits{converted: converted}
	if converted {
		n.conversion = ReadConversion(conversion)
	}
	if discounted {
		n.free, _ = discounts.OptionalQuantity("usage", "Units that are free in each period, after conversion.")
	}
	if n.free.Sign() < 0 {
		discounts.Fail("usage", "must not be below 0")
	}
	return func(inner Adder) Adder {
		if !converted && n.free.IsZero() {
			return inner
		}
		n.inner, n.metered, n.billed = inner, c.State.Quantity(), c.State.Quantity()
		n.finisher, _ = inner.(Finisher)
		return n
	}
}

func (n *netUnits) Price(s *Slot, e *Event) error { return n.Add(s, e.Quantity()) }

// Add adds metered units.
func (n *netUnits) Add(s *Slot, q billing.Quantity) error {
	metered, err := n.metered.Add(s, q)
	if err != nil {
		return err
	}
	units := metered
	if n.converted {
		if units, err = n.conversion.Convert(metered); err != nil {
			return err
		}
	}
	if units.Sign() > 0 {
		if units, err = units.Sub(n.free); err != nil {
			return err
		}
		if units.Sign() < 0 {
			units = billing.Quantity{}
		}
	}
	step, err := units.Sub(n.billed.Get(s))
	if err != nil {
		return err
	}
	n.billed.Set(s, units)
	return n.inner.Add(s, step)
}

// Finish finishes the price.
func (n *netUnits) Finish(s *Slot) error {
	if n.finisher == nil {
		return nil
	}
	return n.finisher.Finish(s)
}
