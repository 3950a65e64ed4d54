package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The spans of a subscription cover its time once, without holes, each with the
// params that hold in it; a span begins where the one before ends.
func TestSpansCoverTheSubscription(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	rapid.Check(t, func(t *rapid.T) {
		s := &Subscription{ID: "main", Tariff: "x", Params: json.RawMessage(`{"a":"0","b":"0"}`)}
		if rapid.Bool().Draw(t, "starts") {
			s.From = day(rapid.IntRange(0, 10).Draw(t, "from"))
		}
		if rapid.Bool().Draw(t, "ends") {
			s.Until = day(rapid.IntRange(11, 30).Draw(t, "until"))
		}
		at := rapid.IntRange(-3, 5).Draw(t, "first")
		for i := range rapid.IntRange(0, 4).Draw(t, "overrides") {
			o := Override{From: day(at), Params: json.RawMessage(fmt.Sprintf(`{"a":"%d"}`, i+1))}
			at += rapid.IntRange(1, 9).Draw(t, "length")
			o.Until = day(at)
			at += rapid.IntRange(0, 4).Draw(t, "pause")
			s.Overrides = append(s.Overrides, o)
		}
		spans := s.spans()
		if !spans[0].From.Equal(s.From) || !spans[len(spans)-1].Until.Equal(s.Until) {
			t.Fatalf("from %v until %v", spans[0].From, spans[len(spans)-1].Until)
		}
		for i, p := range spans {
			if i > 0 && !p.From.Equal(spans[i-1].Until) {
				t.Fatalf("span %d begins at %v, the one before ends at %v", i, p.From, spans[i-1].Until)
			}
		}
		for hour := -24 * 5; hour < 24*40; hour += 12 {
			now := day(0).Add(time.Duration(hour) * time.Hour)
			params, _ := s.spanAt(now)
			held := 0
			for _, p := range spans {
				if !now.Before(p.From) && (p.Until.IsZero() || now.Before(p.Until)) {
					held++
					if string(p.Params) != string(params) {
						t.Fatalf("at %v: %s and %s", now, p.Params, params)
					}
				}
			}
			if active := !now.Before(s.From) && (s.Until.IsZero() || now.Before(s.Until)); held != map[bool]int{true: 1}[active] {
				t.Fatalf("at %v %d spans hold", now, held)
			}
		}
	})
}

func TestOverridesAreReadBack(t *testing.T) {
	const yaml = compareYAML + `
`
	with := strings.Replace(yaml, "- {id: main, tariff: calls_std, from: 2026-03-01T00:00:00Z}",
		`- {id: main, tariff: calls_std, from: 2026-03-01T00:00:00Z, overrides: [{from: 2026-10-25T02:00:00+01:00, params: {cap: "3"}}, {from: 2026-09-01T00:00:00Z, until: 2026-10-01T00:00:00Z, params: {cap: "2"}}]}`, 1)
	c := parse(t, with)
	s := c.Accounts["emma"].Subscriptions[0]
	if len(s.Overrides) != 2 || string(s.Overrides[0].Params) != `{"cap":"2"}` || s.Overrides[1].From.Format(time.RFC3339) != "2026-10-25T01:00:00Z" {
		t.Fatalf("%+v", s.Overrides)
	}
	again, err := Empty().Update(Diff(Empty(), c))
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != c.Digest() {
		t.Error("the catalog reads back as another one")
	}
	var got []string
	for _, change := range Compare(parse(t, yaml), c) {
		got = append(got, at(change))
	}
	if len(got) != 1 || got[0] != "account emma: subscription main to tariff calls_std has its overrides changed | from 2026-09-01T00:00:00Z, tariff calls_std, account emma, subscription main: emma" {
		t.Errorf("%q", got)
	}
	b := c.Bindings("emma", c.Meters["calls"])
	if len(b) != 4 {
		t.Fatalf("%d bindings", len(b))
	}
	if b[0].Version(1) != c.Tariffs["calls_std"].Versions[1].EffectiveFrom.UnixNano() || b[1].Version(1) != s.Overrides[0].From.UnixNano() || b[2].Version(1) != s.Overrides[0].Until.UnixNano() {
		t.Error("the terms of an override are not named by its beginning")
	}
}

func TestWrongOverrides(t *testing.T) {
	for text, want := range map[string]string{
		`{from: 2026-10-01T00:00:00Z, params: {a: "1"}}, {from: 2026-11-01T00:00:00Z, params: {a: "2"}}`: "overlaps with the override on line",
		`{params: {a: "1"}}`:                      "overrides[0].from: is missing",
		`{from: 2026-10-01T00:00:00Z}`:            "overrides[0].params: is missing",
		`{from: 2026-10-01T00:00:00Z, parms: {}}`: "parms: is not known here",
		`{from: 2026-10-01T00:00:00Z, until: 2026-10-01T00:00:00Z, params: {a: "1"}}`: "overrides[0].until: must be later than from",
	} {
		_, problems := Parse([]File{{Name: "c.yaml", Data: []byte("accounts: [{id: emma, subscriptions: [{tariff: x, overrides: [" + text + "]}]}]")}})
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.String(), want)
		}
		if !found {
			t.Errorf("%s: %v", text, problems)
		}
	}
}
