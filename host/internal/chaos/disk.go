package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tollway/tollway/host/internal/failpoint"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// diskBytes is the size of the disk that is filled: some more than what has to stay
// free, below which no checkpoint is written.
const diskBytes = 900 << 20

// fullDisk fills the disk of the state again and again while usage comes in. The
// program must go on answering, and go on by itself when there is space.
func fullDisk(ctx context.Context, r *run, o *Outcome) (err error) {
	p := r.plan("disk")
	p.data = filepath.Join(p.dir, "disk")
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		return err
	}
	mounted := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprint("size=", diskBytes), "tmpfs", p.data)
	if out, err := mounted.CombinedOutput(); err != nil {
		o.note("SKIPPED: a small disk cannot be mounted here: %v %s", err, bytes.TrimSpace(out))
		return nil
	}
	defer func() {
		out, failed := exec.Command("umount", "-l", p.data).CombinedOutput() //nolint:noctx // also when the run is given up
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("umount: %w: %s", failed, out))
		}
	}()
	world := r.world(max(1000, r.Events/10))
	p.batchMax = int(max(1, world.Events/int64(4*max(1, r.Full)))) // so that none of them goes beyond its turn by much
	return r.under(ctx, o, p, world, func(ctx context.Context, s *site, f *Feeder) error {
		choose := chance(r.Seed, forFaults)
		for n := range r.Full {
			if err := r.fillOnce(ctx, o, s, f, n, choose.Int64N(400<<20)); err != nil {
				return fmt.Errorf("full disk %d: %w", n+1, err)
			}
		}
		f.limit.Store(0)
		return nil
	})
}

// Lines of the program's log about the disk.
const (
	saysFull  = "the disk is full"
	saysSpace = "the disk has space again"
)

// fillOnce fills the disk but for some bytes while usage comes in, waits until the
// program says so, asks it, and makes space again.
func (r *run) fillOnce(ctx context.Context, o *Outcome, s *site, f *Feeder, n int, left int64) error {
	share := max(1, f.world.Events/int64(r.Full))
	f.limit.Store(share*int64(n) + max(1, share/2))
	f.waitFor(ctx, f.limit.Load())
	if err := fill(filepath.Join(s.data, "ballast"), diskBytes-left); err != nil {
		return err
	}
	f.limit.Store(share * int64(n+1)) // what comes now finds no space
	if err := s.awaitLines(ctx, saysFull, n+1); err != nil {
		return err
	}
	clients := s.program.Clients()
	if clients == nil {
		return fmt.Errorf("it has ended the program: %s", s.program.lastWords())
	}
	if _, err := clients.Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{PageSize: 10}); err != nil {
		return fmt.Errorf("no answer meanwhile: %w", err)
	}
	if err := os.Remove(filepath.Join(s.data, "ballast")); err != nil {
		return err
	}
	o.Runs++
	begun := time.Now()
	if err := s.awaitLines(ctx, saysSpace, n+1); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	o.Recovery = append(o.Recovery, time.Since(begun))
	return nil
}

// awaitLines waits until the program has said something so many times.
func (s *site) awaitLines(ctx context.Context, text string, times int) error {
	ctx, cancel := context.WithTimeout(ctx, insistMax)
	defer cancel()
	for {
		log, err := os.ReadFile(s.program.log)
		if err != nil {
			return err
		}
		said := bytes.Count(log, []byte(text))
		switch {
		case said >= times:
			return nil
		case !s.program.Running():
			return fmt.Errorf("the program ended before it said %q: %s", text, s.program.lastWords())
		case ctx.Err() != nil:
			return fmt.Errorf("the program said %d times %q, and not %d times", said, text, times)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// fill writes a file until it has a size, or the disk has no more.
func fill(name string, size int64) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	piece := make([]byte, 4<<20)
	for at := int64(0); at < size; at += int64(len(piece)) {
		if _, err := f.Write(piece); err != nil {
			return nil // the disk is full, as it was meant to be
		}
	}
	return nil
}

// jumps are by how much a wall clock is set wrong.
func jumps() []time.Duration {
	const day = 24 * time.Hour
	return []time.Duration{time.Second, -time.Second, time.Hour, -time.Hour, day, -day, 35 * day, -35 * day, 400 * day, -400 * day}
}

// clocks sets the wall clock forth and back while usage comes in. Periods close by the
// time of events, so no figure may depend on it.
func clocks(ctx context.Context, r *run, o *Outcome) error {
	p := r.plan("clocks")
	wrong := filepath.Join(p.dir, "clock")
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { o.fail(s.close()) }()
	s.program.env = append(s.program.env, failpoint.EnvClock+"="+wrong)
	world := r.world(max(1000, r.Events/20))
	f, err := r.feed(ctx, s, world, func(ctx context.Context, s *site, f *Feeder) error {
		choose := chance(r.Seed, forFaults)
		for n := range int64(r.Clocks) {
			share := max(1, world.Events/int64(r.Clocks))
			f.waitFor(ctx, share*n+choose.Int64N(share))
			jump := jumps()[choose.IntN(len(jumps()))]
			if err := os.WriteFile(wrong, []byte(jump.String()), 0o600); err != nil {
				return err
			}
			o.Runs++
			if choose.IntN(4) == 0 { // also over a restart
				s.program.Kill()
				took, err := s.program.Start(ctx)
				if err != nil {
					return fmt.Errorf("with a clock that is wrong by %s: %w", jump, err)
				}
				o.Recovery = append(o.Recovery, took)
			}
			pause(ctx, 100*time.Millisecond)
		}
		return nil
	})
	if err != nil {
		return err
	}
	o.Events = world.Events
	_, err = r.judge(ctx, o, s, f)
	return err
}

// again sends whole months a second time, when they are closed and when they are not.
func again(ctx context.Context, r *run, o *Outcome) error {
	world := r.world(max(1000, r.Events/20))
	return r.under(ctx, o, r.plan("again"), world, func(ctx context.Context, _ *site, f *Feeder) error {
		<-f.ended
		for month := range int64(Months) {
			var batch []*tollwayv1.UsageEvent
			for n := world.Events * month / Months; n < world.Events*(month+1)/Months; n++ {
				batch = append(batch, wire(world.Event(n)))
			}
			for len(batch) > 0 {
				n := min(len(batch), 2000)
				if err := f.send(ctx, batch[:n]); err != nil {
					return err
				}
				f.doubled.Add(uint64(n))
				batch = batch[n:]
			}
			o.Runs++
		}
		return nil
	})
}
