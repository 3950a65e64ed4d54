package accumulate_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
)

// What a slot was left, and what stands in the way of invoices, survive a restart;
// what was mended does not come back.
func TestCarryAndParkedAreKept(t *testing.T) {
	state, kept := accumulate.NewState(), newStore()
	slot := func(account string) *rate.Slot {
		return &rate.Slot{
			Key: rate.Key{Account: account, Tariff: "a", Subscription: "a", Period: 10}, Plan: plan("a", 1), PeriodEnd: 20,
			ActiveFrom: rate.Beginning, ActiveUntil: rate.Forever,
		}
	}
	used := slot("emma")
	used.Events, used.Lines, used.State = 3, []rate.Line{{}}, []byte{1, 2}
	if err := state.Put(used); err != nil {
		t.Fatal(err)
	}
	heir := slot("emma")
	heir.CarryIn = []byte("left")
	for _, s := range []*rate.Slot{heir, slot("noah")} {
		if err := state.Inherit(s); s.CarryIn != nil && err != nil {
			t.Fatal(err)
		}
	}
	park := func(account string, period int64) accumulate.Parked {
		p := accumulate.Parked{Account: account, Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, Period: period, PeriodEnd: period + 1, Reason: accumulate.ParkedRuleFault, Detail: "x", Rule: "vat", Module: "sha256:aa"}
		if err := state.Park(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	park("noah", 5)
	want := []accumulate.Parked{park("emma", -7), park("emma", 5)}
	state.Unpark("noah", 5)
	state.Unpark("nobody", 5)
	for n := range 3 {
		list, _ := state.Slots("emma", accumulate.Latest)
		if len(list) != 1 || string(list[0].CarryIn) != "left" || list[0].Events != 0 || len(list[0].State) != 0 {
			t.Fatalf("round %d: slots %+v", n, list)
		}
		if diff := cmp.Diff(want, state.Parked()); diff != "" {
			t.Fatalf("round %d: %s", n, diff)
		}
		state.Publish()
		g := cut(t, state)
		if n == 0 && g.Empty() || n == 2 && !g.Empty() {
			t.Errorf("round %d: empty is %v", n, g.Empty())
		}
		kept.commit(t, g)
		state.Durable(g)
		if n == 1 {
			state = kept.load(t)
			list, _ := state.Slots("noah", accumulate.Committed)
			if len(list) != 1 || fmt.Sprintf("%q", list[0].CarryIn) != `""` {
				t.Errorf("slots %+v", list)
			}
		}
	}
}

// Only the first position of a period counts, and headers that were handed out
// keep what they have.
func TestSawCarrying(t *testing.T) {
	utc := rate.Calendar{Zone: "UTC", AnchorDay: 1}
	var h accumulate.Header
	key := func(start int64) accumulate.PeriodKey { return accumulate.PeriodKey{Calendar: utc, Start: start} }
	h.SawCarrying(key(1), 7)
	before := h
	h.SawCarrying(key(1), 9)
	h.SawCarrying(key(2), 9)
	h.SawCarrying(accumulate.PeriodKey{Calendar: rate.Calendar{Zone: "Asia/Tokyo", AnchorDay: 1}, Start: 1}, 8)
	if len(before.Carrying) != 1 || h.Carrying[key(1)] != 7 || h.Carrying[key(2)] != 9 {
		t.Errorf("%v, before %v", h.Carrying, before.Carrying)
	}
	before = h
	h.ForgetCarrying(utc, 1)
	if len(before.Carrying) != 3 || len(h.Carrying) != 2 || h.Carrying[key(2)] != 9 {
		t.Errorf("%v, before %v", h.Carrying, before.Carrying)
	}
}
