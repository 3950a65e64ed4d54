package accumulate_test

import (
	"encoding/binary"
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
		a := rate.NewComer(fmt.Sprint("account-", n))
		for _, terms := range terms {
			changes = append(changes, rate.Change{Account: a, AccountHash: uint32(n) * 2_654_435_761, Terms: terms, Events: 1, LastTime: 1, Lines: content[:2*rate.LineBytes], State: content[2*rate.LineBytes:]})
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
		for l := range c.Account.Slots() {
			if l.Terms() == c.Terms {
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

// Of subtotals of which half change again and again, the journal has little more than
// a record for each change, and the others have theirs in time all the same.
func TestJournalRecords(t *testing.T) {
	const slots, generations = 2048, 24
	p := plan("a", 1)
	terms := &rate.Terms{Subscription: "s", Tariff: "a", Period: 1, PeriodEnd: 2, Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, Plan: p}
	changes := make([]rate.Change, slots)
	for n := range changes {
		a := rate.NewComer(fmt.Sprint("account-", n))
		changes[n] = rate.Change{Account: a, AccountHash: uint32(n) * 2_654_435_761, Terms: terms, Events: 1, LastTime: 1, Lines: make([]byte, rate.LineBytes)}
	}
	state := accumulate.NewState()
	records, changed, wrapped := 0, 0, 0
	take := func(changes []rate.Change) {
		if err := state.Take(changes); err != nil {
			t.Fatal(err)
		}
		changed += len(changes)
		g := cut(t, state)
		for _, entry := range g.Appends(accumulate.LogSlots) {
			records += recordsOf(t, entry)
		}
		if g.Wrapped() {
			wrapped++
		}
		state.Durable(g)
	}
	take(changes)
	for n := range changes {
		changes[n].Slot = changes[n].Account.At(0)
	}
	records, changed, wrapped = 0, 0, 0
	for range generations {
		take(changes[:slots/2])
	}
	t.Logf("%d records for %d changes, %d rounds", records, changed, wrapped)
	if most := changed * 5 / 4; records > most || wrapped < generations/6 {
		t.Errorf("%d changes made %d records, at most %d are meant; %d rounds came to their end", changed, records, most, wrapped)
	}
}

// recordsOf counts the records of an entry of the journal that are not void.
func recordsOf(t *testing.T, entry []byte) (n int) {
	t.Helper()
	for b := entry[1:]; len(b) > 0; {
		const head = 5 // kind and number
		size, width := binary.Uvarint(b[head:])
		if width <= 0 || head+width+int(size) > len(b) {
			t.Fatalf("%d bytes of an entry are no record", len(b))
		}
		if b[0] != 0 {
			n++
		}
		b = b[head+width+int(size):]
	}
	return n
}
