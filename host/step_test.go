package host_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// stepping is a host with one partition that makes its steps by hand, on events
// that are all priced: each of a number of accounts has the same share.
type stepping struct {
	*running
	accounts int
	sent     int
}

func newStepping(t testing.TB, accounts int) *stepping {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(`
meters: [{name: calls, event_type: call, quantity: q}]
tariffs:
  - name: tiers
    meter: calls
    currency: EUR
    versions:
      - effective_from: 2026-01-01T00:00:00Z
        plugin: graduated
        params: {tiers: [{up_to: "10", unit_price: "0.05"}, {up_to: null, unit_price: "0.01"}]}
billing: {close: manual}
default_subscriptions: [tiers]
`)
	r.stop()
	r.idle = true
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	t.Cleanup(r.EndSteps)
	return &stepping{running: r, accounts: accounts}
}

// fill writes n more events into the log.
func (s *stepping) fill(n int) {
	s.t.Helper()
	events := make([]billing.UsageEvent, n)
	for i := range events {
		s.sent++
		events[i] = billing.UsageEvent{
			Source: "test", ID: fmt.Sprint(s.sent), Type: "call", Account: billing.AccountID(fmt.Sprint("account-", i%s.accounts)),
			Time: instant("2026-10-05T00:00:00Z").Add(time.Duration(i)), Data: []billing.Field{{Key: "q", Text: "3"}},
		}
	}
	if _, err := s.Ingest(s.wait(), events); err != nil {
		s.t.Fatal(err)
	}
}

// work makes steps until all that was sent is priced, and returns how many.
func (s *stepping) work() (steps int) {
	s.t.Helper()
	for ; s.Counters().Priced < uint64(s.sent); steps++ {
		if err := s.Step(s.wait(), 0); err != nil {
			s.t.Fatal(err)
		}
	}
	if c := s.Counters(); c.Read != uint64(s.sent) {
		s.t.Fatalf("%d events were sent: %+v", s.sent, c)
	}
	return steps
}

// A step writes one checkpoint, whatever it holds.
func TestOneCommitForAStep(t *testing.T) {
	s := newStepping(t, 50)
	for _, n := range []int{1, 100, 10_000} {
		s.fill(n)
		before := s.Commits()
		steps := s.work()
		if commits := s.Commits() - before; commits != uint64(steps) || steps > 1+n/1000 {
			t.Errorf("%d events: %d steps, %d commits", n, steps, commits)
		}
	}
}

// What a step allocates hangs on the slots that it changes, not on its events:
// once its memory has grown, a few allocations for each slot, and those of the
// messages.
func TestStepAllocations(t *testing.T) {
	const accounts, events = 500, 10_000
	s := newStepping(t, accounts)
	for range 4 {
		s.fill(events)
		s.work()
	}
	least := ^uint64(0) // the server works beside the step
	for range 5 {
		s.fill(events)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s.work()
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	t.Logf("%d allocations", least)
	if most := uint64(events / 20); least > most {
		t.Errorf("a step of %d events in %d slots allocates %d times, at most %d are meant", events, accounts, least, most)
	}
}

// BenchmarkStep makes steps over events that stand in the log, the reading and
// the checkpoint included.
func BenchmarkStep(b *testing.B) {
	for _, accounts := range []int{100, 10_000, 200_000} {
		b.Run(fmt.Sprintf("slots=%d", accounts), func(b *testing.B) {
			const events = 200_000
			s := newStepping(b, accounts)
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				s.fill(events)
				b.StartTimer()
				s.work()
			}
			b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
		})
	}
}
