package main

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// grantTwin is a grant, by its definition.
type grantTwin struct {
	amount, balance *big.Rat
	priority        int
	begins, expires time.Time // zero: always, never
	void, anchor    time.Time // zero: not
	every           time.Duration
}

func (g *grantTwin) ended(at time.Time) bool {
	return !g.expires.IsZero() && !at.Before(g.expires) || !g.void.IsZero() && !at.Before(g.void)
}

func (g *grantTwin) live(at time.Time) bool { return !at.Before(g.begins) && !g.ended(at) }

// filled tells whether the grant has its whole amount from an instant on.
func (g *grantTwin) filled(at time.Time) bool {
	if at.Equal(g.begins) {
		return true
	}
	return g.every > 0 && !at.Before(g.anchor) && at.Sub(g.anchor)%g.every == 0
}

// burndownTwin is what the grants and the overage come to.
type burndownTwin struct {
	grants []*grantTwin
	debt   *big.Rat
}

// inOrder are the grants that are live, in the order in which they burn.
func (b *burndownTwin) inOrder(at time.Time) []*grantTwin {
	var live []*grantTwin
	for _, g := range b.grants {
		if g.live(at) {
			live = append(live, g)
		}
	}
	expiry := func(g *grantTwin) time.Time {
		if g.expires.IsZero() {
			return january.AddDate(1_000, 0, 0)
		}
		return g.expires
	}
	slices.SortStableFunc(live, func(x, y *grantTwin) int {
		if x.priority != y.priority {
			return x.priority - y.priority
		}
		return expiry(x).Compare(expiry(y))
	})
	return live
}

// burn adds units to the overage, and pays it from the grants that are live.
func (b *burndownTwin) burn(units *big.Rat, at time.Time) {
	b.debt = add(b.debt, units)
	live := b.inOrder(at)
	for _, g := range live {
		if b.debt.Sign() > 0 {
			paid := b.debt
			if g.balance.Cmp(paid) < 0 {
				paid = g.balance
			}
			b.debt, g.balance = sub(b.debt, paid), sub(g.balance, paid)
		}
	}
	slices.Reverse(live)
	for _, g := range live {
		room := sub(g.amount, g.balance)
		if b.debt.Sign() < 0 && room.Sign() > 0 {
			back := new(big.Rat).Neg(b.debt)
			if room.Cmp(back) < 0 {
				back = room
			}
			b.debt, g.balance = add(b.debt, back), add(g.balance, back)
		}
	}
	if b.debt.Sign() < 0 {
		b.debt = new(big.Rat)
	}
}

// pass lets the hours pass, each of which may change grants.
func (b *burndownTwin) pass(from, to time.Time, last bool) {
	for at := from.Add(time.Hour); !at.After(to); at = at.Add(time.Hour) {
		for _, g := range b.grants {
			switch {
			case g.ended(at) && (at.Before(to) || !last):
				g.balance = new(big.Rat)
			case g.live(at) && g.filled(at):
				g.balance = g.amount
			}
		}
		b.burn(new(big.Rat), at)
	}
}

// drawGrants draws grants that change at full hours.
func (r *random) drawGrants() []*grantTwin {
	var grants []*grantTwin
	list := []any{}
	for range rapid.IntRange(0, 4).Draw(r.t, "grants") {
		units := func(name string) (string, *big.Rat) {
			text := decimalText(r.t, name, 0, 60)
			return text, tarifftest.ParseRat(text)
		}
		entry := map[string]any{}
		hour := func(name string, least int) time.Time {
			at := january.Add(time.Duration(rapid.IntRange(least, 31*24+12).Draw(r.t, name)) * time.Hour)
			entry[name] = at.Format(time.RFC3339)
			return at
		}
		g := &grantTwin{priority: rapid.IntRange(0, 2).Draw(r.t, "priority")}
		entry["amount"], g.amount = units("amount")
		entry["priority"] = g.priority
		g.balance = g.amount
		if rapid.Bool().Draw(r.t, "balanced") {
			entry["balance"], g.balance = units("balance")
		}
		if rapid.Bool().Draw(r.t, "begins") {
			g.begins = hour("effective_at", -48)
		}
		if rapid.Bool().Draw(r.t, "expires") {
			g.expires = hour("expires_at", 0)
		}
		if rapid.IntRange(0, 3).Draw(r.t, "voids") == 0 {
			g.void = hour("void_at", 0)
		}
		if rapid.Bool().Draw(r.t, "recurs") {
			days := rapid.IntRange(1, 12).Draw(r.t, "days")
			g.anchor, g.every = hour("recur_anchor", -300), time.Duration(days)*24*time.Hour
			entry["recur_days"] = days
		}
		grants, list = append(grants, g), append(list, entry)
	}
	r.params["grants"] = list
	return grants
}

func TestCreditBurndownTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		twin := &burndownTwin{grants: r.drawGrants(), debt: new(big.Rat)}
		clock := january
		if rapid.Bool().Draw(rt, "initially over") {
			twin.burn(r.decimal("initial_overage", 0, 40), clock)
		}
		price := whole(1)
		if rapid.Bool().Draw(rt, "priced") {
			price = r.decimal("unit_price", 0, 300)
		}
		for i, at := range r.times {
			if at.After(clock) { // what comes late burns what is live by then
				hour := at.Truncate(time.Hour)
				twin.pass(clock, hour, false)
				clock = hour
			}
			twin.burn(r.amounts[i], clock)
		}
		twin.pass(clock, january.AddDate(0, 1, 0), true)
		slot := r.price(t, creditBurndown)
		r.want("overage", slot.Quantity("overage"), twin.debt)
		r.want("amount", slot.Total(), tarifftest.Round(mul(twin.debt, price), r.rounding))
		for i, g := range twin.grants {
			r.want(fmt.Sprint("balance of grant ", i+1), slot.Quantity(fmt.Sprint("grant_", i+1)), g.balance)
		}
	})
}

// formula is an expression in text, and what it comes to.
type formula struct {
	text  string
	value func(event map[string]string) *big.Rat
}

// kept are the decimal places of each product and quotient.
func kept(x *big.Rat) *big.Rat {
	return tarifftest.Round(x, billing.Rounding{Scale: billing.Scale, Mode: billing.RoundHalfUp})
}

// drawFormula draws an expression of the dimensions a, b and c, which are small numbers.
func drawFormula(t *rapid.T, depth int) formula {
	constant := func(text string) formula {
		return formula{text, func(map[string]string) *big.Rat { return tarifftest.ParseRat(text) }}
	}
	kinds := 2
	if depth > 0 {
		kinds = 9
	}
	one := func() formula { return drawFormula(t, depth-1) }
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return constant(big.NewRat(int64(rapid.IntRange(0, 400).Draw(t, "number")), 100).FloatString(2))
	case 1:
		name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "dimension")
		prefix := rapid.SampledFrom([]string{"", "event.properties."}).Draw(t, "path")
		return formula{prefix + name, func(e map[string]string) *big.Rat { return tarifftest.ParseRat(e[name]) }}
	case 2:
		// Without parentheses: products bind closer, and what stands first comes first.
		a, b, c := one(), one(), one()
		return formula{fmt.Sprintf("(%s) - (%s) * (%s) + 1", a.text, b.text, c.text), func(e map[string]string) *big.Rat {
			return add(sub(a.value(e), kept(mul(b.value(e), c.value(e)))), whole(1))
		}}
	case 3:
		a, by := one(), rapid.SampledFrom([]string{"3", "0.7", "16", "1000"}).Draw(t, "divisor")
		return formula{fmt.Sprintf("(%s) / %s", a.text, by), func(e map[string]string) *big.Rat {
			return kept(quo(a.value(e), tarifftest.ParseRat(by)))
		}}
	case 4:
		a := one()
		return formula{fmt.Sprintf("-(%s)", a.text), func(e map[string]string) *big.Rat { return new(big.Rat).Neg(a.value(e)) }}
	case 5:
		a := one()
		return formula{fmt.Sprintf("abs(%s)", a.text), func(e map[string]string) *big.Rat { return new(big.Rat).Abs(a.value(e)) }}
	case 6, 7:
		a, b, c := one(), one(), one()
		name, sign := "max", 1
		if rapid.Bool().Draw(t, "least") {
			name, sign = "min", -1
		}
		return formula{fmt.Sprintf("%s(%s, %s, %s)", name, a.text, b.text, c.text), func(e map[string]string) *big.Rat {
			values := []*big.Rat{a.value(e), b.value(e), c.value(e)}
			slices.SortFunc(values, func(x, y *big.Rat) int { return sign * y.Cmp(x) })
			return values[0]
		}}
	default:
		a, scale := one(), rapid.IntRange(-2, 3).Draw(t, "places")
		modes := map[string]billing.RoundingMode{"round": billing.RoundHalfUp, "ceil": billing.RoundCeiling, "floor": billing.RoundFloor}
		name := rapid.SampledFrom([]string{"round", "ceil", "floor"}).Draw(t, "rounding")
		places := fmt.Sprintf(", %d", scale)
		if scale == 0 {
			places = ""
		}
		return formula{fmt.Sprintf("%s(%s%s)", name, a.text, places), func(e map[string]string) *big.Rat {
			return tarifftest.Round(a.value(e), billing.Rounding{Scale: scale, Mode: modes[name]})
		}}
	}
}

func TestExpressionTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		f := drawFormula(rt, 3)
		for _, name := range []string{"a", "b", "c"} { // an event has them whether they are named or not
			for i := range r.events {
				r.events[i].Dimensions[name] = decimalText(rt, name, -50, 50)
			}
		}
		r.params["kind"], r.params["expression"] = "expression", f.text
		price := r.decimal("unit_price", 0, 300)
		units := new(big.Rat)
		for _, e := range r.events {
			named := map[string]string{}
			for name, text := range e.Dimensions {
				if named[name] = text; !strings.Contains(f.text, name) {
					delete(e.Dimensions, name)
				}
			}
			units = add(units, f.value(named))
		}
		slot := r.price(t, custom)
		r.want("units", slot.Quantity("usage"), units)
		r.want("amount", slot.Total(), tarifftest.Round(mul(units, price), r.rounding)) // rounded once, as it is named
	})
}
