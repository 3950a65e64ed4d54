package export

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// The lines of a rule stand behind those of the tariffs, rounded as the rule says,
// and in every form of the invoice they name the rule.
func TestRuleLines(t *testing.T) {
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	cents := billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	one := billing.Quantity(billing.DecimalFromInt(1))
	d, err := NewDraft(Head{Account: "emma", Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Currency: "EUR"}, []Slot{{
		Tariff: "calls", Meter: "calls", Subscription: "calls", Version: start, Currency: "EUR", Rounding: cents, Module: "sha256:aa", Events: 1,
		Group: Group{{Key: "region", Text: "eu"}}, Lines: []SlotLine{{ID: "usage", Description: "Calls", Quantity: one, Amount: amount("10")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tariff", "meter", "subscription", "line", "region", "rule", "other"} {
		want := map[string]string{"tariff": "calls", "meter": "calls", "subscription": "calls", "line": "usage", "region": "eu"}[name]
		if got := d.Lines()[0].Dimension(name); got != want {
			t.Errorf("dimension %s is %q, want %q", name, got, want)
		}
	}
	before := d.Invoice()
	if err := d.Add(Rule{Name: "huge", Rounding: cents, Lines: []SlotLine{
		{ID: "a", Amount: amount("170000000000000000000")}, {ID: "b", Amount: amount("170000000000000000000")},
	}}); !errors.Is(err, billing.ErrOverflow) {
		t.Errorf("a sum beyond amounts: %v", err)
	}
	if diff := cmp.Diff(before, d.Invoice()); diff != "" {
		t.Errorf("a refused rule leaves: %s", diff)
	}
	if err := d.Add(Rule{Name: "off", Rounding: billing.Rounding{Scale: 3, Mode: billing.RoundHalfUp}, Module: "sha256:bb", Lines: []SlotLine{
		{ID: "none"}, {ID: "off", Description: "Off", Quantity: one, Amount: amount("-0.1235")},
	}}); err != nil {
		t.Fatal(err)
	}
	inv := d.Invoice()
	if inv.TotalText != "9.876" || len(inv.Lines) != 2 || inv.Lines[1].AmountText != "-0.124" || inv.Lines[1].Dimension("rule") != "off" {
		t.Fatalf("invoice %+v", inv)
	}
	document, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const line = `{"rule":"off","id":"off","group":{},"description":"Off","quantity":"1","amount":"-0.124","unrounded":"-0.1235","module":"sha256:bb"}`
	if !strings.Contains(string(document), line) {
		t.Errorf("%s\nhas not\n%s", document, line)
	}
	back, err := DecodeInvoice(document)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Encode()
	if err != nil || !bytes.Equal(again, document) {
		t.Errorf("read back as\n%s\n%v", again, err)
	}
	var table bytes.Buffer
	if err := WriteCSV(&table, []Invoice{inv}); err != nil || !strings.Contains(table.String(), ",,,,,off,,Off,1,-0.124,-0.1235,sha256:bb,off,,,,,,,,\n") {
		t.Errorf("%v\n%s", err, table.String())
	}
	var report bytes.Buffer
	r := Report{Invoices: []Invoice{inv}, Parked: []Parked{{Account: "noah", Period: "2026-10-01", Reason: "rule_fault", Detail: "x"}}}
	if err := r.WriteJSON(&report); err != nil ||
		!strings.Contains(report.String(), `{"rule":"off","group":{},"description":"Off","quantity":"1","amount":"-0.124"}`) ||
		!strings.Contains(report.String(), `"parked":[{"account":"noah","period":"2026-10-01","reason":"rule_fault","detail":"x"}],"counts"`) {
		t.Errorf("%v\n%s", err, report.String())
	}
}

// TestGroupJSON: a text written by the short way is what encoding/json makes of it.
func TestGroupJSON(t *testing.T) {
	for _, text := range []string{"", "eu", "<a&b>", `"`, `\`, "\n", "ü", "\u2028", "\xff", "\x7f", "~ ", "'"} {
		got, err := Group{{Key: text, Text: text}}.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		want, err := encode(map[string]string{text: text})
		if err != nil || string(got) != string(want) {
			t.Errorf("%q: got %s, want %s (%v)", text, got, want, err)
		}
	}
}
