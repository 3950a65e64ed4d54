package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// creditBurndown burns grants with usage, in the order of their priority and then of their expiry. What no grant
// covers is overage, carried until a grant begins or begins anew. Usage counts when it arrives: an event with an
// earlier time than one before it burns what is live by then.
var creditBurndown = tariff.Tariff{
	Name:      "credit_burndown",
	Title:     "Usage burns grants; what they do not cover is overage",
	Configure: configureBurndown,
}

// grantsMax is how many grants there may be.
const grantsMax = 120

func configureBurndown(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	b := &burndown{overage: c.Line("overage", "Overage"), clock: c.State.Int(), begun: c.State.Int(), debt: c.State.Quantity()}
	b.initial, _ = p.OptionalQuantity("initial_overage", "Overage at the start of the period.")
	price, priced := p.OptionalDecimal("unit_price", "The price of a unit of overage; 1 without.")
	if b.price = price; !priced {
		b.price = one
	}
	b.rounding = p.Rounding("rounding", tariff.AboutRounding)
	list := p.OptionalList("grants", "What usage burns.")
	if len(list) > grantsMax {
		p.Fail("grants", "must be at most "+strconv.Itoa(grantsMax))
		return b
	}
	for i, entry := range list {
		b.grants = append(b.grants, readGrant(c, entry, i))
	}
	for i := range b.grants {
		b.order = append(b.order, i)
	}
	slices.SortStableFunc(b.order, func(i, k int) int {
		x, y := &b.grants[i], &b.grants[k]
		if x.priority != y.priority {
			return x.priority - y.priority
		}
		switch {
		case x.expires < y.expires:
			return -1
		case x.expires > y.expires:
			return 1
		}
		return 0
	})
	return b
}

// grant is one of them. Times are unix nanoseconds.
type grant struct {
	line            tariff.Line
	amount, balance billing.Quantity
	priority        int
	begins          int64
	expires         int64 // math.MaxInt64 = never
	ends            int64 // expiry or void
	anchor, every   int64 // it is reset at anchor + n*every; 0 = never
}

func readGrant(c *tariff.Config, p tariff.Params, i int) grant {
	number := strconv.Itoa(i + 1)
	id := p.TextOr("id", "The grant's name on the invoice.", "Grant "+number)
	g := grant{line: c.Line("grant_"+number, id), begins: math.MinInt64, expires: math.MaxInt64, ends: math.MaxInt64}
	g.amount = p.Quantity("amount", "Units of the grant.")
	g.balance = g.amount
	if balance, ok := p.OptionalQuantity("balance", "What is left at the start of the period; the amount without."); ok {
		g.balance = balance
	}
	g.priority = p.IntOr("priority", "Grants with a lower number burn first.", -1_000_000, 1_000_000, 0)
	if at, ok := p.OptionalTime("effective_at", "When the grant begins; without it, it has begun."); ok {
		g.begins = at
	}
	if at, ok := p.OptionalTime("expires_at", "From when on the grant is worth nothing; never without."); ok {
		g.expires, g.ends = at, at
	}
	if at, ok := p.OptionalTime("void_at", "From when on the grant is worth nothing, taken back."); ok {
		g.ends = min(g.ends, at)
	}
	anchor, anchored := p.OptionalTime("recur_anchor", "An instant at which the grant is reset to its amount.")
	days := p.IntOr("recur_days", "Days between two resets.", 1, 36_500, 0)
	if anchored != (days > 0) {
		p.Fail("recur_days", "and recur_anchor go together")
	}
	if days > 0 {
		g.anchor, g.every = anchor, int64(days)*86_400_000_000_000
	}
	if g.amount.Sign() < 0 || g.balance.Sign() < 0 {
		p.Fail("amount", "must not be below 0, nor balance")
	}
	return g
}

// nextChange returns the first instant after t at which the grant begins, is reset or ends.
func (g *grant) nextChange(t int64) int64 {
	if t >= g.ends {
		return math.MaxInt64
	}
	next := g.ends
	if g.begins > t {
		return min(next, g.begins)
	}
	if g.every > 0 {
		reset := g.anchor
		if t >= g.anchor {
			reset += ((t-g.anchor)/g.every + 1) * g.every
		}
		if reset > g.begins {
			next = min(next, reset)
		}
	}
	return next
}

func (g *grant) live(t int64) bool { return g.begins <= t && t < g.ends }

type burndown struct {
	overage  tariff.Line
	clock    tariff.IntCell // up to and with which instant changes were made
	begun    tariff.IntCell
	debt     tariff.QuantityCell // overage so far
	grants   []grant             // their balance is the quantity of their line
	order    []int               // in which they burn
	initial  billing.Quantity
	price    billing.Decimal
	rounding billing.Rounding
}

// begin sets the balances at the start and burns the overage that was there.
func (b *burndown) begin(s *tariff.Slot) error {
	if b.begun.Get(s) != 0 {
		return nil
	}
	b.begun.Set(s, 1)
	b.clock.Set(s, s.PeriodStart())
	for i := range b.grants {
		if g := &b.grants[i]; g.ends > s.PeriodStart() { // what has ended before is worth nothing
			g.line.Set(s, g.balance, billing.Amount{})
		}
	}
	return b.burn(s, b.initial)
}

// advance makes the changes up to an instant, that of ends excluded where the period ends with it.
func (b *burndown) advance(s *tariff.Slot, until int64, last bool) error {
	for {
		clock, next := b.clock.Get(s), int64(math.MaxInt64)
		for i := range b.grants {
			next = min(next, b.grants[i].nextChange(clock))
		}
		if next > until {
			b.clock.Set(s, max(clock, until))
			return nil
		}
		b.clock.Set(s, next)
		for i := range b.grants {
			g := &b.grants[i]
			switch {
			case g.ends == next && (next < until || !last):
				g.line.Set(s, billing.Quantity{}, billing.Amount{})
			case g.live(next) && g.nextChange(next-1) == next:
				g.line.Set(s, g.amount, billing.Amount{})
			}
		}
		debt := b.debt.Get(s)
		b.debt.Set(s, billing.Quantity{})
		if err := b.burn(s, debt); err != nil {
			return err
		}
	}
}

// burn takes units from the grants that are live, and what they do not cover is overage. Units that come back make
// overage smaller, and then go to the grants, the last first, up to their amounts.
func (b *burndown) burn(s *tariff.Slot, units billing.Quantity) error {
	units, err := b.debt.Get(s).Add(units)
	if err != nil {
		return err
	}
	clock := b.clock.Get(s)
	for k := range b.order {
		i := b.order[k]
		if units.Sign() < 0 {
			i = b.order[len(b.order)-1-k]
		}
		g := &b.grants[i]
		if !g.live(clock) {
			continue
		}
		balance := g.line.Quantity(s)
		after, err := balance.Sub(units)
		if err != nil {
			return err
		}
		if after.Sign() < 0 {
			after = billing.Quantity{}
		}
		if after.Cmp(g.amount) > 0 && after.Cmp(balance) > 0 {
			after = atLeast(balance, g.amount)
		}
		taken, err := balance.Sub(after)
		if err != nil {
			return err
		}
		if units, err = units.Sub(taken); err != nil {
			return err
		}
		g.line.Set(s, after, billing.Amount{})
	}
	if units.Sign() < 0 {
		units = billing.Quantity{}
	}
	b.debt.Set(s, units)
	return nil
}

func atLeast(a, b billing.Quantity) billing.Quantity {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

func (b *burndown) Price(s *tariff.Slot, e *tariff.Event) error {
	err := b.begin(s)
	if err == nil {
		err = b.advance(s, e.Time(), false)
	}
	if err == nil {
		err = b.burn(s, e.Quantity())
	}
	if err != nil {
		return err
	}
	return b.bill(s)
}

// Finish makes the changes up to the end of the period.
func (b *burndown) Finish(s *tariff.Slot) error {
	err := b.begin(s)
	if err == nil {
		err = b.advance(s, s.PeriodEnd(), true)
	}
	if err != nil {
		return err
	}
	return b.bill(s)
}

// bill writes the overage.
func (b *burndown) bill(s *tariff.Slot) error {
	debt := b.debt.Get(s)
	amount, err := tariff.Multiply(debt, billing.Amount(b.price), b.rounding)
	if err == nil {
		b.overage.Set(s, debt, amount)
	}
	return err
}
