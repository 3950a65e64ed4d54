package host_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// A digest is replaced while usage flows, again and again, at event times in the
// middle of a month, and the host is restarted in between: nothing is lost, nothing
// is priced twice, and each event has the price that was in force at its time.
func TestHotSwapUnderLoad(t *testing.T) {
	t.Parallel()
	const senders, accounts, swaps = 3, 20, 4
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	start := instant("2026-10-01T00:00:00Z")
	// The clock of the usage goes on a millisecond with each batch; a version takes
	// effect half a second, of that clock, ahead of what has been sent.
	var clock atomic.Int64
	versions := []string{`{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}`}
	var froms []time.Time
	list := func() string {
		return strings.Replace(manual(""), `versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]`, "versions: ["+strings.Join(versions, ", ")+"]", 1)
	}
	r.apply(list())

	ctx, stop := context.WithCancel(t.Context())
	sent := make([][]billing.UsageEvent, senders)
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for batch := 0; ctx.Err() == nil; batch++ {
				at := start.Add(time.Duration(clock.Add(1)) * time.Millisecond)
				events := make([]billing.UsageEvent, 0, accounts)
				for a := range accounts {
					e := call(fmt.Sprintf("%d.%d.%d", s, batch, a), fmt.Sprint("account-", a), "2026-10-01T00:00:00Z")
					e.Time = at
					events = append(events, e)
				}
				if batch%5 == 4 { // a producer that did not see the answer
					events = append(events, sent[s][len(sent[s])-accounts:]...)
				}
				if _, err := r.Ingest(context.Background(), events); err != nil {
					t.Error(err)
					return
				}
				sent[s] = append(sent[s], events[:accounts]...)
				time.Sleep(time.Millisecond)
			}
		})
	}
	for n := range swaps {
		wasm := variant(t, fmt.Sprint("swap", n))
		if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm}); err != nil {
			t.Fatal(err)
		}
		from := start.Add(time.Duration(clock.Load()+500) * time.Millisecond)
		froms = append(froms, from)
		versions = append(versions, fmt.Sprintf(`{effective_from: %s, plugin: "per_unit@%s", params: {unit_price: "%d"}}`, from.Format(time.RFC3339Nano), plugins.Digest(wasm), n+2))
		applied := r.apply(list())
		if len(applied.Warnings) != 0 && clock.Load() < from.Sub(start).Milliseconds() {
			t.Errorf("usage went ahead of a change that was ahead of it: %q", applied.Warnings)
		}
		deadline := time.Now().Add(15 * time.Second)
		for start.Add(time.Duration(clock.Load())*time.Millisecond).Before(from.Add(50*time.Millisecond)) && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	group.Wait()

	expected := map[string]int64{}
	events := 0
	for _, list := range sent {
		for _, e := range list {
			price := int64(1)
			for _, from := range froms {
				if !e.Time.Before(from) {
					price++
				}
			}
			expected[string(e.Account)] += price
			events++
		}
	}
	check := func() {
		t.Helper()
		if err := r.ReadToEnd(r.wait()); err != nil {
			t.Fatal(err)
		}
		for account, sum := range expected {
			page, err := r.Queries().Account(query.Filter{Account: billing.AccountID(account)})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Totals) != 1 || page.Totals[0].AmountText != fmt.Sprintf("%d.00", sum) {
				t.Errorf("%s: %+v, want %d", account, page.Totals, sum)
			}
		}
		if c := r.Counters(); c.Priced != uint64(events) || c.DeadLettered != 0 || c.Read != c.Priced+c.Duplicates {
			t.Errorf("%+v for %d events", c, events)
		}
	}
	check()
	r.restart()
	check()
}

// Usage that comes between an apply's look at the log and its marker is priced by
// the catalog before, once, and the apply says so.
func TestOvertakenUsageIsReported(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(""))
	later := strings.Replace(manual(""), "versions: [", `versions: [{effective_from: 2026-10-15T00:00:00Z, plugin: per_unit, params: {unit_price: "2"}}, `, 1)
	warnings, err := r.ApplyLate(r.wait(), catalogFile(later)[0], func() { r.send(call("1", "emma", "2026-10-20T00:00:00Z")) })
	if err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "usage up to 2026-10-20T00:00:00Z went ahead of the change") || !strings.Contains(warnings[0], "emma") {
		t.Errorf("%q", warnings)
	}
	r.send(call("2", "emma", "2026-10-20T00:00:00Z"))
	want(t, r.subtotals(query.Filter{}), "emma per_call 1.00 (1)", "emma per_call 2.00 (1)")
	r.wantCounts(2, 0, 0)
}

var swapWindow = flag.Duration("swapwindow", 2*time.Second, "how long TestHotSwapLatency measures before each swap, and around it")

// Around a hot swap usage becomes visible as before. Times are reported, not
// held: machines differ.
//
//	go test ./host -run HotSwapLatency -v -swapwindow 1m
func TestHotSwapLatency(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	const swaps = 2
	window := *swapWindow
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	start := instant("2026-10-01T00:00:00Z")
	versions := []string{`{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}`}
	list := func() string {
		return strings.Replace(manual(""), `versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]`, "versions: ["+strings.Join(versions, ", ")+"]", 1)
	}
	r.apply(list())
	ctx, stop := context.WithCancel(t.Context())
	var clock atomic.Int64 // milliseconds of event time since start
	var group sync.WaitGroup
	batch := func(sender string, n, events int) []billing.UsageEvent {
		made := make([]billing.UsageEvent, events)
		at := start.Add(time.Duration(clock.Add(1)) * time.Millisecond)
		for i := range made {
			made[i] = call(fmt.Sprintf("%s.%d.%d", sender, n, i), fmt.Sprint("account-", (n*events+i)%5000), "2026-10-01T00:00:00Z")
			made[i].Time = at
		}
		return made
	}
	for s := range 2 {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := r.Ingest(context.Background(), batch(fmt.Sprint("sender-", s), n, 100)); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	// probe measures from accepted to committed for a while, and returns the 99th
	// percentile; something may happen meanwhile.
	probes := 0
	probe := func(meanwhile func()) time.Duration {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			time.Sleep(window / 2)
			meanwhile()
		}()
		var times []time.Duration
		for begun := time.Now(); time.Since(begun) < window; probes++ {
			results, err := r.Ingest(r.wait(), batch("probe", probes, 1))
			if err != nil {
				t.Fatal(err)
			}
			accepted := time.Now()
			if err := r.Wait(r.wait(), []query.Position{results[0].Position}); err != nil {
				t.Fatal(err)
			}
			times = append(times, time.Since(accepted))
		}
		<-done
		slices.Sort(times)
		return times[len(times)*99/100]
	}
	probe(func() {}) // slots are new once
	for n := range swaps {
		before := probe(func() {})
		around := probe(func() {
			wasm := variant(t, fmt.Sprint("latency", n))
			if _, _, err := r.PushPlugin(r.wait(), host.PushRequest{Wasm: wasm}); err != nil {
				t.Error(err)
			}
			from := start.Add(time.Duration(clock.Load()+100) * time.Millisecond)
			versions = append(versions, fmt.Sprintf(`{effective_from: %s, plugin: "per_unit@%s", params: {unit_price: "%d"}}`, from.Format(time.RFC3339Nano), plugins.Digest(wasm), n+2))
			r.apply(list())
		})
		t.Logf("swap %d: accepted to committed p99 %v before, %v around it: %d %%", n+1, before.Round(time.Millisecond), around.Round(time.Millisecond), int64(around*100/before))
	}
	stop()
	group.Wait()
	if err := r.ReadToEnd(r.wait()); err != nil {
		t.Fatal(err)
	}
	if c := r.Counters(); c.DeadLettered != 0 || c.Read != c.Priced {
		t.Errorf("%+v", c)
	}
}
