package catalog

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// TestDesignExample reads the example of the design as it stands.
func TestDesignExample(t *testing.T) {
	file := load(t, "design.yaml")
	c, problems := Parse([]File{file})
	problems = append(problems, c.Resolve(&plugins{})...)
	if got := lines(problems); got != "" {
		t.Fatalf("problems:\n%s", got)
	}
	if got := c.Billing.InvoiceRules; len(got) != 1 || got[0].Name != "min25" || string(got[0].Params) != `{"amount":"25"}` || got[0].AppliesTo[0] != "api_standard" {
		t.Errorf("rules were read as %+v", got)
	}

	start, end := bytes.Index(file.Data, []byte("{name: min25")), bytes.Index(file.Data, []byte("],   # in this order"))
	text := string(file.Data[:start]) + string(file.Data[end:])
	c = parse(t, text)
	m := c.Meters["api_calls"]
	if diff := cmp.Diff([]Condition{{Key: "env", Values: []string{"prod"}}}, m.Filter); diff != "" {
		t.Error(diff)
	}
	v := c.Tariffs["api_standard"].Versions[0]
	wantParams := `{"tiers":[{"flat_fee":"0","unit_price":"0","up_to":"1000"},{"flat_fee":"0","unit_price":"0.002","up_to":null}]}`
	if string(v.Params) != wantParams || v.Name != "graduated" || !strings.HasPrefix(v.Module, "sha256:") {
		t.Errorf("version %+v", v)
	}
	a := c.Accounts["emma"]
	if a.InvoiceRules == nil || string(a.Details) != `{"address":{},"name":"Emma GmbH","tax_id":null}` {
		t.Errorf("account %+v", a)
	}
	if s := a.Subscriptions[0]; s.ID != "main" || s.Params != nil || !s.Until.IsZero() || !s.From.Equal(v.EffectiveFrom) {
		t.Errorf("subscription %+v", s)
	}
	if c.Billing.Grace != 72*time.Hour || string(c.Billing.Seller) != `{"name":"Example Ltd","tax_id":null}` {
		t.Errorf("billing %+v", c.Billing)
	}
}

// TestProblems compares what is reported for each broken file with a golden list.
func TestProblems(t *testing.T) {
	files, err := ReadPath("testdata/problems")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := file.Name
		t.Run(filepath.Base(name), func(t *testing.T) {
			file.Name = filepath.Base(name)
			c, problems := Parse([]File{file})
			problems = SortProblems(append(problems, c.Resolve(&plugins{})...))
			if len(problems) == 0 {
				t.Error("no problem was found")
			}
			if c.index != nil {
				t.Error("a catalog with problems became ready")
			}
			golden(t, name+".golden", lines(problems))
		})
	}
}

// TestJSON reads the same catalog as YAML and as JSON.
func TestJSON(t *testing.T) {
	fromYAML := parse(t, `
meters: [{name: m, event_type: x, filter: {a: [1.50, "1.50", true]}, dimensions: [r]}]
tariffs: [{name: t, meter: m, currency: JPY, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {n: 1e3, s: "1e3", t: 2026-01-01, u: null, e: [a, {}]}}]}]
accounts: [{id: 007, details: {k: "\u00fc\n"}}]
`)
	c, problems := Parse([]File{{Name: "c.JSON", Data: []byte(`{
	"meters": [{"name": "m", "event_type": "x", "filter": {"a": [1.50, "1.50", true]}, "dimensions": ["r"]}],
	"tariffs": [{"name": "t", "meter": "m", "currency": "JPY", "versions": [{"effective_from": "2026-01-01T00:00:00Z", "plugin": "flat",
		"params": {"e": ["a", {}], "n": 1000.0, "s": "1e3", "t": "2026-01-01", "u": null}}]}],
	"accounts": [{"id": "007", "details": {"k": "ü\n"}}]
}`)}})
	if problems = append(problems, c.Resolve(&plugins{})...); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if a, b := fromYAML.Digest(), c.Digest(); a != b {
		t.Errorf("digests differ: %v\n%v", Objects(fromYAML), Objects(c))
	}
	m := c.Meters["m"]
	if diff := cmp.Diff([]string{"1.5", "1.50", "true"}, m.Filter[0].Values); diff != "" {
		t.Error(diff)
	}
	if got := string(c.Tariffs["t"].Versions[0].Params); got != `{"e":["a",{}],"n":1000,"s":"1e3","t":"2026-01-01","u":null}` {
		t.Error(got)
	}
	if got := c.Tariffs["t"].Rounding; got != (billing.Rounding{Scale: 0, Mode: billing.RoundHalfUp}) {
		t.Errorf("default rounding of JPY is %v", got)
	}
}

// TestFiles reads several files as one catalog, and finds what is in two.
func TestFiles(t *testing.T) {
	a := File{Name: "a.yaml", Data: []byte("meters: [{name: m, event_type: x}]\nbilling: {grace: 1h}\n---\ndefault_subscriptions: []\n")}
	b := File{Name: "b.yaml", Data: []byte("# nothing\n")}
	if c, problems := Parse([]File{a, b, {Name: "c.yaml"}}); len(problems) > 0 || c.Billing.Grace != time.Hour || !c.hasDefaults {
		t.Fatal(lines(problems))
	}
	b.Data = []byte("meters: [{name: m, event_type: y}]\ndefault_subscriptions: []\nbilling: {grace: 2h}\naccounts: [{id: e}, {id: e}]\n")
	_, problems := Parse([]File{a, b, {Name: "c.yaml", Data: []byte{0xff}}, {Name: "d.yaml", Data: []byte("- x")}, {Name: "e.json", Data: []byte("[]")}})
	want := `b.yaml:1: meters[m]: is given twice, first in a.yaml:1
b.yaml:2: default_subscriptions: is given twice, first in a.yaml:4
b.yaml:3: billing: is given twice, first in a.yaml:2
b.yaml:4: accounts[e]: is given twice, first in b.yaml:4
c.yaml: is not UTF-8 text
d.yaml:1: must be a mapping with the keys meters, tariffs, accounts, default_subscriptions, billing
e.json:1: must be one JSON object with the keys meters, tariffs, accounts, default_subscriptions, billing
`
	if diff := cmp.Diff(want, lines(problems)); diff != "" {
		t.Error(diff)
	}
}

func TestReadPath(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadPath(dir); err == nil || !strings.Contains(err.Error(), "has no file that ends in") {
		t.Errorf("empty folder: %v", err)
	}
	if _, err := ReadPath(filepath.Join(dir, "missing.yaml")); err == nil {
		t.Error("a missing file was read")
	}
	for _, name := range []string{"b.yml", "a.yaml", "c.json", "events.jsonl", "README.md"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := ReadPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, string(f.Data))
		if filepath.Base(f.Name) != string(f.Data) {
			t.Errorf("%s has the contents of %s", f.Name, f.Data)
		}
	}
	if diff := cmp.Diff([]string{"a.yaml", "b.yml", "c.json"}, names); diff != "" {
		t.Error(diff)
	}
	if files, err = ReadPath(filepath.Join(dir, "README.md")); err != nil || len(files) != 1 {
		t.Error("a file is read whatever its name", files, err)
	}
}

// TestManyProblems keeps the report short when everything is wrong.
func TestManyProblems(t *testing.T) {
	text := "accounts:\n" + strings.Repeat("  - {id: x, bad: y}\n", 3*ProblemsMax)
	_, problems := Parse([]File{{Name: "c.yaml", Data: []byte(text)}})
	if last := problems[len(problems)-1]; len(problems) != ProblemsMax+1 || !strings.Contains(last.Message, "more problems are not shown") {
		t.Errorf("%d problems, the last one %v", len(problems), last)
	}
}

// TestAliasFlood refuses a few lines that stand for millions.
func TestAliasFlood(t *testing.T) {
	var b strings.Builder
	b.WriteString("meters: []\nbilling:\n  seller:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 9; i++ {
		n, p := string(rune('0'+i)), string(rune('0'+i-1))
		b.WriteString("    a" + n + ": &a" + n + " [" + strings.Repeat("*a"+p+", ", 9) + "*a" + p + "]\n")
	}
	_, problems := Parse([]File{{Name: "c.yaml", Data: []byte(b.String())}})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "aliases stand for more than") {
		t.Error(lines(problems))
	}
}

// TestDepth refuses what is nested without end, in both syntaxes.
func TestDepth(t *testing.T) {
	for name, open := range map[string]string{"c.yaml": "billing: ", "c.json": `{"billing": `} {
		_, problems := Parse([]File{{Name: name, Data: []byte(open + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}")}})
		if len(problems) == 0 {
			t.Errorf("%s: no problem", name)
		}
	}
}
