package tariff_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// reader is a tariff that says what it read, as the description of its line.
func reader(read func(p tariff.Params) string) tariff.Tariff {
	return tariff.Tariff{Name: "reader", Configure: func(c *tariff.Config) tariff.Pricer {
		c.Line("read", read(c.Params))
		return &pricer{price: func(*tariff.Slot, *tariff.Event) error { return nil }}
	}}
}

// reading is parameters and what a reader makes of them: what it read, or the problems.
type reading struct{ params, read, problems string }

func checkReadings(t *testing.T, read func(p tariff.Params) string, readings []reading) {
	t.Helper()
	b := tarifftest.NewBench(t, reader(read))
	for _, r := range readings {
		plan, err := b.Configure("reader", r.params)
		switch {
		case err != nil && err.Error() != r.problems:
			t.Errorf("%s: %v, want %s", r.params, err, r.problems)
		case err == nil && (r.problems != "" || plan.Lines[0].Description != r.read):
			t.Errorf("%s: read %q, want %q %s", r.params, plan.Lines[0].Description, r.read, r.problems)
		}
	}
}

func TestNumbers(t *testing.T) {
	checkReadings(t, func(p tariff.Params) string {
		units, given := p.OptionalQuantity("units", "")
		factor, scaled := p.OptionalDecimal("factor", "")
		price := p.Amount("price", "")
		return fmt.Sprint(price, units, given, factor, scaled, p.AmountOr("fee", "", price))
	}, []reading{
		{`{"price":"-0.5"}`, "-0.5 0 false 0 false -0.5", ""},
		{`{"price":1.50,"units":"1e3","factor":"2","fee":"0"}`, "1.5 1000 true 2 true 0", ""},
		{`{"price":"1","units":null,"factor":null,"fee":null}`, "1 0 false 0 false 1", ""},
		{`{"price":0.1234567890123456789}`, "", `params.price: decimal "0.1234567890123456789": more than 18 decimal places`},
		{`{"price":null}`, "", "params.price: must be a decimal number, not null"},
		{`{"units":[]}`, "", "params.units: must be a decimal number, not a list; params.price: is missing"},
	})
}

func TestWholeNumbersAndWords(t *testing.T) {
	checkReadings(t, func(p tariff.Params) string {
		return strings.TrimSpace(fmt.Sprintln(
			p.Int("days", "", 1, 31), p.IntOr("hours", "", 0, 23, 7), p.BoolOr("strict", "", true),
			p.Text("name", ""), p.Choice("kind", "", "a", "b"), p.ChoiceOr("mode", "", "x", "y")))
	}, []reading{
		{`{"days":31,"name":"n","kind":"b"}`, "31 7 true n b x", ""},
		{`{"days":1,"hours":0,"strict":false,"name":"é","kind":"a","mode":"y"}`, "1 0 false é a y", ""},
		{
			`{"days":32,"hours":1.5,"strict":1,"name":"","kind":"c","mode":"z"}`, "",
			`params.days: must be a whole number from 1 to 31; params.hours: must be a whole number from 0 to 23; ` +
				`params.strict: must be true or false, not a number; params.name: must not be empty; ` +
				`params.kind: must be one of a, b, not "c"; params.mode: must be y, not "z"`,
		},
		{`{"days":"1","name":"n","kind":"a"}`, "", "params.days: must be a whole number, not a string"},
	})
}

func TestInstantsAndRoundings(t *testing.T) {
	checkReadings(t, func(p tariff.Params) string {
		at, given := p.OptionalTime("at", "")
		r := p.Rounding("rounding", "")
		return fmt.Sprint(at, given, r.Scale, r.Mode)
	}, []reading{
		{`{}`, "0 false 18 half_up", ""},
		{`{"at":"1970-01-01T01:00:00.000000001+01:00","rounding":{"scale":-2,"mode":"floor"}}`, "1 true -2 floor", ""},
		{`{"rounding":{"mode":"none"}}`, "0 false 18 half_up", ""},
		{`{"rounding":{"mode":"none","scale":2}}`, "0 false 18 half_up", ""},
		{`{"at":"yesterday"}`, "", `params.at: must be an instant such as 2026-01-01T00:00:00Z, not "yesterday"`},
		{`{"at":"2500-01-01T00:00:00Z"}`, "", `params.at: must be an instant such as 2026-01-01T00:00:00Z, not "2500-01-01T00:00:00Z"`},
		{`{"rounding":{"scale":2}}`, "", "params.rounding.mode: is missing"},
		{`{"rounding":{"mode":"half_up"}}`, "", "params.rounding.scale: is missing"},
		{`{"rounding":{"mode":"half_down","scale":19}}`, "", `params.rounding.mode: must be one of none, half_up, half_even, floor, ceiling, not "half_down"; params.rounding.scale: must be a whole number from -20 to 18`},
		{`{"rounding":{"scale":2,"mode":"floor","modes":"floor"}}`, "", "params.rounding.modes: unknown parameter; known here: scale, mode"},
	})
}

func TestObjectsListsAndMaps(t *testing.T) {
	checkReadings(t, func(p tariff.Params) string {
		read := fmt.Sprint(p.Object("one", "").Int("n", "", 0, 9))
		if o, given := p.OptionalObject("other", ""); given {
			read += fmt.Sprint(" other ", o.Int("n", "", 0, 9))
		}
		for _, e := range p.List("list", "") {
			read += fmt.Sprint(" ", e.Int("n", "", 0, 9))
		}
		for _, e := range p.Map("map", "") {
			read += fmt.Sprint(" ", e.Key, "=", e.Params.Object("in", "").Int("n", "", 0, 9))
		}
		return read
	}, []reading{
		{`{"one":{"n":1},"list":[{"n":2},{"n":3}],"map":{}}`, "1 2 3", ""},
		{`{"one":{"n":1},"other":{"n":4},"list":[{"n":2}],"map":{"a b":{"in":{"n":5}},"":{"in":{"n":6}}}}`, "1 other 4 2 a b=5 =6", ""},
		{
			`{"list":[],"map":[]}`, "",
			"params.one: is missing; params.list: must not be empty; params.map: must be an object, not a list",
		},
		{
			`{"one":{"n":1},"list":[{"n":2},7,{"m":1}],"map":{"a b":{"in":{"n":5,"o":1}}},"more":{"n":1}}`, "",
			`params.list[1]: must be an object, not a number; params.list[2].n: is missing; ` +
				`params.list[2].m: unknown parameter; known here: n; params.map["a b"].in.o: unknown parameter; known here: n; ` +
				`params.more: unknown parameter; known here: one, other, list, map`,
		},
		{`{"one":{"n":1,"m":{"n":2}},"list":[{"n":2}],"map":{}}`, "", "params.one.m: unknown parameter; known here: n"},
	})
}

func TestParametersWithoutEffect(t *testing.T) {
	checkReadings(t, func(p tariff.Params) string {
		if !p.BoolOr("free", "", false) {
			return p.Amount("price", "").String()
		}
		return "free"
	}, []reading{
		{`{"price":"1"}`, "1", ""},
		{`{"free":true}`, "free", ""},
		{`{"free":true,"price":"1"}`, "", "params.price: has no effect with the other parameters"},
		{`{"free":true,"prize":"1"}`, "", "params.prize: unknown parameter; known here: free, price"},
	})
}

func TestProblemsAreBounded(t *testing.T) {
	b := tarifftest.NewBench(t, reader(func(p tariff.Params) string {
		for range 25 {
			p.Fail("x", "is wrong")
		}
		return ""
	}))
	_, err := b.Configure("reader", `{}`)
	if err == nil || strings.Count(err.Error(), "is wrong") != 20 || !strings.HasSuffix(err.Error(), "; and 5 more") {
		t.Errorf("got %v", err)
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	m := &tariff.Module{Name: "test", Tariffs: []tariff.Tariff{level, spoiler}}
	long := `{"tariff":"` + strings.Repeat("x", 5000) + `"}`
	for request, want := range map[string]string{
		`{"tariff":"none"}`:                   `{"error":"tariff \"none\" is not in module test; it has level, spoiler"}`,
		`{"tariff":"level","kind":"rule"}`:    `{"error":"\"level\" is of kind tariff, not \"rule\""}`,
		`[]`:                                  `{"error":"request must be an object"}`,
		`{"tariff":"level","params":{"x":1}}`: `{"error":"params.x: unknown parameter; known here: none"}`,
		`{"tariff":"level"}`:                  `{"lines":[{"id":"level","description":"Level"}],"state_size":48,"state_max":48,"carry_size":32,"dimensions":[]}`,
		`{"tariff":"spoiler","params":{}}`:    `{"lines":[{"id":"units","description":"Units"}],"state_size":16,"state_max":16,"dimensions":["does"]}`,
		`{"tariff":"level"`:                   "fault: configure: request: at byte 17: a comma or } is missing",
		long:                                  `{"error":"tariff \"` + strings.Repeat("x", abi.TextMax-8) + `"}`,
	} {
		n := m.Native()
		arena := n.Arena(abi.ArenaMinBytes)
		copy(arena[abi.HeaderSize:], request)
		var got []byte
		var err error
		switch rc := n.Configure(0, len(request)); rc {
		case abi.RCOK:
			got, err = abi.Reply(arena)
		default:
			got, err = abi.FaultText(arena)
			got = append([]byte("fault: "), got...)
		}
		if err != nil || string(got) != want {
			t.Errorf("%.60s: %.200s, %v; want %.200s", request, got, err, want)
		}
	}
}

func TestConfigureFaults(t *testing.T) {
	late := func(c *tariff.Config) tariff.Pricer {
		return &pricer{price: func(*tariff.Slot, *tariff.Event) error { c.Line("late", ""); return nil }}
	}
	for want, configure := range map[string]func(c *tariff.Config) tariff.Pricer{
		`configure: panic: tariff: line "No" is not of the form [a-z][a-z0-9_]{0,62}`: func(c *tariff.Config) tariff.Pricer { c.Line("No", ""); return nil },
		`configure: panic: tariff: line a is claimed twice`:                           func(c *tariff.Config) tariff.Pricer { c.Line("a", ""); c.Line("a", ""); return nil },
		`configure: panic: tariff: more than 1024 lines`: func(c *tariff.Config) tariff.Pricer {
			for i := range 1025 {
				c.Line(fmt.Sprint("l", i), "")
			}
			return nil
		},
		`configure: panic: tariff: more than 16 dimensions`: func(c *tariff.Config) tariff.Pricer {
			for i := range 17 {
				c.Dimension(fmt.Sprint("d", i%20))
			}
			return nil
		},
		`configure: panic: tariff: more than 256 cells of state`: func(c *tariff.Config) tariff.Pricer {
			for range 257 {
				c.State.Quantity()
			}
			return nil
		},
		`configure: panic: runtime error: integer divide by zero`: func(c *tariff.Config) tariff.Pricer {
			c.Line(fmt.Sprint("l", 1/c.Params.IntOr("n", "", 0, 1, 0)), "")
			return nil
		},
		`tariff bad: Configure returned nil without noting a problem`: func(*tariff.Config) tariff.Pricer { return nil },
	} {
		_, err := tarifftest.NewBench(t, tariff.Tariff{Name: "bad", Configure: configure}).Configure("bad", `{}`)
		if err == nil || err.Error() != "result code 1: "+want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	b := tarifftest.NewBench(t, tariff.Tariff{Name: "late", Configure: late})
	rejects, err := b.Price([]*tarifftest.Slot{tarifftest.NewSlot(configured(t, b, "late", `{}`))}, tarifftest.Quantities("1"))
	if err != nil || len(rejects) != 1 || rejects[0].Detail != "tariff: line late is claimed after Configure" {
		t.Errorf("a line claimed while pricing: %v, %v", rejects, err)
	}
}

func TestOneDimensionClaimedTwiceIsOne(t *testing.T) {
	twice := tariff.Tariff{Name: "twice", Configure: func(c *tariff.Config) tariff.Pricer {
		a, b := c.Dimension("a"), c.Dimension("b")
		if again := c.Dimension("a"); again != a || a == b {
			c.Params.Fail("", "not one")
		}
		if c.Currency != "JPY" {
			c.Params.Fail("", "not in yen")
		}
		return &pricer{}
	}}
	plan, err := tarifftest.NewBench(t, twice).ConfigureIn("twice", `{}`, "JPY")
	if err != nil || strings.Join(plan.Dimensions, " ") != "a b" {
		t.Errorf("%+v, %v", plan, err)
	}
}
