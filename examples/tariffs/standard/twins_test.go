package main

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// The tariffs a second time, in rationals, from all events at once.

// decimalText draws a short decimal number of at least least hundredths.
func decimalText(t *rapid.T, label string, least, most int) string {
	return big.NewRat(int64(rapid.IntRange(least, most).Draw(t, label)), rapid.SampledFrom([]int64{1, 2, 10, 100, 1000}).Draw(t, label+" unit")).FloatString(3)
}

// random is a draw of what most tariffs share.
type random struct {
	t        *rapid.T
	params   map[string]any
	rounding billing.Rounding
	events   []tarifftest.Event
	cuts     []int
}

func draw(t *rapid.T) *random {
	r := &random{t: t, params: map[string]any{}}
	if rapid.Bool().Draw(t, "rounded") {
		r.rounding = billing.Rounding{Scale: rapid.IntRange(-1, 3).Draw(t, "scale"), Mode: billing.RoundingMode(rapid.IntRange(1, 4).Draw(t, "mode"))}
		r.params["rounding"] = r.rounding
	}
	for range rapid.IntRange(0, 8).Draw(t, "events") {
		r.events = append(r.events, tarifftest.Event{Quantity: decimalText(t, "quantity", -30, 100)})
	}
	if n := len(r.events); n > 0 {
		r.cuts = []int{rapid.IntRange(0, n).Draw(t, "cut")}
	}
	return r
}

// check prices with the tariff and compares a total, and units when they are not nil.
func (r *random) check(t *testing.T, tr tariff.Tariff, total, units *big.Rat) {
	t.Helper()
	raw, err := json.Marshal(r.params)
	if err != nil {
		t.Fatal(err)
	}
	slot, rejects := tarifftest.Twin{Cuts: r.cuts}.Price(t, tr, string(raw), r.events)
	if len(rejects) > 0 {
		r.t.Fatalf("%s: %v", raw, rejects)
	}
	if slot.Total().Cmp(total) != 0 {
		r.t.Fatalf("%s %s of %v: %q, want a total of %s", tr.Name, raw, r.events, slot.Show(), total.FloatString(10))
	}
	if got := slot.Quantity("usage"); units != nil && got.Cmp(units) != 0 {
		r.t.Fatalf("%s %s of %v: %q, want %s units", tr.Name, raw, r.events, slot.Show(), units.FloatString(10))
	}
}

func (r *random) round(x *big.Rat) *big.Rat { return tarifftest.Round(x, r.rounding) }

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func larger(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return b
	}
	return a
}

// levels returns the units after each event.
func (r *random) levels() []*big.Rat {
	list, sum := []*big.Rat{}, new(big.Rat)
	for _, e := range r.events {
		sum = add(sum, tarifftest.ParseRat(e.Quantity))
		list = append(list, sum)
	}
	return list
}

func last(levels []*big.Rat) *big.Rat {
	if len(levels) == 0 {
		return new(big.Rat)
	}
	return levels[len(levels)-1]
}

// net draws a conversion and free units and returns what they make of units.
func (r *random) net() func(*big.Rat) *big.Rat {
	convert, free := func(x *big.Rat) *big.Rat { return x }, new(big.Rat)
	if rapid.Bool().Draw(r.t, "converted") {
		mode := billing.RoundingMode(rapid.IntRange(1, 4).Draw(r.t, "conversion mode"))
		places := rapid.IntRange(0, 2).Draw(r.t, "precision")
		factor := rapid.SampledFrom([]string{"3", "0.25", "7.5"}).Draw(r.t, "factor")
		operation := rapid.SampledFrom([]string{"multiply", "divide"}).Draw(r.t, "operation")
		r.params["unit_conversion"] = map[string]any{"operation": operation, "factor": factor, "rounding": mode, "precision": places}
		convert = func(x *big.Rat) *big.Rat {
			f := tarifftest.ParseRat(factor)
			if operation == "divide" {
				f = new(big.Rat).Inv(f)
			}
			return tarifftest.Round(mul(x, f), billing.Rounding{Scale: places, Mode: mode})
		}
	}
	if rapid.Bool().Draw(r.t, "discounted") {
		text := decimalText(r.t, "free", 0, 50)
		r.params["discounts"], free = map[string]any{"usage": text}, tarifftest.ParseRat(text)
	}
	return func(x *big.Rat) *big.Rat {
		if x = convert(x); x.Sign() > 0 {
			x = larger(sub(x, free), new(big.Rat))
		}
		return x
	}
}

// bill computes what cumulative costs come to: in arrears of the last level, in advance of every new peak. parts are
// the cost of units in parts that are rounded by themselves.
func (r *random) bill(parts func(*big.Rat) []*big.Rat) (total, units *big.Rat) {
	net, levels := r.net(), r.levels()
	sum := func(list []*big.Rat, round bool) *big.Rat {
		total := new(big.Rat)
		for _, p := range list {
			if round {
				p = r.round(p)
			}
			total = add(total, p)
		}
		return total
	}
	if !rapid.Bool().Draw(r.t, "in advance") {
		units = net(last(levels))
		return sum(parts(units), true), units
	}
	r.params["billing"] = "in_advance"
	total, peak := new(big.Rat), new(big.Rat)
	units = new(big.Rat)
	for i, level := range levels {
		units = net(level)
		after := larger(peak, units)
		charge := sum(parts(after), false)
		if i > 0 {
			charge = sub(charge, sum(parts(peak), false))
		}
		total, peak = add(total, r.round(charge)), after
	}
	return total, units
}

func TestPerUnitTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		price := decimalText(rt, "price", 0, 500)
		r.params["unit_price"] = price
		if rapid.Bool().Draw(rt, "clamped") {
			r.params["negative_units"] = "clamp_to_zero"
			for i := range r.events {
				if r.events[i].Quantity[0] == '-' && rapid.Bool().Draw(rt, "clamp") {
					r.events[i].Quantity = "0"
				} else if r.events[i].Quantity[0] == '-' {
					r.events[i].Quantity = r.events[i].Quantity[1:]
				}
			}
		}
		total, units := r.bill(func(u *big.Rat) []*big.Rat { return []*big.Rat{mul(u, tarifftest.ParseRat(price))} })
		r.check(t, perUnit, total, units)
	})
}

// TestPerUnitFiltersTwin gives each event the price of the first filter that it matches.
func TestPerUnitFiltersTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		r.params["unit_price"] = "0.007"
		r.params["filters"] = []any{
			map[string]any{"match": map[string]any{"cloud": []string{"aws", "gcp"}, "tier": []string{"a"}}, "unit_price": "1.005"},
			map[string]any{"match": map[string]any{"cloud": []string{"gcp"}}, "unit_price": "2.5"},
		}
		sums := map[string]*big.Rat{"0.007": {}, "1.005": {}, "2.5": {}}
		for i := range r.events {
			cloud := rapid.SampledFrom([]string{"aws", "gcp", "", "own"}).Draw(rt, "cloud")
			tier := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "tier")
			r.events[i].Dimensions = map[string]string{"cloud": cloud, "tier": tier}
			price := "0.007"
			switch {
			case (cloud == "aws" || cloud == "gcp") && tier == "a":
				price = "1.005"
			case cloud == "gcp":
				price = "2.5"
			}
			sums[price] = add(sums[price], tarifftest.ParseRat(r.events[i].Quantity))
		}
		total := new(big.Rat)
		for price, sum := range sums {
			total = add(total, r.round(mul(sum, tarifftest.ParseRat(price))))
		}
		r.check(t, perUnit, total, sums["0.007"])
	})
}

// tiers draws a list of tiers and returns their naive form.
func (r *random) tiers(priceName string) (bounds, prices, fees []*big.Rat) {
	list, bound := []any{}, new(big.Rat)
	n := rapid.IntRange(1, 4).Draw(r.t, "tiers")
	for i := range n {
		price, fee := decimalText(r.t, "tier price", 0, 500), decimalText(r.t, "fee", 0, 200)
		tier := map[string]any{"up_to": nil, "flat_fee": fee}
		if priceName != "" {
			tier[priceName] = price
		} else {
			price = "0"
		}
		if i < n-1 {
			bound = add(bound, big.NewRat(int64(rapid.IntRange(1, 400).Draw(r.t, "width")), 8))
			tier["up_to"] = bound.FloatString(3)
			bounds = append(bounds, bound)
		}
		list = append(list, tier)
		rate := tarifftest.ParseRat(price)
		if priceName == "rate_percent" {
			rate = mul(rate, big.NewRat(1, 100))
		}
		prices, fees = append(prices, rate), append(fees, tarifftest.ParseRat(fee))
	}
	r.params["tiers"] = list
	return bounds, prices, fees
}

func TestGraduatedTwin(t *testing.T) {
	for priceName, tr := range map[string]tariff.Tariff{"unit_price": graduated, "rate_percent": graduatedPercentage} {
		rapid.Check(t, func(rt *rapid.T) {
			r := draw(rt)
			bounds, prices, fees := r.tiers(priceName)
			total, _ := r.bill(func(u *big.Rat) (parts []*big.Rat) {
				below := new(big.Rat)
				for i := range prices {
					if i > 0 && u.Cmp(below) <= 0 {
						break
					}
					part := sub(u, below)
					if i < len(bounds) && u.Cmp(bounds[i]) > 0 {
						part = sub(bounds[i], below)
					}
					parts = append(parts, mul(part, prices[i]), fees[i])
					if i < len(bounds) {
						below = bounds[i]
					}
				}
				return parts
			})
			r.check(t, tr, total, nil)
		})
	}
}

func TestVolumeTwin(t *testing.T) {
	for priceName, tr := range map[string]tariff.Tariff{"unit_price": volume, "": stairstep} {
		rapid.Check(t, func(rt *rapid.T) {
			r := draw(rt)
			bounds, prices, fees := r.tiers(priceName)
			total, _ := r.bill(func(u *big.Rat) []*big.Rat {
				i := 0
				for i < len(bounds) && u.Cmp(bounds[i]) > 0 {
					i++
				}
				return []*big.Rat{mul(u, prices[i]), fees[i]}
			})
			r.check(t, tr, total, nil)
		})
	}
}

func TestPackageTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		size, price, free := decimalText(rt, "size", 1, 30), decimalText(rt, "price", 0, 500), decimalText(rt, "free", 0, 30)
		r.params["package_size"], r.params["package_price"], r.params["free_units"] = size, price, free
		total, units := r.bill(func(u *big.Rat) []*big.Rat {
			packages := new(big.Rat).Quo(sub(u, tarifftest.ParseRat(free)), tarifftest.ParseRat(size))
			packages = larger(tarifftest.Round(packages, billing.Rounding{Mode: billing.RoundCeiling}), new(big.Rat))
			return []*big.Rat{mul(packages, tarifftest.ParseRat(price))}
		})
		r.check(t, packaged, total, units)
	})
}

func TestDynamicTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		r.params["flavor"] = "event_amount"
		inAdvance := rapid.Bool().Draw(rt, "in advance")
		if inAdvance {
			r.params["billing"] = "in_advance"
		}
		sum, units := new(big.Rat), new(big.Rat)
		for i := range r.events {
			r.events[i].Amount = decimalText(rt, "amount", -100, 5000)
			amount, quantity := tarifftest.ParseRat(r.events[i].Amount), tarifftest.ParseRat(r.events[i].Quantity)
			if inAdvance {
				if amount = r.round(amount); quantity.Sign() == 0 {
					amount = new(big.Rat)
				}
			}
			sum, units = add(sum, amount), add(units, quantity)
		}
		if !inAdvance {
			if sum = r.round(sum); units.Sign() == 0 {
				sum = new(big.Rat)
			}
		}
		r.check(t, dynamic, sum, units)
	})
}

// percentageTwin prices each event on its own: whether it is free depends on those before it alone.
func percentageTwin(r *random, rate, fee, freeValue *big.Rat, freeEvents int, least, most *big.Rat, charged, inAdvance bool) *big.Rat {
	used, usedValue, value, paidValue, paidEvents := 0, new(big.Rat), new(big.Rat), new(big.Rat), new(big.Rat)
	each, eachRounded := new(big.Rat), new(big.Rat)
	for _, e := range r.events {
		v := tarifftest.ParseRat(e.Quantity)
		value = add(value, v)
		paid := v
		windowed := freeEvents > 0 || freeValue.Sign() > 0
		open := windowed && (freeEvents == 0 || used < freeEvents) && (freeValue.Sign() == 0 || usedValue.Cmp(freeValue) < 0)
		if open {
			used++
			usedValue = add(usedValue, v)
			if freeValue.Sign() == 0 || usedValue.Cmp(freeValue) <= 0 {
				continue
			}
			paid, usedValue = sub(usedValue, freeValue), freeValue
		}
		paidValue, paidEvents = add(paidValue, paid), add(paidEvents, big.NewRat(1, 1))
		cost := add(mul(paid, rate), fee)
		if least != nil && cost.Cmp(least) < 0 {
			cost = least
		}
		if most != nil && cost.Cmp(most) > 0 {
			cost = most
		}
		each = add(each, cost)
		if charged || v.Sign() != 0 {
			eachRounded = add(eachRounded, r.round(cost))
		}
	}
	switch {
	case inAdvance:
		return eachRounded
	case value.Sign() == 0 && !charged:
		return new(big.Rat)
	case least != nil || most != nil:
		return r.round(each)
	}
	return add(r.round(mul(paidValue, rate)), r.round(mul(paidEvents, fee)))
}

func TestPercentageTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		optional := func(name string, from, to int) *big.Rat {
			if !rapid.Bool().Draw(rt, name+" given") {
				return nil
			}
			text := decimalText(rt, name, from, to)
			r.params[name] = text
			return tarifftest.ParseRat(text)
		}
		rate, fee := decimalText(rt, "rate", 0, 100), decimalText(rt, "fee", 0, 50)
		r.params["rate_percent"], r.params["fixed_fee"] = rate, fee
		least, most := optional("min_per_event", 0, 30), optional("max_per_event", 30, 90)
		freeValue := optional("free_amount", 0, 60)
		if freeValue == nil {
			freeValue = new(big.Rat)
		}
		freeEvents := rapid.IntRange(0, 3).Draw(rt, "free events")
		r.params["free_events"] = freeEvents
		charged, inAdvance := rapid.Bool().Draw(rt, "charged"), rapid.Bool().Draw(rt, "in advance")
		if charged {
			r.params["zero_event"] = "charged"
		}
		if inAdvance {
			r.params["billing"] = "in_advance"
		}
		want := percentageTwin(r, mul(tarifftest.ParseRat(rate), big.NewRat(1, 100)), tarifftest.ParseRat(fee), freeValue, freeEvents, least, most, charged, inAdvance)
		r.check(t, percentage, want, nil)
	})
}

func TestPriceTableTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		delete(r.params, "rounding") // each row has its own
		type row struct {
			price    *big.Rat
			rounding billing.Rounding
		}
		rows, params := map[string]row{}, map[string]any{}
		for _, sku := range []string{"a", "b", "\u00fc \"x\"", "rest"} {
			text := decimalText(rt, "price", -20, 500)
			entry := map[string]any{"unit_price": text}
			found := row{price: tarifftest.ParseRat(text), rounding: billing.Rounding{Scale: 18, Mode: billing.RoundHalfUp}}
			if rapid.Bool().Draw(rt, "rounded") {
				found.rounding = billing.Rounding{Scale: rapid.IntRange(-1, 3).Draw(rt, "scale"), Mode: billing.RoundingMode(rapid.IntRange(1, 4).Draw(rt, "mode"))}
				entry["rounding"] = found.rounding
			}
			if rows[sku] = found; sku == "rest" {
				r.params["default"] = entry
			} else {
				params[sku] = entry
			}
		}
		r.params["dimension"], r.params["prices"] = "sku", params
		total, units := new(big.Rat), new(big.Rat)
		for i := range r.events {
			sku := rapid.SampledFrom([]string{"a", "b", "\u00fc \"x\"", "other", ""}).Draw(rt, "sku")
			r.events[i].Dimensions = map[string]string{"sku": sku}
			found, ok := rows[sku]
			if !ok {
				found = rows["rest"]
			}
			quantity := tarifftest.ParseRat(r.events[i].Quantity)
			units = add(units, quantity)
			total = add(total, tarifftest.Round(mul(quantity, found.price), found.rounding))
		}
		r.check(t, priceTable, total, units)
	})
}
