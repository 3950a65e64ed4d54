package hostile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// Latency is how times are distributed.
type Latency struct {
	Count            int
	Median, P99, Max time.Duration
}

func latencyOf(times []time.Duration) Latency {
	if len(times) == 0 {
		return Latency{}
	}
	sorted := slices.Sorted(slices.Values(times))
	return Latency{len(sorted), sorted[len(sorted)/2], sorted[len(sorted)*99/100], sorted[len(sorted)-1]}
}

// String writes the figures.
func (l Latency) String() string {
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	return fmt.Sprintf("median %s, p99 %s, max %s of %d", round(l.Median), round(l.P99), round(l.Max), l.Count)
}

// neighbour is an honest tariff at work beside the hostile ones.
type neighbour struct {
	instance *plugins.Instance
	batch    *plugins.Batch
	want     [][]byte // the lines of each slot after the batch

	ended chan struct{}
	done  sync.WaitGroup
	// times and err are the goroutine's until stop has waited for it.
	times []time.Duration
	err   error
}

// Sizes of the honest batch, and how long it works alone for comparison.
const (
	neighbourEvents = 1_024
	neighbourSlots  = 32
	aloneTime       = time.Second
	pause           = 500 * time.Microsecond
)

func newNeighbour(ctx context.Context, r *plugins.Runtime) (*neighbour, error) {
	wasm, err := tariff{}.packed()
	if err != nil {
		return nil, err
	}
	m, err := r.Load(ctx, wasm)
	if err != nil {
		return nil, err
	}
	n := &neighbour{ended: make(chan struct{})}
	if n.instance, err = m.NewInstance(ctx); err != nil {
		return nil, err
	}
	plans, err := n.instance.Configure(ctx, []plugins.ConfigRequest{{Tariff: "hostile", Currency: "EUR"}})
	if err != nil {
		return nil, err
	}
	n.batch = &plugins.Batch{Slots: make([]plugins.Slot, neighbourSlots)}
	sums := make([]uint64, neighbourSlots)
	for k := range neighbourEvents {
		quantity := uint64(k*k%1_000 + 1)
		sums[k%neighbourSlots] += quantity
		n.batch.Events = append(n.batch.Events, plugins.Event{Slot: int32(k % neighbourSlots), Time: int64(k), Quantity: billing.Decimal{Lo: quantity}})
	}
	for k := range n.batch.Slots {
		n.batch.Slots[k].Plan = plans[0]
		line := make([]byte, 32)
		billing.Decimal{Lo: sums[k]}.PutLE(line)
		billing.Decimal{Lo: 2 * sums[k]}.PutLE(line[16:])
		n.want = append(n.want, line)
	}
	return n, nil
}

// once prices the batch and holds the result against what it must be.
func (n *neighbour) once(ctx context.Context) (time.Duration, error) {
	for k := range n.batch.Slots {
		n.batch.Slots[k] = plugins.Slot{Plan: n.batch.Slots[k].Plan, New: true}
	}
	begun := time.Now() //nolint:forbidigo // it measures
	rejects, err := n.instance.Price(ctx, n.batch)
	took := time.Since(begun) //nolint:forbidigo // it measures
	if err == nil && len(rejects) > 0 {
		err = errors.New(rejects[0].Detail)
	}
	for k := range n.want {
		if err == nil && !bytes.Equal(n.batch.Slots[k].Lines, n.want[k]) {
			err = fmt.Errorf("slot %d comes to %v", k, n.batch.Slots[k].Line(0))
		}
	}
	if err != nil {
		return 0, fmt.Errorf("the honest tariff: %w", err)
	}
	return took, nil
}

// alone measures without a neighbour.
func (n *neighbour) alone(ctx context.Context) (Latency, error) {
	var times []time.Duration
	for begun := time.Now(); time.Since(begun) < aloneTime; time.Sleep(pause) { //nolint:forbidigo // it measures
		took, err := n.once(ctx)
		if err != nil {
			return Latency{}, err
		}
		times = append(times, took)
	}
	return latencyOf(times), nil
}

// start works until stop.
func (n *neighbour) start(ctx context.Context) {
	n.done.Go(func() {
		for n.err == nil {
			select {
			case <-n.ended:
				return
			case <-time.After(pause):
			}
			var took time.Duration
			took, n.err = n.once(ctx)
			n.times = append(n.times, took)
		}
	})
}

// stop ends the work and returns what was wrong with a result.
func (n *neighbour) stop() error {
	close(n.ended)
	n.done.Wait()
	return n.err
}
