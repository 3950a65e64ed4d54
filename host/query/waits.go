package query

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tollway/tollway/host/accumulate"
)

// ErrNotReached reports that a partition had not come to the position asked for
// when the wait was over.
var ErrNotReached = errors.New("the position asked for has not been reached yet")

// Wait returns once every position is committed, or an error that wraps
// ErrNotReached when ctx ends before.
func (e *Engine) Wait(ctx context.Context, positions []Position) error {
	return e.wait(ctx, positions, accumulate.Committed)
}

// WaitLatest returns once every position is in the latest state, which is sooner
// than Wait and does not survive a crash before the log is read again.
func (e *Engine) WaitLatest(ctx context.Context, positions []Position) error {
	return e.wait(ctx, positions, accumulate.Latest)
}

// wait waits for one position after the other: what has been reached stays so.
func (e *Engine) wait(ctx context.Context, positions []Position, v accumulate.View) error {
	for {
		p, err := e.behind(positions, v)
		if err != nil || p == nil {
			return err
		}
		w := e.await(p.Partition, v, p.Sequence)
		select {
		case <-w.reached:
		case <-ctx.Done():
			w.end()
			have := e.partitions[p.Partition].State.HeaderOf(v).Position
			return fmt.Errorf("%w: partition %d is at %d, asked for %d", ErrNotReached, p.Partition, have, p.Sequence)
		}
	}
}

// await begins to wait for a position, which may be reached already.
func (e *Engine) await(partition int, v accumulate.View, position uint64) *wait {
	x := e.waitsOf(partition, v).add(position)
	e.come(partition, v) // it may have been there before anybody knew of us
	return x
}

// come wakes those that have waited for what a state has come to.
func (e *Engine) come(partition int, v accumulate.View) {
	if w := e.waitsOf(partition, v); w.number.Load() > 0 {
		w.come(e.partitions[partition].State.HeaderOf(v).Position)
	}
}

// behind returns the first position that a state has not come to; nil when it has come
// to all.
func (e *Engine) behind(positions []Position, v accumulate.View) (*Position, error) {
	for i, p := range positions {
		if p.Partition < 0 || p.Partition >= len(e.partitions) || p.Stream != "" && p.Stream != e.partitions[p.Partition].Stream {
			return nil, fmt.Errorf("%w: there is no stream %q with partition %d", ErrInvalid, p.Stream, p.Partition)
		}
		if e.partitions[p.Partition].State.HeaderOf(v).Position < p.Sequence {
			return &positions[i], nil
		}
	}
	return nil, nil
}

// waitsOf returns who waits for a state of a partition.
func (e *Engine) waitsOf(partition int, v accumulate.View) *waits {
	if v == accumulate.Latest {
		return &e.waiting[partition].latest
	}
	return &e.waiting[partition].committed
}

// waiting is who waits for the two states of a partition.
type waiting struct{ latest, committed waits }

// waits are those that wait for a state of a partition to come to positions. Only they
// are woken that have waited for what is reached: of a thousand that wait, most wait for
// something else than what a batch of events has brought. The zero value is ready.
type waits struct {
	number atomic.Int32 // of those below, read without the lock
	mu     sync.Mutex
	first  waitHeap // the lowest position first
}

// wait is one of them.
type wait struct {
	of       *waits
	position uint64
	reached  chan struct{} // closed when it is
	index    int           // in the heap; -1 when it is not there any more
}

// add begins to wait.
func (w *waits) add(position uint64) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := &wait{of: w, position: position, reached: make(chan struct{})}
	heap.Push(&w.first, x)
	w.number.Store(int32(len(w.first)))
	return x
}

// end has nobody wait any more.
func (x *wait) end() {
	x.of.mu.Lock()
	defer x.of.mu.Unlock()
	if x.index >= 0 {
		heap.Remove(&x.of.first, x.index)
		x.of.number.Store(int32(len(x.of.first)))
	}
}

// come wakes those that have waited for no more than a position.
func (w *waits) come(position uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.first) > 0 && w.first[0].position <= position {
		close(heap.Pop(&w.first).(*wait).reached)
	}
	w.number.Store(int32(len(w.first)))
}

// waitHeap implements [heap.Interface].
type waitHeap []*wait

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].position < h[j].position }
func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *waitHeap) Push(x any) {
	w := x.(*wait)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *waitHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	w.index = -1
	return w
}
