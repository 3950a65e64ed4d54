package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// aggregation makes units of events in one of many ways, and prices them the same each. How events become units is
// in the other files of this tariff; here is what they share.
var aggregation = tariff.Tariff{
	Name:      "aggregation",
	Title:     "Units by sum, count, extremes, distinct keys or levels over time",
	Configure: configureAggregation,
}

// aggregate makes a number of events. Its result is value / divisor, exact.
type aggregate interface {
	// add takes an event into account.
	add(s *tariff.Slot, e *tariff.Event) error
	// units returns what the events so far come to, taken to the end of the period.
	units(s *tariff.Slot) (value billing.Decimal, divisor int64, err error)
}

func configureAggregation(c *tariff.Config) tariff.Pricer {
	p := c.Params
	kind := p.Choice("type", "How events become units.", "sum", "count", "max", "min", "avg", "latest", "unique_count",
		"weighted_sum", "prorated_sum", "prorated_unique_count")
	a := &aggregated{}
	price, priced := p.OptionalDecimal("unit_price", "The price of one unit; without it only units are counted.")
	a.price = price
	a.unitRounding = p.Rounding("unit_rounding", "Rounding of the units that are shown; the amount is made of the exact ones.")
	a.rounding = p.Rounding("rounding", tariff.AboutRounding)
	inAdvance := p.ChoiceOr("billing", "When usage is billed: one bill in arrears, progressive bills on the way, or each event in advance, when it arrives.",
		"arrears", "arrears", "progressive", "in_advance") == "in_advance"
	initial, given := p.OptionalDecimal("initial", "The level at the start of the period, for sums, counts, levels, max and latest.")
	u := &unique{prorated: kind == "prorated_unique_count", initial: initial}
	u.key, u.hasKey = p.OptionalDimension("key", "The dimension of the meter that holds the key, for unique counts.")
	u.op, u.hasOp = p.OptionalDimension("op", "The dimension that holds add or remove; without it every event adds.")
	keys := p.IntOr("keys_max", "The most distinct keys of a period; events with further ones are rejected. Of keys that go on into the next period, 1500 at most.", 1, tariff.KeyedMax, 50_000)
	cells := c.State
	if p.BoolOr("recurring", "Whether the level at the end of a period goes on into the next. Prorated, keys always do.", false) {
		cells = c.Carry
	}
	switch kind {
	case "unique_count", "prorated_unique_count":
		if !u.hasKey {
			p.Fail("key", "is missing: unique counts need it")
		}
		u.claim(c, cells, keys)
		a.aggregate = u
	case "weighted_sum", "prorated_sum":
		a.aggregate = &level{cells.Quantity(), c.State.Quantity(), c.State.Int(), kind == "prorated_sum", initial}
	case "latest":
		a.aggregate = &latest{cells.Quantity(), cells.Int(), initial}
	case "max", "min", "avg":
		if given && kind != "max" {
			p.Fail("initial", "means nothing for "+kind)
		}
		a.aggregate = &folded{kind, cells.Quantity(), cells.Int(), initial}
	default:
		a.aggregate = &folded{kind, cells.Quantity(), cells.Int(), initial}
	}
	if inAdvance {
		if !priced {
			p.Fail("unit_price", "is needed to bill in advance")
		}
		a.advance = tariff.NewInAdvance(c, usageLine, usageText, tariff.PerUnitCost(billing.Amount(price)), a.rounding)
		return a
	}
	a.line = c.Line(usageLine, usageText)
	return a
}

type aggregated struct {
	aggregate
	line         tariff.Line
	price        billing.Decimal
	unitRounding billing.Rounding
	rounding     billing.Rounding
	advance      *tariff.InAdvance // nil in arrears
}

func (a *aggregated) Price(s *tariff.Slot, e *tariff.Event) error {
	if err := a.add(s, e); err != nil {
		return err
	}
	if a.advance == nil {
		return a.Finish(s)
	}
	value, divisor, err := a.units(s)
	if err != nil {
		return err
	}
	units, err := value.MulQuo(one, divisor, tariff.Exact)
	if err != nil {
		return err
	}
	return a.advance.Level(s, billing.Quantity(units))
}

// Finish shows the units so far and their price: without any event, those that were there from the start.
func (a *aggregated) Finish(s *tariff.Slot) error {
	if a.advance != nil {
		return nil
	}
	value, divisor, err := a.units(s)
	if err != nil {
		return err
	}
	units, err := value.MulQuo(one, divisor, a.unitRounding)
	if err != nil {
		return err
	}
	amount, err := value.MulQuo(a.price, divisor, a.rounding)
	if err != nil {
		return err
	}
	a.line.Set(s, billing.Quantity(units), billing.Amount(amount))
	return nil
}

// folded is sum, count, max, min and avg.
type folded struct {
	kind    string
	value   tariff.QuantityCell
	count   tariff.IntCell
	initial billing.Decimal
}

func (f *folded) add(s *tariff.Slot, e *tariff.Event) error {
	value, count, quantity := f.value.Get(s), f.count.Get(s), e.Quantity()
	f.count.Set(s, count+1)
	switch {
	case f.kind == "count":
		return nil
	case f.kind == "sum" || f.kind == "avg":
		sum, err := value.Add(quantity)
		if err == nil {
			f.value.Set(s, sum)
		}
		return err
	case count == 0, f.kind == "max" && quantity.Cmp(value) > 0, f.kind == "min" && quantity.Cmp(value) < 0:
		f.value.Set(s, quantity)
	}
	return nil
}

func (f *folded) units(s *tariff.Slot) (billing.Decimal, int64, error) {
	value, count := f.value.Get(s).D(), f.count.Get(s)
	switch f.kind {
	case "avg":
		return value, max(count, 1), nil
	case "max":
		if count == 0 || value.Cmp(f.initial) < 0 && !f.initial.IsZero() {
			value = f.initial
		}
		return value, 1, nil
	case "min":
		return value, 1, nil
	case "count":
		value = billing.DecimalFromInt(count)
	}
	value, err := value.Add(f.initial)
	return value, 1, err
}

// latest is the quantity of the event with the latest time, of several the one that came last; not below 0.
type latest struct {
	value   tariff.QuantityCell
	at      tariff.IntCell // unix nanoseconds + 1, 0 = none yet
	initial billing.Decimal
}

func (l *latest) add(s *tariff.Slot, e *tariff.Event) error {
	if at := e.Time() + 1; at >= l.at.Get(s) {
		l.at.Set(s, at)
		l.value.Set(s, e.Quantity())
	}
	return nil
}

func (l *latest) units(s *tariff.Slot) (billing.Decimal, int64, error) {
	value := l.value.Get(s).D()
	if l.at.Get(s) == 0 {
		value = l.initial
	}
	if value.Sign() < 0 {
		value = billing.Decimal{}
	}
	return value, 1, nil
}
