package rate_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host/rate"
)

const graduated = `
meters: [{name: calls, event_type: call, quantity: seconds}]
tariffs:
  - name: tiers
    meter: calls
    currency: EUR
    versions:
      - effective_from: 2026-01-01T00:00:00Z
        plugin: graduated
        params: {tiers: [{up_to: "10", unit_price: "0.05"}, {up_to: "50", unit_price: "0.03"}, {up_to: null, unit_price: "0.01"}]}
default_subscriptions: [tiers]
`

// many makes n events that go round a number of accounts.
func many(n, accounts int) []rate.Event {
	events := make([]rate.Event, n)
	for i := range events {
		events[i] = event(fmt.Sprintf("account-%d", i%accounts), "seconds", "3")
	}
	return events
}

// A batch goes into a plugin with one call for as many events as a call takes,
// however many slots they fall into and whatever order they come in.
func TestOneCallForABatch(t *testing.T) {
	for _, c := range []struct{ events, accounts, calls int }{
		{1, 1, 1}, {4096, 1, 1}, {4096, 64, 1}, {4096, 1024, 1}, {4096, 2048, 1}, {8192, 1024, 2},
	} {
		w := newWorld(t, graduated)
		for round := range 2 { // new slots, then old ones
			before := rate.Calls(w.rater)
			if rejected := w.rate(many(c.events, c.accounts), c.events); len(rejected) > 0 {
				t.Fatal(rejected[0])
			}
			if calls := rate.Calls(w.rater) - before; calls != uint64(c.calls) {
				t.Errorf("round %d: %d events in %d slots took %d calls, want %d", round, c.events, c.accounts, calls, c.calls)
			}
		}
	}
}

// Rating allocates nothing once its memory has grown.
func TestRateAllocations(t *testing.T) {
	const accounts = 100
	for _, perSlot := range []int{1, 20} {
		w := newWorld(t, graduated)
		events := many(accounts*perSlot, accounts)
		w.rate(events, len(events))
		w.rate(events, len(events))
		got := testing.AllocsPerRun(5, func() {
			out, err := w.rater.Rate(t.Context(), w.book, events)
			if err != nil || len(out.Changes) != accounts || len(out.Rejected) > 0 {
				t.Fatal(out, err)
			}
		})
		if got > 0 {
			t.Errorf("%d events for each of %d slots: %.0f allocations, none are meant", perSlot, accounts, got)
		}
	}
}

// What is remembered of an account's events decides nothing: not when the next
// one falls into another period or version, before the subscription or behind it.
func TestLanesDecideNothing(t *testing.T) {
	const yaml = `
meters: [{name: calls, event_type: call, quantity: seconds, dimensions: [zone]}]
tariffs:
  - name: changing
    meter: calls
    currency: EUR
    versions:
      - {effective_from: 2026-09-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}
      - {effective_from: 2026-10-15T00:00:00Z, plugin: per_unit, params: {unit_price: "100"}}
  - name: by_zone
    meter: calls
    currency: EUR
    group_by: [zone]
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.001"}}]
accounts:
  - {id: emma, time_zone: Asia/Tokyo, subscriptions: [{tariff: changing, until: 2026-12-10T00:00:00Z}, {tariff: by_zone, from: 2026-10-01T00:00:00Z}]}
default_subscriptions: [changing]
`
	var events []rate.Event
	for i := range 600 {
		e := event([]string{"emma", "noah"}[i%2], "seconds", "1", "zone", []string{"eu", "us", ""}[i%3])
		// A prime number of hours apart, forth and back over five months.
		e.Time = time.Date(2026, 8, 20, 0, 0, 0, 0, time.UTC).Add(time.Duration(i*1009%3600) * time.Hour).UnixNano()
		events = append(events, e)
	}
	fresh := newWorld(t, yaml)
	var rejected []rate.Rejection
	for i := range events {
		rate.DropWays(fresh.rater)
		for _, r := range fresh.rate(events[i:i+1], 1) {
			r.Event = i
			rejected = append(rejected, r)
		}
	}
	if len(rejected) < 20 || len(fresh.book.byKey()) < 15 {
		t.Fatalf("%d rejected, %d slots: the events show nothing", len(rejected), len(fresh.book.byKey()))
	}
	for _, size := range []int{1, 50, len(events)} {
		w := newWorld(t, yaml)
		if diff := cmp.Diff(rejected, w.rate(events, size)); diff != "" {
			t.Errorf("rejections in batches of %d: %s", size, diff)
		}
		have := w.book.byKey()
		for k, s := range fresh.book.byKey() {
			if got := have[k]; got == nil || !cmp.Equal(got.Lines, s.Lines) || got.Events != s.Events {
				t.Errorf("slot %v in batches of %d: %+v, want %+v", k, size, got, s)
			}
		}
		if len(w.book.byKey()) != len(fresh.book.byKey()) {
			t.Errorf("%d slots in batches of %d, want %d", len(w.book.byKey()), size, len(fresh.book.byKey()))
		}
	}
}

// BenchmarkRate rates 4096 events, the plugin included.
func BenchmarkRate(b *testing.B) {
	for _, accounts := range []int{64, 512, 4096} {
		b.Run(fmt.Sprintf("slots=%d", accounts), func(b *testing.B) {
			w := newWorld(b, graduated)
			events := many(4096, accounts)
			w.rate(events, len(events))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.rater.Rate(b.Context(), w.book, events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(events))/b.Elapsed().Seconds(), "events/s")
		})
	}
}
