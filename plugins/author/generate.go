package author

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// generator makes events up, of what the cases of a file bring: their quantities, amounts and values of dimensions,
// and others like them. The same seed makes the same events.
type generator struct {
	random     *rand.Rand
	quantities []billing.Decimal
	amounts    []billing.Decimal // empty: events carry no money
	dimensions []string
	values     map[string][]string
}

// newGenerator learns from cases; values are those of the dimensions, as the tariff asks for them.
func newGenerator(cases []*Case, dimensions []string) *generator {
	g := &generator{dimensions: dimensions, values: map[string][]string{}}
	for _, q := range []string{"1", "2", "3", "10", "0.5", "100", "1000", "0.000000000000000001"} {
		g.quantities = append(g.quantities, billing.MustDecimal(q))
	}
	for _, c := range cases {
		for _, p := range c.Periods {
			for _, e := range p.Events {
				g.quantities = appendNew(g.quantities, e.Quantity)
				if e.HasAmount {
					g.amounts = appendNew(g.amounts, e.Amount)
				}
				for _, d := range slices.Sorted(maps.Keys(e.Dimensions)) {
					g.values[d] = appendNew(g.values[d], e.Dimensions[d])
				}
			}
		}
	}
	return g
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}

// seed begins anew.
func (g *generator) seed(seed uint64, parts ...string) {
	h := uint64(14695981039346656037) // FNV-1a, to give each case and property events of its own
	for _, p := range parts {
		for k := range len(p) {
			h = (h ^ uint64(p[k])) * 1099511628211
		}
	}
	g.random = rand.New(rand.NewPCG(seed, h))
}

// hostile are the numbers that a tariff must bear: none, less than none, the least and the most there can be.
func hostile() []billing.Decimal {
	var list []billing.Decimal
	for _, n := range []string{
		"0", "-1", "0.000000000000000001", "-0.000000000000000001", "99999999999999999999", "-99999999999999999999",
		"170141183460469231731.687303715884105727", "-170141183460469231731.687303715884105728",
	} {
		list = append(list, billing.MustDecimal(n))
	}
	return list
}

const (
	generatedEvents = 24 // at most, of one sample
	generatedSlots  = 3
)

// sample makes up a sample in the place of s: with its period and carry. With evil, every second number is hostile.
func (g *generator) sample(s *sample, evil bool) *sample {
	made := *s
	made.slots = 1 + g.random.IntN(generatedSlots)
	made.events = make([]Event, 1+g.random.IntN(generatedEvents))
	for k := range made.events {
		made.events[k] = g.event(s, made.slots, evil)
		made.events[k].ID = strconv.Itoa(k + 1)
	}
	if g.random.IntN(2) == 0 { // producers mostly send in order, but need not
		slices.SortStableFunc(made.events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	}
	return &made
}

func (g *generator) event(s *sample, slots int, evil bool) Event {
	span := s.period.End.Sub(s.period.Start)
	e := Event{
		Slot:     g.random.IntN(slots),
		Time:     s.period.Start.Add(time.Duration(g.random.Int64N(int64(max(span/time.Second, 1)))) * time.Second),
		Quantity: pick(g.random, g.quantities),
	}
	if len(g.amounts) > 0 && g.random.IntN(4) > 0 {
		e.Amount, e.HasAmount = pick(g.random, g.amounts), true
	}
	if evil && g.random.IntN(2) == 0 {
		e.Quantity = pick(g.random, hostile())
		if e.HasAmount {
			e.Amount = pick(g.random, hostile())
		}
	}
	if len(g.dimensions) > 0 {
		e.Dimensions = map[string]string{}
	}
	for _, d := range g.dimensions {
		if v := g.value(d); v != "" {
			e.Dimensions[d] = v
		}
	}
	return e
}

// value is one that the cases have, now and then none, or one that nobody expects.
func (g *generator) value(dimension string) string {
	known := g.values[dimension]
	switch n := g.random.IntN(12); {
	case n == 0 || len(known) == 0 && n < 4:
		return ""
	case n == 1 || len(known) == 0:
		return "other-" + strconv.Itoa(g.random.IntN(3))
	}
	return pick(g.random, known)
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// cuts divides n events into batches at random.
func (g *generator) cuts(n int) []int {
	var cuts []int
	for k := 1; k < n; k++ {
		if g.random.IntN(3) == 0 {
			cuts = append(cuts, k)
		}
	}
	return cuts
}
