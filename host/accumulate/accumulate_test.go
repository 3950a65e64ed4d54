package accumulate_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// plan makes a plan with a number of lines.
func plan(tariff string, lines int) *rate.Plan {
	p := &rate.Plan{Tariff: tariff, Meter: "calls", Currency: "EUR", Module: "sha256:00", Name: "flat", Params: `{"amount":"1"}`}
	for i := range lines {
		p.Lines = append(p.Lines, rate.PlanLine{ID: fmt.Sprint("line_", i), Description: "Line"})
	}
	return p
}

// drawSlot makes any slot.
func drawSlot(t *rapid.T, plans []*rate.Plan) *rate.Slot {
	p := rapid.SampledFrom(plans).Draw(t, "plan")
	s := &rate.Slot{
		Key: rate.Key{
			Account: rapid.SampledFrom([]string{"emma", "noah", "a/b c", "ü"}).Draw(t, "account"), Tariff: p.Tariff,
			Subscription: rapid.SampledFrom([]string{"main", ""}).Draw(t, "subscription"),
			Version:      rapid.Int64().Draw(t, "version"), Period: rapid.Int64Range(-3, 3).Draw(t, "period"),
			Group: rate.EncodeGroup(rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "group")),
		},
		Plan: p, Calendar: rate.Calendar{Zone: "Europe/Berlin", AnchorDay: rapid.IntRange(1, 31).Draw(t, "anchor")},
		PeriodEnd: rapid.Int64().Draw(t, "end"), ActiveFrom: rate.Beginning, ActiveUntil: rate.Forever,
		Events: rapid.Uint64().Draw(t, "events"), LastTime: rapid.Int64().Draw(t, "last"),
		Final: rapid.Bool().Draw(t, "final"), State: rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "state"),
	}
	for range p.Lines {
		s.Lines = append(s.Lines, plugins.Line{
			Quantity: billing.Decimal{Hi: rapid.Int64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")},
			Amount:   billing.Decimal{Hi: rapid.Int64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")},
		})
	}
	return s
}

// entry is a table entry as the checkpoint store keeps it.
type entry struct {
	table      uint8
	key, value string
}

// What a delta writes, loaded into a fresh state, is what it applied to its own.
func TestEntriesAreTheState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plans := []*rate.Plan{plan("a", 1), plan("b", 3), plan("c", 0)}
		state := accumulate.NewState()
		stored := map[entry]entry{} // newest value by table and key
		for range rapid.IntRange(1, 4).Draw(t, "steps") {
			d := accumulate.NewDelta(state)
			for range rapid.IntRange(0, 8).Draw(t, "slots") {
				if err := d.Put(drawSlot(t, plans)); err != nil {
					t.Fatal(err)
				}
			}
			id := ingest.Hash{rapid.Byte().Draw(t, "identity")}
			d.Remember(id, accumulate.Seen{Content: ingest.Hash{1}, Position: rapid.Uint64().Draw(t, "position")})
			if _, ok := d.Seen(id); !ok {
				t.Fatal("a delta forgets what it remembers")
			}
			err := d.Entries(func(table uint8, key, value []byte) {
				stored[entry{table: table, key: string(key)}] = entry{table, string(key), string(value)}
			})
			if err != nil {
				t.Fatal(err)
			}
			d.Apply()
		}
		loaded := accumulate.NewState()
		for table := range uint8(accumulate.Tables) {
			for n := 0; ; n++ { // plans come by number, as from a sorted run
				found := false
				for _, e := range stored {
					if e.table != table || table == accumulate.TablePlans && e.key != string([]byte{0, 0, 0, byte(n + 1)}) || table != accumulate.TablePlans && n > 0 {
						continue
					}
					found = true
					if err := loaded.Load(e.table, []byte(e.key), []byte(e.value)); err != nil {
						t.Fatal(err)
					}
				}
				if !found {
					break
				}
			}
		}
		for _, account := range state.AccountsFrom("") {
			want, _ := state.Account(account)
			got, _ := loaded.Account(account)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("account %q: %s", account, diff)
			}
		}
		a, b := state.OpenPeriods(), loaded.OpenPeriods()
		if len(a) != len(b) {
			t.Fatalf("%d open periods, loaded %d", len(a), len(b))
		}
	})
}

func TestHeaderRoundTrip(t *testing.T) {
	h := accumulate.Header{
		Position: 7, Digest: "ab", Epoch: 3, CatalogRevision: 2, CatalogDigest: "sha256:cd", FirstMarker: 5, Watermark: 9, Earliest: 1,
		Counters: accumulate.Counters{Read: 6, Priced: 3, Duplicates: 2, DeadLettered: 1},
		Closed:   map[rate.Calendar]int64{{Zone: "UTC", AnchorDay: 1}: 10, {Zone: "Asia/Tokyo", AnchorDay: 31}: -4},
	}
	first, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := accumulate.DecodeHeader(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h, back); diff != "" {
		t.Error(diff)
	}
	again, err := back.Encode()
	if err != nil || string(again) != string(first) {
		t.Errorf("the same header has other bytes: %s, %s, %v", first, again, err)
	}
	for _, bad := range []string{"", "{}", `{"format":2}`, `{"format":1,"position":-1}`} {
		if _, err := accumulate.DecodeHeader([]byte(bad)); err == nil {
			t.Errorf("%q was read as a header", bad)
		}
	}
}

// A delta answers as if its changes were made, and leaves the state alone until
// it is applied.
func TestDeltaReadsThrough(t *testing.T) {
	state, p := accumulate.NewState(), plan("a", 1)
	key := rate.Key{Account: "emma", Tariff: "a", Period: 1, Group: rate.EncodeGroup([]string{"x"})}
	other := key
	other.Group = rate.EncodeGroup([]string{"y"})
	calendar := rate.Calendar{Zone: "UTC", AnchorDay: 1}
	d := accumulate.NewDelta(state)
	if d.ClosedUntil(calendar) != rate.Beginning || d.Slot(key) != nil || d.Groups(key) != 0 {
		t.Error("an empty state has something")
	}
	slot := &rate.Slot{Key: key, Plan: p, Calendar: calendar, PeriodEnd: 2, Lines: make([]plugins.Line, 1)}
	for _, s := range []*rate.Slot{slot, slot, {Key: other, Plan: p, Calendar: calendar, PeriodEnd: 2, Lines: make([]plugins.Line, 1)}} {
		if err := d.Put(s); err != nil {
			t.Fatal(err)
		}
	}
	d.Close(calendar, 5)
	d.SawTime(3)
	if d.Slot(key) != slot || d.Groups(key) != 2 || d.ClosedUntil(calendar) != 5 || d.Header.Watermark != 3 || d.Header.Earliest != 3 {
		t.Error("the delta does not see its own changes")
	}
	if slots, header := state.Account("emma"); len(slots) != 0 || len(header.Closed) != 0 {
		t.Error("the state has changed before the delta was applied")
	}
	d.Apply()
	slots, header := state.Account("emma")
	if len(slots) != 2 || header.Closed[calendar] != 5 {
		t.Errorf("applied: %d slots, closed %v", len(slots), header.Closed)
	}
	if open := state.OpenPeriods(); len(open) != 1 || open[0].Start != 1 || open[0].End != 2 {
		t.Errorf("open periods %+v", open)
	}
	d = accumulate.NewDelta(state)
	if d.Groups(key) != 2 {
		t.Errorf("%d groups, want 2", d.Groups(key))
	}
	for _, s := range slots {
		final := *s
		final.Final = true
		if err := d.Put(&final); err != nil {
			t.Fatal(err)
		}
	}
	d.Apply()
	if open := state.OpenPeriods(); len(open) != 0 {
		t.Errorf("a period with final slots only is open: %+v", open)
	}
}

// FuzzLoad: bytes of a damaged store are errors, never a crash.
func FuzzLoad(f *testing.F) {
	f.Add(accumulate.TableSlots, []byte{4, 'e', 'm', 'm', 'a'}, []byte{1, 0, 0, 0})
	f.Add(accumulate.TablePlans, []byte{0, 0, 0, 1}, []byte(`{"tariff":"a"}`))
	f.Add(accumulate.TableIdentities, make([]byte, 16), make([]byte, 24))
	f.Fuzz(func(t *testing.T, table uint8, key, value []byte) {
		state := accumulate.NewState()
		if err := state.Load(accumulate.TablePlans, []byte{0, 0, 0, 1}, []byte(`{"tariff":"a","lines":[{"id":"x"}]}`)); err != nil {
			t.Fatal(err)
		}
		if err := state.Load(table, key, value); err != nil {
			return
		}
	})
}
