package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// The rules a second time, in rationals, from all line items at once.

var cents = billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}

// random is a draw of line items.
type random struct {
	t       *rapid.T
	params  map[string]any
	items   []tarifftest.Event
	amounts []*big.Rat
	cut     int
}

func draw(t *rapid.T, least int) *random {
	r := &random{t: t, params: map[string]any{"rounding": cents}}
	for range rapid.IntRange(0, 6).Draw(t, "items") {
		amount := decimalText(t, "amount", least, 20_000)
		r.items = append(r.items, tarifftest.Event{Amount: amount, Quantity: decimalText(t, "quantity", 0, 50)})
		r.amounts = append(r.amounts, tarifftest.ParseRat(amount))
	}
	r.cut = rapid.IntRange(0, len(r.items)).Draw(t, "cut")
	return r
}

func decimalText(t *rapid.T, label string, least, most int) string {
	return big.NewRat(int64(rapid.IntRange(least, most).Draw(t, label)), rapid.SampledFrom([]int64{1, 10, 100, 1000}).Draw(t, label+" unit")).FloatString(3)
}

func (r *random) decimal(name string, least, most int) *big.Rat {
	text := decimalText(r.t, name, least, most)
	r.params[name] = text
	return tarifftest.ParseRat(text)
}

func (r *random) sum() *big.Rat {
	sum := new(big.Rat)
	for _, a := range r.amounts {
		sum = add(sum, a)
	}
	return sum
}

func (r *random) price(t *testing.T, tr tariff.Tariff, open bool) *tarifftest.Slot {
	t.Helper()
	raw, err := json.Marshal(r.params)
	if err != nil {
		t.Fatal(err)
	}
	slot, rejects := tarifftest.Twin{Cuts: []int{r.cut}, Open: open}.Price(t, tr, string(raw), r.items)
	if len(rejects) > 0 {
		r.t.Fatalf("%s: %v", raw, rejects)
	}
	return slot
}

// want compares a number.
func (r *random) want(what string, got, want *big.Rat) {
	if got.Cmp(want) != 0 {
		r.t.Fatalf("%v of %v: %s is %s, want %s", r.params, r.items, what, got.FloatString(6), want.FloatString(6))
	}
}

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }

func between(low, x, high *big.Rat) *big.Rat {
	if x.Cmp(high) > 0 {
		x = high
	}
	if x.Cmp(low) < 0 {
		x = low
	}
	return x
}

func TestMinimumTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, -1000)
		minimum := r.decimal("minimum", 0, 30_000)
		days := rapid.IntRange(1, 366).Draw(rt, "days")
		active := rapid.IntRange(0, days).Draw(rt, "active")
		r.params["period_days"], r.params["active_days"] = days, active
		if !rapid.Bool().Draw(rt, "final") {
			r.want("the line before the end", r.price(t, minimumCommitment, true).Total(), new(big.Rat))
			return
		}
		missing := sub(mul(minimum, big.NewRat(int64(active), int64(days))), r.sum())
		if missing.Sign() < 0 {
			missing = new(big.Rat)
		}
		r.want("the line", r.price(t, minimumCommitment, false).Total(), tarifftest.Round(missing, cents))
	})
}

func TestCapTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, -1000)
		maximum, before := r.decimal("maximum", 0, 20_000), r.decimal("already_billed", 0, 20_000)
		gross := r.sum()
		excess := new(big.Rat)
		if len(r.items) > 0 {
			excess = between(new(big.Rat), tarifftest.Round(sub(add(before, gross), maximum), cents), gross)
			if gross.Sign() < 0 {
				excess = new(big.Rat)
			}
		}
		r.want("the line", r.price(t, maximumCap, rapid.Bool().Draw(rt, "open")).Total(), new(big.Rat).Neg(excess))
	})
}

func TestDiscountTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, 0)
		percent, units, flat := r.decimal("percent", 0, 100), r.decimal("units", 0, 60), r.decimal("amount", 0, 2000)
		off := new(big.Rat)
		for i, amount := range r.amounts {
			part := tarifftest.Round(mul(amount, mul(percent, big.NewRat(1, 100))), cents)
			rest := sub(amount, part)
			quantity := tarifftest.ParseRat(r.items[i].Quantity)
			free := new(big.Rat)
			if quantity.Sign() > 0 && units.Sign() > 0 {
				taken := between(new(big.Rat), quantity, units)
				units = sub(units, taken)
				if free = rest; taken.Cmp(quantity) != 0 {
					free = tarifftest.Round(mul(rest, new(big.Rat).Quo(taken, quantity)), cents)
				}
			}
			off = add(off, add(part, free))
		}
		if left := sub(r.sum(), off); left.Sign() > 0 {
			off = add(off, between(new(big.Rat), flat, left))
		}
		r.want("the line", r.price(t, discount, false).Total(), new(big.Rat).Neg(off))
	})
}

func TestCreditsTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, -1000)
		delete(r.params, "rounding")
		list, left := []string{}, r.sum()
		drawn := []*big.Rat{}
		for range rapid.IntRange(0, 3).Draw(rt, "credits") {
			text := decimalText(rt, "credit", 0, 15_000)
			list = append(list, text)
			d := new(big.Rat)
			if left.Sign() > 0 {
				d = between(new(big.Rat), tarifftest.ParseRat(text), left)
			}
			drawn, left = append(drawn, d), sub(left, d)
		}
		r.params["credits"] = list
		slot := r.price(t, credits, rapid.Bool().Draw(rt, "open"))
		for i, d := range drawn {
			r.want(fmt.Sprint("credit ", i+1), slot.Amount(fmt.Sprint("credit_", i+1)), new(big.Rat).Neg(d))
		}
	})
}

func TestThresholdTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, -1000)
		price, fee := r.decimal("unit_price", 1, 400), r.decimal("subscription_fee", 0, 5000)
		first := rapid.IntRange(1, 500).Draw(rt, "first")
		second := first + rapid.IntRange(1, 2000).Draw(rt, "second")
		r.params["thresholds"] = []int{first, second}
		units, invoiced, reached := new(big.Rat), new(big.Rat), 0
		due := new(big.Rat)
		for _, e := range r.items {
			units = add(units, tarifftest.ParseRat(e.Quantity))
			due = tarifftest.Round(mul(units, price), cents)
			for _, threshold := range []int{first, second}[reached:] {
				if due.Cmp(big.NewRat(int64(threshold), 1)) >= 0 {
					reached++
					invoiced = due
				}
			}
		}
		slot := r.price(t, progressiveThreshold, false)
		r.want("the last invoice", slot.Total(), sub(add(tarifftest.Round(fee, cents), due), invoiced))
		r.want("what was invoiced", slot.Amount("invoiced_before"), new(big.Rat).Neg(invoiced))
	})
}

// TestAllocationTwin checks what largest remainders are defined by, not how they are found.
func TestAllocationTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, 0)
		delete(r.params, "rounding")
		scale := rapid.IntRange(0, 3).Draw(rt, "scale")
		unit := big.NewRat(1, []int64{1, 10, 100, 1000}[scale])
		total := mul(big.NewRat(int64(rapid.IntRange(-5000, 5000).Draw(rt, "total")), 1), unit)
		r.params["total"], r.params["scale"] = total.FloatString(3), scale
		byKey := rapid.Bool().Draw(rt, "by key")
		if byKey {
			r.params["tie_break"] = "key_order"
		}
		type share struct {
			place       int
			key         string
			exact, got  *big.Rat
			floor, rest *big.Rat
		}
		var list []any
		var shares []share
		all := new(big.Rat)
		for i := range rapid.IntRange(1, 6).Draw(rt, "shares") {
			weight := big.NewRat(int64(rapid.IntRange(0, 6).Draw(rt, "weight")), 2)
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key") + fmt.Sprint(i)
			list = append(list, map[string]any{"key": key, "weight": weight.FloatString(1)})
			shares, all = append(shares, share{place: i, key: key, exact: weight}), add(all, weight)
		}
		r.params["weights"] = list
		slot := r.price(t, allocation, false)
		if all.Sign() == 0 {
			r.want("the sum", slot.Total(), new(big.Rat))
			return
		}
		r.want("the sum", slot.Total(), total)
		size := new(big.Rat).Abs(total)
		for i := range shares {
			s := &shares[i]
			s.exact = new(big.Rat).Quo(mul(size, s.exact), all)
			s.floor = tarifftest.Round(s.exact, billing.Rounding{Scale: scale, Mode: billing.RoundFloor})
			s.rest = sub(s.exact, s.floor)
			s.got = new(big.Rat).Abs(slot.Amount(fmt.Sprint("share_", i+1)))
		}
		slices.SortFunc(shares, func(a, b share) int {
			if c := b.rest.Cmp(a.rest); c != 0 {
				return c
			}
			if byKey {
				return strings.Compare(a.key, b.key)
			}
			return a.place - b.place
		})
		more := true
		for _, s := range shares {
			switch extra := sub(s.got, s.floor); {
			case extra.Sign() != 0 && extra.Cmp(unit) != 0:
				rt.Fatalf("%v: share %s is %s, its exact share %s", r.params, s.key, s.got.FloatString(4), s.exact.FloatString(6))
			case extra.Sign() == 0:
				more = false
			case !more:
				rt.Fatalf("%v: share %s was served before a larger remainder", r.params, s.key)
			}
		}
	})
}

func TestTotalsTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, 0)
		r.params["line_items"] = rapid.IntRange(0, 4).Draw(rt, "own lines")
		for i := range r.items {
			r.amounts[i] = tarifftest.Round(r.amounts[i], cents)
			r.items[i].Amount = r.amounts[i].FloatString(2)
			r.items[i].Dimensions = map[string]string{"tax_percent": rapid.SampledFrom([]string{"", "20", "7.5", "12, 5", "0"}).Draw(rt, "tax")}
		}
		coupons, left := []any{}, r.sum()
		off := new(big.Rat)
		for range rapid.IntRange(0, 3).Draw(rt, "coupons") {
			value := big.NewRat(int64(rapid.IntRange(0, 900_000).Draw(rt, "coupon")), 100)
			coupons = append(coupons, map[string]any{"value": value.FloatString(2)})
			taken := between(new(big.Rat), value, left)
			off, left = add(off, taken), sub(left, taken)
		}
		r.params["coupons"] = coupons
		slot := r.price(t, invoiceTotals, rapid.Bool().Draw(rt, "open"))
		couponSum, taxSum := new(big.Rat), new(big.Rat)
		for _, spec := range slot.Plan.Lines {
			if strings.HasPrefix(spec.ID, "coupon") {
				couponSum = add(couponSum, slot.Amount(spec.ID))
			} else {
				taxSum = add(taxSum, slot.Amount(spec.ID))
			}
		}
		r.want("coupons", couponSum, new(big.Rat).Neg(off))
		// Where each line item has lines of its own, its tax follows from its share.
		want, whole := new(big.Rat), true
		for i, amount := range r.amounts {
			if i >= r.params["line_items"].(int) {
				whole = false
				break
			}
			net := add(amount, slot.Amount(fmt.Sprint("coupon_", i+1)))
			tax := new(big.Rat)
			for rate := range strings.SplitSeq(r.items[i].Dimensions["tax_percent"], ",") {
				if rate = strings.TrimSpace(rate); rate != "" {
					tax = add(tax, tarifftest.Round(mul(net, mul(tarifftest.ParseRat(rate), big.NewRat(1, 100))), cents))
				}
			}
			r.want(fmt.Sprint("tax ", i+1), slot.Amount(fmt.Sprint("tax_", i+1)), tax)
			want = add(want, tax)
		}
		if whole {
			r.want("tax", taxSum, want)
		}
	})
}

func TestProrationTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, 0)
		amount := r.decimal("amount", 0, 30_000)
		from, length := rapid.IntRange(0, 30).Draw(rt, "from"), rapid.IntRange(0, 30).Draw(rt, "length")
		to := min(from+length, 31)
		at := func(day int) string {
			if day == 31 {
				return "2026-02-01T00:00:00Z"
			}
			return fmt.Sprintf("2026-01-%02dT00:00:00Z", day+1)
		}
		r.params["from"], r.params["to"] = at(from), at(to)
		r.params["basis"] = rapid.SampledFrom([]string{"days", "seconds"}).Draw(rt, "basis")
		want := tarifftest.Round(mul(amount, big.NewRat(int64(to-from), 31)), cents)
		r.want("the line", r.price(t, proration, false).Total(), want)
	})
}

func TestCreditNoteTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := draw(rt, 0)
		fee, percent := r.decimal("fee", 0, 30_000), r.decimal("tax_percent", 0, 100)
		days := rapid.IntRange(1, 366).Draw(rt, "days")
		unused := rapid.IntRange(0, days).Draw(rt, "unused")
		r.params["period_days"], r.params["unused_days"] = days, unused
		part := mul(fee, big.NewRat(int64(unused), int64(days)))
		slot := r.price(t, creditNote, false)
		r.want("subtotal", slot.Amount("subtotal"), tarifftest.Round(part, cents))
		r.want("tax", slot.Amount("tax"), tarifftest.Round(mul(part, mul(percent, big.NewRat(1, 100))), cents))
	})
}

// accepted and refused are parameters by rule; their schema and their Configure must agree.
var (
	accepted = map[string][]string{
		"minimum_commitment":    {`{"minimum":"5"}`, `{"amount":"5","prorated":true}`, `{"minimum":"5","period_days":28,"active_days":25}`},
		"maximum_cap":           {`{"maximum":"5","already_billed":"1"}`},
		"discount":              {`{"percent":"5"}`, `{"units":3,"amount":"2"}`},
		"credits":               {`{"credits":["1",2.5]}`, `{}`},
		"progressive_threshold": {`{"thresholds":["1","2"],"unit_price":"1","subscription_fee":"3"}`},
		"proration":             {`{"amount":"1"}`, `{"amount":"1","from":"2026-01-01T00:00:00Z","basis":"days"}`},
		"allocation":            {`{"total":"1","scale":2,"weights":[{"key":"a","weight":1}]}`},
		"invoice_totals":        {`{}`, `{"tax_percent":"20, 3.5"}`, `{"coupons":[{"type":"percentage","value":"10"}],"line_items":3}`},
		"credit_note":           {`{"fee":"1","period_days":30,"unused_days":3,"tax_percent":"20"}`},
	}
	refused = map[string][]string{
		"minimum_commitment":    {`{"minimum":"x"}`, `{"minimum":"5","period_days":0}`},
		"maximum_cap":           {`{}`},
		"discount":              {`{"percentage":"5"}`},
		"credits":               {`{"credits":"1"}`, `{"credits":["a"]}`},
		"progressive_threshold": {`{"thresholds":[true]}`},
		"proration":             {`{}`, `{"amount":"1","basis":"weeks"}`},
		"allocation":            {`{"total":"1","scale":2,"weights":[]}`, `{"total":"1","weights":[{"key":"a","weight":1}]}`},
		"invoice_totals":        {`{"coupons":[{"value":"a"}]}`, `{"line_items":401}`},
		"credit_note":           {`{"fee":"1","unused_days":3}`},
	}
)

func TestSchemaAgreesWithConfigure(t *testing.T) {
	for _, tr := range module.Tariffs {
		raw, err := tr.Schema()
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource(tr.Name, document); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile(tr.Name)
		if err != nil {
			t.Fatalf("%s: %v", tr.Name, err)
		}
		bench := tarifftest.NewBench(t, module.Tariffs...)
		check := func(params string, want bool) {
			t.Helper()
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(params))
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(value); (err == nil) != want {
				t.Errorf("%s: schema says %v of %s", tr.Name, err, params)
			}
			if _, err := bench.Configure(tr.Name, params); (err == nil) != want {
				t.Errorf("%s: Configure says %v of %s", tr.Name, err, params)
			}
		}
		if len(accepted[tr.Name]) == 0 || len(refused[tr.Name]) == 0 {
			t.Errorf("%s has no parameters to try", tr.Name)
		}
		for _, params := range accepted[tr.Name] {
			check(params, true)
		}
		for _, params := range refused[tr.Name] {
			check(params, false)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ tariff, params, want string }{
		{"minimum_commitment", `{}`, "params.minimum: must be given, once"},
		{"discount", `{"percent":"101"}`, "params.percent: must be 0 to 100"},
		{"discount", `{}`, "params.percent: or units or amount must be given"},
		{"credits", `{"credits":["-1"]}`, "params.credits: must not be below 0"},
		{"progressive_threshold", `{"thresholds":["2","2"]}`, "params.thresholds: must ascend"},
		{"allocation", `{"total":"1","scale":0,"weights":[{"key":"a","weight":"-1"}]}`, "params.weights[0].weight: must not be below 0"},
		{"invoice_totals", `{"coupons":[{"value":"-1"}]}`, "params.coupons[0].value: must not be below 0"},
	} {
		if _, err := tarifftest.NewBench(t, module.Tariffs...).Configure(c.tariff, c.params); err == nil || err.Error() != c.want {
			t.Errorf("%s %s: %v, want %s", c.tariff, c.params, err, c.want)
		}
	}
	slot, rejects := tarifftest.Twin{}.Price(t, invoiceTotals, `{}`, []tarifftest.Event{{Amount: "10", Dimensions: map[string]string{"tax_percent": "x"}}, {Amount: "5", Dimensions: map[string]string{"tax_percent": "10"}}})
	if len(rejects) != 1 || rejects[0].Reason != "bad_tax_percent" || slot.Total().Cmp(big.NewRat(1, 2)) != 0 {
		t.Errorf("%v, %q", rejects, slot.Show())
	}
}
