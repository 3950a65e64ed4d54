package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// kills ends the program at random moments while usage comes in, some of them in the
// middle of a start, and then compares every invoice.
func kills(ctx context.Context, r *run, o *Outcome) error {
	world := r.world(r.Events)
	return r.under(ctx, o, r.plan("kills"), world, func(ctx context.Context, s *site, f *Feeder) error {
		choose := chance(r.Seed, forFaults)
		for n := range int64(r.Kills) {
			share := max(1, world.Events/int64(r.Kills))
			f.waitFor(ctx, share*n+choose.Int64N(share))
			pause(ctx, time.Duration(choose.Int64N(int64(30*time.Millisecond))))
			before, err := s.counts(ctx)
			if err != nil {
				return err
			}
			s.program.Kill()
			for range choose.IntN(2) {
				if err := s.program.Begin(); err != nil {
					return err
				}
				pause(ctx, time.Duration(choose.Int64N(int64(800*time.Millisecond))))
				s.program.Kill()
				o.Runs++
			}
			took, err := s.program.Start(ctx)
			if err != nil {
				return err
			}
			o.Runs++
			o.Recovery = append(o.Recovery, took)
			if err := s.notBack(ctx, before); err != nil {
				o.Problems = append(o.Problems, fmt.Sprintf("kill %d: %v", n+1, err))
			}
			if (n+1)%20 == 0 {
				r.logf("kills: %d of %d, %d of %d events", n+1, r.Kills, f.sent.Load(), world.Events)
			}
		}
		return nil
	})
}

// notBack reports whether what was shown before a crash is there after it.
func (s *site) notBack(ctx context.Context, before *tollwayv1.EventCounts) error {
	after, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if after.GetRead() < before.GetRead() || after.GetPriced() < before.GetPriced() {
		return fmt.Errorf("the counters went back from %v to %v", before, after)
	}
	return nil
}

// under sends a world's usage while something goes wrong. When all has been sent and
// the trouble is over, it closes all months and compares every invoice with the
// oracle.
func (r *run) under(ctx context.Context, o *Outcome, p plan, world World, trouble func(context.Context, *site, *Feeder) error) (err error) {
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := r.feed(ctx, s, world, trouble)
	if err != nil {
		return err
	}
	o.Events += world.Events
	_, err = r.judge(ctx, o, s, f)
	return err
}

// feed starts the program, and sends a world's usage while something goes wrong.
func (r *run) feed(ctx context.Context, s *site, world World, trouble func(context.Context, *site, *Feeder) error) (*Feeder, error) {
	if _, err := s.program.Start(ctx); err != nil {
		return nil, err
	}
	catalog, err := world.CatalogFile()
	if err != nil {
		return nil, err
	}
	if err := s.apply(ctx, catalog); err != nil {
		return nil, err
	}
	feeding, stop := context.WithCancel(ctx)
	defer stop()
	f := newFeeder(world, s.program.Clients)
	if !world.Manual {
		f.closes = s.closeMonth
	}
	if s.batchMax > 0 {
		f.batchMax = s.batchMax
	}
	fed := make(chan error, 1)
	go func() { fed <- f.run(feeding) }()
	if err := trouble(ctx, s, f); err != nil {
		stop()
		return nil, errors.Join(err, <-fed)
	}
	return f, <-fed
}

// judge closes all months, compares all that is billed with what should be, and
// returns the invoices.
func (r *run) judge(ctx context.Context, o *Outcome, s *site, f *Feeder) (map[string][]byte, error) {
	if err := s.closeMonths(ctx, f.world); err != nil {
		return nil, err
	}
	o.take(s.balance(ctx, f))
	documents, err := s.documents(ctx)
	if err != nil {
		return nil, err
	}
	want, open, err := f.world.Want(true)
	if err != nil {
		return nil, err
	}
	v := compare(documents, want)
	if err := s.compareOpen(ctx, &v, open); err != nil {
		return nil, err
	}
	o.take(v)
	adjusted := 0
	for _, d := range documents {
		adjusted += countAdjustments(d)
	}
	o.note("%d invoices with %d lines that adjust; %d calls of the producer failed and were made again, %d events were sent twice", len(documents), adjusted, f.failed.Load(), f.doubled.Load())
	return documents, nil
}
