package tariff_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// pricer makes a Pricer of functions.
type pricer struct {
	price  func(s *tariff.Slot, e *tariff.Event) error
	finish func(s *tariff.Slot) error
}

func (p *pricer) Price(s *tariff.Slot, e *tariff.Event) error { return p.price(s, e) }

func (p *pricer) Finish(s *tariff.Slot) error {
	if p.finish == nil {
		return nil
	}
	return p.finish(s)
}

// spoiler counts units in a cell and on a line, then does to each event what its dimension
// "does" says. What it wrote before must be gone.
var spoiler = tariff.Tariff{Name: "spoiler", Configure: func(c *tariff.Config) tariff.Pricer {
	line, units, does := c.Line("units", "Units"), c.State.Quantity(), c.Dimension("does")
	list := []int{1}
	return &pricer{price: func(s *tariff.Slot, e *tariff.Event) error {
		sum, err := units.Add(s, e.Quantity())
		if err != nil {
			return err
		}
		line.Set(s, sum, billing.Amount(sum))
		switch what := e.Value(does); what {
		case "":
			return nil
		case "reject":
			return tariff.Reject("by_request", "of the event")
		case "malformed":
			return tariff.Reject("By Request", "of the event")
		case "error":
			return errors.New("something else")
		case "divide":
			_, err := sum.D().Quo(billing.Decimal{}, tariff.Exact)
			return err
		case "inexact":
			_, err := billing.MustDecimal("1").Quo(billing.MustDecimal("3"), billing.Rounding{})
			return err
		case "index":
			list[len(list)] = 1
		case "invalid":
			panic("cut \xff")
		case "long":
			return tariff.Reject("long", strings.Repeat("é", 200))
		default:
			panic(what)
		}
		return nil
	}}
}}

func TestRejectedEventsLeaveNothingBehind(t *testing.T) {
	event := func(does string) tarifftest.Event {
		return tarifftest.Event{Dimensions: map[string]string{"does": does}}
	}
	tarifftest.Run(t, spoiler, []tarifftest.Case{
		{
			Name: "every way to fail", Params: `{}`,
			Events: []tarifftest.Event{
				event(""), event("reject"), event("malformed"), event("error"), event("divide"), event("inexact"),
				event("index"), event("invalid"), event("own words"), event("long"), event(""),
			},
			Want: []string{"units 2 2"},
			Rejects: []string{
				"1 by_request: of the event",
				"2 tariff_error: reason By Request is not of the form [a-z][a-z0-9_]{0,62}: of the event",
				"3 tariff_error: something else",
				"4 division_by_zero: division by zero",
				"5 inexact: " + billing.ErrInexact.Error(),
				"6 tariff_panic: runtime error: index out of range [1] with length 1",
				"7 tariff_panic: cut \uFFFD",
				"8 tariff_panic: own words",
				"9 long: " + strings.Repeat("é", 90),
			},
		},
		{Name: "nothing else", Params: `{}`, Events: []tarifftest.Event{event("reject")}, Open: true, Rejects: []string{"0 by_request: of the event"}},
	})
}

func TestNewSlotOfRejectedEventsHasNoState(t *testing.T) {
	b := tarifftest.NewBench(t, spoiler)
	plan := configured(t, b, "spoiler", `{}`)
	slot := tarifftest.NewSlot(plan)
	rejects, err := b.Price([]*tarifftest.Slot{slot}, []tarifftest.Event{{Dimensions: map[string]string{"does": "panic"}}})
	if err != nil || len(rejects) != 1 || len(slot.State) != 0 {
		t.Errorf("%v, %v; state % x", rejects, err, slot.State)
	}
}

func TestRejectTableFull(t *testing.T) {
	b := tarifftest.NewBench(t, spoiler)
	slots := []*tarifftest.Slot{tarifftest.NewSlot(configured(t, b, "spoiler", `{}`))}
	events := make([]tarifftest.Event, abi.RejectsMax+1)
	for i := range events {
		events[i].Dimensions = map[string]string{"does": "reject"}
	}
	if rejects, err := b.Price(slots, events[1:]); err != nil || len(rejects) != abi.RejectsMax {
		t.Errorf("%d rejects: %v", len(rejects), err)
	}
	if _, err := b.Price(slots, events); err == nil || !strings.Contains(err.Error(), "result code 3") {
		t.Errorf("one more than the table holds: %v", err)
	}
}

func TestManySlotsAndConfigurations(t *testing.T) {
	b := tarifftest.NewBench(t, spoiler)
	var slots []*tarifftest.Slot
	for range 3 {
		plan := configured(t, b, "spoiler", `{}`)
		slots = append(slots, tarifftest.NewSlot(plan), tarifftest.NewSlot(plan))
	}
	var events []tarifftest.Event
	for i := range 60 {
		events = append(events, tarifftest.Event{Slot: i * i % 5, Quantity: fmt.Sprint(i)})
	}
	want := make([]int, len(slots))
	for i := range events {
		want[i*i%5] += i
	}
	slots[1].Final = true
	if _, err := b.Price(slots, events); err != nil {
		t.Fatal(err)
	}
	for i, slot := range slots {
		shown, state := []string{}, 0
		if want[i] > 0 { // the squares modulo 5 are 0, 1 and 4; the other slots have no event
			shown, state = []string{fmt.Sprintf("units %d %d", want[i], want[i])}, 16
		}
		if got := slot.Show(); !slices.Equal(got, shown) || len(slot.State) != state {
			t.Errorf("slot %d: %q and state of %d bytes, want %q and %d", i, got, len(slot.State), shown, state)
		}
	}
}

// level keeps a level over the periods and charges for it when a period ends.
var level = tariff.Tariff{Name: "level", Configure: func(c *tariff.Config) tariff.Pricer {
	line := c.Line("level", "Level")
	events, held := c.State.Int(), c.Carry.Quantity()
	paid := c.Carry.Amount()
	return &pricer{
		price: func(s *tariff.Slot, e *tariff.Event) error {
			events.Set(s, events.Get(s)+1)
			_, err := held.Add(s, e.Quantity())
			return err
		},
		finish: func(s *tariff.Slot) error {
			amount, err := paid.Add(s, billing.Amount(held.Get(s)))
			if err != nil {
				return err
			}
			line.Set(s, billing.Quantity(billing.DecimalFromInt(events.Get(s))), amount)
			return nil
		},
	}
}}

func TestCarryGoesIntoTheNextPeriod(t *testing.T) {
	b := tarifftest.NewBench(t, level)
	slot := tarifftest.NewSlot(configured(t, b, "level", `{}`))
	if slot.Plan.StateSize != 48 || slot.Plan.CarrySize != 32 {
		t.Errorf("state of %d bytes, carry of %d", slot.Plan.StateSize, slot.Plan.CarrySize)
	}
	for _, month := range []struct {
		events []tarifftest.Event
		want   string
	}{
		{tarifftest.Quantities("5", "2"), "level 2 7"},
		{nil, "level 0 14"},
		{tarifftest.Quantities("-7"), "level 1 14"},
	} {
		slot.Final = true
		if _, err := b.Price([]*tarifftest.Slot{slot}, month.events); err != nil {
			t.Fatal(err)
		}
		if got := slot.Show(); !slices.Equal(got, []string{month.want}) {
			t.Errorf("%s: lines %q, want %q", slot.Period.ID(), got, month.want)
		}
		slot = slot.Next()
	}
}

func TestFinishThatFailsIsAFault(t *testing.T) {
	for name, finish := range map[string]func(*tariff.Slot) error{
		"finish of slot 0: no":        func(*tariff.Slot) error { return errors.New("no") },
		"finish of slot 0: panic: no": func(*tariff.Slot) error { panic("no") },
	} {
		bad := tariff.Tariff{Name: "bad", Configure: func(*tariff.Config) tariff.Pricer { return &pricer{finish: finish} }}
		b := tarifftest.NewBench(t, bad)
		slot := tarifftest.NewSlot(configured(t, b, "bad", `{}`))
		slot.Final = true
		if _, err := b.Price([]*tarifftest.Slot{slot}, nil); err == nil || err.Error() != "result code 1: "+name {
			t.Errorf("fault %v, want %s", err, name)
		}
	}
}

// clocks reads everything that a slot and an event say.
var clocks = tariff.Tariff{Name: "clocks", Configure: func(c *tariff.Config) tariff.Pricer {
	line, a, b := c.Line("seen", "Seen"), c.Dimension("a"), c.Dimension("b")
	return &pricer{price: func(s *tariff.Slot, e *tariff.Event) error {
		amount, given := e.Amount()
		if !given && !amount.IsZero() {
			return errors.New("an amount that is not given")
		}
		line.Set(s, e.Quantity(), amount)
		return tariff.Reject("seen", fmt.Sprint(
			e.Value(a), "/", e.Value(b), " ", s.PeriodEnd()-s.PeriodStart(), " ", s.ActiveUntil()-s.ActiveFrom(), " ", e.Time()-s.PeriodStart()))
	}}
}}

func TestSlotAndEventAreWhatTheEngineWrote(t *testing.T) {
	tarifftest.Run(t, clocks, []tarifftest.Case{{
		Name: "both dimensions and one", Params: `{}`,
		Events: []tarifftest.Event{
			{Amount: "1", Time: "2026-01-01T00:00:01Z", Dimensions: map[string]string{"a": "x", "b": "ÿ"}},
			{Dimensions: map[string]string{"b": "x"}},
		},
		Rejects: []string{"0 seen: x/ÿ 2678400000000000 2678400000000000 1000000000", "1 seen: /x 2678400000000000 2678400000000000 0"},
	}})
}

func TestForeignClaimsPanic(t *testing.T) {
	var kept tariff.Line // as if in a package-level variable
	keeps := tariff.Tariff{Name: "keeps", Configure: func(c *tariff.Config) tariff.Pricer {
		c.Line("first", "")
		line := c.Line("second", "")
		if kept == (tariff.Line{}) {
			kept = line
		}
		return &pricer{price: func(s *tariff.Slot, e *tariff.Event) error { return nil }}
	}}
	uses := tariff.Tariff{Name: "uses", Configure: func(c *tariff.Config) tariff.Pricer {
		c.Line("only", "")
		return &pricer{price: func(s *tariff.Slot, e *tariff.Event) error { return kept.Add(s, e.Quantity(), billing.Amount{}) }}
	}}
	b := tarifftest.NewBench(t, keeps, uses)
	configured(t, b, "keeps", `{}`)
	slot := tarifftest.NewSlot(configured(t, b, "uses", `{}`))
	rejects, err := b.Price([]*tarifftest.Slot{slot}, tarifftest.Quantities("1"))
	want := []tarifftest.Reject{{Reason: "tariff_panic", Detail: "tariff: line, cell or dimension of another configuration"}}
	if err != nil || !slices.Equal(rejects, want) {
		t.Errorf("rejects %v, %v", rejects, err)
	}
}

// faulty lets a test spoil a batch of one slot and one event behind the encoder's back.
func TestWhatTheHostMustNotWrite(t *testing.T) {
	const slot = abi.HeaderSize // where the encoder puts the first slot row
	for name, c := range map[string]struct {
		off   int
		value uint32
		want  string
	}{
		"arena does not start with TWL1":                                 {abi.HeaderMagic, 1, "batch: "},
		"a region ends outside the arena":                                {abi.HeaderSlots, 1 << 30, "batch: "},
		"rows are not aligned":                                           {abi.HeaderEventOff, 1000, "batch: "},
		"configuration 7 is unknown":                                     {slot + abi.SlotHandle, 7, "slot 0: "},
		"2 lines, the tariff has 1":                                      {slot + abi.SlotLines, 2, "slot 0: "},
		"state of 48 bytes in 8, the tariff keeps 48":                    {slot + abi.SlotStateCap, 8, "slot 0: "},
		"state of 16 bytes in 48, the tariff keeps 48":                   {slot + abi.SlotStateLen, 16, "slot 0: "},
		"carry of 8 bytes, the tariff carries 32":                        {slot + abi.SlotCarryInLen, 8, "slot 0: "},
		"no room for a carry of 32 bytes":                                {slot + abi.SlotCarryOutCap, 8, "slot 0: "},
		"lines, state or carry lie outside the arena or are not aligned": {slot + abi.SlotLineOff, 1 << 31, "slot 0: "},
		"event 0 names slot 1 of 1":                                      {-1, 1, ""},
		"events of 1 dimensions, the tariff asks for 0":                  {abi.HeaderDims, 1, "slot 0: "},
	} {
		n, arena := prepared(t)
		off := c.off
		if off < 0 {
			off = int(arenaUint32(arena, abi.HeaderEventOff)) + abi.EventSlot
		}
		putUint32(arena, off, c.value)
		if rc := n.Price(); rc != abi.RCFault {
			t.Errorf("%s: result code %d", name, rc)
			continue
		}
		if text, err := abi.FaultText(arena); err != nil || string(text) != c.want+name {
			t.Errorf("fault %q, %v; want %q", text, err, c.want+name)
		}
	}
}

// prepared returns an instance of level with a batch of one final slot and one event in place.
func prepared(t *testing.T) (*tariff.Native, []byte) {
	t.Helper()
	m := &tariff.Module{Name: "test", Tariffs: []tariff.Tariff{level}}
	n := m.Native()
	arena := n.Arena(abi.ArenaMinBytes)
	request := `{"tariff":"level","params":null,"currency":"EUR","kind":"tariff"}`
	copy(arena[abi.HeaderSize:], request)
	if rc := n.Configure(0, len(request)); rc != abi.RCOK {
		t.Fatalf("configure: %d", rc)
	}
	h := abi.Header{
		Slots: 1, SlotOff: 128, SlotStride: abi.SlotSize, Events: 1, EventOff: 512, EventStride: 64, Values: 1, ValueOff: 1024,
		StringOff: 1040, RejectOff: 2048, RejectStride: abi.RejectSize, RejectsMax: 4, ArenaSize: abi.ArenaMinBytes, Finals: 1,
	}
	h.Put(arena)
	abi.PutSlot(arena[128:], &abi.Slot{
		Flags: abi.SlotFlagFinal, Lines: 1, LineOff: 224, StateOff: 256, StateLen: 48, StateCap: 48,
		CarryInOff: 304, CarryOutOff: 304, CarryOutCap: 32,
	})
	clear(arena[224:1100])
	abi.PutEvent(arena[512:], &abi.Event{Quantity: billing.DecimalFromInt(1)})
	return n, arena
}

func arenaUint32(arena []byte, off int) uint32 {
	return uint32(arena[off]) | uint32(arena[off+1])<<8 | uint32(arena[off+2])<<16 | uint32(arena[off+3])<<24
}

func putUint32(arena []byte, off int, v uint32) {
	arena[off], arena[off+1], arena[off+2], arena[off+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func TestUnitsAreAnnounced(t *testing.T) {
	n, _ := prepared(t)
	if rc := n.Price(); rc != abi.RCOK || n.Cursor() != 1 {
		t.Errorf("result code %d, last unit %d; one event and the finish of slot 0 are units 0 and 1", rc, n.Cursor())
	}
}

func TestPricingDoesNotAllocate(t *testing.T) {
	n, _ := prepared(t)
	n.Price()
	if allocs := testing.AllocsPerRun(100, func() { n.Price() }); allocs != 0 {
		t.Errorf("%v allocations for a batch", allocs)
	}
}

func TestArenaSizes(t *testing.T) {
	m := &tariff.Module{Name: "test", Tariffs: []tariff.Tariff{level}}
	for size, want := range map[int]bool{0: false, -1: false, abi.ArenaMinBytes - 1: false, abi.ArenaMinBytes: true, 1 << 20: true, abi.ArenaMaxBytes + 1: false} {
		if arena := m.Native().Arena(size); (arena != nil) != want || want && len(arena) != size {
			t.Errorf("arena of %d bytes: got %d", size, len(arena))
		}
	}
}

func configured(t *testing.T, b *tarifftest.Bench, name, params string) *tarifftest.Plan {
	t.Helper()
	plan, err := b.Configure(name, params)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}
