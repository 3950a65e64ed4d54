package oracle

import (
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	first      = `{"ID":"a","Account":"emma","Currency":"EUR","Total":"1.50","Period":{"Start":"2026-01-01T00:00:00+01:00"},"Lines":[{"Tariff":"t","Subscription":"s","ID":"usage","Quantity":"3","Amount":"1.50","Version":"2025-12-01T00:00:00Z","Group":{"b":"2","a":"1"}}]}`
	second     = `{"ID":"b","Account":"emma","Currency":"EUR","Total":"-0.25","Period":{"Start":"2026-02-01T00:00:00+01:00"},"Lines":[{"Tariff":"t","Subscription":"s","ID":"usage","Quantity":"-0.5","Amount":"-0.25","Version":"2025-12-01T00:00:00Z","Group":{"a":"1","b":"2"},"Adjustment":{"Period":{"Start":"2026-01-01T00:00:00+01:00"}}}]}`
	lineOfBoth = "emma|2025-12-31T23:00:00Z|EUR|t|s|2025-12-01T00:00:00Z|a=1,b=2|usage"
)

// An invoice and what adjusts it come to one line.
func TestSums(t *testing.T) {
	sums := Sums{}
	for _, document := range []string{first, second} {
		if err := sums.AddInvoice([]byte(document)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{lineOfBoth + "|5/2|5/4"}; !slices.Equal(sums.Lines(), want) {
		t.Errorf("%q", sums.Lines())
	}
	before := Sums{}
	if err := before.AddLines([]string{lineOfBoth + "|5/2|5/4"}); err != nil {
		t.Fatal(err)
	}
	if sums.Subtract(before); len(sums.Lines()) > 0 {
		t.Errorf("%q is left", sums.Lines())
	}
}

// What does not add up, or is no line, is an error.
func TestSumsRefuse(t *testing.T) {
	for _, document := range []string{"{", strings.Replace(first, `"Total":"1.50"`, `"Total":"1.51"`, 1), strings.Replace(first, `"Quantity":"3"`, `"Quantity":"three"`, 1)} {
		if err := (Sums{}).AddInvoice([]byte(document)); err == nil {
			t.Errorf("%s is taken", document)
		}
	}
	for _, text := range []string{"emma", lineOfBoth + "|x|1"} {
		if err := (Sums{}).AddLines([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// The rater has what the laws of corrections say: an event that comes late, another that
// is voided and a third that is amended leave what one fold of the rest comes to.
func TestReplayCorrects(t *testing.T) {
	at := time.Date(2026, 1, 10, 0, 0, 0, 0, time.UTC)
	c := &Catalog{
		Meters: []Meter{{Name: "m", EventType: "a", Quantity: "n"}},
		Tariffs: []Tariff{{Name: "t", Meter: "m", Currency: "EUR", Versions: []Version{{
			EffectiveFrom: at.AddDate(0, -1, 0), Plugin: "aggregation", Params: map[string]any{"type": "max", "unit_price": "1"},
		}}}},
		DefaultSubscriptions: []string{"t"}, Billing: Billing{TimeZone: "UTC", AnchorDay: 1},
	}
	event := func(id, n string) Event {
		return Event{Source: "x", ID: id, Type: "a", Account: "emma", Time: at, Data: map[string]string{"n": n}}
	}
	void := Event{Source: "x", ID: "4", Type: "void", Account: "emma", Time: at, Of: &[2]string{"x", "2"}}
	amend := Event{Source: "x", ID: "5", Type: "amend", Account: "emma", Time: at, Of: &[2]string{"x", "1"}, To: &To{Data: map[string]string{"n": "7"}}}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	log := []Entry{
		{Catalog: c},
		{Events: []Event{event("1", "5"), event("2", "9")}},
		{Close: &Close{"UTC", 1, start, start.AddDate(0, 1, 0)}},
		{Events: []Event{event("3", "6"), void, void, amend}},
		{Close: &Close{"UTC", 1, start.AddDate(0, 1, 0), start.AddDate(0, 2, 0)}},
	}
	everybody := func(string) bool { return true }
	for n, want := range map[int]string{3: "|9|9", 5: "|7|7"} {
		r := Replay(log[:n], everybody)
		if len(r.Lines) == 0 || !strings.HasSuffix(r.Lines[0], "usage"+want) {
			t.Errorf("after %d entries: %q, want %s", n, r.Lines, want)
		}
		if n == 5 && r.Counts != (Counts{Read: 6, Priced: 5, Duplicates: 1}) {
			t.Errorf("%+v", r.Counts)
		}
	}
}
