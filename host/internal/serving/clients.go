package serving

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
	"github.com/tollway/tollway/sdk/billing"
)

// watch is a client with an open stream.
type watch struct {
	run     *run
	account billing.AccountID
	stream  tollwayv1connect.SubtotalServiceWatchClientStream

	mu      sync.Mutex
	waiting []pending // of probes, in order
	arrived chan struct{}
}

// pending is an event that was accepted and not seen yet.
type pending struct {
	position query.Position
	at       time.Time
}

// open opens the watches and reads their snapshots. The first are the probes'.
func (r *run) open(ctx context.Context) ([]*watch, error) {
	watches := make([]*watch, r.Watches)
	group, opening := errgroup.WithContext(ctx)
	const together = 32
	group.SetLimit(together)
	for i := range watches {
		w := &watch{run: r, account: r.world.Account(i % r.world.Accounts()), arrived: make(chan struct{}, 1)}
		if i < r.Probes {
			w.account = billing.AccountID(fmt.Sprint("probe-", i))
		}
		watches[i] = w
		group.Go(func() error {
			var err error
			// The stream outlives its opening.
			w.stream, err = r.clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{Account: string(w.account)})
			if err == nil {
				_, err = w.stream.Receive()
			}
			if err == nil {
				err = opening.Err()
			}
			return err
		})
	}
	return watches, group.Wait()
}

// follow reads the stream until ctx ends.
func (w *watch) follow(ctx context.Context) error {
	for {
		m, err := w.stream.Receive()
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the run is over: what it broke off is no failure
			}
			return fmt.Errorf("watch of account %s: %w", w.account, err)
		}
		w.run.updates.Add(1)
		w.take(m.GetAsOf(), w.run.Now())
	}
}

// take notes when the probes' events were seen: a message tells up to where it has
// seen each partition.
func (w *watch) take(seen *tollwayv1.AsOf, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > 0 {
		first := w.waiting[0]
		reached := false
		for _, p := range seen.GetPositions() {
			reached = reached || int(p.GetPartition()) == first.position.Partition && p.GetSequence() >= first.position.Sequence
		}
		if !reached {
			return
		}
		w.run.seen.add(max(0, now.Sub(first.at)))
		w.waiting = w.waiting[1:]
		select {
		case w.arrived <- struct{}{}:
		default:
		}
	}
}

// probeRest is the time between two events of a probe.
const probeRest = 20 * time.Millisecond

// probe sends one event after the other and waits until it is seen.
func (w *watch) probe(ctx context.Context) error {
	for n := 0; ; n++ {
		if !w.run.sleep(ctx, w.run.Now().Add(probeRest)) {
			return nil
		}
		w.mu.Lock() // the message must not come before what waits for it
		results, err := w.run.host.Ingest(ctx, []billing.UsageEvent{w.run.probeEvent(w.account, n)})
		if err == nil && results[0].Problem == nil {
			w.waiting = append(w.waiting, pending{results[0].Position, w.run.Now()})
		}
		w.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the run is over: what it broke off is no failure
		case err != nil:
			return err
		case results[0].Problem != nil:
			return results[0].Problem
		}
		select {
		case <-w.arrived:
		case <-ctx.Done():
			return nil
		}
	}
}

// askers is how many calls of Get are open at a time at most.
const askers = 32

// ask calls Get at the rate that is wanted, each call at its time: one that begins
// late, because those before have not ended, counts from when it was due.
func (r *run) ask(ctx context.Context) error {
	start := r.Now()
	group, ctx := errgroup.WithContext(ctx)
	for n := range askers {
		group.Go(func() error {
			for turn := n; ; turn += askers {
				due := start.Add(time.Duration(int64(turn) * int64(time.Second) / int64(r.Config.Gets)))
				if !r.sleep(ctx, due) {
					return nil
				}
				const step = 7_919 // a prime: over all accounts, and not one behind the other
				account := r.world.Account(turn * step % r.world.Accounts())
				_, err := r.clients.Subtotals.Get(ctx, &tollwayv1.SubtotalServiceGetRequest{Account: string(account)})
				if ctx.Err() != nil {
					return nil //nolint:nilerr // the run is over: what it broke off is no failure
				}
				if err != nil {
					r.failures.Add(1)
					continue
				}
				r.gets.Add(1)
				r.get.add(r.Now().Sub(due))
			}
		})
	}
	return group.Wait()
}
