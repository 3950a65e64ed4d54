package cloud_test

import (
	"bytes"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/sdk/billing"
)

func world(t testing.TB, accounts int, sweep bool) *cloud.World {
	w, err := cloud.New(accounts, sweep)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What is made fast is what the project's own encoders make of the same events.
func TestMessagesAreThoseOfTheEncoders(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		accounts := rapid.IntRange(1, 300).Draw(r, "accounts")
		w, err := cloud.New(accounts, rapid.Bool().Draw(r, "sweep"))
		if err != nil {
			r.Fatal(err)
		}
		from := rapid.IntRange(0, 200_000_000).Draw(r, "from")
		s := cloud.Stretch{
			From: from, To: from + rapid.IntRange(1, 500).Draw(r, "events"),
			Partitions: rapid.IntRange(1, 5).Draw(r, "partitions"), PerMessage: rapid.IntRange(1, 130).Draw(r, "per message"),
		}
		for _, f := range []cloud.Format{cloud.Packed, cloud.Array, cloud.Single} {
			want := plain(r, w, f, s)
			err := w.Messages(f, s, func(partition int, body []byte) error {
				if len(want[partition]) == 0 || !bytes.Equal(body, want[partition][0]) {
					r.Fatalf("%s: partition %d: %q is not what it should be: %q", f, partition, body, want[partition])
				}
				want[partition] = want[partition][1:]
				return nil
			})
			if err != nil {
				r.Fatal(err)
			}
			for p, rest := range want {
				if len(rest) > 0 {
					r.Fatalf("%s: partition %d: %d messages are missing", f, p, len(rest))
				}
			}
		}
	})
}

// plain makes messages the slow way.
func plain(r *rapid.T, w *cloud.World, f cloud.Format, s cloud.Stretch) [][][]byte {
	events := make([][]billing.UsageEvent, s.Partitions)
	for i := s.From; i < s.To; i++ {
		e := w.Event(i)
		p := billing.Partition(e.Account, s.Partitions)
		events[p] = append(events[p], e)
	}
	per := s.PerMessage
	if f == cloud.Single {
		per = 1
	}
	out := make([][][]byte, s.Partitions)
	for p, list := range events {
		for len(list) > 0 {
			n := min(per, len(list))
			body, err := encode(f, list[:n])
			if err != nil {
				r.Fatal(err)
			}
			out[p], list = append(out[p], body), list[n:]
		}
	}
	return out
}

func encode(f cloud.Format, events []billing.UsageEvent) ([]byte, error) {
	switch f {
	case cloud.Packed:
		return ingest.Pack(nil, events)
	case cloud.Single:
		return ingest.AppendJSON(nil, &events[0])
	}
	var body []byte
	for i := range events {
		var err error
		if body, err = ingest.AppendJSON(append(body, "[,"[min(i, 1)]), &events[i]); err != nil {
			return nil, err
		}
	}
	return append(body, ']'), nil
}

// The sums are those of the events, an event that is repeated counted once.
func TestSums(t *testing.T) {
	const accounts, n = 40, 30_000
	for _, sweep := range []bool{false, true} {
		w := world(t, accounts, sweep)
		seen, repeats, late := map[string]billing.UsageEvent{}, 0, 0
		units := map[billing.AccountID]*[cloud.Meters]int64{}
		meters := map[string]int{}
		for m := range cloud.Meters {
			meters[w.EventType(m)] = m
		}
		newest := w.Event(0).Time
		for i := range n {
			e := w.Event(i)
			before, again := seen[e.ID]
			if again {
				repeats++
				if before.Account != e.Account || !before.Time.Equal(e.Time) || before.Type != e.Type {
					t.Fatalf("event %d repeats %s with another content", i, e.ID)
				}
				continue
			}
			seen[e.ID] = e
			if e.Time.Before(newest) {
				late++
			} else {
				newest = e.Time
			}
			if y, m, _ := e.Time.Date(); y != 2026 || m != 1 {
				t.Fatalf("event %d is of %s", i, e.Time)
			}
			if units[e.Account] == nil {
				units[e.Account] = &[cloud.Meters]int64{}
			}
			units[e.Account][meters[e.Type]] += int64(e.Data[1].Text[0] - '0')
		}
		if repeats != w.Repeats(n) || repeats < n/101-w.Slots() {
			t.Errorf("%d events repeat others, not %d", repeats, w.Repeats(n))
		}
		if late < n*18/1000 || late > n*21/1000 {
			t.Errorf("%d of %d events are late, which is not about 2 in 100", late, n)
		}
		sums := w.Sums(n)
		for a := range accounts {
			var owed int64
			for m, u := range units[w.Account(a)] {
				tiers := w.Tiers(m)
				for k := range u { // unit by unit, as a customer reads a price list
					switch {
					case k < tiers.UpTo[0]:
						owed += tiers.Price[0]
					case k < tiers.UpTo[1]:
						owed += tiers.Price[1]
					default:
						owed += tiers.Price[2]
					}
				}
			}
			if sums[a] != owed {
				t.Errorf("account %d owes %d, not %d", a, owed, sums[a])
			}
		}
	}
}

// The sweep uses each slot once.
func TestSweep(t *testing.T) {
	w := world(t, 37, true)
	for _, units := range w.Units(w.Slots()) {
		for m, n := range units {
			if n < 1 || n > 9 {
				t.Fatalf("meter %d: %d units of one event", m, n)
			}
		}
	}
}

// Events handed in are those of the messages.
func TestEvents(t *testing.T) {
	w := world(t, 50, false)
	list := make([]billing.UsageEvent, 500)
	for _, from := range []int{0, 123_456} {
		w.NewEvents().Make(list, from)
		for i := range list {
			if want := w.Event(from + i); !reflect.DeepEqual(list[i], want) {
				t.Fatalf("event %d: %+v, not %+v", from+i, list[i], want)
			}
		}
	}
}

func TestCatalogIsRight(t *testing.T) {
	_, problems := catalog.Parse([]catalog.File{{Name: "cloud.yaml", Data: world(t, 1, false).Catalog()}})
	for _, p := range problems {
		t.Error(p)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, accounts := range []int{0, -1, cloud.AccountsMax + 1} {
		if _, err := cloud.New(accounts, false); err == nil {
			t.Errorf("%d accounts were accepted", accounts)
		}
	}
}

func BenchmarkMessages(b *testing.B) {
	for _, f := range []cloud.Format{cloud.Packed, cloud.Array, cloud.Single} {
		b.Run(f.String(), func(b *testing.B) {
			const n = 1_000_000
			w := world(b, 100_000, false)
			for b.Loop() {
				err := w.Messages(f, cloud.Stretch{To: n, Partitions: 8, PerMessage: 100}, func(int, []byte) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
