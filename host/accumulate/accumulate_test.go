package accumulate_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
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
	period := rapid.Int64Range(-2, 2).Draw(t, "period")
	s := &rate.Slot{
		Key: rate.Key{
			Account: rapid.SampledFrom([]string{"emma", "noah", "a/b c", "ü"}).Draw(t, "account"), Tariff: p.Tariff,
			Subscription: rapid.SampledFrom([]string{"main", ""}).Draw(t, "subscription"), Version: 7, Period: period,
			Group: rate.EncodeGroup(rapid.SampledFrom([][]string{nil, {"eu"}, {"us"}, {""}}).Draw(t, "group")),
		},
		Plan: p, Calendar: rate.Calendar{Zone: "Europe/Berlin", AnchorDay: 3},
		PeriodEnd: period + 1, ActiveFrom: rate.Beginning, ActiveUntil: rate.Forever,
		Events: rapid.Uint64().Draw(t, "events"), LastTime: rapid.Int64().Draw(t, "last"),
		Final: rapid.Bool().Draw(t, "final"), State: rapid.SliceOfN(rapid.Byte(), 1, 1500).Draw(t, "state"),
	}
	for range p.Lines {
		s.Lines = append(s.Lines, rate.Line{Quantity: drawDecimal(t), Amount: drawDecimal(t)})
	}
	return s
}

// priceBy has a slot be of a plan.
func priceBy(t *rapid.T, s *rate.Slot, p *rate.Plan) {
	s.Plan, s.Lines = p, nil
	for range p.Lines {
		s.Lines = append(s.Lines, rate.Line{Quantity: drawDecimal(t), Amount: drawDecimal(t)})
	}
}

// drawDecimal makes decimals of all lengths and both signs.
func drawDecimal(t *rapid.T) billing.Decimal {
	d := billing.Decimal{Hi: rapid.Int64().Draw(t, "hi"), Lo: rapid.Uint64().Draw(t, "lo")}
	shift := rapid.IntRange(0, 127).Draw(t, "shift")
	for ; shift > 0; shift-- {
		d.Lo = d.Lo>>1 | uint64(d.Hi)<<63
		d.Hi >>= 1
	}
	return d
}

// store is a checkpoint as the checkpoint store keeps it.
type store struct {
	tables  map[uint8][][2][]byte
	journal [][]byte
	first   int // entries trimmed
	round   int // entry with which the round of full records began
	header  []byte
}

// fataler is what tests of all kinds have in common.
type fataler interface{ Fatal(...any) }

// cut ends a generation.
func cut(t fataler, s *accumulate.State) *accumulate.Generation {
	g, err := s.Cut()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newStore() *store { return &store{tables: map[uint8][][2][]byte{}} }

// commit writes what a generation changes.
func (s *store) commit(t fataler, g *accumulate.Generation) {
	g.Tables(func(table uint8, key, value []byte) {
		s.tables[table] = append(s.tables[table], [2][]byte{bytes.Clone(key), bytes.Clone(value)})
	})
	for _, entry := range g.Appends(accumulate.LogSlots) {
		s.journal = append(s.journal, bytes.Clone(entry))
	}
	if g.Wrapped() {
		s.first, s.round = s.round, len(s.journal)
	}
	var err error
	if s.header, err = g.Header.Encode(); err != nil {
		t.Fatal(err)
	}
}

// load brings the state back.
func (s *store) load(t fataler) *accumulate.State {
	state := accumulate.NewState()
	if s.header == nil {
		return state
	}
	h, err := accumulate.DecodeHeader(s.header)
	if err != nil {
		t.Fatal(err)
	}
	l := accumulate.NewLoader(state, h)
	for _, table := range accumulate.Tables() {
		last := map[string]int{} // of two entries for one key the later counts, and nil is none
		for i, e := range s.tables[table] {
			last[string(e[0])] = i
		}
		for i, e := range s.tables[table] {
			if last[string(e[0])] != i || e[1] == nil {
				continue
			}
			if err := l.Table(table, e[0], e[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, entry := range slices.Backward(s.journal[s.first:]) {
		if err := l.Journal(entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.End(); err != nil {
		t.Fatal(err)
	}
	return state
}

// all reads every slot of a state.
func all(s *accumulate.State, v accumulate.View) map[rate.Key]*rate.Slot {
	slots := map[rate.Key]*rate.Slot{}
	for _, id := range s.AccountsFrom("") {
		list, _ := s.Slots(id, v)
		if !slices.IsSortedFunc(list, func(a, b *rate.Slot) int { return a.Compare(b.Key) }) {
			panic("an account's slots are not sorted")
		}
		for _, slot := range list {
			slots[slot.Key] = slot
		}
	}
	return slots
}

// Whatever is put, cut, committed, lost in a crash and loaded again: readers of
// the latest state see all that was put, those of the committed state what was
// durable, and a crash leaves exactly that.
func TestStateAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plans := []*rate.Plan{plan("a", 1), plan("b", 3), plan("c", 0)}
		state, disk := accumulate.NewState(), newStore()
		latest, flight, durable := map[rate.Key]*rate.Slot{}, map[rate.Key]*rate.Slot{}, map[rate.Key]*rate.Slot{}
		var flying *accumulate.Generation
		land := func() {
			if flying != nil {
				disk.commit(t, flying)
				state.Durable(flying)
				flying, durable = nil, flight
			}
		}
		check := func() {
			if diff := cmp.Diff(latest, all(state, accumulate.Latest), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("latest: %s", diff)
			}
			if diff := cmp.Diff(durable, all(state, accumulate.Committed), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("committed: %s", diff)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "slots") {
					s := drawSlot(t, plans)
					if was := latest[s.Key]; was != nil {
						priceBy(t, s, was.Plan)
					}
					if err := state.Put(s); err != nil {
						t.Fatal(err)
					}
					latest[s.Key] = s
				}
			},
			"reterm": func(t *rapid.T) {
				s := drawSlot(t, plans)
				priceBy(t, s, plan(s.Tariff, rapid.IntRange(0, 3).Draw(t, "lines")))
				if err := state.Reterm(s); err != nil {
					t.Fatal(err)
				}
				latest[s.Key] = s
			},
			"cut": func(t *rapid.T) {
				land()
				flying, flight = cut(t, state), maps.Clone(latest)
			},
			"land": func(*rapid.T) { land() },
			"crash": func(t *rapid.T) {
				state, flying = disk.load(t), nil
				latest = maps.Clone(durable)
			},
			"": func(*rapid.T) { check() },
		})
	})
}

// The journal does not grow with the checkpoints, only with the state.
func TestJournalIsTrimmed(t *testing.T) {
	state, disk, p := accumulate.NewState(), newStore(), plan("a", 2)
	put := func(i int) {
		s := &rate.Slot{
			Key: rate.Key{Account: fmt.Sprint("account-", i%500), Tariff: "a", Period: 1}, Plan: p, Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1},
			PeriodEnd: 2, Events: uint64(i), State: []byte{1, 2, 3}, Lines: make([]rate.Line, 2),
		}
		if err := state.Put(s); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		put(i)
	}
	longest := 0
	for i := range 2000 {
		put(i)
		g := cut(t, state)
		disk.commit(t, g)
		state.Durable(g)
		longest = max(longest, len(disk.journal)-disk.first)
	}
	if longest > 200 {
		t.Errorf("the journal of 500 slots had %d entries, at most 200 are meant", longest)
	}
	if got := len(all(disk.load(t), accumulate.Committed)); got != 500 {
		t.Errorf("%d slots came back, want 500", got)
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	h := accumulate.Header{
		Position: 7, Digest: "ab", Epoch: 3, CatalogRevision: 2, CatalogDigest: "sha256:cd", FirstMarker: 5, Watermark: 9, Earliest: 1, Slots: 4,
		Horizon: -8, Stretches: map[int64]accumulate.Sum{-1: 1, 12: 1 << 63},
		Counters: accumulate.Counters{Read: 6, Priced: 3, Duplicates: 2, DeadLettered: 1},
		Closed:   map[rate.Calendar]int64{{Zone: "UTC", AnchorDay: 1}: 10, {Zone: "Asia/Tokyo", AnchorDay: 31}: -4},
		Carrying: map[accumulate.PeriodKey]uint64{
			{Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, Start: 11}: 5, {Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, Start: 10}: 4,
		},
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
	for _, bad := range []string{"", "{}", `{"format":1}`, `{"format":2,"position":-1}`} {
		if _, err := accumulate.DecodeHeader([]byte(bad)); err == nil {
			t.Errorf("%q was read as a header", bad)
		}
	}
}

// A header that was handed out does not change when periods are closed.
func TestClosingLeavesOldHeadersAlone(t *testing.T) {
	state, calendar := accumulate.NewState(), rate.Calendar{Zone: "UTC", AnchorDay: 1}
	state.Publish()
	before := state.HeaderOf(accumulate.Latest)
	state.Now().Close(calendar, 5)
	if before.ClosedUntil(calendar) != rate.Beginning || state.HeaderOf(accumulate.Latest).ClosedUntil(calendar) != rate.Beginning || state.ClosedUntil(calendar) != 5 {
		t.Error("a close shows where it must not, or not where it must")
	}
	state.Publish()
	if state.HeaderOf(accumulate.Latest).ClosedUntil(calendar) != 5 || state.Header().ClosedUntil(calendar) != rate.Beginning {
		t.Error("a published close is not in the latest state, or is in the committed one")
	}
}

func TestOpenPeriods(t *testing.T) {
	state, p := accumulate.NewState(), plan("a", 1)
	slot := func(final bool) *rate.Slot {
		return &rate.Slot{Key: rate.Key{Account: "emma", Tariff: "a", Period: 1}, Plan: p, Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, PeriodEnd: 2, Final: final, Lines: make([]rate.Line, 1)}
	}
	for _, step := range []struct {
		final bool
		open  int
	}{{false, 1}, {false, 1}, {true, 0}, {true, 0}} {
		if err := state.Put(slot(step.final)); err != nil {
			t.Fatal(err)
		}
		if open := state.OpenPeriods(); len(open) != step.open || step.open == 1 && (open[0].Start != 1 || open[0].End != 2) {
			t.Errorf("open periods %+v, want %d", open, step.open)
		}
	}
}

// FuzzJournal: bytes of a damaged store are errors, never a crash.
func FuzzJournal(f *testing.F) {
	state := accumulate.NewState()
	for i := range 3 {
		s := &rate.Slot{Key: rate.Key{Account: fmt.Sprint("a", i), Tariff: "a", Period: 1}, Plan: plan("a", 1), PeriodEnd: 2, Events: 1 << 40, State: make([]byte, 200*i), Lines: make([]rate.Line, 1)}
		if err := state.Put(s); err != nil {
			f.Fatal(err)
		}
	}
	disk := newStore()
	disk.commit(f, cut(f, state))
	f.Add(disk.journal[0])
	f.Add([]byte{1, 2, 0, 0, 0, 0, 5})
	f.Fuzz(func(t *testing.T, entry []byte) {
		l := accumulate.NewLoader(accumulate.NewState(), accumulate.Header{Slots: 4})
		for _, table := range []uint8{accumulate.TablePlans, accumulate.TableTerms} {
			for _, e := range disk.tables[table] {
				if err := l.Table(table, e[0], e[1]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := l.Journal(entry); err != nil {
			return
		}
	})
}
