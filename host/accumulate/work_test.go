package accumulate_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
)

// Once its memory has grown, a state takes what changes without garbage, and a new
// slot costs less than a tenth of an allocation beside the account's own.
func TestTakeAllocations(t *testing.T) {
	const accounts, each = 2000, 10
	p := plan("a", 2)
	terms := make([]*rate.Terms, each)
	for n := range terms {
		terms[n] = &rate.Terms{Subscription: fmt.Sprint("s", n), Tariff: "a", Period: 1, PeriodEnd: 2, Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, Plan: p}
	}
	content := make([]byte, 2*rate.LineBytes+16)
	changes := make([]rate.Change, 0, accounts*each)
	for n := range accounts {
		a := &rate.Account{ID: fmt.Sprint("account-", n), Hash: uint32(n) * 2_654_435_761}
		for _, terms := range terms {
			changes = append(changes, rate.Change{Account: a, Terms: terms, Events: 1, LastTime: 1, Lines: content[:2*rate.LineBytes], State: content[2*rate.LineBytes:]})
		}
	}
	state := accumulate.NewState()
	take := func() float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := state.Take(changes); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		state.Durable(cut(t, state))
		return float64(after.Mallocs-before.Mallocs) / float64(len(changes))
	}
	if got := take(); got > 0.2 {
		t.Errorf("a new slot costs %.3f allocations", got)
	}
	accountOf := map[*rate.Account]int{}
	for i := range changes { // the slots are known from now on
		c := &changes[i]
		for _, l := range c.Account.Slots {
			if l.Terms == c.Terms {
				c.Slot = l
			}
		}
		accountOf[c.Account]++
	}
	if len(accountOf) != accounts || changes[0].Slot == nil {
		t.Fatal("the slots are not there")
	}
	for range 4 { // two generations take turns
		take()
	}
	if got := take(); got > 0.001 {
		t.Errorf("a change costs %.4f allocations", got)
	}
}
