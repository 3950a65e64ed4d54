package tariff

import (
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
)

// Tier is a range of units with a price. It begins above the end of the tier before it, itself
// excluded, and ends with UpTo, included.
type Tier struct {
	// UpTo is the last unit of the tier, unless it is the last one, which is open.
	UpTo billing.Quantity
	// UnitPrice is the price of one unit.
	UnitPrice billing.Amount
	// FlatFee is due once, when the tier is entered. The first tier always is.
	FlatFee billing.Amount
}

// TiersMax is the most tiers that one list may have.
const TiersMax = 256

// ReadTiers reads the parameter `tiers`, a list of {up_to, unit_price, flat_fee}. Tiers that
// are not in order, and a last tier that is not open, are noted as problems.
func ReadTiers(p Params) []Tier {
	return ReadTiersOf(p, func(entry Params) billing.Amount { return entry.Amount("unit_price", "The price of one unit.") })
}

// ReadTiersOf reads such a list in which something else makes the price of a unit.
func ReadTiersOf(p Params, unitPrice func(tier Params) billing.Amount) []Tier {
	list := p.List("tiers", "The price steps, from the lowest up.")
	if len(list) > TiersMax {
		p.Fail("tiers", "must be at most "+strconv.Itoa(TiersMax))
		return nil
	}
	tiers := make([]Tier, len(list))
	var previous billing.Quantity
	for i, entry := range list {
		upTo, closed := entry.OptionalQuantity("up_to", "The last unit of the tier, itself included; null in the last tier.")
		tiers[i] = Tier{
			UpTo:      upTo,
			UnitPrice: unitPrice(entry),
			FlatFee:   entry.AmountOr("flat_fee", "Due once when the tier is entered; that of the first tier always.", billing.Amount{}),
		}
		switch last := i == len(list)-1; {
		case !last && !closed && !entry.Present("up_to"):
			entry.Fail("up_to", "only the last tier is open")
		case last && closed:
			entry.Fail("up_to", "must be null: the last tier is open")
		case !last && closed && upTo.Cmp(previous) <= 0:
			entry.Fail("up_to", "must be greater than "+previous.String())
		}
		if closed {
			previous = upTo
		}
	}
	return tiers
}

// step is a tier with its place.
type step struct {
	above, upTo billing.Quantity // above < units <= upTo
	open        bool             // upTo is infinite
	price, fee  billing.Amount
	usage       Line
	flat        Line
	hasFlat     bool
}

// ladder is a list of tiers with lines.
type ladder struct {
	steps    []step
	rounding billing.Rounding
}

// newLadder claims the lines tier_1, tier_1_flat_fee, tier_2 and so on, each behind prefix.
func newLadder(c *Config, prefix string, tiers []Tier, r billing.Rounding) ladder {
	l := ladder{steps: make([]step, len(tiers)), rounding: r}
	var above billing.Quantity
	for i, t := range tiers {
		st := &l.steps[i]
		fee, err := t.FlatFee.Round(r)
		if err != nil {
			c.Params.Fail("", "flat fee of tier "+strconv.Itoa(i+1)+": "+err.Error())
		}
		*st = step{above: above, upTo: t.UpTo, open: i == len(tiers)-1, price: t.UnitPrice, fee: fee}
		name := "Tier " + strconv.Itoa(i+1)
		id := prefix + "tier_" + strconv.Itoa(i+1)
		st.usage = c.Line(id, name+st.span(i == 0))
		if !t.FlatFee.IsZero() {
			st.flat, st.hasFlat = c.Line(id+"_flat_fee", name+" flat fee"), true
		}
		above = t.UpTo
	}
	return l
}

// span describes the range of a step.
func (st *step) span(first bool) string {
	switch {
	case first && st.open:
		return ""
	case first:
		return ", up to " + st.upTo.String()
	case st.open:
		return ", over " + st.above.String()
	}
	return ", over " + st.above.String() + " up to " + st.upTo.String()
}

// at returns the index of the step that so many units end in. What is below 0 ends in the first.
func (l *ladder) at(units billing.Quantity) int {
	last := len(l.steps) - 1
	for i := range l.steps[:last] {
		if !less(l.steps[i].upTo, units) {
			return i
		}
	}
	return last
}

// less says whether a is below b.
func less(a, b billing.Quantity) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

// bill writes the lines of one step.
func (l *ladder) bill(s *Slot, st *step, units billing.Quantity, entered bool) error {
	amount, err := Multiply(units, st.price, l.rounding)
	if err != nil {
		return err
	}
	st.usage.Set(s, units, amount)
	if st.hasFlat {
		if entered {
			st.flat.Set(s, one, st.fee)
		} else {
			st.flat.Set(s, billing.Quantity{}, billing.Amount{})
		}
	}
	return nil
}

// Graduated spreads units over tiers: each part has its tier's price. Flat fees of all entered
// tiers are due.
type Graduated struct {
	ladder ladder
	units  QuantityCell
}

// NewGraduated claims lines for each tier, tier_N for usage and tier_N_flat_fee where a tier has
// a fee, with prefix before them; the amount on each line is rounded as r says.
func NewGraduated(c *Config, prefix string, tiers []Tier, r billing.Rounding) *Graduated {
	return &Graduated{ladder: newLadder(c, prefix, tiers, r), units: c.State.Quantity()}
}

// Price adds the event's quantity.
func (g *Graduated) Price(s *Slot, e *Event) error { return g.Add(s, e.Quantity()) }

// Add adds units. Only the tiers between the old and the new sum change.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (g *Graduated) Add(s *Slot, q billing.Quantity) error {
	before := g.units.Get(s)
	after, err := before.Add(q)
	if err != nil {
		return err
	}
	s.setCell(g.units.index, after.Lo, after.Hi)
	st := &g.ladder.steps[g.ladder.at(before)]
	if before.Sign() <= 0 || !less(st.above, after) || !st.open && less(st.upTo, after) {
		return g.climb(s, before, after)
	}
	// From here on the units begin and end in the same tier, as nearly all do.
	part, amount := st.usage.Get(s)
	if part, err = part.Add(q); err != nil {
		return err
	}
	amount, ok := extend(q, amount, st.price, g.ladder.rounding)
	if !ok {
		if amount, err = Multiply(part, st.price, g.ladder.rounding); err != nil {
			return err
		}
	}
	s.setLine(st.usage.index, part, amount)
	return nil
}

// climb brings all tiers from the one of before to that of after up to date.
func (g *Graduated) climb(s *Slot, before, after billing.Quantity) error {
	first := g.ladder.at(before)
	last := g.ladder.at(after)
	if last < first {
		first, last = last, first
	}
	for i := first; i <= last; i++ {
		if err := g.bill(s, i, after); err != nil {
			return err
		}
	}
	return nil
}

// Finish makes the flat fee of the first tier due even without usage.
func (g *Graduated) Finish(s *Slot) error { return g.bill(s, 0, g.units.Get(s)) }

// bill writes the lines of tier i when there are units in all.
func (g *Graduated) bill(s *Slot, i int, units billing.Quantity) error {
	st := &g.ladder.steps[i]
	part, entered := units, i == 0 || units.Cmp(st.above) > 0
	if !entered {
		return g.ladder.bill(s, st, billing.Quantity{}, false)
	}
	if !st.open && part.Cmp(st.upTo) > 0 {
		part = st.upTo
	}
	part, err := part.Sub(st.above)
	if err != nil {
		return err
	}
	return g.ladder.bill(s, st, part, true)
}

// Volume gives all units the price of the one tier that their sum ends in. Only that tier's flat
// fee is due.
type Volume struct {
	ladder ladder
	units  QuantityCell
	fixed  int // the tier is given, not found; -1 = found
}

// NewVolume claims lines as [NewGraduated] does.
func NewVolume(c *Config, prefix string, tiers []Tier, r billing.Rounding) *Volume {
	return &Volume{ladder: newLadder(c, prefix, tiers, r), units: c.State.Quantity(), fixed: -1}
}

// FixTier lets the given number of units choose the tier, whatever the sum is: a subscription
// that was active for a part of the period has fewer units than decide on its price.
func (v *Volume) FixTier(units billing.Quantity) { v.fixed = v.ladder.at(units) }

// Price adds the event's quantity.
func (v *Volume) Price(s *Slot, e *Event) error { return v.Add(s, e.Quantity()) }

// Add adds units.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (v *Volume) Add(s *Slot, q billing.Quantity) error {
	before := v.units.Get(s)
	after, err := before.Add(q)
	if err != nil {
		return err
	}
	v.units.Set(s, after)
	if left := v.at(before); left != v.at(after) {
		if err := v.ladder.bill(s, &v.ladder.steps[left], billing.Quantity{}, false); err != nil {
			return err
		}
	}
	return v.bill(s, after)
}

// Finish makes the flat fee due even without usage.
func (v *Volume) Finish(s *Slot) error { return v.bill(s, v.units.Get(s)) }

func (v *Volume) at(units billing.Quantity) int {
	if v.fixed >= 0 {
		return v.fixed
	}
	return v.ladder.at(units)
}

func (v *Volume) bill(s *Slot, units billing.Quantity) error {
	return v.ladder.bill(s, &v.ladder.steps[v.at(units)], units, true)
}
