package oracle

import (
	"fmt"
	"math/big"
	"time"
)

// line is a line item of a tariff.
type line struct {
	id               string
	quantity, amount *big.Rat
}

// price prices a slot's events, in the log's order, by one of the models: flat,
// per_unit, graduated, volume, stairstep, package, price_table with one price, and
// aggregation by sum, count, max, min and latest, of which a sum may be left to the next
// period; and proration, an invoice rule. Amounts are rounded.
func (s slot) price() (lines []line) {
	p := paramsOf(s.binding)
	units := aggregate(p["type"], s.events)
	switch s.version.Plugin {
	case "flat":
		lines = []line{{"fee", big.NewRat(1, 1), p.decimal("amount")}}
	case "package":
		paid := new(big.Rat).Sub(units, p.decimal("free_units"))
		if paid.Sign() < 0 {
			paid.SetInt64(0)
		}
		begun := round(paid.Quo(paid, p.decimal("package_size")), Rounding{0, "ceiling"})
		lines = []line{{"usage", units, mul(begun, p.decimal("package_price"))}}
	case "graduated":
		lines = tiered(units, p.tiers(), false)
	case "volume", "stairstep":
		lines = tiered(units, p.tiers(), true)
	case "per_unit", "aggregation", "price_table":
		lines = []line{{"usage", units, mul(units, p.decimal("unit_price"))}}
	case "proration":
		lines = []line{{"prorated", big.NewRat(1, 1), mul(units, p.decimal("amount"))}}
	default:
		panic("oracle: no model " + s.version.Plugin) //nolint:forbidigo // a test made it up
	}
	for i, l := range lines {
		lines[i].amount = round(l.amount, s.tariff.rounding())
	}
	return lines
}

// tiered gives each tier's units that tier's price and its fee, where it has one, or
// all units those of the tier in which their sum lies.
func tiered(units *big.Rat, tiers []tier, whole bool) (lines []line) {
	for i, t := range tiers {
		last := t.upTo == nil || units.Cmp(t.upTo) <= 0
		if i > 0 && units.Cmp(t.above) <= 0 || whole && !last {
			continue
		}
		part := new(big.Rat).Set(units)
		if !last {
			part.Set(t.upTo)
		}
		if !whole {
			part.Sub(part, t.above)
		}
		id := fmt.Sprintf("tier_%d", i+1)
		if lines = append(lines, line{id, part, mul(part, t.price)}); t.fee.Sign() != 0 {
			lines = append(lines, line{id + "_flat_fee", big.NewRat(1, 1), t.fee})
		}
	}
	return lines
}

// aggregate makes units of events: their sum where no kind is named.
func aggregate(kind any, events []measured) *big.Rat {
	units, at := new(big.Rat), time.Time{}
	for i, e := range events {
		switch {
		case kind == nil, kind == "sum":
			units.Add(units, e.quantity)
		case kind == "count":
			units.SetInt64(int64(i + 1))
		case i == 0, kind == "max" && e.quantity.Cmp(units) > 0, kind == "min" && e.quantity.Cmp(units) < 0, kind == "latest" && !e.at.Before(at):
			units, at = e.quantity, e.at
		}
	}
	if kind == "latest" && units.Sign() < 0 {
		return new(big.Rat)
	}
	return units
}

// round rounds to a multiple of 10^-scale.
func round(x *big.Rat, r Rounding) *big.Rat {
	unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(r.Scale)), nil))
	scaled := mul(x, unit)
	floor := new(big.Int).Div(scaled.Num(), scaled.Denom()) // Euclidean: towards -∞, since denominators are positive
	rest := new(big.Rat).Sub(scaled, new(big.Rat).SetInt(floor))
	switch half := rest.Cmp(big.NewRat(1, 2)); {
	case r.Mode == "ceiling" && rest.Sign() > 0, r.Mode != "floor" && half > 0,
		half == 0 && r.Mode == "half_up" && scaled.Sign() > 0, half == 0 && r.Mode == "half_even" && floor.Bit(0) == 1:
		floor.Add(floor, big.NewInt(1))
	}
	return new(big.Rat).Quo(new(big.Rat).SetInt(floor), unit)
}

func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
