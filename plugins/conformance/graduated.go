package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// graduatedCase is a set of parameters of the tariff graduated, and quantities of events that fall into the slots in
// turn. All slots are finished behind the last event.
type graduatedCase struct {
	params     string
	quantities []string
}

const slotsOfCase = 3

// largest and least are the ends of the range of quantities, one the smallest above 0.
const (
	largest = "170141183460469231731.687303715884105727"
	least   = "-170141183460469231731.687303715884105728"
	one     = "0.000000000000000001"
)

const (
	threeTiers = `"tiers":[{"flat_fee":"2","unit_price":"10","up_to":"10"},{"flat_fee":"0","unit_price":"5","up_to":"20"},{"flat_fee":"3","unit_price":"1.5","up_to":null}]`
	fineTiers  = `"tiers":[{"flat_fee":"0.125","unit_price":"0.005","up_to":"1"},{"unit_price":"0.004","up_to":null}]`
	dearTiers  = `"tiers":[{"flat_fee":"7","unit_price":"1","up_to":"1"},{"unit_price":"100000000000000000000"}]`
)

// graduatedCases returns those that were thought of, and such as were drawn.
func graduatedCases() []graduatedCase {
	walk := []string{"4", "6", "0.5", "22", "-13", "2", "0", "3", "-5", "-30", "1", "100", one, "-" + one, "9.75"}
	hostile := []string{"0", "-1", largest, "1", least, "-1", one, least, largest, "99999999999999999999", "-99999999999999999999", "0.5", "5", "0.25"}
	rounding := func(scale int, mode string) string {
		return fmt.Sprintf(`"rounding":{"mode":%q,"scale":%d}`, mode, scale)
	}
	var cases []graduatedCase
	for _, tiers := range []string{threeTiers, fineTiers, dearTiers, `"tiers":[{"unit_price":"-0.3"}]`, `"tiers":[{"unit_price":2e-3,"up_to":null}]`} {
		for _, more := range []string{
			"", rounding(2, "half_up"), rounding(0, "half_even"), rounding(-1, "floor"), rounding(18, "ceiling"), `"rounding":{"mode":"none"}`, `"rounding":null`,
			`"billing":"progressive"`, `"billing":"in_advance"`, `"billing":"in_advance",` + rounding(1, "half_up"),
			`"discounts":{"usage":"3.5"}`, `"discounts":{}`, `"discounts":{"usage":null},"unit_conversion":null`,
			`"unit_conversion":{"factor":"3","operation":"divide"}`, `"unit_conversion":{"factor":"1.7","operation":"multiply","rounding":"ceiling"}`,
			`"billing":"in_advance","discounts":{"usage":"1"},"unit_conversion":{"factor":"7","operation":"divide","precision":2,"rounding":"half_even"}`,
			`"unit_conversion":{"factor":"` + one + `","operation":"divide","precision":-3,"rounding":"floor"}`,
		} {
			params := "{" + tiers + "}"
			if more != "" {
				params = "{" + more + "," + tiers + "}"
			}
			cases = append(cases, graduatedCase{params, walk}, graduatedCase{params, hostile}, graduatedCase{params, nil})
		}
	}
	return append(append(cases, refused()...), drawn()...)
}

// refused are parameters that are not taken.
func refused() []graduatedCase {
	var cases []graduatedCase
	for _, params := range []string{
		`{}`, `{"tiers":[]}`, `{"tiers":{}}`, `{"tiers":[1]}`, `{"tiers":[{"up_to":null}]}`, `{"tiers":[{"unit_price":true}]}`, `{"tiers":[{"unit_price":"x"}]}`,
		`{"tiers":[{"unit_price":"1","up_to":"1000"},{"unit_price":"1","up_to":"1000"},{"unit_price":"1","up_to":null}]}`,
		`{"tiers":[{"unit_price":"1","up_to":null},{"unit_price":"1","up_to":null}]}`,
		`{"tiers":[{"unit_price":"1","up_to":"5"}]}`, `{"tiers":[{"up_to":"0"},{"unit_price":true,"unit_prize":"1"}]}`,
		`{"tiers":[{"unit_price":"1"}],"tears":1}`, `{"tiers":[{"unit_price":"1"}],"billing":"never"}`, `{"tiers":[{"unit_price":"1"}],"billing":1}`,
		`{"rounding":{"mode":"up","scale":2},"tiers":[{"unit_price":"1"}]}`, `{"rounding":{"mode":"floor"},"tiers":[{"unit_price":"1"}]}`,
		`{"rounding":{"mode":"floor","scale":19},"tiers":[{"unit_price":"1"}]}`, `{"rounding":{"mode":"floor","scale":"2"},"tiers":[{"unit_price":"1"}]}`,
		`{"rounding":{"scale":2},"tiers":[{"unit_price":"1"}]}`, `{"rounding":{"mode":"none","scales":2},"tiers":[{"unit_price":"1"}]}`,
		`{"discounts":{"usage":"-1"},"tiers":[{"unit_price":"1"}]}`, `{"discounts":1,"tiers":[{"unit_price":"1"}]}`, `{"discounts":{"use":"1"},"tiers":[{"unit_price":"1"}]}`,
		`{"tiers":[{"unit_price":"1"}],"unit_conversion":{}}`, `{"tiers":[{"unit_price":"1"}],"unit_conversion":{"factor":"0","operation":"add"}}`,
		`{"tiers":[{"unit_price":"1"}],"unit_conversion":{"factor":"1","operation":"divide","precision":2.5,"rounding":"up"}}`,
		`{"rounding":{"mode":"ceiling","scale":-20},"tiers":[{"flat_fee":"` + largest + `","unit_price":"1"}]}`,
		`{"tiers":[` + strings.Repeat(`{"unit_price":"1"},`, 256) + `{"unit_price":"1"}]}`,
	} {
		cases = append(cases, graduatedCase{params: params})
	}
	return cases
}

// drawn draws tiers and quantities, always the same ones.
func drawn() []graduatedCase {
	r := rand.New(rand.NewPCG(4, 4))
	number := func(digits int) string {
		places := r.IntN(digits)
		return fmt.Sprintf("%d.%0*d", r.IntN(1+r.IntN(200)), places+1, r.Uint64N(uint64(pow10(places+1))))
	}
	var cases []graduatedCase
	for range 150 {
		params := map[string]any{}
		var tiers []any
		bound := 0
		for range r.IntN(6) {
			bound += 1 + r.IntN(40)
			tiers = append(tiers, map[string]any{"up_to": fmt.Sprintf("%d.%d", bound, r.IntN(10)), "unit_price": number(9), "flat_fee": number(4)})
		}
		params["tiers"] = append(tiers, map[string]any{"unit_price": number(16)})
		if r.IntN(2) == 0 {
			mode := []string{"none", "half_up", "half_even", "floor", "ceiling"}[r.IntN(5)]
			params["rounding"] = map[string]any{"scale": r.IntN(8) - 2, "mode": mode}
		}
		if r.IntN(3) == 0 {
			params["billing"] = "in_advance"
		}
		if r.IntN(4) == 0 {
			params["discounts"] = map[string]any{"usage": number(3)}
		}
		text, err := json.Marshal(params)
		if err != nil {
			continue // these marshal
		}
		quantities := make([]string, 5+r.IntN(40))
		for k := range quantities {
			quantities[k] = number(18)
			if r.IntN(5) == 0 {
				quantities[k] = "-" + quantities[k]
			}
			if r.IntN(40) == 0 {
				quantities[k] = []string{largest, least, "0"}[r.IntN(3)]
			}
		}
		cases = append(cases, graduatedCase{string(text), quantities})
	}
	return cases
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}

// graduated runs the cases in a plugin and holds them against the tariff in Go, which comes first.
func (b *bench) graduated(ctx context.Context, wasm []byte, r *report) error {
	i, _, err := b.start(ctx, wasm, nil)
	if err != nil {
		return err
	}
	var fuel, events int64
	first := b.twin == nil
	for k, c := range b.cases {
		got, used, err := c.price(ctx, i)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", c.params, err), i.Close(ctx))
		}
		fuel, events = max(fuel, used), events+int64(len(c.quantities))
		if first {
			b.twin = append(b.twin, got)
		}
		r.graduated.total++
		if got == b.twin[k] {
			r.graduated.passed++
			continue
		}
		r.differences = append(r.differences, fmt.Sprintf("graduated %.300s\n  with %v\n%s  in Go\n%s", c.params, c.quantities, indent(got), indent(b.twin[k])))
	}
	r.fuel = fuel
	return i.Close(ctx)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// price prices a case, at once and in steps, and writes down what can be seen of it: the lines and the rejects. It
// also returns the most fuel that an event of it took, on the average of a call.
func (c graduatedCase) price(ctx context.Context, i *plugins.Instance) (text string, fuel int64, err error) {
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{{Tariff: "graduated", Params: json.RawMessage(c.params), Currency: "EUR"}})
	var refusal *plugins.ConfigError
	if errors.As(err, &refusal) && refusal.Unwrap() == nil {
		return "refused: " + strings.Join(problemPaths(refusal.Message), " ") + "\n", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	for _, step := range []int{len(c.quantities), 1, 7} {
		got, used, err := c.priceBy(ctx, i, plans[0], max(step, 1))
		if err != nil {
			return "", 0, err
		}
		if text != "" && got != text {
			return fmt.Sprintf("at once:\n%s, by %d:\n%s", text, step, got), 0, nil
		}
		text, fuel = got, max(fuel, used)
	}
	return text, fuel, nil
}

// problemPaths are the parameters that a refusal names. How it puts what is wrong with them is left to the SDK.
func problemPaths(text string) []string {
	var paths []string
	for _, problem := range strings.Split(text, "; ") {
		if path, _, found := strings.Cut(problem, ": "); found && strings.HasPrefix(path, "params") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// priceBy prices the events of a case in batches of so many.
func (c graduatedCase) priceBy(ctx context.Context, i *plugins.Instance, p *plugins.Plan, size int) (text string, fuel int64, err error) {
	slots := make([]plugins.Slot, slotsOfCase)
	for k := range slots {
		slots[k] = plugins.Slot{Plan: p, New: true}
	}
	var out strings.Builder
	for from := 0; ; from += size {
		to := min(from+size, len(c.quantities))
		batch := &plugins.Batch{Slots: slots}
		for k := from; k < to; k++ {
			q, err := billing.ParseDecimal(c.quantities[k])
			if err != nil {
				return "", 0, err
			}
			batch.Events = append(batch.Events, plugins.Event{Slot: int32(k % slotsOfCase), Quantity: q})
		}
		for k := range slots {
			slots[k].Final = to == len(c.quantities)
		}
		rejects, err := i.Price(ctx, batch)
		if err != nil {
			var fault *plugins.FaultError
			if errors.As(err, &fault) && fault.Event < 0 {
				fmt.Fprintln(&out, "a finish fails") // which one depends on nothing but the order
				return out.String(), 0, nil
			}
			return "", 0, err
		}
		if n := int64(to - from); n > 0 {
			fuel = max(fuel, i.FuelUsed()/n)
		}
		for _, r := range rejects {
			fmt.Fprintf(&out, "event %d: %s: %s\n", from+r.Event, r.Reason, r.Detail)
		}
		if to == len(c.quantities) {
			break
		}
		keep(slots, batch.Events, rejects)
	}
	writeLines(&out, slots, p)
	return out.String(), fuel, nil
}

// keep makes slots ready for the next batch. One of which no event was priced is as new as it was.
func keep(slots []plugins.Slot, events []plugins.Event, rejects []plugins.Reject) {
	for k, e := range events {
		if !slices.ContainsFunc(rejects, func(r plugins.Reject) bool { return r.Event == k }) {
			slots[e.Slot].New = false
		}
	}
	for k := range slots {
		slots[k].Keep()
		if slots[k].New {
			slots[k].State, slots[k].Lines = nil, nil
		}
	}
}

// writeLines writes the lines of slots.
func writeLines(out io.Writer, slots []plugins.Slot, p *plugins.Plan) {
	for k := range slots {
		for n := range p.Lines {
			l := slots[k].Line(n)
			fmt.Fprintf(out, "slot %d: %s (%s): %s %s\n", k, p.Lines[n].ID, p.Lines[n].Description, billing.Quantity(l.Quantity), billing.Amount(l.Amount))
		}
	}
}
