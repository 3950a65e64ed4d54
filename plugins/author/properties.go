package author

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
)

// Property is something that is true of every tariff that the engine can rely on.
type Property struct {
	// Name is a word, by which a property is chosen; About says what holds.
	Name, About string

	evil   bool // try it with numbers that nobody expects
	native bool // it needs the tariff to run natively
	broken func(ctx context.Context, t *trial, s *sample) (string, error)
}

// Properties are those that are looked for, in this order.
func Properties() []Property {
	return []Property{
		{Name: "again", About: "the same events give the same lines, state, rejects and fuel each time", broken: brokenAgain},
		{Name: "fresh", About: "an instance that has priced other events gives what a new one gives", broken: brokenFresh},
		{Name: "split", About: "however events are cut into batches, lines and state are the same", broken: brokenSplit},
		{Name: "slots", About: "neither the order of slots in a batch nor their neighbours matter", broken: brokenSlots},
		{Name: "native", About: "the tariff running natively gives what it gives in WebAssembly", native: true, broken: brokenNative},
		{Name: "rejects", About: "a rejected event leaves no trace", broken: brokenRejects},
		{Name: "hostile", About: "quantities and amounts of 0, below 0 and at the ends of the range crash nothing", evil: true, broken: brokenHostile},
		{Name: "idle", About: "a period without events can be finished", broken: brokenIdle},
	}
}

// trial is a case under check: its configuration in an instance that is used again and again, and natively.
type trial struct {
	workshop *Workshop
	c        *Case
	instance *plugins.Instance
	plan     *plugins.Plan
	twin     *plugins.Plan // of the native tariff; nil without
	generate *generator
}

// price prices a sample in the instance at hand.
func (t *trial) price(ctx context.Context, s *sample, cuts ...int) (*outcome, error) {
	return price(ctx, t.instance, t.plan, s, cuts...)
}

// faulty turns the fault of a plugin into what is broken; any other error stays one.
func faulty(err error) (string, error) {
	var fault *plugins.FaultError
	if errors.As(err, &fault) {
		return "the module failed: " + fault.Text, nil
	}
	return "", err
}

func brokenAgain(ctx context.Context, t *trial, s *sample) (string, error) {
	calls := t.instance.Calls()
	first, err := t.price(ctx, s)
	if err != nil {
		return faulty(err)
	}
	used, took := t.instance.FuelUsed(), t.instance.Calls()-calls
	for range 2 {
		calls := t.instance.Calls()
		o, err := t.price(ctx, s)
		if err != nil {
			return faulty(err)
		}
		if text := first.differs(o, "the first time", "another time"); text != "" {
			return text, nil
		}
		// A batch that needs much is cut by how long calls take, which changes what is done twice and no result.
		if again := t.instance.FuelUsed(); again != used && t.instance.Calls()-calls == took {
			return fmt.Sprintf("it used %d units of fuel, the first time; and %d, another time", used, again), nil
		}
	}
	return "", nil
}

func brokenFresh(ctx context.Context, t *trial, s *sample) (text string, err error) {
	fresh, plan, err := t.workshop.instance(ctx, t.c)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, fresh.Close(context.WithoutCancel(ctx))) }()
	first, err := price(ctx, fresh, plan, s)
	if err != nil {
		return faulty(err)
	}
	backwards := slices.Clone(s.events)
	slices.Reverse(backwards)
	if _, err := price(ctx, fresh, plan, s.with(backwards)); err != nil {
		return faulty(err)
	}
	o, err := price(ctx, fresh, plan, s)
	if err != nil {
		return faulty(err)
	}
	return first.differs(o, "in a new instance", "in one that has priced other events"), nil
}

func brokenSplit(ctx context.Context, t *trial, s *sample) (string, error) {
	whole, err := t.price(ctx, s)
	if err != nil {
		return faulty(err)
	}
	n := len(s.events)
	for _, cuts := range [][]int{every(n, 1), every(n, 2), every(n, (n+1)/2), t.generate.cuts(n), t.generate.cuts(n)} {
		if len(cuts) == 0 {
			continue
		}
		o, err := t.price(ctx, s, cuts...)
		if err != nil {
			return faulty(err)
		}
		if text := whole.differs(o, "in one batch", inBatches(cuts, n)); text != "" {
			return text, nil
		}
	}
	return "", nil
}

// every cuts n events behind each so many.
func every(n, size int) []int {
	var cuts []int
	for at := size; at < n && size > 0; at += size {
		cuts = append(cuts, at)
	}
	return cuts
}

// inBatches says how events were cut.
func inBatches(cuts []int, n int) string {
	if len(cuts) == n-1 {
		return "event by event"
	}
	var sizes []string
	from := 0
	for _, to := range append(slices.Clone(cuts), n) {
		sizes = append(sizes, fmt.Sprint(to-from))
		from = to
	}
	return "in batches of " + strings.Join(sizes, ", ")
}

func brokenSlots(ctx context.Context, t *trial, s *sample) (string, error) {
	if s.slots == 1 { // the case itself: beside a slot with the same events
		s = s.doubled()
	}
	whole, err := t.price(ctx, s)
	if err != nil {
		return faulty(err)
	}
	turned := slices.Clone(s.events)
	for k := range turned {
		turned[k].Slot = s.slots - 1 - turned[k].Slot
	}
	o, err := t.price(ctx, s.with(turned))
	if err != nil {
		return faulty(err)
	}
	slices.Reverse(o.slots)
	if text := whole.differs(o, "in the order of the slots", "with the slots the other way round"); text != "" {
		return text, nil
	}
	for k := range s.slots {
		if text, err := t.alone(ctx, s, whole, k); text != "" || err != nil {
			return text, err
		}
	}
	return "", nil
}

// doubled gives every event a twin in a second slot.
func (s *sample) doubled() *sample {
	other := *s
	other.slots, other.events = 2, make([]Event, 0, 2*len(s.events))
	for _, e := range s.events {
		twin := e
		twin.Slot = 1
		other.events = append(other.events, e, twin)
	}
	return &other
}

// alone prices the events of one slot without the others.
func (t *trial) alone(ctx context.Context, s *sample, whole *outcome, slot int) (string, error) {
	only := *s
	only.slots, only.events = 1, nil
	place := map[int]int{}
	for k, e := range s.events {
		if e.Slot == slot {
			place[k] = len(only.events)
			e.Slot = 0
			only.events = append(only.events, e)
		}
	}
	o, err := t.price(ctx, &only)
	if err != nil {
		return faulty(err)
	}
	part := &outcome{plan: whole.plan, slots: whole.slots[slot : slot+1]}
	for _, r := range whole.rejects {
		if at, ok := place[r.Event]; ok {
			r.Event = at
			part.rejects = append(part.rejects, r)
		}
	}
	return part.differs(o, fmt.Sprintf("of slot %d among others", slot), "alone"), nil
}

func brokenNative(ctx context.Context, t *trial, s *sample) (string, error) {
	if t.twin == nil {
		plans, err := t.workshop.native.Configure(ctx, []plugins.ConfigRequest{t.c.request(t.workshop.module)})
		if err != nil {
			return natively(ctx, err)
		}
		t.twin = plans[0]
	}
	n := len(s.events)
	for _, cuts := range [][]int{nil, every(n, 1)} {
		wasm, err := t.price(ctx, s, cuts...)
		if err != nil {
			return faulty(err)
		}
		twin, err := price(ctx, t.workshop.native, t.twin, s, cuts...)
		if err != nil {
			t.twin = nil // to be started again
			return natively(ctx, err)
		}
		if text := wasm.differs(twin, "in WebAssembly", "natively"); text != "" {
			return text, nil
		}
	}
	return "", nil
}

// natively turns what went wrong in the native program into what is broken.
func natively(ctx context.Context, err error) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return err.Error(), nil
}

func brokenRejects(ctx context.Context, t *trial, s *sample) (string, error) {
	whole, err := t.price(ctx, s)
	if err != nil || len(whole.rejects) == 0 {
		return faulty(err)
	}
	var accepted []Event
	for k, e := range s.events {
		if !whole.refused(k) {
			accepted = append(accepted, e)
		}
	}
	o, err := t.price(ctx, s.with(accepted))
	if err != nil {
		return faulty(err)
	}
	whole.rejects = nil
	return whole.differs(o, "with the rejected events", "without them"), nil
}

func brokenHostile(ctx context.Context, t *trial, s *sample) (string, error) {
	whole, err := t.price(ctx, s)
	if err != nil {
		return faulty(err)
	}
	for _, r := range whole.rejects {
		if r.Reason == abi.ReasonTrap || r.Reason == abi.ReasonPanic {
			e := &s.events[r.Event]
			return fmt.Sprintf("event %d, of quantity %s, is a crash: %s", r.Event+1, e.Quantity, text(r)), nil
		}
	}
	o, err := t.price(ctx, s, every(len(s.events), 1)...)
	if err != nil {
		return faulty(err)
	}
	return whole.differs(o, "in one batch", "event by event"), nil
}

func brokenIdle(ctx context.Context, t *trial, s *sample) (string, error) {
	first, err := t.price(ctx, s.with(nil))
	if err != nil {
		return faulty(err)
	}
	o, err := t.price(ctx, s.with(nil))
	if err != nil {
		return faulty(err)
	}
	return first.differs(o, "the first time", "another time"), nil
}
