package telco

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

func world(mode Mode, months, customers, events int, seed uint64) Config {
	c := DefaultConfig()
	c.Mode, c.Months, c.Customers, c.EventsPerMonth, c.Seed = mode, months, customers, events, seed
	return c
}

// TestSumsAreKnown: the amounts of each customer and month add up to the sum that is promised, whatever the world.
func TestSumsAreKnown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := world(Charged, rapid.IntRange(1, 4).Draw(t, "months"), rapid.IntRange(1, 20).Draw(t, "customers"),
			rapid.IntRange(1, 60).Draw(t, "events"), rapid.Uint64().Draw(t, "seed"))
		c.Start = time.Date(2026, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 15, 0, 0, 0, 0, time.UTC)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		type key struct {
			account billing.AccountID
			period  string
		}
		sums, counts, ids := map[key]*big.Rat{}, map[key]int{}, map[string]bool{}
		for a := range c.Arrivals() {
			e := a.Event
			k := key{e.Account, billing.Calendar{}.PeriodOf(e.Time).ID()}
			amount, ok := new(big.Rat).SetString(e.Data[0].Text)
			if !ok || amount.Sign() <= 0 && c.EventsPerMonth <= 20 {
				t.Fatalf("%s has the amount %q", e.ID, e.Data[0].Text)
			}
			if sums[k] == nil {
				sums[k] = new(big.Rat)
			}
			sums[k].Add(sums[k], amount)
			counts[k]++
			if ids[e.ID] {
				t.Fatalf("%s is there twice", e.ID)
			}
			ids[e.ID] = true
		}
		if len(sums) != c.Months*c.Customers || int64(len(ids)) != c.Total() {
			t.Fatalf("%d sums and %d events, want %d and %d", len(sums), len(ids), c.Months*c.Customers, c.Total())
		}
		for m := range c.Months {
			for i := range c.Customers {
				k := key{c.Account(i), c.Period(m).ID()}
				want, _ := new(big.Rat).SetString(c.Sum(i).String())
				if sums[k] == nil || sums[k].Cmp(want) != 0 || counts[k] != c.EventsPerMonth {
					t.Fatalf("%v pays %v by %d events, want %v by %d", k, sums[k], counts[k], want, c.EventsPerMonth)
				}
			}
		}
	})
}

func TestNamedCustomers(t *testing.T) {
	c := world(Charged, 1, 12, 1, 1)
	var got []string
	for i := range c.Customers {
		got = append(got, fmt.Sprint(c.Account(i), " ", c.Sum(i).Fixed(2)))
	}
	want := []string{
		"emma 100.00", "olivia 80.00", "sophia 120.00", "ava 60.00", "isa 20.00", "noah 200.00", "william 250.00",
		"liam 30.00", "jacob 40.00", "customer-10 242.71", "customer-11 81.90", "customer-12 161.09",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestOrder: events arrive in the order of their arrival, one in ten out of order within 12 hours, each 51st late by up to
// three days, and never before they happen.
func TestOrder(t *testing.T) {
	c := world(Charged, 3, 9, 2_000, 7)
	var last, newest time.Time
	n, disordered, late, behind := 0, 0, 0, 0
	for a := range c.Arrivals() {
		if a.At.Before(last) {
			t.Fatalf("%s arrives at %v, after one that arrives at %v", a.Event.ID, a.At, last)
		}
		last = a.At
		switch delay := a.At.Sub(a.Event.Time); {
		case delay < 0 || delay >= 72*time.Hour:
			t.Fatalf("%s arrives %v late", a.Event.ID, delay)
		case delay >= 12*time.Hour:
			late++
		case delay > 0:
			disordered++
		}
		if a.Event.Time.Before(newest) {
			behind++
		} else {
			newest = a.Event.Time
		}
		n++
	}
	near := func(what string, got, want int) {
		if got < want*9/10 || got > want*11/10 {
			t.Errorf("%s: %d of %d, want about %d", what, got, n, want)
		}
	}
	near("late by more than 12 hours", late, n/51*5/6)
	near("out of order within 12 hours", disordered, n/10+n/51/6-n/510)
	near("behind a newer one", behind, late+disordered)
}

func TestTimesAreSpreadOverTheMonth(t *testing.T) {
	c := world(Charged, 1, 9, 10_000, 3)
	days := make([]int, 31)
	var times []time.Time
	for o := range c.occurrences() {
		days[o.at.Day()-1]++
		times = append(times, o.at)
	}
	if !slices.IsSortedFunc(times, time.Time.Compare) {
		t.Error("occurrences are not in the order of their times")
	}
	if first, last := times[0], times[len(times)-1]; first.Sub(c.month(0)) > time.Hour || c.month(1).Sub(last) > time.Hour {
		t.Errorf("the month's events are from %v to %v", first, last)
	}
	for day, n := range days {
		if n < 2600 || n > 3200 { // 2903 expected, five standard deviations are 270
			t.Errorf("%d events on day %d", n, day+1)
		}
	}
}

// TestGolden: a seed means the same world for ever.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string
	}{
		{world(Charged, 2, 9, 100, 42), `2026-01-01T00:00:34.032Z 2026-01-01T00:00:34.032Z //charged-42.telco.example/exchange-4 noah-2026-01-000069 MESSAGE [{amount 6.13}]
2026-01-01T02:01:54.885Z 2026-01-01T02:01:54.885Z //charged-42.telco.example/exchange-3 olivia-2026-01-000017 CALL [{amount 0.25}]
2026-01-01T02:20:18.718Z 2026-01-01T02:20:18.718Z //charged-42.telco.example/exchange-3 liam-2026-01-000085 CALL [{amount 0.28}]`},
		{world(Rated, 1, 9, 100, 42), `2026-01-01T00:00:34.032Z 2026-01-01T00:00:34.032Z //rated-42.telco.example/exchange-4 noah-2026-01-000069 call [{band off_peak} {seconds 2210}]
2026-01-01T02:01:54.885Z 2026-01-01T02:01:54.885Z //rated-42.telco.example/exchange-3 olivia-2026-01-000017 data [{megabytes 48.827}]
2026-01-01T02:20:18.718Z 2026-01-01T02:20:18.718Z //rated-42.telco.example/exchange-3 liam-2026-01-000085 message []`},
	} {
		var got []string
		for a := range c.config.Arrivals() {
			if len(got) == 3 {
				break
			}
			e := a.Event
			got = append(got, fmt.Sprintf("%s %s %s %s %s %v", a.At.Format(time.RFC3339Nano), e.Time.Format(time.RFC3339Nano), e.Source, e.ID, e.Type, e.Data))
		}
		if text := strings.Join(got, "\n"); text != c.want {
			t.Errorf("got\n%s\nwant\n%s", text, c.want)
		}
	}
}

func TestWorldIsTheSameAgain(t *testing.T) {
	c := world(Rated, 2, 10, 100, 5)
	first := slices.Collect(c.Arrivals())
	if diff := cmp.Diff(first, slices.Collect(c.Arrivals())); diff != "" {
		t.Error(diff)
	}
	c.Seed++
	other := slices.Collect(c.Arrivals())
	if cmp.Equal(first, other) || len(first) != len(other) {
		t.Error("another seed makes the same world, or one of another size")
	}
	n := 0
	for range c.Arrivals() {
		if n++; n == 10 {
			break
		}
	}
}

func TestShuffleIsAPermutation(t *testing.T) {
	for n := uint64(1); n < 300; n++ {
		s := newShuffle(n, 9, n)
		seen := make([]bool, n)
		for i := range n {
			if at := s.at(i); at >= n || seen[at] {
				t.Fatalf("of %d: %d is at two places or too large", n, at)
			} else {
				seen[at] = true
			}
		}
	}
}

// TestMemoryIsBounded: what is kept at any time is little of a month, however many months there are.
func TestMemoryIsBounded(t *testing.T) {
	c := world(Charged, 12, 9, 1_000, 1)
	most, sequence := 0, int64(0)
	var ends []time.Time
	for o := range c.occurrences() {
		if delay := o.delay(c, sequence); delay > 0 {
			ends = append(ends, o.at.Add(delay))
		}
		ends = slices.DeleteFunc(ends, func(end time.Time) bool { return !end.After(o.at) })
		most = max(most, len(ends))
		sequence++
	}
	if most > 9_000/100 {
		t.Errorf("%d events are on their way at once", most)
	}
}

func TestRatedUsage(t *testing.T) {
	types := map[string]int{}
	for a := range world(Rated, 1, 9, 1_000, 1).Arrivals() {
		e := a.Event
		types[e.Type]++
		switch e.Type {
		case "call":
			seconds, _ := e.Value("seconds")
			band, _ := e.Value("band")
			if d := billing.MustDecimal(seconds); d.Sign() <= 0 || band != Band(e.Time) {
				t.Fatalf("%+v", e)
			}
		case "data":
			text, _ := e.Value("megabytes")
			if d := billing.MustDecimal(text); d.Sign() <= 0 || d.String() != text {
				t.Fatalf("%+v", e)
			}
		}
	}
	if types["call"] < 3300 || types["data"] < 2850 || types["message"] < 2000 || len(types) != 3 {
		t.Error(types)
	}
}

func TestBand(t *testing.T) {
	for at, want := range map[string]string{
		"2026-01-02T07:59:59Z": "off_peak", "2026-01-02T08:00:00Z": "peak", "2026-01-02T19:59:59Z": "peak",
		"2026-01-02T20:00:00Z": "off_peak", "2026-01-03T12:00:00Z": "off_peak", "2026-01-05T00:30:00+02:00": "off_peak",
	} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := Band(instant); got != want {
			t.Errorf("%s is %s, want %s", at, got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Mode: 7, Start: time.Date(1960, 1, 1, 0, 0, 0, 0, time.UTC), Customers: 2_000_000, EventsPerMonth: -1}
	const want = "mode 7 is not known\nmonths must be 1 to 1200, is 0\ncustomers must be 1 to 1000000, is 2000000\n" +
		"events per month must be 1 to 10000000, is -1\nmonths must lie in the years 1970 to 2200, are from 1960 to 1960"
	if err := bad.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
	large := world(Charged, 1, CustomersMax, EventsPerMonthMax, 1)
	if err := large.Validate(); err == nil || err.Error() != "1000000 customers with 10000000 events are too many for one month" {
		t.Errorf("%v", err)
	}
	for _, m := range []Mode{Charged, Rated} {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%v: %v %v", m, got, err)
		}
	}
	if _, err := ParseMode("free"); err == nil || err.Error() != `mode "free" is not known: it is charged or rated` {
		t.Errorf("%v", err)
	}
}

func BenchmarkArrivals(b *testing.B) {
	for _, mode := range []Mode{Charged, Rated} {
		b.Run(mode.String(), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for n < b.N {
				for range world(mode, 1, 9, 100_000, 1).Arrivals() {
					if n++; n >= b.N {
						break
					}
				}
			}
		})
	}
}
