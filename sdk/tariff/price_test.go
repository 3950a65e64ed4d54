package tariff_test

import (
	"bytes"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// The prices are brought up to date event by event, along short ways for what is common. Here
// they are held against the definition: what the sum of the units costs, in exact rationals.

// oracle prices a sum of units; lines that are zero are left out.
type oracle func(units *big.Rat) []string

func rat(s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		panic(s)
	}
	return r
}

// rounded is x at the scale, ties away from zero, as a decimal prints.
func rounded(x *big.Rat, scale int) string {
	d, err := billing.ParseDecimal(x.FloatString(scale)) // FloatString rounds so
	if err != nil {
		panic(err)
	}
	return d.String()
}

func show(id string, quantity *big.Rat, amount string) []string {
	if quantity.Sign() == 0 && amount == "0" {
		return nil
	}
	return []string{fmt.Sprintf("%s %s %s", id, rounded(quantity, billing.Scale), amount)}
}

// testTier is a tier as a test writes it; upTo "" is open.
type testTier struct{ upTo, price, fee string }

func (x testTier) tier() tariff.Tier {
	t := tariff.Tier{UnitPrice: billing.Amount(billing.MustDecimal(x.price)), FlatFee: billing.Amount(billing.MustDecimal(x.fee))}
	if x.upTo != "" {
		t.UpTo = billing.Quantity(billing.MustDecimal(x.upTo))
	}
	return t
}

func graduatedOracle(tiers []testTier, scale int) oracle {
	return func(units *big.Rat) (lines []string) {
		above := new(big.Rat)
		for i, x := range tiers {
			entered := i == 0 || units.Cmp(above) > 0
			part := new(big.Rat)
			if entered {
				part.Set(units)
				if x.upTo != "" && units.Cmp(rat(x.upTo)) > 0 {
					part = rat(x.upTo)
				}
				part.Sub(part, above)
			}
			id := fmt.Sprintf("tier_%d", i+1)
			lines = append(lines, show(id, part, rounded(new(big.Rat).Mul(part, rat(x.price)), scale))...)
			if entered && x.fee != "0" {
				lines = append(lines, show(id+"_flat_fee", rat("1"), rounded(rat(x.fee), scale))...)
			}
			if x.upTo != "" {
				above = rat(x.upTo)
			}
		}
		return lines
	}
}

func volumeOracle(tiers []testTier, scale int) oracle {
	return func(units *big.Rat) []string {
		i := 0
		for tiers[i].upTo != "" && units.Cmp(rat(tiers[i].upTo)) > 0 {
			i++
		}
		id := fmt.Sprintf("tier_%d", i+1)
		lines := show(id, units, rounded(new(big.Rat).Mul(units, rat(tiers[i].price)), scale))
		if tiers[i].fee != "0" {
			lines = append(lines, show(id+"_flat_fee", rat("1"), rounded(rat(tiers[i].fee), scale))...)
		}
		return lines
	}
}

func perUnitOracle(price string, scale int) oracle {
	return func(units *big.Rat) []string {
		return show("usage", units, rounded(new(big.Rat).Mul(units, rat(price)), scale))
	}
}

func packageOracle(size, free, price string, scale int) oracle {
	return func(units *big.Rat) []string {
		paid := new(big.Rat).Sub(units, rat(free))
		packages := new(big.Int)
		if paid.Sign() > 0 {
			n := new(big.Rat).Quo(paid, rat(size))
			packages.Add(n.Num(), n.Denom()).Sub(packages, big.NewInt(1)).Quo(packages, n.Denom())
		}
		return show("usage", units, rounded(new(big.Rat).Mul(new(big.Rat).SetInt(packages), rat(price)), scale))
	}
}

// quantities are whole, fractional, tiny and large, up and down, and often 1.
func quantities(r *rand.Rand, n int) []string {
	list := make([]string, n)
	for i := range list {
		switch r.IntN(8) {
		case 0:
			list[i] = fmt.Sprint(r.IntN(41) - 20)
		case 1:
			list[i] = fmt.Sprintf("%d.%03d", r.IntN(20), r.IntN(1000))
		case 2:
			list[i] = fmt.Sprintf("-%d.%d", r.IntN(5), r.IntN(10))
		case 3:
			list[i] = fmt.Sprintf("0.%018d", r.Int64N(1_000_000_000_000_000_000))
		case 4:
			list[i] = fmt.Sprint(r.IntN(100000))
		case 5:
			list[i] = fmt.Sprint(-r.IntN(100000))
		default:
			list[i] = "1"
		}
	}
	return list
}

func TestPricesAreThoseOfTheSum(t *testing.T) {
	tiers := [][]testTier{
		{{"10", "0.1", "0"}, {"20", "0.08", "0"}, {"", "0.05", "0"}},
		{{"0.5", "10", "2"}, {"100", "0.333333333333333333", "0.125"}, {"20000", "0", "0"}, {"", "1e-18", "7"}},
		{{"", "0.000000000000000007", "1"}},
		{{"3", "-2", "1"}, {"", "25.5", "0"}},
	}
	units := []string{"0.1", "0", "-0.5", "0.333333333333333333", "1e-18", "0.000000000000000007", "17.5", "123456.789"}
	for _, scale := range []int{18, 2, 0} {
		r := billing.Rounding{Scale: scale, Mode: billing.RoundHalfUp}
		for _, list := range tiers {
			in := make([]tariff.Tier, len(list))
			for i, x := range list {
				in[i] = x.tier()
			}
			comparePrices(t, func(c *tariff.Config) tariff.Pricer { return tariff.NewGraduated(c, "", in, r) }, graduatedOracle(list, scale))
			comparePrices(t, func(c *tariff.Config) tariff.Pricer { return tariff.NewVolume(c, "", in, r) }, volumeOracle(list, scale))
		}
		for _, price := range units {
			amount := billing.Amount(billing.MustDecimal(price))
			comparePrices(t, func(c *tariff.Config) tariff.Pricer { return tariff.NewPerUnit(c, "usage", "", amount, r) }, perUnitOracle(price, scale))
			size, free := billing.Quantity(billing.MustDecimal("2.5")), billing.Quantity(billing.MustDecimal("1"))
			comparePrices(t, func(c *tariff.Config) tariff.Pricer {
				return tariff.NewPackage(c, "usage", "", size, free, amount, r)
			}, packageOracle("2.5", "1", price, scale))
		}
	}
}

// comparePrices prices random events in batches of random size, and compares after every batch.
func comparePrices(t *testing.T, configure func(c *tariff.Config) tariff.Pricer, want oracle) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	b := tarifftest.NewBench(t, tariff.Tariff{Name: "price", Configure: configure})
	plan := configured(t, b, "price", `{}`)
	for range 3 {
		slot, sum := tarifftest.NewSlot(plan), new(big.Rat)
		var all []string
		for range 30 {
			list := quantities(r, r.IntN(6)+1)
			all = append(all, list...)
			b.UnitsMax = []int{0, 2, 64}[r.IntN(3)]
			rejects, err := b.Price([]*tarifftest.Slot{slot}, tarifftest.Quantities(list...))
			if err != nil || len(rejects) > 0 {
				t.Fatalf("%v, %v", rejects, err)
			}
			for _, q := range list {
				sum.Add(sum, rat(q))
			}
			if got, lines := slot.Show(), want(sum); !slices.Equal(got, lines) && len(got)+len(lines) > 0 {
				t.Fatalf("after %q, %s units: lines %q, want %q", all, sum.FloatString(18), got, lines)
			}
		}
	}
}

// TestRunsAreTheSame prices events of many slots and prices in runs, and one by one: lines, states and
// rejects are the same. Quantities reach to where numbers end.
func TestRunsAreTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var tariffs []tariff.Tariff
	for i, list := range [][]testTier{
		{{"10", "0.05", "0"}, {"50", "0.03", "0"}, {"", "0.0125", "0"}},
		{{"10", "0.05", "3"}, {"50", "70000000.5", "0"}, {"", "0.0125", "1"}},
		{{"", "18.446744073709551616", "0"}},
		{{"1", "3", "0"}, {"2", "2", "0"}, {"3", "1", "0"}, {"4", "0.5", "0"}, {"", "0", "0"}},
		{{"100000000000000000000", "1.5", "0"}, {"", "67108863", "0"}},
	} {
		in := make([]tariff.Tier, len(list))
		for k, x := range list {
			in[k] = x.tier()
		}
		for name, make := range map[string]func(*tariff.Config) tariff.Pricer{
			"graduated": func(c *tariff.Config) tariff.Pricer { return tariff.NewGraduated(c, "", in, tariff.Exact) },
			"volume":    func(c *tariff.Config) tariff.Pricer { return tariff.NewVolume(c, "", in, tariff.Exact) },
			"fixed": func(c *tariff.Config) tariff.Pricer {
				v := tariff.NewVolume(c, "", in, tariff.Exact)
				v.FixTier(billing.Quantity(billing.DecimalFromInt(20)))
				return v
			},
			"per_unit": func(c *tariff.Config) tariff.Pricer {
				return tariff.NewPerUnit(c, "usage", "", in[0].UnitPrice, tariff.Exact)
			},
			"two_cells": func(c *tariff.Config) tariff.Pricer {
				c.State.Int()
				return tariff.NewGraduated(c, "", in, tariff.Exact)
			},
		} {
			tariffs = append(tariffs, tariff.Tariff{Name: fmt.Sprint(name, i), Configure: make})
		}
	}
	slices.SortFunc(tariffs, func(a, b tariff.Tariff) int { return strings.Compare(a.Name, b.Name) })
	huge := []string{"17", "18", "19", "39000000000", "40000000000", "99999999999999999999", "-99999999999999999999", "170141183460469231731", "18446744073709551616"}
	price := func(seed uint64, unitsMax int) (shown string) {
		r := rand.New(rand.NewPCG(seed, 5))
		b := tarifftest.NewBench(t, tariffs...)
		b.UnitsMax = unitsMax
		var slots []*tarifftest.Slot
		for i := range 20 {
			slots = append(slots, tarifftest.NewSlot(configured(t, b, tariffs[(int(seed)+i)%len(tariffs)].Name, `{}`)))
		}
		for range 10 {
			var events []tarifftest.Event
			for _, q := range quantities(r, r.IntN(200)) {
				if r.IntN(20) == 0 {
					q = huge[r.IntN(len(huge))]
				}
				slot := r.IntN(len(slots))
				for range 1 + r.IntN(3) {
					events = append(events, tarifftest.Event{Slot: slot, Quantity: q})
				}
			}
			rejects, err := b.Price(slots, events)
			if err != nil {
				t.Fatal(err)
			}
			shown += fmt.Sprintln(rejects)
			for i, s := range slots {
				shown += fmt.Sprintf("%s %x %x\n", tariffs[(int(seed)+i)%len(tariffs)].Name, s.State, s.Lines)
			}
		}
		return shown
	}
	for range 8 {
		seed := r.Uint64() % 1000
		want := price(seed, 1)
		for _, unitsMax := range []int{2, 7, 256} {
			if got := price(seed, unitsMax); got != want {
				t.Fatalf("seed %d, %d at once:\n%s\none by one:\n%s", seed, unitsMax, got, want)
			}
		}
	}
}

func TestFlatChargesOnce(t *testing.T) {
	flat := tariff.Tariff{Name: "flat", Configure: func(c *tariff.Config) tariff.Pricer {
		return tariff.NewFlat(c, "fee", "Fee", billing.Amount(billing.MustDecimal("9.99")))
	}}
	tarifftest.Run(t, flat, []tarifftest.Case{
		{Name: "without usage", Params: `{}`, Want: []string{"fee 1 9.99"}},
		{Name: "with usage", Params: `{}`, Events: tarifftest.Quantities("5", "-5"), Want: []string{"fee 1 9.99"}},
		{Name: "before the end", Params: `{}`, Events: tarifftest.Quantities("0"), Open: true, Want: []string{"fee 1 9.99"}},
		{Name: "not without anything", Params: `{}`, Open: true},
	})
}

func TestVolumeOfAGivenTier(t *testing.T) {
	fixed := tariff.Tariff{Name: "fixed", Configure: func(c *tariff.Config) tariff.Pricer {
		v := tariff.NewVolume(c, "x_", []tariff.Tier{testTier{"10", "1", "2"}.tier(), testTier{"", "3", "0"}.tier()}, tariff.Exact)
		v.FixTier(billing.Quantity(billing.DecimalFromInt(10)))
		return v
	}}
	tarifftest.Run(t, fixed, []tarifftest.Case{
		{Name: "stays", Params: `{}`, Events: tarifftest.Quantities("5", "95"), Want: []string{"x_tier_1 100 100", "x_tier_1_flat_fee 1 2"}},
	})
}

// TestManyWritesAreUndone has one event write more than the list of noted writes has room for.
func TestManyWritesAreUndone(t *testing.T) {
	busy := tariff.Tariff{Name: "busy", Configure: func(c *tariff.Config) tariff.Pricer {
		var lines []tariff.Line
		for i := range 200 {
			lines = append(lines, c.Line(fmt.Sprint("l", i), ""))
		}
		return &pricer{price: func(s *tariff.Slot, e *tariff.Event) error {
			for _, l := range lines {
				if err := l.Add(s, e.Quantity(), billing.Amount(e.Quantity())); err != nil {
					return err
				}
			}
			if e.Quantity().Sign() < 0 {
				return tariff.Reject("negative", "")
			}
			return nil
		}}
	}}
	b := tarifftest.NewBench(t, busy)
	slot := tarifftest.NewSlot(configured(t, b, "busy", `{}`))
	if rejects, err := b.Price([]*tarifftest.Slot{slot}, tarifftest.Quantities("1", "-5", "2", "-7")); err != nil || len(rejects) != 2 {
		t.Fatalf("%v, %v", rejects, err)
	}
	three := abi.Line{Quantity: billing.DecimalFromInt(3), Amount: billing.DecimalFromInt(3)}
	for i, l := range slot.Lines {
		if l != three {
			t.Fatalf("line %d: %v", i, l)
		}
	}
	if !bytes.Equal(slot.State, nil) {
		t.Errorf("state % x of a tariff without cells", slot.State)
	}
}
