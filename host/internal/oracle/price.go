package oracle

import (
	"fmt"
	"math/big"
	"slices"
)

// line is a line item of a tariff, not rounded.
type line struct {
	id               string
	quantity, amount *big.Rat
}

// tier is a step of a price list.
type tier struct{ above, upTo, price, fee *big.Rat } // upTo nil: no end

// price prices a slot's events, in the log's order, by one of the models: flat,
// per_unit, graduated, volume, stairstep, package, and aggregation by sum, count,
// max, min and latest.
func price(model string, of map[string]any, events []measured) ([]line, error) {
	p := &params{members: of}
	lines := p.price(model, events)
	return lines, p.err
}

// params are a tariff's parameters, with the first fault that was met in them.
type params struct {
	members map[string]any
	err     error
}

func (p *params) price(model string, events []measured) []line {
	units := new(big.Rat)
	for _, e := range events {
		units.Add(units, e.quantity)
	}
	switch model {
	case "flat":
		return []line{{"fee", big.NewRat(1, 1), p.number("amount")}}
	case "per_unit":
		return []line{{"usage", units, mul(units, p.number("unit_price"))}}
	case "package":
		return []line{{"usage", units, p.packages(units)}}
	case "graduated":
		return graduated(units, p.tiers())
	case "volume", "stairstep":
		return volume(units, p.tiers())
	case "aggregation":
		units = aggregate(p.members["type"], events)
		return []line{{"usage", units, mul(units, p.number("unit_price"))}}
	}
	p.err = fmt.Errorf("model %q is not known", model)
	return nil
}

// graduated gives each tier's units that tier's price.
func graduated(units *big.Rat, list []tier) []line {
	var lines []line
	for i, t := range list {
		part, entered := new(big.Rat), i == 0 || units.Cmp(t.above) > 0
		if entered {
			part.Sub(units, t.above)
			if t.upTo != nil && units.Cmp(t.upTo) > 0 {
				part.Sub(t.upTo, t.above)
			}
		}
		lines = append(lines, t.lines(i, part, entered)...)
	}
	return lines
}

// volume gives all units the price of the tier in which their sum lies.
func volume(units *big.Rat, list []tier) []line {
	var lines []line
	at := slices.IndexFunc(list, func(t tier) bool { return t.upTo == nil || units.Cmp(t.upTo) <= 0 })
	for i, t := range list {
		part := new(big.Rat)
		if i == at {
			part = units
		}
		lines = append(lines, t.lines(i, part, i == at)...)
	}
	return lines
}

// lines are those of a tier: its units, and its fee where it has one.
func (t tier) lines(i int, units *big.Rat, entered bool) []line {
	id := fmt.Sprintf("tier_%d", i+1)
	lines := []line{{id, units, mul(units, t.price)}}
	if t.fee.Sign() != 0 {
		fee := line{id + "_flat_fee", new(big.Rat), new(big.Rat)}
		if entered {
			fee.quantity, fee.amount = big.NewRat(1, 1), t.fee
		}
		lines = append(lines, fee)
	}
	return lines
}

func (p *params) tiers() []tier {
	var list []tier
	above := new(big.Rat)
	entries, _ := p.members["tiers"].([]any)
	for _, entry := range entries {
		m, _ := entry.(map[string]any)
		t := tier{above: above, price: p.decimal(m["unit_price"]), fee: p.decimal(m["flat_fee"])}
		if m["up_to"] != nil {
			t.upTo = p.decimal(m["up_to"])
			above = t.upTo
		}
		list = append(list, t)
	}
	return list
}

// packages is the price of the packages that are begun after the free units.
func (p *params) packages(units *big.Rat) *big.Rat {
	paid := new(big.Rat).Sub(units, p.number("free_units"))
	if paid.Sign() <= 0 {
		return new(big.Rat)
	}
	begun := round(paid.Quo(paid, p.number("package_size")), Rounding{0, "ceiling"})
	return mul(begun, p.number("package_price"))
}

// aggregate makes units of events.
func aggregate(kind any, events []measured) *big.Rat {
	units := new(big.Rat)
	var at int64
	for i, e := range events {
		switch {
		case kind == "sum":
			units.Add(units, e.quantity)
		case kind == "count":
			units.Add(units, big.NewRat(1, 1))
		case i == 0, kind == "max" && e.quantity.Cmp(units) > 0, kind == "min" && e.quantity.Cmp(units) < 0,
			kind == "latest" && e.at.UnixNano() >= at:
			units, at = e.quantity, e.at.UnixNano()
		}
	}
	if kind == "latest" && units.Sign() < 0 {
		return new(big.Rat)
	}
	return units
}

// round rounds to a multiple of 10^-scale.
func round(x *big.Rat, r Rounding) *big.Rat {
	if r.Mode == "none" {
		return x
	}
	unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.Scale)), nil))
	scaled := mul(x, unit)
	floor := new(big.Int).Div(scaled.Num(), scaled.Denom()) // Euclidean: towards -∞, since denominators are positive
	rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt(floor))
	half := rest.Cmp(big.NewRat(1, 2))
	up := map[string]bool{
		"floor": false, "ceiling": rest.Sign() > 0,
		"half_up":   half > 0 || half == 0 && scaled.Sign() > 0,
		"half_even": half > 0 || half == 0 && floor.Bit(0) == 1,
	}[r.Mode]
	if up {
		floor.Add(floor, big.NewInt(1))
	}
	return new(big.Rat).Quo(new(big.Rat).SetInt(floor), unit)
}

func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func (p *params) number(name string) *big.Rat { return p.decimal(p.members[name]) }

// decimal reads a decimal text; absent is 0.
func (p *params) decimal(text any) *big.Rat {
	x := new(big.Rat)
	if text == nil {
		return x
	}
	if s, _ := text.(string); s != "" {
		if _, ok := x.SetString(s); ok {
			return x
		}
	}
	p.err = fmt.Errorf("%v is no number", text)
	return new(big.Rat)
}
