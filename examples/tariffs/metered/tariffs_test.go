package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// at is an event at a time.
func at(time, quantity string) tarifftest.Event {
	return tarifftest.Event{Time: time, Quantity: quantity}
}

// of is an event with dimensions, in pairs of name and value.
func of(quantity string, pairs ...string) tarifftest.Event {
	e := tarifftest.Event{Quantity: quantity, Dimensions: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		e.Dimensions[pairs[i]] = pairs[i+1]
	}
	return e
}

// user is an event that adds or removes a user at a time.
func user(time, name, op string) tarifftest.Event {
	e := of("1", "user", name, "op", op)
	e.Time = time
	return e
}

func TestAggregation(t *testing.T) {
	const keys = `"key":"user","op":"op"`
	tarifftest.Run(t, aggregation, []tarifftest.Case{
		{Name: "nothing", Params: `{"type":"sum","unit_price":"1"}`},
		{Name: "the level at the start costs without events", Params: `{"type":"sum","unit_price":"2","initial":"3"}`, Want: []string{"usage 3 6"}},
		{Name: "the amount is made of exact units", Params: `{"type":"avg","unit_price":"3","unit_rounding":{"scale":0,"mode":"half_up"}}`, Events: tarifftest.Quantities("1", "0", "0"), Want: []string{"usage 0 1"}},
		{Name: "largest of negatives", Params: `{"type":"max"}`, Events: tarifftest.Quantities("-3", "-2"), Want: []string{"usage -2 0"}},
		{Name: "smallest", Params: `{"type":"min"}`, Events: tarifftest.Quantities("3", "2", "7"), Want: []string{"usage 2 0"}},
		{Name: "latest by time, not by arrival", Params: `{"type":"latest"}`, Events: []tarifftest.Event{at("2026-01-05T00:00:00Z", "7"), at("2026-01-04T00:00:00Z", "9")}, Want: []string{"usage 7 0"}},
		{Name: "of equal times the one that came last", Params: `{"type":"latest"}`, Events: []tarifftest.Event{at("2026-01-05T00:00:00Z", "7"), at("2026-01-05T00:00:00Z", "9")}, Want: []string{"usage 9 0"}},
		{
			Name: "distinct keys in advance", Params: `{"type":"unique_count",` + keys + `,"unit_price":"12","billing":"in_advance"}`,
			Events: []tarifftest.Event{user("", "a", "add"), user("", "a", "remove"), user("", "b", ""), user("", "c", "add")}, Want: []string{"usage 2 24"},
		},
		{
			Name: "a key that is none", Params: `{"type":"unique_count",` + keys + `,"keys_max":1}`,
			Events: []tarifftest.Event{user("", "", "add"), user("", "a", "drop"), user("", "a", "add"), user("", "b", "add")}, Want: []string{"usage 1 0"},
			Rejects: []string{"0 no_key: the event has no key", "1 bad_op: op is neither add nor remove", "3 too_many_keys: the table of keys is full"},
		},
		{
			Name: "the day of removal counts, once", Params: `{"type":"prorated_unique_count",` + keys + `,"unit_price":"31"}`,
			Events: []tarifftest.Event{user("2026-01-30T00:00:00Z", "a", "add"), user("2026-01-30T09:00:00Z", "a", "remove"), user("2026-01-30T10:00:00Z", "a", "add")}, Want: []string{"usage 0.064516129032258065 2"},
		},
		{Name: "no key named", Params: `{"type":"unique_count"}`, Refused: "params.key: is missing: unique counts need it"},
		{Name: "no dimension", Params: `{"type":"unique_count","key":"User"}`, Refused: "params.key: must be a dimension of the meter; params.key: is missing: unique counts need it"},
		{Name: "in advance without a price", Params: `{"type":"sum","billing":"in_advance"}`, Refused: "params.unit_price: is needed to bill in advance"},
		{Name: "no level of extremes", Params: `{"type":"min","initial":"1"}`, Refused: "params.initial: means nothing for min"},
	})
}

// TestRecurring carries levels and keys from one period into the next, also through one without events.
func TestRecurring(t *testing.T) {
	for _, c := range []struct {
		params string
		event  tarifftest.Event
		first  string
		later  string
	}{
		{`{"type":"sum","recurring":true}`, at("2026-01-16T12:00:00Z", "4"), "usage 4 0", "usage 4 0"},
		{`{"type":"max","recurring":true}`, at("2026-01-16T12:00:00Z", "4"), "usage 4 0", "usage 4 0"},
		{`{"type":"weighted_sum","recurring":true}`, at("2026-01-16T12:00:00Z", "4"), "usage 2 0", "usage 4 0"},
		{`{"type":"prorated_sum","recurring":true}`, at("2026-01-31T12:00:00Z", "62"), "usage 2 0", "usage 62 0"},
		{`{"type":"unique_count","recurring":true,"key":"user"}`, user("2026-01-16T12:00:00Z", "a", ""), "usage 1 0", "usage 1 0"},
		{`{"type":"prorated_unique_count","key":"user","unit_rounding":{"scale":2,"mode":"half_up"}}`, user("2026-01-31T12:00:00Z", "a", ""), "usage 0.03 0", "usage 1 0"},
		{`{"type":"sum"}`, at("2026-01-16T12:00:00Z", "4"), "usage 4 0", ""},
	} {
		slot, _ := tarifftest.Twin{}.Price(t, aggregation, c.params, []tarifftest.Event{c.event})
		if got := strings.Join(slot.Show(), ", "); got != c.first {
			t.Errorf("%s: %s, want %s", c.params, got, c.first)
		}
		for range 2 {
			next := slot.Next()
			slot, _ = tarifftest.Twin{Slot: func(s *tarifftest.Slot) { s.Period, s.CarryIn = next.Period, next.CarryIn }}.Price(t, aggregation, c.params, nil)
			if got := strings.Join(slot.Show(), ", "); got != c.later {
				t.Errorf("%s later: %s, want %s", c.params, got, c.later)
			}
		}
	}
}

// TestLevelsOfTwoVersions prices a month under one version of a tariff and, with the same parameters, under two that
// follow each other within it: what a level counts for in time is the same.
func TestLevelsOfTwoVersions(t *testing.T) {
	change := time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
	counts := []tarifftest.Event{at("2026-01-05T06:00:00Z", "4"), at("2026-01-09T18:00:00Z", "-1"), at("2026-01-12T00:00:00Z", "2"), at("2026-01-20T12:00:00Z", "-3")}
	users := []tarifftest.Event{
		user("2026-01-05T06:00:00Z", "a", ""), user("2026-01-06T06:00:00Z", "b", ""), user("2026-01-08T06:00:00Z", "b", "remove"),
		user("2026-01-12T06:00:00Z", "c", ""), user("2026-01-20T06:00:00Z", "a", "remove"),
	}
	const tiers = `"tiers":[{"up_to":"3","unit_price":"31"},{"unit_price":"62"}]`
	for _, c := range []struct {
		tariff tariff.Tariff
		params string
		events []tarifftest.Event
		before int // events before the change
	}{
		{aggregation, `{"type":"prorated_sum","recurring":true,"unit_price":"31"}`, counts, 2},
		{aggregation, `{"type":"prorated_sum","recurring":true,"unit_price":"31","initial":"5"}`, counts, 2},
		{aggregation, `{"type":"weighted_sum","recurring":true,"unit_price":"124"}`, counts, 2},
		{aggregation, `{"type":"prorated_unique_count","key":"user","op":"op","unit_price":"31"}`, users, 3},
		{aggregation, `{"type":"prorated_unique_count","key":"user","op":"op","unit_price":"31","initial":"2"}`, users, 3},
		{proratedGraduated, `{` + tiers + `,"recurring":true}`, counts, 2},
		{proratedGraduated, `{` + tiers + `,"recurring":true,"day_rule":"removal_day_charged","initial_units":"2"}`, counts, 2},
	} {
		amount := func(s *tarifftest.Slot) billing.Amount { return billing.Amount(s.Lines[0].Amount) }
		whole, _ := tarifftest.Twin{}.Price(t, c.tariff, c.params, c.events)
		first, _ := tarifftest.Twin{Slot: func(s *tarifftest.Slot) { s.Active = billing.Period{Start: s.Period.Start, End: change} }}.
			Price(t, c.tariff, c.params, c.events[:c.before])
		second, _ := tarifftest.Twin{Slot: func(s *tarifftest.Slot) {
			s.Active, s.CarryIn = billing.Period{Start: change, End: s.Period.End}, first.CarryOut
		}}.Price(t, c.tariff, c.params, c.events[c.before:])
		sum, err := amount(first).Add(amount(second))
		if err != nil || sum != amount(whole) || sum == amount(second) || sum == amount(first) {
			t.Errorf("%s: %s and %s, of one version %s, %v", c.params, amount(first), amount(second), amount(whole), err)
		}
		later, _ := tarifftest.Twin{Slot: func(s *tarifftest.Slot) { s.CarryIn = whole.CarryOut }}.Price(t, c.tariff, c.params, nil)
		same, _ := tarifftest.Twin{Slot: func(s *tarifftest.Slot) { s.CarryIn = second.CarryOut }}.Price(t, c.tariff, c.params, nil)
		if amount(later) != amount(same) {
			t.Errorf("%s: two versions leave %s, one %s", c.params, amount(same), amount(later))
		}
	}
}

func TestProratedGraduated(t *testing.T) {
	const tiers = `"tiers":[{"up_to":"5","unit_price":"31","flat_fee":"100"},{"unit_price":"62","flat_fee":"50"}]`
	tarifftest.Run(t, proratedGraduated, []tarifftest.Case{
		{Name: "the first fee without anything", Params: `{` + tiers + `}`, Want: []string{"flat_fee 1 100"}},
		{Name: "what is there from the start", Params: `{` + tiers + `,"initial_units":"6"}`, Want: []string{"usage 6 217", "flat_fee 2 150"}},
		{Name: "added and removed on one day", Params: `{` + tiers + `,"day_rule":"removal_day_charged"}`, Events: []tarifftest.Event{at("2026-01-31T01:00:00Z", "6"), at("2026-01-31T02:00:00Z", "-6")}, Want: []string{"usage 0 7", "flat_fee 2 150"}},
		{Name: "below nothing", Params: `{` + tiers + `}`, Events: tarifftest.Quantities("-1"), Want: []string{"usage -1 0"}},
		{Name: "no part", Params: `{` + tiers + `,"prorated_quantity":"part"}`, Events: []tarifftest.Event{of("1", "part", "x"), of("0"), of("1", "part", "0.5")}, Want: []string{"usage 1 15.5", "flat_fee 1 100"}, Rejects: []string{"0 bad_prorated_quantity: the prorated quantity is not a decimal number"}},
	})
}

func TestCustom(t *testing.T) {
	expression := func(text string) string { return `{"kind":"expression","expression":"` + text + `"}` }
	tarifftest.Run(t, custom, []tarifftest.Case{
		{Name: "precedence", Params: expression("1 + 2 * 3 - 4 / 2"), Events: tarifftest.Quantities("1"), Want: []string{"usage 5 0"}},
		{Name: "from the left", Params: expression("10 - 3 - 2"), Events: tarifftest.Quantities("1"), Want: []string{"usage 5 0"}},
		{Name: "functions", Params: expression("round(2.5) + ceil(0.11, 1) + floor(-1.5) + abs(-3) + max(1, 4, 2) + min(7, 5)"), Events: tarifftest.Quantities("1"), Want: []string{"usage 13.2 0"}},
		{Name: "attributes", Params: `{"kind":"expression","expression":"-(event.properties.units) * value","unit_price":"2"}`, Events: []tarifftest.Event{of("9", "units", "2", "value", "-10.4"), of("9", "units", "")}, Want: []string{"usage 20.8 41.6"}, Rejects: []string{"1 not_a_number: units is not a decimal number"}},
		{Name: "by nothing", Params: expression("1 / value"), Events: []tarifftest.Event{of("1", "value", "0")}, Rejects: []string{"0 division_by_zero: division by zero"}},
		{Name: "unfinished", Params: expression("1 +"), Refused: "params.expression: ends where a value is expected"},
		{Name: "too much", Params: expression("1 2"), Refused: `params.expression: "2" is not expected`},
		{Name: "open", Params: expression("(1"), Refused: "params.expression: lacks a )"},
		{Name: "unknown function", Params: expression("sqrt(4)"), Refused: "params.expression: sqrt of 1 arguments is unknown; there are round, ceil and floor of one or two, abs of one, min and max"},
		{Name: "not a dimension", Params: expression("Value"), Refused: `params.expression: "Value" is no dimension of the meter`},
		{Name: "too wide", Params: expression("a+b+c+d+e+f+g+h+i+j+k+l+m+n+o+p"), Refused: "params.expression: names more than 15 dimensions"},
		{Name: "too deep", Params: expression(strings.Repeat("(", 100) + "1" + strings.Repeat(")", 100)), Refused: "params.expression: is nested more than 64 deep"},
		{Name: "no price", Params: `{"kind":"attribute_tiers","attribute":"a","tiers":[{"prices":{"x":"1"}}]}`, Events: []tarifftest.Event{of("1", "a", "y")}, Rejects: []string{`0 no_price: "y" has no price`}},
		{Name: "a price in one tier only", Params: `{"kind":"attribute_tiers","attribute":"a","tiers":[{"up_to":"1","prices":{"x":"1"}},{"prices":{"y":"1"}}]}`, Refused: `params.tiers: tier 1 has a price for "x" and another has none; params.tiers: tier 2 has a price for "y" and another has none`},
		{Name: "no tiers", Params: `{"kind":"ordinal_fee"}`, Refused: "params.tiers: is missing"},
		{Name: "a part of an event", Params: `{"kind":"ordinal_fee","tiers":[{"fee":"1"}],"initial_count":"1.5"}`, Refused: "params.initial_count: must be a whole number, and not below 0"},
		{Name: "two fees", Params: `{"kind":"ordinal_fee","tiers":[{"fee":"1","flat_fee":"1"}]}`, Refused: "params.tiers[0].fee: and flat_fee are the same: only one may be given"},
		{Name: "no rate", Params: `{"kind":"ordinal_rate","tiers":[{"rate":"1"}],"fx_rate_dimension":"fx"}`, Events: []tarifftest.Event{of("1", "fx", "one")}, Rejects: []string{`0 bad_fx_rate: the fx_rate is not a decimal number`}},
	})
}

func TestCreditBurndown(t *testing.T) {
	grants := func(list string) string { return `{"grants":[` + list + `]}` }
	const late = "2026-01-20T00:00:00Z"
	tarifftest.Run(t, creditBurndown, []tarifftest.Case{
		{Name: "by priority, then expiry, then order", Params: grants(`{"amount":"5","priority":2},{"amount":"5","priority":1},{"amount":"5","priority":1,"expires_at":"2027-01-01T00:00:00Z"}`), Events: tarifftest.Quantities("7"), Want: []string{"grant_1 5 0", "grant_2 3 0"}},
		{Name: "the rest is overage", Params: grants(`{"amount":"5"}`), Events: tarifftest.Quantities("3", "4"), Want: []string{"overage 2 2"}},
		{Name: "at its expiry it is gone", Params: grants(`{"amount":"5","expires_at":"` + late + `"}`), Events: []tarifftest.Event{at(late, "1")}, Want: []string{"overage 1 1"}},
		{Name: "from its start it is there", Params: grants(`{"amount":"5","effective_at":"` + late + `"}`), Events: []tarifftest.Event{at(late, "1")}, Want: []string{"grant_1 4 0"}},
		{Name: "a reset does not roll over", Params: grants(`{"amount":"5","recur_anchor":"2026-01-01T00:00:00Z","recur_days":10}`), Events: []tarifftest.Event{at("2026-01-02T00:00:00Z", "8"), at("2026-01-12T00:00:00Z", "1")}, Want: []string{"grant_1 5 0"}},
		{Name: "it ends at the end of the period: not yet", Params: grants(`{"amount":"5","expires_at":"2026-02-01T00:00:00Z"}`), Want: []string{"grant_1 5 0"}},
		{Name: "a correction comes back", Params: grants(`{"amount":"5"}`), Events: tarifftest.Quantities("7", "-3"), Want: []string{"grant_1 1 0"}},
		{Name: "but not above the amount", Params: grants(`{"amount":"5"}`), Events: tarifftest.Quantities("-3"), Want: []string{"grant_1 5 0"}},
		{Name: "a price of overage", Params: `{"initial_overage":"3","unit_price":"0.5","rounding":{"scale":0,"mode":"half_up"}}`, Want: []string{"overage 3 2"}},
		{Name: "half of a recurrence", Params: grants(`{"amount":"5","recur_days":3}`), Refused: "params.grants[0].recur_days: and recur_anchor go together"},
	})
}

func TestTimeOfUse(t *testing.T) {
	const params = `{"time_zone":"Europe/Berlin","unit_price":"1","interval_seconds":3600,"bands":[{"name":"Day","from":"08:00","to":"20:00","unit_price":"2"}]}`
	tarifftest.Run(t, timeOfUse, []tarifftest.Case{
		{Name: "split at the boundary", Params: params, Events: []tarifftest.Event{at("2026-01-05T06:30:00Z", "3")}, Want: []string{"band_1 1.5 3", "rest 1.5 1.5"}},
		{Name: "the boundary belongs to what begins", Params: params, Events: []tarifftest.Event{at("2026-01-05T07:00:00Z", "3")}, Want: []string{"band_1 3 6"}},
		{Name: "over midnight", Params: `{"unit_price":"1","bands":[{"from":"22:00","to":"06:00","unit_price":"2"}]}`, Events: []tarifftest.Event{at("2026-01-05T23:59:59Z", "1"), at("2026-01-05T05:59:59Z", "1"), at("2026-01-05T06:00:00Z", "1")}, Want: []string{"band_1 2 4", "rest 1 1"}},
		{Name: "thirds lose nothing", Params: `{"unit_price":"1","interval_seconds":10800,"bands":[{"from":"01:00","to":"02:00","unit_price":"2"}]}`, Events: []tarifftest.Event{at("2026-01-05T00:00:00Z", "1")}, Want: []string{"band_1 0.333333333333333333 0.666666666666666666", "rest 0.666666666666666667 0.666666666666666667"}},
		{Name: "no zone", Params: `{"time_zone":"Mars/Base","unit_price":"1","bands":[{"unit_price":"1"}]}`, Refused: `params.time_zone: must be a time zone such as Europe/Berlin, not "Mars/Base"`},
		{Name: "no such day, time or date", Params: `{"holidays":["25.12."],"unit_price":"1","bands":[{"unit_price":"1","from":"8","days":["mon"],"months":["1"]}]}`, Refused: `params.holidays: "25.12." is no date such as 2026-12-25; params.bands[0].from: must be a time of day such as 08:30, not "8"; params.bands[0].days: "mon" is none of sunday, monday, tuesday, wednesday, thursday, friday, saturday, holiday; params.bands[0].months: "1" is none of january, february, march, april, may, june, july, august, september, october, november, december`},
		{Name: "no duration", Params: `{"unit_price":"1","duration":"seconds","bands":[{"unit_price":"2"}]}`, Events: []tarifftest.Event{of("1", "seconds", "-1"), of("1", "seconds", "60")}, Want: []string{"band_1 1 2"}, Rejects: []string{"0 bad_duration: the duration is not a number of seconds up to a year"}},
	})
}

// TestDaysOf23And25Hours prices one unit for each hour of the days on which Berlin's clocks change: night is from 1 to 4
// by the clock on the wall, which is two hours in March and four in October.
func TestDaysOf23And25Hours(t *testing.T) {
	const params = `{"time_zone":"Europe/Berlin","unit_price":"0","duration":"s","bands":[{"from":"01:00","to":"04:00","unit_price":"1"}]}`
	for start, c := range map[string]struct{ hours, seconds, night string }{
		"2026-03-29T00:00:00+01:00": {"23", "82800", "2"},
		"2026-10-25T00:00:00+02:00": {"25", "90000", "4"},
	} {
		e := of(c.hours, "s", c.seconds)
		e.Time = start
		slot, rejects := tarifftest.Twin{}.Price(t, timeOfUse, params, []tarifftest.Event{e})
		if got := slot.Amount("band_1"); len(rejects) > 0 || got.Cmp(tarifftest.ParseRat(c.night)) != 0 {
			t.Errorf("%s: %q, %v; want %s hours of night", start, slot.Show(), rejects, c.night)
		}
	}
}

func TestPercentile(t *testing.T) {
	hours := func(values ...string) (events []tarifftest.Event) {
		for i, v := range values {
			events = append(events, at("2026-01-05T"+string(rune('0'+i/10))+string(rune('0'+i%10))+":10:00Z", v))
		}
		return events
	}
	const params = `"unit_price":"1","window_seconds":3600,"empty_windows":false`
	tarifftest.Run(t, percentile, []tarifftest.Case{
		{Name: "median of two is the lower", Params: `{"percentile":50,` + params + `}`, Events: hours("3", "1"), Want: []string{"usage 1 1"}},
		{Name: "one above a half is the upper", Params: `{"percentile":51,` + params + `}`, Events: hours("3", "1"), Want: []string{"usage 3 3"}},
		{Name: "the first of hundreds", Params: `{"percentile":1,` + params + `}`, Events: hours("3", "1", "2"), Want: []string{"usage 1 1"}},
		{Name: "all of them", Params: `{"percentile":100,` + params + `}`, Events: hours("3", "1", "2"), Want: []string{"usage 3 3"}},
		{Name: "empty windows are 0", Params: `{"percentile":99,"unit_price":"1","window_seconds":86400}`, Events: []tarifftest.Event{at("2026-01-05T00:00:00Z", "7")}, Want: []string{"usage 7 7"}},
		{Name: "and most of them", Params: `{"percentile":95,"unit_price":"1","window_seconds":3600}`, Events: hours("7")},
		{Name: "below 0 comes before", Params: `{"percentile":1,"unit_price":"1","window_seconds":86400}`, Events: []tarifftest.Event{at("2026-01-05T00:00:00Z", "-7")}, Want: []string{"usage -7 -7"}},
		{Name: "not in the period", Params: `{"percentile":50,` + params + `}`, Events: []tarifftest.Event{at("2025-12-31T23:59:59Z", "7")}, Rejects: []string{"0 outside_period: the event's time lies outside the period"}},
	})
}

// accepted and refused are parameters by tariff; their schema and their Configure must agree.
var (
	accepted = map[string][]string{
		"aggregation":        {`{"type":"sum"}`, `{"type":"unique_count","key":"user","op":null,"keys_max":10,"recurring":true}`},
		"rounding":           {`{"mode":"none"}`, `{"mode":"floor","scale":-2}`},
		"unit_conversion":    {`{"operation":"multiply","factor":"2","rounding":"none","precision":2}`},
		"prorated_graduated": {`{"tiers":[{"unit_price":"1"}],"day_rule":null}`},
		"custom":             {`{"kind":"ordinal_fee","tiers":[{"fee":"1"}],"initial_count":3}`, `{"kind":"expression","expression":"1"}`},
		"credit_burndown":    {`{}`, `{"grants":[{"id":"a","amount":"1","void_at":"2026-01-01T00:00:00Z"}]}`},
		"time_of_use":        {`{"unit_price":"1","bands":[{"unit_price":"1","days":["holiday"]}],"holidays":["2026-12-25"]}`},
		"percentile":         {`{"percentile":95,"unit_price":"1"}`},
	}
	refused = map[string][]string{
		"aggregation":        {`{"type":"mode"}`, `{"type":"sum","keys_max":0}`},
		"rounding":           {`{}`, `{"mode":"floor","scale":40}`},
		"unit_conversion":    {`{"operation":"multiply"}`, `{"operation":"add","factor":"2"}`},
		"prorated_graduated": {`{}`, `{"tiers":[{"unit_price":"1"}],"day_rule":"free"}`},
		"custom":             {`{"kind":"lua"}`, `{"kind":"ordinal_fee","tiers":[{"prices":{"a":"b"}}]}`},
		"credit_burndown":    {`{"grants":[{}]}`, `{"grants":[{"amount":"1","recur_days":0}]}`},
		"time_of_use":        {`{"unit_price":"1"}`, `{"unit_price":"1","bands":[{}]}`},
		"percentile":         {`{"unit_price":"1","percentile":0}`, `{"percentile":95}`},
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
		if len(accepted[tr.Name]) == 0 || len(refused[tr.Name]) == 0 {
			t.Errorf("%s has no parameters to try", tr.Name)
		}
		for want, list := range map[bool][]string{true: accepted[tr.Name], false: refused[tr.Name]} {
			for _, params := range list {
				agree(t, tr, schema, params, want)
			}
		}
	}
}

func agree(t *testing.T, tr tariff.Tariff, schema *jsonschema.Schema, params string, want bool) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(params))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); (err == nil) != want {
		t.Errorf("%s: schema says %v of %s", tr.Name, err, params)
	}
	if _, err := tarifftest.NewBench(t, module.Tariffs...).Configure(tr.Name, params); (err == nil) != want {
		t.Errorf("%s: Configure says %v of %s", tr.Name, err, params)
	}
}

// FuzzExpression compiles anything and computes what compiles: no text may crash the compiler or the expression.
func FuzzExpression(f *testing.F) {
	for _, text := range []string{"1 + 2 * 3", "round(value * units, 2)", "-(a.b) / 0", "min(1", "((((", "ceil(1, 99)", "1..2", "é"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		params, err := json.Marshal(map[string]string{"kind": "expression", "expression": text})
		if err != nil {
			t.Skip()
		}
		bench := tarifftest.NewBench(t, custom)
		plan, err := bench.Configure("custom", string(params))
		if err != nil {
			if strings.Contains(err.Error(), "panic") {
				t.Fatal(err)
			}
			return
		}
		slot := tarifftest.NewSlot(plan)
		e := of("1")
		for _, name := range plan.Dimensions {
			e.Dimensions[name] = "2.5"
		}
		rejects, err := bench.Price([]*tarifftest.Slot{slot}, []tarifftest.Event{e})
		if err != nil || len(rejects) > 0 && rejects[0].Reason == "tariff_panic" {
			t.Fatal(err, rejects)
		}
	})
}
