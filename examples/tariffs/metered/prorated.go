package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// proratedGraduated prices a level, such as seats, by tiers and by how much of the period is left. The unit at
// position n of the level has the price of the tier of n: adding it charges that price times the part of the period
// that is left, removing it credits the same. Flat fees are those of all tiers up to the highest level.
var proratedGraduated = tariff.Tariff{
	Name:  "prorated_graduated",
	Title: "A level by tiers, each unit for the days that are left",
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		readArrears(p)
		g := &seats{usage: c.Line(usageLine, usageText), fees: c.Line("flat_fee", "Flat fees")}
		g.rounding = p.Rounding("rounding", "Rounding of the usage and of the flat fees; without it amounts keep 18 decimal places.")
		g.tiers = tariff.ReadTiers(p)
		g.initial, _ = p.OptionalQuantity("initial_units", "The level at the start of the period; it counts for all of it.")
		g.removalCharged = p.ChoiceOr("day_rule", "Whether the day on which a unit is removed is still charged.",
			"removal_day_free", "removal_day_free", "removal_day_charged") == "removal_day_charged"
		g.prorated, g.hasProrated = p.OptionalDimension("prorated_quantity", "The dimension that holds an event's quantity times the part of the period that it counts for, in place of its date.")
		cells := c.State
		if p.BoolOr("recurring", "Whether the level at the end of a period goes on into the next.", false) {
			cells = c.Carry
		}
		g.level, g.peak, g.begun, g.sum = cells.Quantity(), c.State.Quantity(), c.State.Int(), c.State.Sum()
		return g
	},
}

type seats struct {
	usage, fees    tariff.Line
	tiers          []tariff.Tier
	rounding       billing.Rounding
	initial        billing.Quantity
	removalCharged bool
	prorated       tariff.Dimension
	hasProrated    bool

	level tariff.QuantityCell // without initial
	peak  tariff.QuantityCell
	begun tariff.IntCell
	sum   tariff.SumCell // of price times units times days, or times their prorated part
}

// days is what the sum is to be divided by.
func (g *seats) days(s *tariff.Slot) int64 {
	if g.hasProrated {
		return 1
	}
	return tariff.DaysBetween(s.PeriodStart(), s.PeriodEnd())
}

// left is how many days of the period are left at an instant, its own included.
func (g *seats) left(s *tariff.Slot, instant int64) int64 {
	return tariff.DaysBetween(min(max(instant, s.PeriodStart()), s.PeriodEnd()), s.PeriodEnd())
}

// begin charges the level at the start for the whole period; of a version that begins within it, for the days that are
// left.
func (g *seats) begin(s *tariff.Slot) error {
	if g.begun.Get(s) != 0 {
		return nil
	}
	g.begun.Set(s, 1)
	start, err := g.level.Get(s).Add(g.initial)
	if err != nil {
		return err
	}
	g.peak.Set(s, start)
	days := g.days(s)
	if !g.hasProrated {
		days = g.left(s, s.ActiveFrom())
	}
	return g.move(s, billing.Quantity{}, start, billing.DecimalFromInt(days), one)
}

func (g *seats) Price(s *tariff.Slot, e *tariff.Event) error {
	if err := g.begin(s); err != nil {
		return err
	}
	before, err := g.level.Get(s).Add(g.initial)
	if err != nil {
		return err
	}
	after, err := before.Add(e.Quantity())
	if err != nil {
		return err
	}
	part, whole, err := g.coefficient(s, e)
	if err == nil {
		err = g.move(s, before, after, part, whole)
	}
	if err != nil {
		return err
	}
	if _, err := g.level.Add(s, e.Quantity()); err != nil {
		return err
	}
	if after.Cmp(g.peak.Get(s)) > 0 {
		g.peak.Set(s, after)
	}
	return g.bill(s, after)
}

// coefficient returns for which part / whole an event counts; by date, part is in days and whole 1.
func (g *seats) coefficient(s *tariff.Slot, e *tariff.Event) (part, whole billing.Decimal, err error) {
	if g.hasProrated {
		if e.Quantity().IsZero() {
			return part, one, nil
		}
		part, err = billing.ParseDecimal(e.Value(g.prorated))
		if err != nil {
			return part, one, tariff.Reject("bad_prorated_quantity", "the prorated quantity is not a decimal number")
		}
		return part, e.Quantity().D(), nil
	}
	left := g.left(s, e.Time())
	if g.removalCharged && e.Quantity().Sign() < 0 {
		left = max(left-1, 0)
	}
	return billing.DecimalFromInt(left), one, nil
}

// move charges or credits the units between two levels, each at its tier's price times part / whole.
func (g *seats) move(s *tariff.Slot, from, to billing.Quantity, part, whole billing.Decimal) error {
	sum, err := g.moved(g.sum.Get(s), from, to, part, whole)
	if err == nil {
		g.sum.Set(s, sum)
	}
	return err
}

// moved returns what a sum comes to by a move.
func (g *seats) moved(sum billing.Sum, from, to billing.Quantity, part, whole billing.Decimal) (billing.Sum, error) {
	low, high := from, to
	if to.Cmp(from) < 0 {
		low, high = to, from
	}
	for i, t := range g.tiers {
		begin, end := low, high
		if i > 0 && g.tiers[i-1].UpTo.Cmp(begin) > 0 {
			begin = g.tiers[i-1].UpTo
		}
		if i < len(g.tiers)-1 && t.UpTo.Cmp(end) < 0 {
			end = t.UpTo
		}
		if begin.Cmp(end) >= 0 {
			continue
		}
		units, err := end.Sub(begin)
		if err == nil && to.Cmp(from) < 0 {
			units, err = units.Neg()
		}
		if err == nil {
			sum, err = addShare(sum, units.D(), part, whole, t.UnitPrice.D())
		}
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// addShare adds units * part / whole * price. All of it is exact but for a quotient that does not end: that keeps 36
// decimal places.
func addShare(sum billing.Sum, units, part, whole, price billing.Decimal) (billing.Sum, error) {
	if units == whole {
		return sum.AddProduct(part, price)
	}
	product := billing.SumOf(units, part)
	high, err := product.QuoDecimal(whole, billing.Rounding{Scale: billing.Scale, Mode: billing.RoundFloor})
	if err != nil {
		return sum, err
	}
	if sum, err = sum.AddProduct(high, price); err != nil {
		return sum, err
	}
	rest, err := product.Sub(billing.SumOf(high, whole))
	if err != nil || rest.Sign() == 0 {
		return sum, err
	}
	// What is left of the product is below 10^-18 times whole: its digits are those of a decimal, 18 places further.
	digits, _ := rest.Halves()
	low, err := digits.Quo(whole, tariff.Exact)
	if err != nil {
		return sum, err
	}
	tail, err := billing.SumOf(low, price).Quo(1, tariff.Exact)
	if err != nil {
		return sum, err
	}
	return sum.Add(billing.SumOfHalves(tail, signOf(tail)))
}

// signOf is the upper half of a sum whose lower half is d.
func signOf(d billing.Decimal) billing.Decimal {
	if d.Sign() < 0 {
		return billing.Decimal{Hi: -1, Lo: 1<<64 - 1}
	}
	return billing.Decimal{}
}

// Finish makes the fee of the first tier, and the level at the start, due without any event.
func (g *seats) Finish(s *tariff.Slot) error {
	if err := g.begin(s); err != nil {
		return err
	}
	level, err := g.level.Get(s).Add(g.initial)
	if err != nil {
		return err
	}
	return g.bill(s, level)
}

// bill writes the lines. A level below 0 owes nothing.
func (g *seats) bill(s *tariff.Slot, level billing.Quantity) error {
	if level.Sign() < 0 {
		g.usage.Set(s, level, billing.Amount{})
		g.fees.Set(s, billing.Quantity{}, billing.Amount{})
		return nil
	}
	sum := g.sum.Get(s)
	var err error
	// Units count to the end of the period until here: that the subscription ends before may have been said later.
	if behind := g.left(s, s.ActiveUntil()); behind > 0 && !g.hasProrated {
		if sum, err = g.moved(sum, level, billing.Quantity{}, billing.DecimalFromInt(behind), one); err != nil {
			return err
		}
	}
	amount, err := sum.Quo(g.days(s), g.rounding)
	if err != nil {
		return err
	}
	var fees billing.Amount
	entered := int64(0)
	for i, t := range g.tiers {
		if i > 0 && g.peak.Get(s).Cmp(g.tiers[i-1].UpTo) <= 0 {
			break
		}
		entered++
		if fees, err = fees.Add(t.FlatFee); err != nil {
			return err
		}
	}
	if fees, err = fees.Round(g.rounding); err != nil {
		return err
	}
	g.usage.Set(s, level, billing.Amount(amount))
	g.fees.Set(s, billing.Quantity(billing.DecimalFromInt(entered)), fees)
	return nil
}
