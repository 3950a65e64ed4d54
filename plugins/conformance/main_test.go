package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/conformance"
)

// TestCheckSeesDifferences gives results that are wrong by one unit, in kind and in text.
func TestCheckSeesDifferences(t *testing.T) {
	plan := &plugins.Plan{Lines: make([]plugins.LineSpec, 1)}
	slot := func(quantity, amount string) *plugins.Slot {
		line := plugins.Line{Quantity: billing.MustDecimal(quantity), Amount: billing.MustDecimal(amount)}
		return &plugins.Slot{Plan: plan, Lines: plugins.AppendLine(nil, line)}
	}
	add, format := conformance.Config{Operation: "add"}, conformance.Config{Operation: "format"}
	for _, test := range []struct {
		name     string
		config   conformance.Config
		step     conformance.Step
		slot     *plugins.Slot
		reject   plugins.Reject
		rejected bool
		passes   bool
	}{
		{"right", add, conformance.Step{Want: "1.5"}, slot("1.5", "0"), plugins.Reject{}, false, true},
		{"by one unit", add, conformance.Step{Want: "1.5"}, slot("1.500000000000000001", "0"), plugins.Reject{}, false, false},
		{"an amount", add, conformance.Step{Want: "1.5"}, slot("1.5", "1"), plugins.Reject{}, false, false},
		{"rejected", add, conformance.Step{Want: "1.5"}, slot("0", "0"), plugins.Reject{Reason: "overflow"}, true, false},
		{"rightly rejected", add, conformance.Step{Error: "overflow"}, slot("0", "0"), plugins.Reject{Reason: "overflow"}, true, true},
		{"for another reason", add, conformance.Step{Error: "overflow"}, slot("0", "0"), plugins.Reject{Reason: "inexact"}, true, false},
		{"not rejected", add, conformance.Step{Error: "overflow"}, slot("0", "0"), plugins.Reject{}, false, false},
		{"text", format, conformance.Step{Want: "1.50"}, slot("0", "0"), plugins.Reject{Reason: "text", Detail: "1.50"}, true, true},
		{"other text", format, conformance.Step{Want: "1.50"}, slot("0", "0"), plugins.Reject{Reason: "text", Detail: "1.5"}, true, false},
	} {
		r := &report{}
		r.check(test.config, test.step, test.slot, test.reject, test.rejected)
		if (r.decimals.passed == 1) != test.passes || (len(r.differences) == 0) != test.passes {
			t.Errorf("%s: %+v", test.name, r)
		}
	}
}

func TestWhatIsPrinted(t *testing.T) {
	var out bytes.Buffer
	o := &options{}
	err := o.print(&out, []report{
		{language: "go", decimals: result{2, 2}, graduated: result{1, 1}, bytes: 7, fuel: 3},
		{language: "c", skipped: errDiffer},
		{language: "rust", decimals: result{1, 2}, differences: make([]string, differencesShown+2)},
	})
	if err == nil || !strings.Contains(out.String(), "2/2") || !strings.Contains(out.String(), "skipped: ") || !strings.Contains(out.String(), "and 2 more") {
		t.Errorf("%v\n%s", err, &out)
	}
	if conform(t.Context(), []string{"cobol"}, &out, &out) != 2 {
		t.Error("a language that there is not")
	}
}

// TestGraduatedCases holds that the cases are the same each time, and of every kind.
func TestGraduatedCases(t *testing.T) {
	first, second := graduatedCases(), graduatedCases()
	for k := range first {
		if first[k].params != second[k].params || len(first[k].quantities) != len(second[k].quantities) {
			t.Fatalf("case %d differs from run to run", k)
		}
		for _, q := range first[k].quantities {
			billing.MustDecimal(q)
		}
	}
	if got := strings.Join(problemPaths("params.b: x; y: z; params.a[1].c: must be a, b; and 3 more; params.b: u"), " "); got != "params.a[1].c params.b" {
		t.Error(got)
	}
}
