package catalog

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

const lookupYAML = `
meters:
  - {name: calls, event_type: call, filter: {kind: [voice, video], paid: true}}
  - {name: minutes, event_type: call, quantity: minutes}
  - {name: bytes, event_type: data}
tariffs:
  - {name: calls_a, meter: calls, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat}, {effective_from: 2026-02-01T00:00:00Z, plugin: flat}]}
  - {name: calls_b, meter: calls, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat}]}
  - {name: minutes_a, meter: minutes, currency: USD, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat}]}
accounts:
  - id: emma
    time_zone: Europe/Berlin
    anchor_day: 31
    subscriptions:
      - {tariff: minutes_a}
      - {tariff: calls_b, id: second}
      - {tariff: calls_b, id: first}
      - {tariff: calls_a, from: 2026-01-15T00:00:00Z, until: 2026-03-01T00:00:00Z}
  - id: nothing
default_subscriptions: [minutes_a]
billing: {time_zone: Asia/Tokyo, anchor_day: 5}
`

func TestLookups(t *testing.T) {
	c := parse(t, lookupYAML)
	var names []string
	for _, m := range c.MetersOf("call") {
		names = append(names, m.Name)
	}
	if diff := cmp.Diff([]string{"calls", "minutes"}, names); diff != "" {
		t.Error(diff)
	}
	if got := c.MetersOf("unknown"); got != nil {
		t.Error(got)
	}

	bindings := func(account billing.AccountID, meter string) (list []string) {
		for _, b := range c.Bindings(account, c.Meters[meter]) {
			if b.Meter.Name != meter || b.Tariff.Name != b.Subscription.Tariff {
				t.Errorf("%+v", b)
			}
			list = append(list, b.Subscription.Tariff+"/"+b.Subscription.ID)
		}
		return list
	}
	for _, test := range []struct {
		account billing.AccountID
		meter   string
		want    []string
	}{
		{"emma", "calls", []string{"calls_a/calls_a", "calls_b/first", "calls_b/second"}},
		{"emma", "minutes", []string{"minutes_a/minutes_a"}},
		{"emma", "bytes", nil},
		{"nothing", "minutes", nil},
		{"not listed", "minutes", []string{"minutes_a/minutes_a"}},
		{"not listed", "calls", nil},
	} {
		if diff := cmp.Diff(test.want, bindings(test.account, test.meter)); diff != "" {
			t.Errorf("%s, %s: %s", test.account, test.meter, diff)
		}
	}
	if got := len(c.BindingsOf("emma")); got != 4 {
		t.Errorf("emma has %d bindings", got)
	}
}

func TestVersionsAndSpans(t *testing.T) {
	c := parse(t, lookupYAML)
	ns := func(s string) int64 {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return at.UnixNano()
	}
	tariff := c.Tariffs["calls_a"]
	for at, want := range map[string]int{
		"2025-12-31T23:59:59.999999999Z": -1,
		"2026-01-01T00:00:00Z":           0,
		"2026-01-31T23:59:59.999999999Z": 0,
		"2026-02-01T00:00:00Z":           1,
		"2030-01-01T00:00:00Z":           1,
	} {
		if got := tariff.VersionAt(ns(at)); got != want {
			t.Errorf("version at %s is %d, want %d", at, got, want)
		}
	}
	b := c.Bindings("emma", c.Meters["calls"])[0]
	for at, want := range map[string]bool{
		"2026-01-14T23:59:59.999999999Z": false,
		"2026-01-15T00:00:00Z":           true,
		"2026-02-28T23:59:59.999999999Z": true,
		"2026-03-01T00:00:00Z":           false,
	} {
		if got := b.ActiveAt(ns(at)); got != want {
			t.Errorf("active at %s is %v", at, got)
		}
	}
	if from, until := b.Span(0); from != ns("2026-01-15T00:00:00Z") || until != ns("2026-02-01T00:00:00Z") {
		t.Error(from, until)
	}
	if from, until := b.Span(1); from != ns("2026-02-01T00:00:00Z") || until != ns("2026-03-01T00:00:00Z") {
		t.Error(from, until)
	}
	always := c.BindingsOf("not listed")[0]
	if from, until := always.Span(0); from != ns("2026-01-01T00:00:00Z") || until != math.MaxInt64 || !always.ActiveAt(math.MinInt64) {
		t.Error(from, until)
	}
}

func TestMatches(t *testing.T) {
	c := parse(t, lookupYAML)
	m := c.Meters["calls"]
	for _, test := range []struct {
		data []billing.Field
		want bool
	}{
		{[]billing.Field{{Key: "kind", Text: "voice"}, {Key: "paid", Text: "true"}}, true},
		{[]billing.Field{{Key: "paid", Text: "true"}, {Key: "other", Text: ""}, {Key: "kind", Text: "video"}}, true},
		{[]billing.Field{{Key: "kind", Text: "fax"}, {Key: "paid", Text: "true"}}, false},
		{[]billing.Field{{Key: "kind", Text: "voice"}}, false},
		{nil, false},
	} {
		if got := m.Matches(test.data); got != test.want {
			t.Errorf("%v: %v", test.data, got)
		}
	}
	if !c.Meters["minutes"].Matches(nil) {
		t.Error("a meter without a filter selects everything")
	}
}

func TestCalendar(t *testing.T) {
	c := parse(t, lookupYAML)
	for account, want := range map[billing.AccountID]string{"emma": "Europe/Berlin 31", "nothing": "Asia/Tokyo 5", "not listed": "Asia/Tokyo 5"} {
		got := c.Calendar(account)
		if text := got.Zone.String() + " " + time.Duration(got.AnchorDay).String(); text != want+"ns" {
			t.Errorf("%s has %s", account, text)
		}
	}
	if got := Empty().Calendar("x"); got.Zone != time.UTC || got.AnchorDay != 1 {
		t.Errorf("%+v", got)
	}
}

// TestHotPathAllocates holds the promise of the package comment.
func TestHotPathAllocates(t *testing.T) {
	c := parse(t, lookupYAML)
	data := []billing.Field{{Key: "kind", Text: "voice"}, {Key: "paid", Text: "true"}}
	at := time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC).UnixNano()
	found := 0
	allocs := testing.AllocsPerRun(100, func() {
		for _, m := range c.MetersOf("call") {
			if !m.Matches(data) {
				continue
			}
			for i := range c.Bindings("emma", m) {
				b := &c.Bindings("emma", m)[i]
				if b.ActiveAt(at) && b.Tariff.VersionAt(at) >= 0 {
					found++
				}
			}
		}
		_ = c.Calendar("emma")
	})
	if allocs != 0 || found == 0 {
		t.Errorf("%v allocations, %d found", allocs, found)
	}
}
