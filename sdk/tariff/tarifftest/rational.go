package tarifftest

import (
	"math/big"
	"testing"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// Helpers for naive twins: a tariff written a second time, the slow and obvious way, in rational numbers that lose
// nothing. A property test prices random events with both.

// Rat returns the value of a decimal number.
func Rat(d billing.Decimal) *big.Rat {
	n := new(big.Int).Lsh(big.NewInt(d.Hi), 64)
	n.Add(n, new(big.Int).SetUint64(d.Lo))
	return new(big.Rat).SetFrac(n, power(billing.Scale))
}

// ParseRat reads a decimal number; it panics when the text is none.
func ParseRat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("tarifftest: " + text + " is not a number")
	}
	return r
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// Round rounds as r says, by its definition. Mode none keeps everything.
func Round(x *big.Rat, r billing.Rounding) *big.Rat {
	if r.Mode == billing.RoundNone {
		return x
	}
	unit := new(big.Rat).SetFrac(power(max(-r.Scale, 0)), power(max(r.Scale, 0)))
	count := new(big.Rat).Quo(x, unit)
	floor, _ := new(big.Int).DivMod(count.Num(), count.Denom(), new(big.Int))
	rest := new(big.Rat).Sub(count, new(big.Rat).SetInt(floor))
	half := rest.Cmp(big.NewRat(1, 2))
	up := false
	switch r.Mode {
	case billing.RoundCeiling:
		up = rest.Sign() > 0
	case billing.RoundHalfUp:
		up = half > 0 || half == 0 && x.Sign() > 0
	case billing.RoundHalfEven:
		up = half > 0 || half == 0 && floor.Bit(0) == 1
	case billing.RoundNone, billing.RoundFloor:
	}
	if up {
		floor.Add(floor, big.NewInt(1))
	}
	return new(big.Rat).Mul(new(big.Rat).SetInt(floor), unit)
}

// Twin is a slot to be compared with a naive twin.
type Twin struct {
	// Cuts are where one batch ends and the next begins, ascending; none = one batch.
	Cuts []int
	// Open leaves the period open.
	Open bool
	// Slot may prepare the slot, such as its period.
	Slot func(*Slot)
}

// Price prices events and returns the slot.
func (w Twin) Price(t testing.TB, tr tariff.Tariff, params string, events []Event) (*Slot, []Reject) {
	t.Helper()
	b := NewBench(t, tr)
	plan, err := b.Configure(tr.Name, params)
	if err != nil {
		t.Fatalf("params %s: %v", params, err)
	}
	slot := NewSlot(plan)
	if w.Slot != nil {
		w.Slot(slot)
	}
	var rejects []Reject
	from := 0
	for _, to := range append(append([]int{}, w.Cuts...), len(events)) {
		slot.Final = to == len(events) && !w.Open
		found, err := b.Price([]*Slot{slot}, events[from:to])
		if err != nil {
			t.Fatalf("params %s: %v", params, err)
		}
		for _, r := range found {
			r.Event += from
			rejects = append(rejects, r)
		}
		from = to
	}
	return slot, rejects
}

// Amount returns the amount of a line, 0 when the slot does not have it.
func (s *Slot) Amount(line string) *big.Rat { return s.number(line, false) }

// Quantity returns the quantity of a line, 0 when the slot does not have it.
func (s *Slot) Quantity(line string) *big.Rat { return s.number(line, true) }

func (s *Slot) number(line string, quantity bool) *big.Rat {
	for i, spec := range s.Plan.Lines {
		if spec.ID != line {
			continue
		}
		if quantity {
			return Rat(s.Lines[i].Quantity)
		}
		return Rat(s.Lines[i].Amount)
	}
	return new(big.Rat)
}

// Total returns the sum of all lines' amounts.
func (s *Slot) Total() *big.Rat {
	total := new(big.Rat)
	for _, l := range s.Lines {
		total.Add(total, Rat(l.Amount))
	}
	return total
}
