package main

import (
	"strconv"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// invoiceTotals takes coupons off the line items, spread by their amounts, and adds the taxes that each line item
// has, each rounded by itself. With coupons and many line items, a bill on the way has neither yet. Tax rates come with the line items, in the dimension tax_percent: "20", or "12,5" for
// two; a line item without takes those of the parameters.
var invoiceTotals = tariff.Tariff{
	Name:      "invoice_totals",
	Title:     "Invoice rule: coupons before tax, and tax by line and rate",
	Kind:      tariff.KindRule,
	Configure: configureTotals,
}

const (
	itemsMax = 400 // line items with lines of their own: three each
	ratesMax = 7   // taxes of one line item
	// itemsAtOnce is up to how many line items coupons are spread at each: work that grows with their square.
	itemsAtOnce = 50
)

func configureTotals(c *tariff.Config) tariff.Pricer {
	p := c.Params
	r := &totalsRule{dimension: c.Dimension("tax_percent"), count: c.State.Int(), table: c.State.Numbers(28_000)}
	for _, entry := range p.OptionalList("coupons", "Taken off before tax, in this order, as far as something is left.") {
		kind := entry.ChoiceOr("type", "Whether the value is an amount or a percentage of what is left.", "fixed", "fixed", "percentage")
		value := entry.Decimal("value", "How much.")
		if value.Sign() < 0 {
			entry.Fail("value", "must not be below 0")
		}
		r.coupons = append(r.coupons, coupon{kind == "percentage", value})
	}
	var err error
	if r.rates, err = readRates(p.TextOr("tax_percent", "Tax rates of the line items that bring none, such as 20, or 12.5,3 for two.", "")); err != nil {
		p.Fail("tax_percent", "must be a list of up to 7 percentages")
	}
	r.rounding = p.Rounding("rounding", "Rounding of each tax, and the scale of each share of a coupon; without it, the currency's cents.")
	if !p.Present("rounding") {
		r.rounding = billing.Rounding{Scale: c.Currency.Digits(), Mode: billing.RoundHalfUp}
	}
	items := p.IntOr("line_items", "The number of line items that get lines of their own; the others share lines.", 0, itemsMax, 0)
	for i := range items {
		number := strconv.Itoa(i + 1)
		r.couponLines = append(r.couponLines, c.Line("coupon_"+number, "Coupon on line "+number))
		r.taxLines = append(r.taxLines, c.Line("tax_"+number, "Tax on line "+number))
	}
	r.couponLines, r.taxLines = append(r.couponLines, c.Line("coupon", "Coupon")), append(r.taxLines, c.Line("tax", "Tax"))
	return r
}

type coupon struct {
	percentage bool
	value      billing.Decimal
}

type totalsRule struct {
	dimension             tariff.Dimension
	coupons               []coupon
	rates                 []billing.Decimal // of line items that bring none
	rounding              billing.Rounding
	couponLines, taxLines []tariff.Line // by line item; the last for all that have none
	count                 tariff.IntCell
	table                 *tariff.Keyed // amounts and tax rates: see itemKey
}

// readRates reads a list of tax rates, in percent.
func readRates(list string) ([]billing.Decimal, error) {
	var rates []billing.Decimal
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		rate, err := billing.ParseDecimal(text)
		if err != nil || rate.Sign() < 0 || len(rates) == ratesMax {
			return nil, tariff.Reject("bad_tax_percent", "tax_percent "+strconv.Quote(list)+" is not a list of up to 7 percentages")
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

// itemKey is the key of a number of a line item: 0 its amount, 1 and on its tax rates.
func itemKey(item, number int64) tariff.Key { return tariff.KeyOfInt(item*(ratesMax+1) + number) }

func (r *totalsRule) Price(s *tariff.Slot, e *tariff.Event) error {
	item, rates := r.count.Get(s), r.rates
	if own := e.Value(r.dimension); own != "" {
		var err error
		if rates, err = readRates(own); err != nil {
			return err
		}
	}
	for i, rate := range rates {
		if err := r.table.SetNumber(s, itemKey(item, int64(i)+1), 0, rate); err != nil {
			return err
		}
	}
	amount, _ := e.Amount()
	if err := r.table.SetNumber(s, itemKey(item, 0), uint32(len(rates)), amount.D()); err != nil {
		return err
	}
	r.count.Set(s, item+1)
	switch {
	case len(r.coupons) == 0: // what there is of other line items stands
		return r.addTax(s, int(item), amount.D())
	case item < itemsAtOnce:
		return r.bill(s)
	}
	r.clear(s)
	return nil
}

// Finish writes what a further line item would have changed.
func (r *totalsRule) Finish(s *tariff.Slot) error {
	if len(r.coupons) == 0 {
		return nil
	}
	return r.bill(s)
}

// addTax adds the tax of a line item.
func (r *totalsRule) addTax(s *tariff.Slot, item int, amount billing.Decimal) error {
	line := r.taxLines[min(item, len(r.taxLines)-1)]
	tax, err := r.tax(s, item, amount)
	if err != nil {
		return err
	}
	_, before := line.Get(s)
	sum, err := before.Add(billing.Amount(tax))
	if err == nil {
		setAmount(s, line, sum)
	}
	return err
}

// clear takes the lines back: from so many line items on they are written when the period ends.
func (r *totalsRule) clear(s *tariff.Slot) {
	for i := range r.couponLines {
		setAmount(s, r.couponLines[i], billing.Amount{})
		setAmount(s, r.taxLines[i], billing.Amount{})
	}
}

// bill writes all lines anew: a further line item changes the shares of all.
func (r *totalsRule) bill(s *tariff.Slot) error {
	amounts := make([]billing.Decimal, r.count.Get(s))
	for i := range amounts {
		amounts[i] = r.table.Number(s, itemKey(int64(i), 0))
	}
	offs, err := r.spread(amounts)
	if err != nil {
		return err
	}
	couponSum, taxSum := make([]billing.Decimal, len(r.couponLines)), make([]billing.Decimal, len(r.taxLines))
	for i := range amounts {
		line := min(i, len(r.couponLines)-1)
		tax, err := r.tax(s, i, amounts[i])
		if err != nil {
			return err
		}
		if taxSum[line], err = taxSum[line].Add(tax); err != nil {
			return err
		}
		if couponSum[line], err = couponSum[line].Add(offs[i]); err != nil {
			return err
		}
	}
	for i := range couponSum {
		if err := subtract(s, r.couponLines[i], billing.Amount(couponSum[i])); err != nil {
			return err
		}
		setAmount(s, r.taxLines[i], billing.Amount(taxSum[i]))
	}
	return nil
}

// spread takes the coupons off the amounts and returns how much came off each.
func (r *totalsRule) spread(amounts []billing.Decimal) ([]billing.Decimal, error) {
	offs := make([]billing.Decimal, len(amounts))
	for _, c := range r.coupons {
		var left billing.Decimal
		weights := make([]billing.Decimal, len(amounts))
		var err error
		for i, amount := range amounts {
			if weights[i] = amount; amount.Sign() < 0 {
				weights[i] = billing.Decimal{}
			}
			if left, err = left.Add(amount); err != nil {
				return nil, err
			}
		}
		value := c.value
		if c.percentage {
			if value, err = left.MulQuo(c.value, 100, r.rounding); err != nil {
				return nil, err
			}
		}
		if value.Cmp(left) > 0 {
			value = left
		}
		if value.Sign() <= 0 {
			continue
		}
		shares, err := allocate(value, weights, max(r.rounding.Scale, 0), nil)
		if err != nil {
			return nil, err
		}
		for i, share := range shares {
			if offs[i], err = offs[i].Add(share); err != nil {
				return nil, err
			}
			if amounts[i], err = amounts[i].Sub(share); err != nil {
				return nil, err
			}
		}
	}
	return offs, nil
}

// tax is the sum of a line item's taxes, each rounded.
func (r *totalsRule) tax(s *tariff.Slot, item int, amount billing.Decimal) (sum billing.Decimal, err error) {
	rates, _ := r.table.Mark(s, itemKey(int64(item), 0))
	for n := range int64(rates) {
		tax, err := amount.MulQuo(r.table.Number(s, itemKey(int64(item), n+1)), 100, r.rounding)
		if err != nil {
			return sum, err
		}
		if sum, err = sum.Add(tax); err != nil {
			return sum, err
		}
	}
	return sum, nil
}
