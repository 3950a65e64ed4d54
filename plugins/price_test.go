package plugins_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

func TestPriceSums(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(3), Events: events(1000, 3)}
	if rejects := g.price(b); len(rejects) > 0 {
		t.Fatalf("rejects %v", rejects)
	}
	var want [3]int64
	for k := range 1000 {
		want[k*7%3] += int64(k%10 + 1)
	}
	for k, s := range b.Slots {
		if l := s.Line(0); l.Quantity != billing.DecimalFromInt(want[k]) || l.Amount != billing.DecimalFromInt(2*want[k]) {
			t.Errorf("slot %d has %v, want %d and its double", k, l, want[k])
		}
	}
}

// TestTrapIsolation puts events that end their call in every way among ordinary ones: they are
// rejected, named, and leave no trace; all others are priced. So too when events are announced
// together.
func TestTrapIsolation(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	for _, tariff := range []string{"sum", "together"} {
		t.Run(tariff, func(t *testing.T) { trapIsolation(t, newGuest(t, m, tariff)) })
	}
}

func trapIsolation(t *testing.T, g *guest) {
	for _, c := range []struct {
		name   string
		do     int64
		reason string
		detail string
	}{
		{"endless loop", doLoop, "tariff_trap", "ran out of fuel"},
		{"call tree without loops", doTree, "tariff_trap", "ran out of fuel"},
		{"endless recursion", doRecurse, "tariff_trap", "the tariff failed: "},
		{"memory bomb", doMemory, "tariff_trap", "the tariff failed: "},
		{"nil pointer", doCrash, "tariff_trap", "it crashed (unreachable): panic: runtime error: invalid memory address"},
		{"exit", doExit, "tariff_trap", "exit code 3"},
		{"sleep", doSleep, "tariff_trap", "ran out of fuel"},
		{"reject", doReject, "no_price", "no price for this"},
		{"reject after a change", doRejectLate, "no_price", "no price for this"},
		{"detail that is not UTF-8", doBadUTF8, "no_price", "broken \uFFFD text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			const n = 200
			for _, at := range [][]int{{0}, {n / 2}, {n - 1}, {0, 1, 2}, {3, 77, 78, 150}} {
				b := &plugins.Batch{Slots: g.slots(3), Events: events(n, 3)}
				var good []plugins.Event
				for k := range b.Events {
					if slices.Contains(at, k) {
						b.Events[k].Time = c.do
					} else {
						good = append(good, b.Events[k])
					}
				}
				rejects := g.price(b)
				var where []int
				for _, r := range rejects {
					where = append(where, r.Event)
					if r.Reason != c.reason || !strings.Contains(r.Detail, c.detail) {
						t.Errorf("rejected as %q %q, want %q %q", r.Reason, r.Detail, c.reason, c.detail)
					}
				}
				if !slices.Equal(where, at) {
					t.Errorf("rejected %v, want %v", where, at)
				}
				want := &plugins.Batch{Slots: g.slots(3), Events: good}
				g.price(want)
				if !reflect.DeepEqual(b.Slots, want.Slots) {
					t.Errorf("slots differ from those priced without the bad events: %v, want %v", b.Slots, want.Slots)
				}
			}
		})
	}
}

func TestEveryEventTraps(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(1), Events: events(100, 1)}
	for k := range b.Events {
		b.Events[k].Time = doCrash
	}
	if rejects := g.price(b); len(rejects) != 100 {
		t.Errorf("%d rejects, want 100", len(rejects))
	}
	if s := b.Slots[0]; len(s.State) != 0 || len(s.Lines) != 0 {
		t.Errorf("the slot is %+v, want it untouched", s)
	}
}

// TestRejectTableFull rejects more events than the table holds.
func TestRejectTableFull(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(2), Events: events(3000, 2)}
	for k := range b.Events {
		if k%3 != 0 {
			b.Events[k].Time = doReject
		}
	}
	rejects := g.price(b)
	if len(rejects) != 2000 || !slices.IsSortedFunc(rejects, func(a, b plugins.Reject) int { return a.Event - b.Event }) {
		t.Errorf("%d rejects, want 2000, sorted", len(rejects))
	}
	if n := priced(b.Slots[0]) + priced(b.Slots[1]); n != 1000 {
		t.Errorf("%d events priced, want 1000", n)
	}
}

// TestSplitInvariance cuts one row of events, with bad ones among them, in many ways.
func TestSplitInvariance(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "variable")
	const n = 300
	all := events(n, 4)
	for k, do := range map[int]int64{7: doCrash, 8: doReject, 100: doRejectLate, 101: doLoop, 250: doMemory, 299: doRecurse} {
		all[k].Time = do
	}
	whole := func(step int) string {
		slots := g.slots(4)
		for k := range slots {
			slots[k].CarryIn = []byte("from before")
		}
		var rejects []plugins.Reject
		for from := 0; from < n; from += step {
			to := min(from+step, n)
			b := &plugins.Batch{Slots: slots, Events: slices.Clone(all[from:to])}
			for k := range b.Slots {
				b.Slots[k].Final = to == n
			}
			for _, r := range g.price(b) {
				r.Event += from
				rejects = append(rejects, r)
			}
			for k := range slots {
				slots[k].New = slots[k].New && len(slots[k].State) == 0
			}
		}
		var out bytes.Buffer
		for _, s := range slots {
			fmt.Fprintf(&out, "%x %v %q\n", s.State, s.Lines, s.CarryOut)
		}
		fmt.Fprintln(&out, rejects)
		return out.String()
	}
	want := whole(n)
	if !strings.Contains(want, `"carried:from before"`) {
		t.Errorf("nothing was carried: %s", want)
	}
	for _, step := range []int{1, 2, 7, 64, 150, 299} {
		if got := whole(step); got != want {
			t.Errorf("in steps of %d:\n%s\nwant:\n%s", step, got, want)
		}
	}
}

// TestLargeBatch needs many calls: more events, and later more state, than one arena holds.
func TestLargeBatch(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "variable")
	b := &plugins.Batch{Slots: g.slots(60), Events: events(30_000, 60)}
	g.price(b)
	total := 0
	for _, s := range b.Slots {
		total += priced(s)
		if len(s.State) != 24+100*priced(s) {
			t.Errorf("a state of %d bytes after %d events", len(s.State), priced(s))
		}
	}
	if total != 30_000 {
		t.Errorf("%d events priced, want 30000", total)
	}
	// Beyond one MiB the state cannot grow: that is the plugin's fault, and each further event a reject.
	one := &plugins.Batch{Slots: g.slots(1), Events: events(10_500, 1)}
	rejects := g.price(one)
	const fit = (1<<20 - 24) / 100
	if len(rejects) != 10_500-fit || rejects[0].Reason != plugins.ReasonFault || !strings.Contains(rejects[0].Detail, "1 MiB") {
		t.Errorf("%d rejects, want %d: %v", len(rejects), 10_500-fit, rejects[0])
	}
	if priced(one.Slots[0]) != fit {
		t.Errorf("%d events were priced, want %d", priced(one.Slots[0]), fit)
	}
}

// TestFaults are answers that break the rules: the event at fault is rejected with what was wrong, and the others
// are priced as if it had not been there.
func TestFaults(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	want := &plugins.Batch{Slots: g.slots(2), Events: slices.Delete(events(100, 2), 57, 58)}
	g.price(want)
	for _, c := range []struct {
		name string
		do   int64
		want string
	}{
		{"begin backwards", doBackwards, "it called begin out of order"},
		{"begin beyond", doBeyond, "it called begin out of order"},
		{"begin left out", doSkipBegin, "it did not call begin for each unit of work (for 0 of 1)"},
		{"reason", doBadReason, "reject reason is not of the form"},
		{"unknown code", doLieRC, "it answered with the unknown code 42"},
		{"fault", doFault, "I give up"},
		{"state length", doLieReply, "state is longer than its place"},
		{"reject count", doLieRejects, "more rejects than the table holds"},
		{"reject order", doLieOrder, "twice or out of order"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &plugins.Batch{Slots: g.slots(2), Events: events(100, 2)}
			b.Events[57].Time = c.do
			rejects := g.price(b)
			if len(rejects) != 1 || rejects[0].Event != 57 || rejects[0].Reason != plugins.ReasonFault || !strings.Contains(rejects[0].Detail, c.want) {
				t.Errorf("rejects %v, want event 57 with %q", rejects, c.want)
			}
			if !reflect.DeepEqual(b.Slots, want.Slots) {
				t.Errorf("slots %v, want %v", b.Slots, want.Slots)
			}
		})
	}
}

func TestFinishThatTraps(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	g := newGuest(t, m, "badfinish")
	b := &plugins.Batch{Slots: g.slots(3), Events: events(10, 3)}
	b.Slots[1].Final = true
	_, err := g.i.Price(context.Background(), b)
	var fault *plugins.FaultError
	if !errors.As(err, &fault) || fault.Slot != 1 || fault.Event != -1 || !strings.Contains(err.Error(), "at the finish of slot 1") {
		t.Errorf("error %v, want a fault at the finish of slot 1", err)
	}
}

// TestFinish finishes slots with and without events.
func TestFinish(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(3), Events: []plugins.Event{event(0, 0), event(1, 0)}}
	b.Slots[1].Final, b.Slots[2].Final = true, true
	g.price(b)
	for k, want := range []int64{2, 1002, 1000} {
		if got := b.Slots[k].Line(0).Amount; got != billing.DecimalFromInt(want) {
			t.Errorf("slot %d: %s, want %d", k, got, want)
		}
	}
}

// TestHistoryIndependence prices the same batch in a fresh instance, in one that was used, and in
// one that was abused: the results are the same bytes.
func TestHistoryIndependence(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	probe := func(g *guest) string {
		b := &plugins.Batch{Slots: g.slots(6), Events: []plugins.Event{
			event(0, doClock), event(1, doRemember), event(2, doGrow), event(3, doMapOrder), event(4, doScribble), event(5, 3),
		}}
		g.price(b)
		return fmt.Sprintf("%v", b.Slots)
	}
	strip := func(s string, g *guest) string { return strings.ReplaceAll(s, fmt.Sprintf("%p", g.plan), "plan") }
	fresh := newGuest(t, m, "sum")
	want := strip(probe(fresh), fresh)
	for range 3 {
		if got := strip(probe(fresh), fresh); got != want {
			t.Fatalf("a second time:\n%s\nwant:\n%s", got, want)
		}
	}
	used := newGuest(t, m, "sum")
	b := &plugins.Batch{Slots: used.slots(1)}
	for _, do := range []int64{doRemember, doGrow, doLoop, doMemory, doCrash, doRecurse, doScribble, doTree, doExit, doSleep} {
		b.Events = append(b.Events, event(0, do), event(0, 1))
	}
	used.price(b)
	used.price(&plugins.Batch{Slots: used.slots(50), Events: events(9000, 50)})
	if got := strip(probe(used), used); got != want {
		t.Errorf("in an instance that was used:\n%s\nwant:\n%s", got, want)
	}
}

func TestClockStandsStill(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(1), Events: []plugins.Event{event(0, doClock)}}
	g.price(b)
	if want := billing.DecimalFromInt(1_640_995_200_000_000_000); b.Slots[0].Line(0).Amount != want {
		t.Errorf("it is %s, want %s", b.Slots[0].Line(0).Amount, want)
	}
}

// TestFuelIsPerEvent holds that an event may use its whole budget whatever its neighbours use,
// and that a batch which uses more than a call may is priced in parts.
func TestFuelIsPerEvent(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), thriftyWasm)
	for _, tariff := range []string{"sum", "together"} {
		t.Run(tariff, func(t *testing.T) { fuelIsPerEvent(t, newGuest(t, m, tariff)) })
	}
}

func fuelIsPerEvent(t *testing.T, g *guest) {
	work := func(n uint64) plugins.Event {
		e := event(0, doWork)
		e.Quantity = billing.Decimal{Lo: n}
		return e
	}
	// The most work that fits into the budget of one event.
	lo, hi := uint64(1), uint64(200_000)
	for lo+1 < hi {
		mid := (lo + hi) / 2
		if len(g.price(&plugins.Batch{Slots: g.slots(1), Events: []plugins.Event{work(mid)}})) == 0 {
			lo = mid
		} else {
			hi = mid
		}
	}
	t.Logf("%d passes of a small loop fit into the fuel of an event", lo)
	b := &plugins.Batch{Slots: g.slots(1), Events: make([]plugins.Event, 3000)}
	for k := range b.Events {
		b.Events[k] = work(lo - lo/20)
		if k%300 == 50 {
			b.Events[k] = work(lo + lo/20)
		}
	}
	if rejects := g.price(b); len(rejects) != 10 {
		t.Errorf("%d rejects, want the 10 events that need more than their budget", len(rejects))
	}
}

func TestDimensions(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "dims")
	sum := func(s string) billing.Decimal {
		n := int64(len(s))
		for i := 0; i < len(s); i += 97 {
			n += int64(s[i])
		}
		return billing.DecimalFromInt(n)
	}
	values := []string{""}
	for k := range 500 {
		values = append(values, fmt.Sprintf("value %d %s", k, strings.Repeat("x", k)))
	}
	values = append(values, strings.Repeat("y", 40_000), strings.Repeat("z", 30_000))
	b := &plugins.Batch{Slots: g.slots(len(values)), Values: values}
	for k := range values {
		b.Events = append(b.Events, event(k, doTable))
		b.Dims = append(b.Dims, uint32(k), uint32(k*13%len(values)))
	}
	// Both texts together are more than an event may have, whatever arena there is.
	b.Events = append(b.Events, event(0, doTable))
	b.Dims = append(b.Dims, 501, 502)
	rejects := g.price(b)
	if len(rejects) != 1 || rejects[0].Reason != plugins.ReasonValueTooLong || rejects[0].Event != len(values) {
		t.Errorf("rejects %v, want the last event as value_too_long", rejects)
	}
	for k := range values {
		if got := b.Slots[k].Line(0).Amount; got != sum(values[k]) {
			t.Errorf("value %d arrived as another text (%s, want %s)", k, got, sum(values[k]))
		}
	}
}

func TestBatchMistakes(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	g, other := newGuest(t, m, "dims"), newGuest(t, m, "sum")
	plain, err := g.i.Configure(context.Background(), []plugins.ConfigRequest{{Tariff: "sum"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		b    plugins.Batch
		want string
	}{
		{"no plan", plugins.Batch{Slots: []plugins.Slot{{}}}, "slot 0 has no plan of this instance"},
		{"foreign plan", plugins.Batch{Slots: other.slots(1)}, "slot 0 has no plan of this instance"},
		{"mixed dimensions", plugins.Batch{Slots: append(g.slots(1), plugins.Slot{Plan: plain[0], New: true})}, "slots 0 and 1 have different dimensions"},
		{"new with state", plugins.Batch{Slots: []plugins.Slot{{Plan: g.plan, New: true, State: []byte{1}}}}, "is new but has a state"},
		{"long state", plugins.Batch{Slots: []plugins.Slot{{Plan: g.plan, Lines: make([]byte, 32), State: make([]byte, 25)}}}, "has a state of 25 bytes, tariff dims takes 24"},
		{"lines", plugins.Batch{Slots: []plugins.Slot{{Plan: g.plan, Lines: make([]byte, 64)}}}, "has 64 bytes of lines, tariff dims has 32"},
		{"carry", plugins.Batch{Slots: []plugins.Slot{{Plan: g.plan, New: true, CarryIn: make([]byte, 5000)}}}, "5000 bytes carried in"},
		{"values", plugins.Batch{Slots: g.slots(1), Values: []string{"x"}}, "the first value of a batch must be the empty string"},
		{"slot", plugins.Batch{Slots: g.slots(1), Values: []string{""}, Events: []plugins.Event{{Slot: 1}}}, "event 0 has no slot"},
		{"dimensions", plugins.Batch{Slots: g.slots(1), Values: []string{""}, Events: []plugins.Event{{}}}, "1 events of 2 dimensions have 0 values"},
		{"value", plugins.Batch{Slots: g.slots(1), Values: []string{""}, Events: []plugins.Event{{}}, Dims: []uint32{0, 1}}, "a dimension without a value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := g.i.Price(context.Background(), &c.b)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	if rejects := g.price(&plugins.Batch{}); len(rejects) != 0 {
		t.Errorf("an empty batch has rejects %v", rejects)
	}
}

func TestCancelled(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := &plugins.Batch{Slots: g.slots(1), Events: events(1, 1)}
	if _, err := g.i.Price(ctx, b); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if !reflect.DeepEqual(b.Slots, g.slots(1)) {
		t.Error("a cancelled batch changed its slots")
	}
}

// TestPriceAllocatesNothing holds that neither events nor slots cost an allocation once an instance
// has seen a batch of their size.
func TestPriceAllocatesNothing(t *testing.T) {
	m := load(t, newRuntime(t, plugins.Config{}), guestWasm)
	for _, tariff := range []string{"sum", "variable", "dims"} {
		g := newGuest(t, m, tariff)
		b := &plugins.Batch{Slots: g.slots(1000), Events: events(1000, 1000)}
		if tariff == "dims" {
			b.Values = []string{"", "one", "two"}
			for k := range b.Events {
				b.Dims = append(b.Dims, uint32(k%3), uint32(k%2))
			}
		}
		g.price(b)
		before := slices.Clone(b.Slots)
		for k := range before {
			before[k].New = false
		}
		price := func() {
			copy(b.Slots, before)
			if _, err := g.i.Price(context.Background(), b); err != nil {
				t.Fatal(err)
			}
		}
		n := 1.0
		for tries := 0; n > 0 && tries < 10; tries++ { // the pool grows with time until the batch is no longer cut
			n = testing.AllocsPerRun(20, price)
		}
		if n > 0 {
			t.Errorf("%s: %g allocations for 1000 events in 1000 slots", tariff, n)
		}
	}
}

// TestSlicesStay holds that the slices given in a slot are not written to, that those of a slot
// without events stay, and that an instance refuses its own memory.
func TestSlicesStay(t *testing.T) {
	g := newGuest(t, load(t, newRuntime(t, plugins.Config{}), guestWasm), "sum")
	b := &plugins.Batch{Slots: g.slots(2), Events: events(10, 2)}
	g.price(b)
	before := slices.Clone(b.Slots)
	state, lines := bytes.Clone(before[0].State), bytes.Clone(before[0].Lines)
	for k := range b.Slots {
		b.Slots[k].New = false
	}
	b.Events = []plugins.Event{event(0, 1)}
	if _, err := g.i.Price(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before[0].State, state) || !bytes.Equal(before[0].Lines, lines) {
		t.Error("the slices of a slot were written to")
	}
	if &before[1].State[0] != &b.Slots[1].State[0] || &before[1].Lines[0] != &b.Slots[1].Lines[0] {
		t.Error("a slot without events has new slices")
	}
	if _, err := g.i.Price(context.Background(), b); err == nil || !strings.Contains(err.Error(), "keep a copy") {
		t.Errorf("error %v for slices of the instance's own memory", err)
	}
	b.Slots[0].Keep()
	if rejects := g.price(b); len(rejects) > 0 || priced(b.Slots[0]) != priced(before[0])+2 {
		t.Errorf("%d events after another, want %d", priced(b.Slots[0]), priced(before[0])+2)
	}
}
