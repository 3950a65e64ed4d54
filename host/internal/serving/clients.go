package serving

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
	"github.com/tollway/tollway/sdk/billing"
)

// clients are those who call the server.
type clients struct {
	order
	now   func() time.Time
	world *cloud.World
	calls *rpc.Clients
	// chunks are sent one after the other.
	chunks []*tollwayv1.UsageServiceIngestStreamRequest

	accepted, gets, failures, updates atomic.Int64
	seen, get                         times
}

// carryOut opens the watches, waits for ready, and has usage flow while the probes and
// the calls of Get are measured.
func (o order) carryOut(ctx context.Context, now func() time.Time, ready func() error) (result, error) {
	c := &clients{order: o, now: now}
	var err error
	if c.world, err = cloud.New(o.Accounts, true); err != nil {
		return result{}, err
	}
	if err := c.prepare(); err != nil {
		return result{}, err
	}
	if c.calls, err = rpc.NewClients(o.URL, "", nil); err != nil {
		return result{}, err
	}
	defer c.calls.Close()
	group, working := errgroup.WithContext(ctx)
	working, stop := context.WithCancel(working)
	defer stop()
	watches, err := c.open(working)
	if err == nil {
		err = ready()
	}
	if err != nil {
		return result{}, err
	}
	for _, w := range watches {
		group.Go(func() error { return w.follow(working) })
	}
	begun, used := now(), processorTime()
	// No deadline, which calls would take to the server.
	limited, cancel := context.WithCancel(working)
	defer cancel()
	defer time.AfterFunc(o.Duration, cancel).Stop()
	work, limited := errgroup.WithContext(limited)
	work.Go(func() error { return c.send(limited) })
	work.Go(func() error { return c.ask(limited) })
	if o.Hot {
		work.Go(func() error { return c.heat(limited) })
	}
	for _, w := range watches[:o.Probes] {
		work.Go(func() error { return w.probe(limited) })
	}
	if err := work.Wait(); err != nil {
		return result{}, err
	}
	r := result{Took: now().Sub(begun), CPU: processorTime() - used}
	stop()
	err = group.Wait()
	r.Accepted, r.Gets, r.Failures, r.Updates = c.accepted.Load(), c.gets.Load(), c.failures.Load(), c.updates.Load()
	r.Seen, r.Get = c.seen.spread(), c.get.spread()
	return r, err
}

// watch is a client with an open stream.
type watch struct {
	of      *clients
	account billing.AccountID
	stream  tollwayv1connect.SubtotalServiceWatchClientStream

	mu      sync.Mutex
	waiting []pending // of probes, in order
	arrived chan struct{}
}

// pending is an event that was accepted and not seen yet.
type pending struct {
	position *tollwayv1.Position
	at       time.Time
}

// open opens the watches and reads their snapshots. The first are the probes'; the
// others are of one account each, or all of the first probe's.
func (c *clients) open(ctx context.Context) ([]*watch, error) {
	watches := make([]*watch, c.Watches)
	group, opening := errgroup.WithContext(ctx)
	const together = 32
	group.SetLimit(together)
	for i := range watches {
		w := &watch{of: c, account: c.world.Account(i % c.world.Accounts()), arrived: make(chan struct{}, 1)}
		switch {
		case i < c.Probes:
			w.account = billing.AccountID(fmt.Sprint("probe-", i))
		case c.Hot:
			w.account = "probe-0"
		}
		watches[i] = w
		group.Go(func() error {
			var err error
			// The stream outlives its opening.
			w.stream, err = c.calls.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{Account: string(w.account)})
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
				return nil //nolint:nilerr // the measurement is over: what it broke off is no failure
			}
			return fmt.Errorf("watch of account %s: %w", w.account, err)
		}
		w.of.updates.Add(1)
		w.take(m.GetAsOf(), w.of.now())
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
			reached = reached || p.GetPartition() == first.position.GetPartition() && p.GetSequence() >= first.position.GetSequence()
		}
		if !reached {
			return
		}
		w.of.seen.add(max(0, now.Sub(first.at)))
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
		if !w.of.sleep(ctx, w.of.now().Add(probeRest)) {
			return nil
		}
		w.mu.Lock() // the message must not come before what waits for it
		position, err := w.of.sendProbe(ctx, w.account, strconv.Itoa(n))
		if err == nil {
			w.waiting = append(w.waiting, pending{position, w.of.now()})
		}
		w.mu.Unlock()
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the measurement is over: what it broke off is no failure
		case err != nil:
			return err
		}
		select {
		case <-w.arrived:
		case <-ctx.Done():
			return nil
		}
	}
}

// sendProbe sends an event of a probe's account, like those that flow, and returns
// where the log has it.
func (c *clients) sendProbe(ctx context.Context, account billing.AccountID, id string) (*tollwayv1.Position, error) {
	e := c.world.Event(0)
	data := map[string]string{}
	for _, f := range e.Data {
		data[f.Key] = f.Text
	}
	answer, err := c.calls.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{{
		Id: string(account) + "/" + id, Source: e.Source, Type: e.Type, Subject: string(account), Time: timestamppb.New(e.Time), Data: data,
	}}})
	if err != nil {
		return nil, err
	}
	if results := answer.GetResults(); len(results) == 1 && results[0].GetAccepted() != nil {
		return results[0].GetAccepted(), nil
	}
	return nil, fmt.Errorf("an event of a probe was not accepted: %v", answer)
}

// heatRest is the time between two events of the account that all watch: there is one in
// every checkpoint.
const heatRest = 10 * time.Millisecond

// heat has the first probe's account change all the time.
func (c *clients) heat(ctx context.Context) error {
	for n := 0; ; n++ {
		if !c.sleep(ctx, c.now().Add(heatRest)) {
			return nil
		}
		if _, err := c.sendProbe(ctx, "probe-0", fmt.Sprint("heat-", n)); err != nil {
			return unlessOver(ctx, err)
		}
	}
}

// How usage is sent: so many events of one partition make a body, so many bodies a
// chunk, and so many chunks may be unanswered.
const (
	bodyEvents  = 250
	chunkBodies = 8
	chunksOpen  = 6
)

// prepare makes the chunks of usage that will be sent, before anything is measured.
func (c *clients) prepare() error {
	events := int(int64(c.Events) * int64(c.Duration) / int64(time.Second))
	s := cloud.Stretch{From: c.From, To: c.From + events + bodyEvents*chunkBodies, Partitions: c.Partitions, PerMessage: bodyEvents}
	chunk := &tollwayv1.UsageServiceIngestStreamRequest{}
	return c.world.Messages(cloud.Packed, s, func(_ int, body []byte) error {
		chunk.Bodies = append(chunk.Bodies, &tollwayv1.UsageBody{ContentType: ingest.ContentTypePacked, Data: body})
		if len(chunk.Bodies) == chunkBodies {
			c.chunks = append(c.chunks, chunk)
			chunk = &tollwayv1.UsageServiceIngestStreamRequest{}
		}
		return nil
	})
}

// send has usage flow at the rate that is wanted, or as near as it comes, over one
// stream.
func (c *clients) send(ctx context.Context) error {
	// The stream has the context that is asked whether all is over: one that ends first
	// would be a failure.
	group, ctx := errgroup.WithContext(ctx)
	stream, err := c.calls.Usage.IngestStream(ctx)
	if err != nil {
		return unlessOver(ctx, err)
	}
	open := make(chan struct{}, chunksOpen)
	group.Go(func() error {
		for ctx.Err() == nil {
			answer, err := stream.Receive()
			if err != nil {
				return unlessOver(ctx, err)
			}
			if n := answer.GetOutcome().GetRejected(); n > 0 || len(answer.GetOutcome().GetUnconfirmed()) > 0 {
				return fmt.Errorf("%d events of a chunk were rejected, %v not confirmed", n, answer.GetOutcome().GetUnconfirmed())
			}
			c.accepted.Add(int64(answer.GetOutcome().GetAccepted()))
			<-open
		}
		return nil
	})
	group.Go(func() error {
		// Whoever waits for an answer when all is over is told by the server's end of the
		// stream: a stream on which nothing moves does not hear that ctx ended.
		defer func() { _ = stream.CloseSend() }()
		start := c.now()
		for n, chunk := range c.chunks {
			if !c.sleep(ctx, start.Add(time.Duration(int64(n)*bodyEvents*chunkBodies*int64(time.Second)/int64(c.Events)))) {
				return nil
			}
			select {
			case open <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			if err := stream.Send(chunk); err != nil {
				return unlessOver(ctx, err)
			}
		}
		<-ctx.Done() // the last ones are answered
		return nil
	})
	return group.Wait()
}

// unlessOver is the error of a call, nil when the measurement broke it off.
func unlessOver(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// sleep waits for a time; false when ctx ended before.
func (c *clients) sleep(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(until.Sub(c.now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
