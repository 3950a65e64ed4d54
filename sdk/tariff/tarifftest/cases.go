package tarifftest

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/tollway/tollway/sdk/tariff"
)

// Case is one configuration, the events of one slot and what they come to.
type Case struct {
	// Name is the subtest's.
	Name string
	// Params are the tariff's parameters, JSON.
	Params string
	// Events are in the log's order.
	Events []Event
	// Open leaves the period open: the tariff's Finish does not run.
	Open bool
	// Want are the lines that are not zero: "id quantity amount".
	Want []string
	// Rejects are the events that are not priced: "index reason: detail".
	Rejects []string
	// Refused is what is wrong with the parameters; nothing is then priced.
	Refused string
}

// Run tests a tariff with cases, each as a subtest.
func Run(t *testing.T, tr tariff.Tariff, cases []Case) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Helper()
			c.run(t, tr)
		})
	}
}

// split is one way of dividing events into batches.
type split struct {
	name string
	size int // events a batch
}

func (c *Case) run(t *testing.T, tr tariff.Tariff) {
	t.Helper()
	_, err := NewBench(t, tr).Configure(tr.Name, c.Params)
	if c.Refused != "" || err != nil {
		if err == nil || err.Error() != c.Refused {
			t.Errorf("parameters refused with %v, want %s", err, c.Refused)
		}
		return
	}
	n := max(len(c.Events), 1)
	var first *Slot
	for _, s := range []split{{"as one batch", n}, {"event by event", 1}, {"in two halves", (n + 1) / 2}} {
		slot, rejects := c.price(t, tr, s.size)
		if got := slot.Show(); !slices.Equal(got, c.Want) && len(got)+len(c.Want) > 0 {
			t.Errorf("priced %s: lines %q, want %q", s.name, got, c.Want)
		}
		if !slices.Equal(rejects, c.Rejects) && len(rejects)+len(c.Rejects) > 0 {
			t.Errorf("priced %s: rejects %q, want %q", s.name, rejects, c.Rejects)
		}
		if first == nil {
			first = slot
		}
		if !bytes.Equal(slot.State, first.State) || !bytes.Equal(slot.CarryOut, first.CarryOut) {
			t.Errorf("priced %s: state % x and carry % x, as one batch % x and % x",
				s.name, slot.State, slot.CarryOut, first.State, first.CarryOut)
		}
	}
}

// price prices the case in batches of size events, beside a second slot with the same events.
func (c *Case) price(t *testing.T, tr tariff.Tariff, size int) (*Slot, []string) {
	t.Helper()
	b := NewBench(t, tr)
	plan, err := b.Configure(tr.Name, c.Params)
	if err != nil {
		t.Fatal(err)
	}
	slots := []*Slot{NewSlot(plan), NewSlot(plan)}
	var shown []string
	for start := 0; start < max(len(c.Events), 1); start += size {
		end := min(start+size, len(c.Events))
		var batch []Event
		for _, e := range c.Events[start:end] {
			twin := e
			e.Slot, twin.Slot = 0, 1
			batch = append(batch, e, twin)
		}
		last := end == len(c.Events)
		slots[0].Final, slots[1].Final = last && !c.Open, false
		rejects, err := b.Price(slots, batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rejects {
			if r.Event%2 == 0 {
				shown = append(shown, fmt.Sprintf("%d %s: %s", start+r.Event/2, r.Reason, r.Detail))
			}
		}
	}
	if size > 1 && c.Open && !slices.Equal(slots[0].Lines, slots[1].Lines) {
		t.Errorf("two slots with the same events differ: %q and %q", slots[0].Show(), slots[1].Show())
	}
	return slots[0], shown
}
