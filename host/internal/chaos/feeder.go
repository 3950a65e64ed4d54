package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// Feeder sends the usage of a world and never gives up: each batch is sent until it is
// taken, so that one that was written but not answered arrives twice.
type Feeder struct {
	world    World
	clients  func() *rpc.Clients
	batchMax int
	closes   func(ctx context.Context, period string) error // called when a month is past; nil: it closes by itself
	sent     atomic.Int64                                   // events taken for the first time
	doubled  atomic.Uint64                                  // events sent again on purpose and taken
	failed   atomic.Uint64                                  // calls that failed
	limit    atomic.Int64                                   // events after which it waits; 0 for none
	ended    chan struct{}                                  // closed when nothing more is sent
}

// newFeeder returns a feeder that asks for the server anew at each call.
func newFeeder(world World, clients func() *rpc.Clients) *Feeder {
	return &Feeder{world: world, clients: clients, batchMax: 1500, ended: make(chan struct{})}
}

// run sends everything.
func (f *Feeder) run(ctx context.Context) error {
	defer close(f.ended)
	choose := chance(f.world.Seed, forFeeder)
	var batch []*tollwayv1.UsageEvent
	fresh, again := int64(0), uint64(0)
	size, month := f.size(choose), 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		f.held(ctx)
		if err := f.send(ctx, batch); err != nil {
			return err
		}
		f.sent.Add(fresh)
		f.doubled.Add(again)
		batch, fresh, again, size = batch[:0], 0, 0, f.size(choose)
		if f.closes != nil && month < Months-1 && f.sent.Load() > f.world.Events*int64(20*(month+1)+monthMargin)/(20*Months) {
			month++
			return f.closes(ctx, f.world.Periods()[month-1])
		}
		return nil
	}
	for n, twice := range f.world.Deliveries() {
		batch = append(batch, wire(f.world.Event(n)))
		if twice {
			again++
		} else {
			fresh++
		}
		if len(batch) >= size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// held waits while as many events have been taken as may be for now.
func (f *Feeder) held(ctx context.Context) {
	for ctx.Err() == nil {
		if limit := f.limit.Load(); limit == 0 || f.sent.Load() < limit {
			return
		}
		pause(ctx, time.Millisecond)
	}
}

// monthMargin is how far usage is in the next month when one is closed, in twentieths.
const monthMargin = 1

// size draws the size of a batch: most are small beside the largest.
func (f *Feeder) size(choose *rand.Rand) int {
	return 1 + min(choose.IntN(f.batchMax), choose.IntN(f.batchMax))
}

// callMax bounds one call; what hangs longer is asked again.
const callMax = 20 * time.Second

// send sends a batch until it is taken.
func (f *Feeder) send(ctx context.Context, batch []*tollwayv1.UsageEvent) error {
	for {
		answer, err := f.call(ctx, batch)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("after %d events: %w (last error of a call: %w)", f.sent.Load(), ctx.Err(), err)
		case err != nil:
			f.failed.Add(1)
			pause(ctx, 10*time.Millisecond)
			continue
		case answer.GetOutcome().GetRejected()+answer.GetRejected() > 0:
			return fmt.Errorf("events were refused: %v", answer)
		}
		return nil
	}
}

func (f *Feeder) call(ctx context.Context, batch []*tollwayv1.UsageEvent) (*tollwayv1.UsageServiceIngestResponse, error) {
	clients := f.clients()
	if clients == nil {
		return nil, errNotServing
	}
	ctx, cancel := context.WithTimeout(ctx, callMax)
	defer cancel()
	return clients.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: batch, Compact: true})
}

// waitFor returns when so many events have been taken, or nothing more is sent.
func (f *Feeder) waitFor(ctx context.Context, events int64) {
	for f.sent.Load() < min(events, f.world.Events) && ctx.Err() == nil {
		select {
		case <-f.ended:
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// wire is an event as the Ingest call takes it.
func wire(e oracle.Event) *tollwayv1.UsageEvent {
	return &tollwayv1.UsageEvent{Id: e.ID, Source: e.Source, Type: e.Type, Subject: e.Account, Time: timestamppb.New(e.Time), Data: e.Data}
}

// pause waits a while, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
