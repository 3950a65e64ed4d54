package main

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// The tariffs a second time, in rationals, from all events at once.

// random is a draw of events in January 2026, the period of the tests.
type random struct {
	t        *rapid.T
	params   map[string]any
	rounding billing.Rounding
	events   []tarifftest.Event
	times    []time.Time
	amounts  []*big.Rat // quantities
	cuts     []int
	carry    []byte
}

var january = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const januaryDays = 31

func draw(t *rapid.T) *random {
	r := &random{t: t, params: map[string]any{}}
	if rapid.Bool().Draw(t, "rounded") {
		r.rounding = billing.Rounding{Scale: rapid.IntRange(-1, 4).Draw(t, "scale"), Mode: billing.RoundingMode(rapid.IntRange(1, 4).Draw(t, "mode"))}
		r.params["rounding"] = r.rounding
	} else {
		r.rounding = tariff.Exact
	}
	for range rapid.IntRange(0, 8).Draw(t, "events") {
		quantity := decimalText(t, "quantity", -30, 100)
		at := january.Add(time.Duration(rapid.IntRange(0, januaryDays*24*60-1).Draw(t, "minute"))*time.Minute + time.Duration(rapid.IntRange(0, 1999).Draw(t, "milli"))*time.Millisecond)
		r.events = append(r.events, tarifftest.Event{Quantity: quantity, Time: at.Format(time.RFC3339Nano), Dimensions: map[string]string{}})
		r.times, r.amounts = append(r.times, at), append(r.amounts, tarifftest.ParseRat(quantity))
	}
	if n := len(r.events); n > 0 {
		r.cuts = []int{rapid.IntRange(0, n).Draw(t, "cut")}
	}
	return r
}

func decimalText(t *rapid.T, label string, least, most int) string {
	return big.NewRat(int64(rapid.IntRange(least, most).Draw(t, label)), rapid.SampledFrom([]int64{1, 2, 10, 100, 1000}).Draw(t, label+" unit")).FloatString(3)
}

func (r *random) decimal(name string, least, most int) *big.Rat {
	text := decimalText(r.t, name, least, most)
	r.params[name] = text
	return tarifftest.ParseRat(text)
}

func (r *random) price(t *testing.T, tr tariff.Tariff) *tarifftest.Slot {
	t.Helper()
	raw, err := json.Marshal(r.params)
	if err != nil {
		t.Fatal(err)
	}
	twin := tarifftest.Twin{Cuts: r.cuts, Slot: func(s *tarifftest.Slot) { s.CarryIn = r.carry }}
	slot, rejects := twin.Price(t, tr, string(raw), r.events)
	if len(rejects) > 0 {
		r.t.Fatalf("%s: %v", raw, rejects)
	}
	return slot
}

func (r *random) want(what string, got, want *big.Rat) {
	if got.Cmp(want) != 0 {
		r.t.Fatalf("%v of %v: %s is %s, want %s", r.params, r.events, what, got.FloatString(8), want.FloatString(8))
	}
}

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
func quo(a, b *big.Rat) *big.Rat { return new(big.Rat).Quo(a, b) }
func whole(n int) *big.Rat       { return big.NewRat(int64(n), 1) }

// day is the day of the month that an instant lies in, from 0.
func day(at time.Time) int { return at.Day() - 1 }

// unitsTwin is what the events come to, by definition.
func (r *random) unitsTwin(kind string, initial *big.Rat) *big.Rat {
	sum, n := new(big.Rat), len(r.amounts)
	for _, a := range r.amounts {
		sum = add(sum, a)
	}
	switch kind {
	case "sum":
		return add(sum, initial)
	case "count":
		return add(whole(n), initial)
	case "avg":
		return quo(sum, whole(max(n, 1)))
	case "max", "min":
		if n == 0 {
			return new(big.Rat)
		}
		compare := func(a, b *big.Rat) int { return a.Cmp(b) }
		if kind == "min" {
			return slices.MinFunc(r.amounts, compare)
		}
		return slices.MaxFunc(r.amounts, compare)
	case "latest":
		best, at := initial, time.Time{}
		for i, t := range r.times {
			if !t.Before(at) {
				best, at = r.amounts[i], t
			}
		}
		if best.Sign() < 0 {
			return new(big.Rat)
		}
		return best
	case "prorated_sum":
		total := initial
		for i, a := range r.amounts {
			total = add(total, mul(a, big.NewRat(int64(januaryDays-day(r.times[i])), januaryDays)))
		}
		return total
	case "weighted_sum":
		total, seconds := initial, int64(januaryDays*86400)
		for i, a := range r.amounts {
			total = add(total, mul(a, big.NewRat(seconds-(r.times[i].Unix()-january.Unix()), seconds)))
		}
		return total
	}
	panic(kind)
}

func TestAggregationTwin(t *testing.T) {
	for _, kind := range []string{"sum", "count", "max", "min", "avg", "latest", "prorated_sum", "weighted_sum"} {
		rapid.Check(t, func(rt *rapid.T) {
			r := draw(rt)
			r.params["type"] = kind
			price, initial := r.decimal("unit_price", 0, 500), new(big.Rat)
			if kind != "max" && kind != "min" && kind != "avg" {
				initial = r.decimal("initial", 0, 50)
			}
			rounding := billing.Rounding{Scale: rapid.IntRange(0, 5).Draw(rt, "unit scale"), Mode: billing.RoundCeiling}
			r.params["unit_rounding"] = rounding
			units := r.unitsTwin(kind, initial)
			slot := r.price(t, aggregation)
			r.want("units", slot.Quantity("usage"), tarifftest.Round(units, rounding))
			r.want("amount", slot.Total(), tarifftest.Round(mul(units, price), r.rounding))
		})
	}
}

// TestUniqueTwin lists the pairs of key and day, over two periods.
func TestUniqueTwin(t *testing.T) {
	for _, kind := range []string{"unique_count", "prorated_unique_count"} {
		rapid.Check(t, func(rt *rapid.T) {
			r := draw(rt)
			r.params["type"], r.params["key"], r.params["op"], r.params["recurring"] = kind, "user", "op", true
			r.params["unit_rounding"] = billing.Rounding{Scale: 6, Mode: billing.RoundHalfUp}
			carried := map[string]bool{}
			for _, key := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d"}), rapid.ID).Draw(rt, "carried") {
				carried[key] = true
			}
			r.carry = carryOf(t, r.params, carried)
			slices.SortFunc(r.times, time.Time.Compare) // a day that has begun is charged: order by time
			active, pairs := carried, map[string]bool{}
			mark := func(key string, from, until int) {
				for d := from; d < until; d++ {
					pairs[fmt.Sprint(key, d)] = true
				}
			}
			since := map[string]int{}
			for i := range r.events {
				r.events[i].Time = r.times[i].Format(time.RFC3339Nano)
				key, op := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key"), rapid.SampledFrom([]string{"add", "remove", ""}).Draw(rt, "op")
				r.events[i].Dimensions = map[string]string{"user": key, "op": op}
				switch {
				case op != "remove" && !active[key]:
					active[key], since[key] = true, day(r.times[i])
				case op == "remove" && active[key]:
					mark(key, since[key], day(r.times[i])+1)
					delete(active, key)
				}
			}
			for key := range active {
				mark(key, since[key], januaryDays)
			}
			want := whole(len(active))
			if kind == "prorated_unique_count" {
				want = big.NewRat(int64(len(pairs)), januaryDays)
			}
			r.want("units", r.price(t, aggregation).Quantity("usage"), tarifftest.Round(want, billing.Rounding{Scale: 6, Mode: billing.RoundHalfUp}))
		})
	}
}

// carryOf closes a period in which the keys were added.
func carryOf(t *testing.T, params map[string]any, keys map[string]bool) []byte {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	var events []tarifftest.Event
	for key := range keys {
		events = append(events, tarifftest.Event{Dimensions: map[string]string{"user": key}})
	}
	slot, _ := tarifftest.Twin{}.Price(t, aggregation, string(raw), events)
	return slot.CarryOut
}

func TestProratedGraduatedTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		var tiers []any
		var bounds, prices, fees []*big.Rat
		bound := new(big.Rat)
		n := rapid.IntRange(1, 3).Draw(rt, "tiers")
		for i := range n {
			price, fee := decimalText(rt, "price", 0, 200), decimalText(rt, "fee", 0, 200)
			tier := map[string]any{"unit_price": price, "flat_fee": fee}
			if i < n-1 {
				bound = add(bound, whole(rapid.IntRange(1, 40).Draw(rt, "width")))
				tier["up_to"], bounds = bound.FloatString(0), append(bounds, bound)
			}
			tiers, prices, fees = append(tiers, tier), append(prices, tarifftest.ParseRat(price)), append(fees, tarifftest.ParseRat(fee))
		}
		r.params["tiers"] = tiers
		level := r.decimal("initial_units", 0, 60)
		charged := rapid.Bool().Draw(rt, "removal day charged")
		if charged {
			r.params["day_rule"] = "removal_day_charged"
		}
		byDate := rapid.Bool().Draw(rt, "by date")
		if !byDate {
			r.params["prorated_quantity"] = "part"
		}
		// The area under the price of a unit up to a level.
		area := func(level *big.Rat) *big.Rat {
			total, below := new(big.Rat), new(big.Rat)
			for i, price := range prices {
				top := level
				if i < len(bounds) && level.Cmp(bounds[i]) > 0 {
					top = bounds[i]
				}
				if i == 0 || top.Cmp(below) > 0 {
					total = add(total, mul(sub(top, below), price))
				}
				if i < len(bounds) {
					below = bounds[i]
				}
			}
			return total
		}
		usage, peak := area(level), level
		for i, q := range r.amounts {
			coefficient := new(big.Rat)
			switch {
			case byDate:
				left := januaryDays - day(r.times[i])
				if charged && q.Sign() < 0 {
					left--
				}
				coefficient = big.NewRat(int64(left), januaryDays)
			case q.Sign() != 0:
				part := decimalText(rt, "part", -50, 50)
				r.events[i].Dimensions = map[string]string{"part": part}
				coefficient = quo(tarifftest.ParseRat(part), q)
			}
			after := add(level, q)
			usage = add(usage, mul(sub(area(after), area(level)), coefficient))
			if level = after; level.Cmp(peak) > 0 {
				peak = level
			}
		}
		slot := r.price(t, proratedGraduated)
		r.want("level", slot.Quantity("usage"), level)
		if level.Sign() < 0 {
			r.want("amount", slot.Total(), new(big.Rat))
			return
		}
		fee := fees[0]
		for i, b := range bounds {
			if peak.Cmp(b) > 0 {
				fee = add(fee, fees[i+1])
			}
		}
		r.want("usage", slot.Amount("usage"), tarifftest.Round(usage, r.rounding))
		r.want("fees", slot.Amount("flat_fee"), tarifftest.Round(fee, r.rounding))
	})
}

func TestCustomTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		r.params["kind"], r.params["attribute"] = "attribute_tiers", "certif"
		prices := map[string][]string{"own": {"0.15", "0.12", "0.1"}, "other": {"0.2", "0.001", "3"}}
		bounds := []*big.Rat{whole(20), whole(55)}
		var tiers []any
		for i := range 3 {
			tier := map[string]any{"prices": map[string]string{"own": prices["own"][i], "other": prices["other"][i]}}
			if i < 2 {
				tier["up_to"] = bounds[i].FloatString(0)
			}
			tiers = append(tiers, tier)
		}
		r.params["tiers"] = tiers
		position, total := new(big.Rat), new(big.Rat)
		area := func(level *big.Rat, list []string) *big.Rat {
			sum, below := new(big.Rat), new(big.Rat)
			for i, price := range list {
				top := level
				if i < 2 && level.Cmp(bounds[i]) > 0 {
					top = bounds[i]
				}
				if i == 0 || top.Cmp(below) > 0 {
					sum = add(sum, mul(sub(top, below), tarifftest.ParseRat(price)))
				}
				if i < 2 {
					below = bounds[i]
				}
			}
			return sum
		}
		for i, q := range r.amounts {
			who := rapid.SampledFrom([]string{"own", "other"}).Draw(rt, "certif")
			r.events[i].Dimensions = map[string]string{"certif": who}
			after := add(position, q)
			total, position = add(total, sub(area(after, prices[who]), area(position, prices[who]))), after
		}
		slot := r.price(t, custom)
		r.want("amount", slot.Total(), tarifftest.Round(total, r.rounding))
		r.want("units", slot.Quantity("usage"), position)
	})
}

// TestPercentileTwin writes every window down and sorts.
func TestPercentileTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		percent, hours := rapid.IntRange(1, 100).Draw(rt, "percent"), rapid.IntRange(1, 24).Draw(rt, "hours")
		kind := rapid.SampledFrom([]string{"sum", "per_second", "max", "latest"}).Draw(rt, "value")
		all := rapid.Bool().Draw(rt, "empty windows")
		r.params["percentile"], r.params["window_seconds"], r.params["value"], r.params["empty_windows"] = percent, hours*3600, kind, all
		price := r.decimal("unit_price", 0, 100)
		windows := map[int]*big.Rat{}
		for i, q := range r.amounts {
			w := int(r.times[i].Sub(january) / (time.Duration(hours) * time.Hour))
			have, known := windows[w]
			switch {
			case !known || kind == "latest":
				windows[w] = q
			case kind == "max":
				if q.Cmp(have) > 0 {
					windows[w] = q
				}
			default:
				windows[w] = add(have, q)
			}
		}
		var values []*big.Rat
		for w := range (januaryDays*24 + hours - 1) / hours {
			if v, known := windows[w]; known {
				values = append(values, v)
			} else if all {
				values = append(values, new(big.Rat))
			}
		}
		slices.SortFunc(values, func(a, b *big.Rat) int { return a.Cmp(b) })
		want := new(big.Rat)
		for i := range values {
			if 100*(i+1) >= percent*len(values) { // the first that is not below so many percent
				want = values[i]
				break
			}
		}
		if kind == "per_second" {
			want = quo(want, whole(hours*3600))
		}
		slot := r.price(t, percentile)
		r.want("units", slot.Quantity("usage"), tarifftest.Round(want, tariff.Exact))
		r.want("amount", slot.Total(), tarifftest.Round(mul(want, price), r.rounding))
	})
}

// TestTimeOfUseTwin prices intervals second by second, around the days on which Berlin's clocks change.
func TestTimeOfUseTwin(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	params := map[string]any{
		"time_zone": "Europe/Berlin", "duration": "seconds", "unit_price": "0.1", "holidays": []string{"2026-03-30", "2026-10-26"},
		"bands": []any{
			map[string]any{"unit_price": "0.5", "days": []string{"holiday"}, "from": "10:00", "to": "11:00"},
			map[string]any{"unit_price": "0.2", "from": "22:00", "to": "02:30", "months": []string{"march", "october"}},
			map[string]any{"unit_price": "0.3", "from": "02:30", "to": "08:00", "days": []string{"sunday", "monday"}},
		},
	}
	band := func(at time.Time) int {
		clock := at.Format("15:04:05")
		holiday := at.Format("01-02") == "03-30" || at.Format("01-02") == "10-26"
		switch {
		case holiday && clock >= "10:00:00" && clock < "11:00:00":
			return 1
		case clock >= "22:00:00" || clock < "02:30:00":
			return 2
		case clock >= "02:30:00" && clock < "08:00:00" && !holiday && (at.Weekday() == time.Sunday || at.Weekday() == time.Monday):
			return 3
		}
		return 0
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := &random{t: rt, params: params}
		day := rapid.SampledFrom([]int64{time.Date(2026, 3, 28, 12, 0, 0, 0, zone).Unix(), time.Date(2026, 10, 24, 12, 0, 0, 0, zone).Unix()}).Draw(rt, "day")
		start := time.Unix(day+int64(rapid.IntRange(0, 48*3600).Draw(rt, "start")), 0).In(zone)
		seconds := rapid.SampledFrom([]int{0, 1, 1800, 3 * 3600, 4096, 25 * 3600}).Draw(rt, "seconds")
		quantity := decimalText(rt, "quantity", -20, 100)
		r.events = []tarifftest.Event{{Quantity: quantity, Time: start.Format(time.RFC3339), Dimensions: map[string]string{"seconds": fmt.Sprint(seconds)}}}
		want := make([]*big.Rat, 4)
		for i := range want {
			want[i] = new(big.Rat)
		}
		counts := make([]int, 4)
		for second := range max(seconds, 1) {
			counts[band(start.Add(time.Duration(second)*time.Second))]++
		}
		slot := r.price(t, timeOfUse)
		sum := new(big.Rat)
		for i, id := range []string{"rest", "band_1", "band_2", "band_3"} {
			want := mul(tarifftest.ParseRat(quantity), big.NewRat(int64(counts[i]), int64(max(seconds, 1))))
			got := slot.Quantity(id)
			if diff := new(big.Rat).Abs(sub(got, want)); diff.Cmp(big.NewRat(1, 1e15)) > 0 {
				rt.Fatalf("%v: %s has %s units, want %s", r.events, id, got.FloatString(18), want.FloatString(18))
			}
			sum = add(sum, got)
		}
		r.want("the sum", sum, tarifftest.ParseRat(quantity))
	})
}

func TestRoundingTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		delete(r.params, "rounding")
		mode := billing.RoundingMode(rapid.IntRange(1, 4).Draw(rt, "mode"))
		scale := rapid.IntRange(-2, 3).Draw(rt, "scale")
		r.params["mode"], r.params["scale"] = mode, scale
		units, money := new(big.Rat), new(big.Rat)
		for i, q := range r.amounts {
			carried := decimalText(rt, "amount", -50, 80)
			r.events[i].Amount = carried
			units, money = add(units, q), add(money, tarifftest.ParseRat(carried))
		}
		slot := r.price(t, rounding)
		to := billing.Rounding{Scale: scale, Mode: mode}
		r.want("units", slot.Quantity("usage"), tarifftest.Round(units, to))
		r.want("amount", slot.Amount("usage"), tarifftest.Round(money, to))
	})
}

func TestUnitConversionTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		delete(r.params, "rounding")
		factor := tarifftest.ParseRat(decimalText(rt, "factor", 1, 4000))
		operation := rapid.SampledFrom([]string{"multiply", "divide"}).Draw(rt, "operation")
		mode := billing.RoundingMode(rapid.IntRange(1, 4).Draw(rt, "mode"))
		places := rapid.IntRange(-1, 3).Draw(rt, "precision")
		r.params["operation"], r.params["factor"], r.params["rounding"], r.params["precision"] = operation, factor.FloatString(3), mode, places
		units := new(big.Rat)
		for _, q := range r.amounts {
			units = add(units, q)
		}
		if operation == "divide" {
			factor = new(big.Rat).Inv(factor)
		}
		slot := r.price(t, unitConversion)
		r.want("units", slot.Quantity("usage"), tarifftest.Round(mul(units, factor), billing.Rounding{Scale: places, Mode: mode}))
		r.want("amount", slot.Total(), new(big.Rat))
	})
}

// TestOrdinalTwin prices events by their number: a fee each, or a rate of their
// quantity.
func TestOrdinalTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt)
		isRate := rapid.Bool().Draw(rt, "rate")
		initial := rapid.IntRange(0, 5).Draw(rt, "initial")
		r.params["kind"], r.params["initial_count"] = "ordinal_fee", initial
		fx, member := whole(1), "fee"
		if isRate {
			r.params["kind"], member = "ordinal_rate", "rate"
			fx = r.decimal("fx_rate", 0, 300)
		}
		bounds := []int{3, 6}
		prices, tiers := []*big.Rat{}, []any{}
		for i := range 3 {
			text := decimalText(rt, "price", -10, 400)
			tier := map[string]any{"up_to": nil, member: text}
			if i < len(bounds) {
				tier["up_to"] = fmt.Sprint(bounds[i])
			}
			prices, tiers = append(prices, tarifftest.ParseRat(text)), append(tiers, tier)
		}
		r.params["tiers"] = tiers
		total, units := new(big.Rat), new(big.Rat)
		for i, q := range r.amounts {
			tier := 0
			for tier < len(bounds) && initial+i+1 > bounds[tier] {
				tier++
			}
			due := prices[tier]
			if isRate {
				due = mul(q, mul(prices[tier], fx))
			}
			total, units = add(total, due), add(units, q)
		}
		slot := r.price(t, custom)
		r.want("amount", slot.Total(), tarifftest.Round(total, r.rounding))
		r.want("units", slot.Quantity("usage"), units)
	})
}
