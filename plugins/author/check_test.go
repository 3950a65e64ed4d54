package author_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tollway/tollway/plugins/author"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/plugins/internal/wasmtest"
)

// faulty is the plugin of testdata/faulty, built once for all tests.
var faulty = sync.OnceValues(func() ([]byte, error) {
	return build.Folder(context.Background(), "testdata/faulty")
})

// program is the same, built for this machine.
func program(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "faulty")
	if err := build.Native(t.Context(), "testdata/faulty", out); err != nil {
		t.Fatal(err)
	}
	return out
}

// workshop opens the faulty plugin.
func workshop(t *testing.T) *author.Workshop {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds and compiles a module")
	}
	wasm, err := faulty()
	if err != nil {
		t.Fatal(err)
	}
	w, err := author.Open(t.Context(), wasm, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return w
}

// parse reads cases from text.
func parse(t *testing.T, text string) []*author.Case {
	t.Helper()
	cases, problems := author.ParseCases("cases.yaml", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return cases
}

const threeEvents = `
cases:
  - name: three events
    events:
      - {quantity: "1", dimensions: {kind: good}}
      - {quantity: "2", dimensions: {kind: bad}}
      - {quantity: "3", dimensions: {kind: good}}
    want: {}
`

// failing are the properties and limits that do not hold.
func failing(c *author.Checked) []string {
	var names []string
	for _, f := range c.Properties {
		if len(f.Failures) > 0 {
			names = append(names, f.Property.Name)
		}
	}
	for _, l := range c.Limits {
		if l.Exceeded {
			names = append(names, l.What)
		}
	}
	return names
}

// TestEachFaultIsFound holds that each planted fault is found by the check that is there for it, and that a sound
// tariff passes all.
func TestEachFaultIsFound(t *testing.T) {
	w := workshop(t)
	w.UseNative(program(t))
	for _, test := range []struct {
		tariff, params, found string
		others                []string // what a fault may break besides
	}{
		{tariff: "sound"},
		{tariff: "remembers", found: "split", others: []string{"slots", "native", "rejects", "hostile", "fresh"}},
		{tariff: "slot_order", found: "slots", others: []string{"split", "native", "hostile", "fresh"}},
		{tariff: "map_order", found: "native", others: []string{"split", "slots", "rejects", "hostile"}},
		{tariff: "leaks", found: "rejects", others: []string{"split", "slots", "native", "hostile"}},
		{tariff: "platform", found: "native"},
		{tariff: "crashes", found: "hostile"},
		{tariff: "hungry", found: "fuel of an event", others: []string{"native", "hostile"}},
		{tariff: "greedy", found: "memory", others: []string{"fuel of an event"}}, // clearing it takes fuel
		{tariff: "schema", params: "params: {price: 3}", found: "params"},
		{tariff: "stuck", found: "idle", others: []string{"hostile", "again", "fresh", "split", "slots", "native", "rejects"}},
	} {
		t.Run(test.tariff, func(t *testing.T) {
			cases := parse(t, "tariff: "+test.tariff+"\n"+test.params+threeEvents)
			checked, err := w.Check(t.Context(), cases, author.CheckOptions{Seed: 1, Samples: 10, HeadroomPercent: 25})
			if err != nil {
				t.Fatal(err)
			}
			found := failing(checked)
			if test.found != "" && !slices.Contains(found, test.found) {
				t.Errorf("%s is not among what is wrong: %q", test.found, found)
			}
			for _, name := range found {
				if name != test.found && !slices.Contains(test.others, name) {
					t.Errorf("%s is wrong as well, which nobody expects: %s", name, failures(checked))
				}
			}
			if checked.Passed() != (test.found == "") {
				t.Errorf("passed: %t", checked.Passed())
			}
		})
	}
}

func failures(c *author.Checked) string {
	var b strings.Builder
	for _, f := range c.Properties {
		for _, one := range f.Failures {
			b.WriteString(f.Property.Name + ": " + one.Text + "\n" + one.Example)
		}
	}
	return b.String()
}

// TestExampleIsSmall holds that a failure is shrunk to what it needs, that it can be pasted into a file of cases, and
// that it fails there again; and that the same seed finds the same.
func TestExampleIsSmall(t *testing.T) {
	w := workshop(t)
	cases := parse(t, "tariff: leaks"+threeEvents)
	options := author.CheckOptions{Seed: 7, Samples: 10, Only: []string{"rejects"}}
	checked, err := w.Check(t.Context(), cases, options)
	if err != nil {
		t.Fatal(err)
	}
	example := checked.Properties[0].Failures[0].Example
	if n := strings.Count(example, "- {time"); n != 2 {
		t.Errorf("%d events, want the bad one and a good one behind it:\n%s", n, example)
	}
	again, problems := author.ParseCases("again.yaml", []byte("cases:\n"+example))
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, example)
	}
	options.Samples = 0
	if checked, err = w.Check(t.Context(), again, options); err != nil || checked.Passed() {
		t.Errorf("pasted, it passes (%v):\n%s", err, example)
	}
	options.Samples = 10
	checked, err = w.Check(t.Context(), cases, options)
	if err != nil || checked.Properties[0].Failures[0].Example != example {
		t.Errorf("the same seed finds another example (%v):\n%s", err, failures(checked))
	}
}

// TestCheckWithoutNative says that a property cannot be looked for, and passes.
func TestCheckWithoutNative(t *testing.T) {
	w := workshop(t)
	checked, err := w.Check(t.Context(), parse(t, "tariff: sound"+threeEvents), author.CheckOptions{Only: []string{"native"}})
	if err != nil || !checked.Passed() || !strings.Contains(checked.Properties[0].Skipped, "not applicable") {
		t.Errorf("%v %+v", err, checked)
	}
	if _, err := w.Check(t.Context(), nil, author.CheckOptions{Only: []string{"none"}}); err == nil {
		t.Error("a property that there is not was looked for")
	}
}

// TestSourcesAreLookedThrough finds what no run shows.
func TestSourcesAreLookedThrough(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("price.go", `package main

import (
	"math"
	"time"
)

func price(units float64) float64 {
	go func() {}()
	_ = time.Now()
	return math.Round(units * 0.1)
}
`)
	write("price_test.go", "package main\n\nvar _ = 0.1\n")
	write("sound.go", "package main\n\nimport \"time\"\n\nvar day = 24 * time.Hour\n")
	problems, err := author.CheckSources(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, p := range problems {
		got.WriteString(strings.TrimPrefix(p.String(), folder+string(filepath.Separator)) + "\n")
	}
	for _, want := range []string{
		"price.go:4: import of math", "price.go:8: float64 is not exact", "price.go:9: a goroutine",
		"price.go:10: time.Now", `price.go:11: 0.1 is a floating point number: use billing.MustDecimal("0.1")`,
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("%q is not found:\n%s", want, got.String())
		}
	}
	if len(problems) != 6 {
		t.Errorf("%d problems:\n%s", len(problems), got.String())
	}
}

// A module that was not made from Go is looked through itself.
func TestFloatsInAModule(t *testing.T) {
	check := func(price []byte) []author.Problem {
		t.Helper()
		problems, err := author.CheckModule("tariff.wasm", wasmtest.Tariff(`{}`, price).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return problems
	}
	exact := check(wasmtest.Cat(wasmtest.I64Const(1), wasmtest.Op(wasmtest.Drop)))
	half := wasmtest.Cat([]byte{0x44}, make([]byte, 8), wasmtest.Op(wasmtest.Drop)) // f64.const
	if problems := check(half); len(exact) != 0 || len(problems) != 1 || !strings.Contains(problems[0].String(), "tariff.wasm: the module computes in floating point") {
		t.Errorf("exact: %v; with a float: %v", exact, problems)
	}
}
