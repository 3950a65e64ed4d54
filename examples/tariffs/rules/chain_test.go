package main

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// TestChainTwin prices one invoice by several rules, of which each sees the lines of those before: a discount, a cap, a
// minimum that may be above the cap, and tax. Items may be refunds, and their sum below zero.
func TestChainTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, -20_000)
		for i := range r.items {
			r.amounts[i] = tarifftest.Round(r.amounts[i], cents)
			r.items[i].Amount = r.amounts[i].FloatString(2)
		}
		join := func(line *big.Rat) {
			r.items = append(r.items, tarifftest.Event{Amount: line.FloatString(2), Quantity: "1"})
			r.amounts = append(r.amounts, line)
		}
		percent := func(rate *big.Rat) *big.Rat {
			sum := new(big.Rat)
			for _, a := range r.amounts {
				sum = add(sum, tarifftest.Round(mul(a, mul(rate, big.NewRat(1, 100))), cents))
			}
			return sum
		}
		none := new(big.Rat)

		rate := r.decimal("percent", 0, 100)
		want := new(big.Rat).Neg(percent(rate))
		got := r.price(t, discount, false).Total()
		r.want("the discount", got, want)
		join(got)

		r.params = map[string]any{"rounding": cents}
		maximum := r.decimal("maximum", 0, 20_000)
		excess, gross := new(big.Rat), r.sum()
		if gross.Sign() > 0 {
			excess = between(none, tarifftest.Round(sub(gross, maximum), cents), gross)
		}
		got = r.price(t, maximumCap, false).Total()
		r.want("the cap", got, new(big.Rat).Neg(excess))
		join(got)

		r.params = map[string]any{"rounding": cents}
		missing := sub(r.decimal("minimum", 0, 30_000), r.sum())
		if missing.Sign() < 0 {
			missing = none
		}
		got = r.price(t, minimumCommitment, false).Total()
		r.want("the minimum", got, tarifftest.Round(missing, cents))
		join(got)

		r.params = map[string]any{"rounding": cents}
		tax := r.decimal("tax_percent", 0, 30)
		r.want("the tax", r.price(t, invoiceTotals, false).Total(), percent(tax))
	})
}
