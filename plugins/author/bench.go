package author

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
)

// BenchOptions say how to measure.
type BenchOptions struct {
	// Batches are the numbers of events of a batch.
	Batches []int
	// For is how long each number is measured.
	For time.Duration
	// Clock tells the time.
	Clock func() time.Time
}

// Benched are the figures of one case.
type Benched struct {
	Case    *Case
	Batches []BatchCost
	// Instantiate and Configure are how long a new instance takes, and the case's parameters in it.
	Instantiate, Configure time.Duration
	// Memory is what the largest batch needed, of MemoryMax, in bytes.
	Memory, MemoryMax int64
	// FuelPerEvent is the budget of one event.
	FuelPerEvent int64
}

// BatchCost is what an event costs in batches of one size.
type BatchCost struct {
	Events, Slots int
	// Wasm is the time of an event in the engine: encoding, the call, decoding, with fuel and the reset of memory.
	// Native is the same event in the tariff running natively, without encoding and decoding; 0 where it cannot.
	Wasm, Native time.Duration // in thousandths: see Picoseconds
	// Fuel is an event's share of what the batch used.
	Fuel int64
	// Rejects is how many of the events are rejected.
	Rejects int
}

// Picoseconds is the unit of BatchCost: a time.Duration of 1 is a picosecond there, since an event may cost only some
// tens of nanoseconds.
const Picoseconds = 1_000

// eventsPerSlot is how many events of a batch fall into one slot, as they do on a busy partition.
const eventsPerSlot = 8

// Bench measures a case: its first period's events again and again, spread over slots.
//
// # Errors
//
// The case cannot be priced, or has no events.
func (w *Workshop) Bench(ctx context.Context, c *Case, o BenchOptions) (b *Benched, err error) {
	if err := w.unknownTariff(c); err != nil {
		return nil, err
	}
	if len(c.Periods[0].Events) == 0 {
		return nil, fmt.Errorf("%s: has no events to measure with", c.label())
	}
	b = &Benched{Case: c, FuelPerEvent: w.fuelPerEvent()}
	started := o.Clock()
	i, err := w.module.NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close(context.WithoutCancel(ctx))) }()
	b.Instantiate = o.Clock().Sub(started)
	started = o.Clock()
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{c.request(w.module)})
	if err != nil {
		return nil, err
	}
	b.Configure = o.Clock().Sub(started)
	var twin *plugins.Plan
	if w.native != nil {
		twins, err := w.native.Configure(ctx, []plugins.ConfigRequest{c.request(w.module)})
		if err != nil {
			return nil, err
		}
		twin = twins[0]
	}
	for _, n := range o.Batches {
		cost, err := w.benchBatch(ctx, i, plans[0], twin, c.spread(n), o)
		if err != nil {
			return nil, err
		}
		b.Batches = append(b.Batches, cost)
		if used, most := i.MemoryUsed(); used > b.Memory {
			b.Memory, b.MemoryMax = used, most
		}
	}
	return b, nil
}

// spread makes n events of a case's, in slots of their own.
func (c *Case) spread(n int) *sample {
	s := c.sample(0, c.CarryIn)
	s.open = true
	s.slots = max(n/eventsPerSlot, 1)
	events := make([]Event, n)
	for k := range events {
		events[k] = s.events[k%len(s.events)]
		events[k].Slot = k % s.slots
	}
	return s.with(events)
}

// benchBatch measures batches of one size, in slots that have begun.
func (w *Workshop) benchBatch(ctx context.Context, i *plugins.Instance, plan, twin *plugins.Plan, s *sample, o BenchOptions) (BatchCost, error) {
	cost := BatchCost{Events: len(s.events), Slots: s.slots}
	batch := s.batch(plan)
	slots := s.fresh(plan)
	batch.Slots = slots
	rejects, err := i.Price(ctx, batch)
	if err != nil {
		return cost, err
	}
	cost.Rejects, cost.Fuel = len(rejects), i.FuelUsed()/int64(len(s.events))
	begun := &outcome{plan: plan, slots: slots}
	begun.settle(batch.Events, rejects, 0)
	kept := slices.Clone(slots)
	once := func() error {
		copy(slots, kept)
		_, err := i.Price(ctx, batch)
		return err
	}
	if cost.Wasm, err = perEvent(len(s.events), o, func(rounds int) error {
		for range rounds {
			if err := once(); err != nil {
				return err
			}
		}
		return ctx.Err()
	}); err != nil || twin == nil {
		return cost, err
	}
	copy(slots, kept)
	for k := range slots {
		slots[k].Plan = twin
	}
	a, err := w.native.encode(batch)
	if err != nil {
		return cost, err
	}
	cost.Native, err = perEvent(len(s.events), o, func(rounds int) error {
		rc, _, err := w.native.ask('R', binary.LittleEndian.AppendUint32(nil, uint32(rounds)), a.bytes[:a.end])
		if err == nil && rc != abi.RCOK {
			err = fmt.Errorf("the tariff, natively, failed with code %d", rc)
		}
		return err
	})
	return cost, err
}

// perEvent runs more and more rounds until they take long enough, and returns the time of an event, in picoseconds.
// The time of no rounds at all, which is that of the way there and back, is taken off.
func perEvent(events int, o BenchOptions, run func(rounds int) error) (time.Duration, error) {
	measure := func(rounds int) (time.Duration, error) {
		started := o.Clock()
		err := run(rounds)
		return o.Clock().Sub(started), err
	}
	for rounds := 1; ; rounds *= 2 {
		took, err := measure(rounds)
		if err != nil {
			return 0, err
		}
		if took < o.For && rounds < 1<<28 {
			continue
		}
		idle, err := measure(0)
		if err != nil {
			return 0, err
		}
		return max(took-idle, 0) * Picoseconds / time.Duration(rounds*events), nil
	}
}
