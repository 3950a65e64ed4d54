package main

import (
	"slices"
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// allocation spreads a total by weight, to the last digit: floor shares, and what is left goes, in smallest units, to
// the largest remainders.
var allocation = tariff.Tariff{
	Name:  "allocation",
	Title: "Invoice rule: spreads a total by weight, to the last digit",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		r := &allocationRule{total: p.Decimal("total", "What is spread.")}
		r.scale = p.Int("scale", "Decimal places of a share.", 0, billing.Scale)
		order := p.ChoiceOr("tie_break", "Who comes first among equal remainders: the order given, or that of the keys.", "given_order", "given_order", "key_order")
		for i, entry := range p.List("weights", "Who gets a share.") {
			w := weight{entry.Text("key", "The share's name."), entry.Decimal("weight", "The share's weight.")}
			if w.weight.Sign() < 0 {
				entry.Fail("weight", "must not be below 0")
			}
			r.lines = append(r.lines, c.Line("share_"+strconv.Itoa(i+1), w.key))
			r.weights, r.keys = append(r.weights, w.weight), append(r.keys, w.key)
		}
		if order == "given_order" {
			r.keys = nil
		}
		return r
	},
}

type weight struct {
	key    string
	weight billing.Decimal
}

type allocationRule struct {
	lines   []tariff.Line
	total   billing.Decimal
	scale   int
	weights []billing.Decimal
	keys    []string // nil: ties are broken by order
}

// Price has nothing to do: line items do not matter.
func (r *allocationRule) Price(*tariff.Slot, *tariff.Event) error { return nil }

func (r *allocationRule) Finish(s *tariff.Slot) error {
	shares, err := allocate(r.total, r.weights, r.scale, r.keys)
	if err != nil {
		return err
	}
	for i, share := range shares {
		setAmount(s, r.lines[i], billing.Amount(share))
	}
	return nil
}

// allocate spreads a total by weights at a scale. The shares sum up to the total, whose digits behind the scale go to
// the first share that gets anything. Equal remainders are served by key, or without keys in the order given. Without
// any weight nobody gets anything.
func allocate(total billing.Decimal, weights []billing.Decimal, scale int, keys []string) ([]billing.Decimal, error) {
	if keys == nil {
		if shares, ok := allocateUnits(total, weights, scale); ok {
			return shares, nil
		}
	}
	return allocateAny(total, weights, scale, keys)
}

// allocateAny is allocate for numbers of any size.
func allocateAny(total billing.Decimal, weights []billing.Decimal, scale int, keys []string) ([]billing.Decimal, error) {
	var all billing.Decimal
	for _, w := range weights {
		var err error
		if all, err = all.Add(w); err != nil {
			return nil, err
		}
	}
	shares := make([]billing.Decimal, len(weights))
	if all.Sign() <= 0 || total.IsZero() {
		return shares, nil
	}
	if total.Sign() < 0 {
		return allocateNegative(total, weights, scale, keys)
	}
	left, order := total, make([]int, len(weights))
	remainders := make([]billing.Sum, len(weights))
	floor := billing.Rounding{Scale: scale, Mode: billing.RoundFloor}
	for i, w := range weights {
		exact, order0 := billing.SumOf(total, w), i
		share, err := exact.QuoDecimal(all, floor)
		if err == nil {
			left, err = left.Sub(share)
		}
		if err == nil {
			remainders[i], err = exact.Sub(billing.SumOf(share, all))
		}
		if err != nil {
			return nil, err
		}
		shares[i], order[i] = share, order0
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if c := remainders[b].Cmp(remainders[a]); c != 0 || keys == nil {
			return c
		}
		return compareTexts(keys[a], keys[b])
	})
	unit, err := smallest(scale)
	for i := 0; err == nil && left.Sign() > 0; i++ {
		step := unit
		if left.Cmp(unit) < 0 {
			step = left
		}
		share := &shares[order[i%len(order)]]
		if *share, err = share.Add(step); err == nil {
			left, err = left.Sub(step)
		}
	}
	return shares, err
}

func compareTexts(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// allocateNegative spreads what is taken away as what is given.
func allocateNegative(total billing.Decimal, weights []billing.Decimal, scale int, keys []string) ([]billing.Decimal, error) {
	positive, err := total.Neg()
	if err != nil {
		return nil, err
	}
	shares, err := allocateAny(positive, weights, scale, keys)
	for i := range shares {
		if err == nil {
			shares[i], err = shares[i].Neg()
		}
	}
	return shares, err
}

// smallest returns 1 in the last place of a scale.
func smallest(scale int) (billing.Decimal, error) {
	unit := billing.DecimalFromInt(1)
	var err error
	for range scale {
		if unit, err = unit.MulQuo(billing.DecimalFromInt(1), 10, billing.Rounding{}); err != nil {
			return unit, err
		}
	}
	return unit, nil
}
