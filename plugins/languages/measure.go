package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/sdk/billing"
)

const (
	batchEvents = 4096
	threeTiers  = `{"tiers":[{"up_to":"10","unit_price":"0.05"},{"up_to":"50","unit_price":"0.03"},{"up_to":null,"unit_price":"0.0125"}]}`
	// callsPerTurn is how many batches one language prices before the next has its turn.
	callsPerTurn = 8
)

// eventsPerSlot are the shapes of batches: accounts that send much, and accounts that send little.
var eventsPerSlot = [2]int{8, 1}

// result is what was measured of each shape.
type result struct{ shapes [len(eventsPerSlot)]figure }

// figure is medians: picoseconds of CPU for an event, and what share that is of what plain Go takes, in percent.
type figure struct{ picos, percent int64 }

// row is a language of the table.
type row struct {
	guest
	result
	skipped error
	bytes   int   // of the plugin
	fuel    int64 // of an event, in the first shape
	benches [len(eventsPerSlot)]*bench
}

// build makes the plugin and its batches.
func (r *row) build(ctx context.Context, runtime *plugins.Runtime) error {
	wasm, err := build.Folder(ctx, r.folder)
	if err != nil {
		return err
	}
	module, err := runtime.Load(ctx, wasm)
	if err != nil {
		return err
	}
	r.bytes = len(wasm)
	for k, perSlot := range eventsPerSlot {
		if r.benches[k], err = newBench(ctx, module, batchEvents/perSlot); err != nil {
			return err
		}
	}
	return nil
}

// bench prices the same batch again and again.
type bench struct {
	instance *plugins.Instance
	batch    plugins.Batch
	before   []plugins.Slot
}

// newBench makes a batch over slots that have seen usage before: they stand in all tiers.
func newBench(ctx context.Context, m *plugins.Module, slots int) (*bench, error) {
	i, err := m.NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{{Tariff: "graduated", Params: json.RawMessage(threeTiers), Currency: "EUR"}})
	if err != nil {
		return nil, errors.Join(err, i.Close(ctx))
	}
	b := &bench{instance: i}
	b.batch.Values = []string{""}
	for k := range slots {
		b.batch.Slots = append(b.batch.Slots, plugins.Slot{Plan: plans[0], New: true, PeriodEnd: 1 << 60, ActiveUntil: 1 << 60})
		b.add(k, firstQuantity(k))
	}
	if _, err := i.Price(ctx, &b.batch); err != nil {
		return nil, errors.Join(err, i.Close(ctx))
	}
	b.batch.Events = nil
	for k := range batchEvents {
		b.add(k/(batchEvents/slots), quantity(k))
	}
	for k := range b.batch.Slots {
		b.batch.Slots[k].Keep()
		b.batch.Slots[k].New = false
	}
	b.before = slices.Clone(b.batch.Slots)
	return b, nil
}

// firstQuantity is what a slot has used before, and quantity what event k uses.
func firstQuantity(slot int) int64 { return int64(1 + slot*37%100) }
func quantity(k int) int64         { return int64(1 + k*7%9) }

func (b *bench) add(slot int, quantity int64) {
	b.batch.Events = append(b.batch.Events, plugins.Event{Slot: int32(slot), Time: int64(slot), Quantity: billing.DecimalFromInt(quantity)})
}

// price prices the batch from where its slots stood before.
func (b *bench) price(ctx context.Context) error {
	for k := range b.before {
		b.batch.Slots[k].State, b.batch.Slots[k].Lines = b.before[k].State, b.before[k].Lines
	}
	rejects, err := b.instance.Price(ctx, &b.batch)
	if err == nil && len(rejects) > 0 {
		err = fmt.Errorf("an event is rejected: %s: %s", rejects[0].Reason, rejects[0].Detail)
	}
	return err
}

// total is what all slots come to, so that the languages can be held against plain Go.
func (b *bench) total() (sum billing.Decimal, err error) {
	for k := range b.batch.Slots {
		s := &b.batch.Slots[k]
		for n := range s.Plan.Lines {
			if sum, err = sum.Add(s.Line(n).Amount); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}

// timed is the CPU time of an event when f prices a batch, in picoseconds.
func timed(f func() error) (int64, error) {
	start, err := cpuTime()
	if err != nil {
		return 0, err
	}
	for range callsPerTurn {
		if err := f(); err != nil {
			return 0, err
		}
	}
	end, err := cpuTime()
	return (end - start) * 1000 / (callsPerTurn * batchEvents), err
}

// measure gives every language its turns, and plain Go with them, whose figures it returns.
func measure(ctx context.Context, rows []*row, rounds int) (native result, err error) {
	for shape, perSlot := range eventsPerSlot {
		plain := newNative(batchEvents / perSlot)
		var bases []int64
		picos, percent := make([][]int64, len(rows)), make([][]int64, len(rows))
		for round := range rounds + 1 { // the first warms up
			base, err := timed(plain.price)
			if err != nil {
				return native, err
			}
			for k, r := range rows {
				if r.skipped != nil {
					continue
				}
				took, err := timed(func() error { return r.benches[shape].price(ctx) })
				if err != nil {
					return native, fmt.Errorf("%s: %w", r.language, err)
				}
				if round > 0 {
					picos[k], percent[k] = append(picos[k], took), append(percent[k], 100*took/max(base, 1))
				}
			}
			if round > 0 {
				bases = append(bases, base)
			}
		}
		native.shapes[shape] = figure{median(bases), 100}
		for k, r := range rows {
			if r.skipped != nil {
				continue
			}
			r.shapes[shape] = figure{median(picos[k]), median(percent[k])}
			if err := r.check(shape, plain); err != nil {
				return native, err
			}
		}
	}
	return native, nil
}

// check holds what a language made of the batch against plain Go, and notes the fuel.
func (r *row) check(shape int, plain *native) error {
	b := r.benches[shape]
	got, err := b.total()
	if err != nil {
		return err
	}
	want, err := plain.total()
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s: the batch comes to %s, in plain Go to %s", r.language, billing.Amount(got), billing.Amount(want))
	}
	if shape == 0 {
		r.fuel = b.instance.FuelUsed() / batchEvents
	}
	return nil
}

func median(values []int64) int64 {
	slices.Sort(values)
	return values[len(values)/2]
}
