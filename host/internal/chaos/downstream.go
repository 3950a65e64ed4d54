package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// countAdjustments counts the lines of an invoice that adjust another.
func countAdjustments(document []byte) int { return bytes.Count(document, []byte(`"adjustment":{`)) }

// deliveredMax bounds the wait for a receiver to get all that it lacks, when it is
// well again.
const deliveredMax = 3 * time.Minute

// moodLasts is how long a receiver is in a mood.
const moodLasts = 700 * time.Millisecond

// downstream has the receiver of invoices answer errors, half answers or late while
// months close, and then be away for long, over a kill of the program. It must get
// every invoice, with the bytes it was issued with, and nothing else may wait for it.
func downstream(ctx context.Context, r *run, o *Outcome) (err error) {
	p := r.plan("downstream")
	p.batchMax = 60 // so that usage, and with it the closes, take a while
	if p.receiver, err = startReceiver(r.Seed); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.receiver.Close()) }()
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	world := r.world(max(1000, r.Events/20))
	f, err := r.feed(ctx, s, world, func(ctx context.Context, s *site, f *Feeder) error {
		for n := 0; ; n++ {
			select {
			case <-f.ended:
				return nil
			default:
			}
			if err := s.receiver.Be([]mood{fails, dawdles, mumbles, takes}[n%4]); err != nil {
				return err
			}
			o.Runs++
			pause(ctx, moodLasts)
		}
	})
	if err != nil {
		return err
	}
	o.Events = world.Events
	begun := time.Now()
	if err := s.receiver.Be(departed); err != nil {
		return err
	}
	o.Runs++
	documents, err := r.judge(ctx, o, s, f)
	if err != nil {
		return err
	}
	if err := r.absence(ctx, o, s, begun); err != nil {
		return err
	}
	if err := s.receiver.Be(takes); err != nil {
		return err
	}
	err = s.insist(ctx, "have the deliveries tried again", func(ctx context.Context, c *rpc.Clients) error {
		_, err := c.Deliveries.Retry(ctx, &tollwayv1.DeliveryServiceRetryRequest{Sink: "ledger"})
		return err
	})
	if err != nil {
		return err
	}
	return r.awaitDelivery(ctx, o, s, documents)
}

// absence waits until the receiver has been away for long enough. Meanwhile the
// program answers, also after a kill.
func (r *run) absence(ctx context.Context, o *Outcome, s *site, begun time.Time) error {
	s.program.Kill()
	if _, err := s.program.Start(ctx); err != nil {
		return err
	}
	asked, slowest := 0, time.Duration(0)
	for time.Since(begun) < r.Away && ctx.Err() == nil {
		at := time.Now()
		one, cancel := context.WithTimeout(ctx, callMax)
		_, err := s.program.Clients().Subtotals.List(one, &tollwayv1.SubtotalServiceListRequest{PageSize: 10})
		cancel()
		if err != nil {
			return fmt.Errorf("a query failed while the receiver of invoices was away: %w", err)
		}
		asked++
		slowest = max(slowest, time.Since(at))
		pause(ctx, 250*time.Millisecond)
	}
	o.note("the receiver was away for %s; of %d queries meanwhile each was answered, the slowest after %s", time.Since(begun).Round(time.Second), asked, slowest.Round(time.Millisecond))
	return nil
}

// awaitDelivery waits until the receiver has every invoice.
func (r *run) awaitDelivery(ctx context.Context, o *Outcome, s *site, documents map[string][]byte) error {
	waiting, cancel := context.WithTimeout(ctx, deliveredMax)
	defer cancel()
	begun := time.Now()
	for {
		missing, problems := s.receiver.deliveredAll(documents)
		o.Problems = append(o.Problems, problems...)
		if missing == 0 || len(problems) > 0 {
			o.Recovery = append(o.Recovery, time.Since(begun))
			o.note("%d invoices delivered, the last of them %s after the receiver was well; %d came again, which their id shows", s.receiver.count(),
				time.Since(begun).Round(time.Millisecond), s.receiver.again)
			return ctx.Err()
		}
		if waiting.Err() != nil {
			o.Problems = append(o.Problems, fmt.Sprintf("%d invoices were not delivered", missing))
			return ctx.Err()
		}
		pause(waiting, 20*time.Millisecond)
	}
}
