package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// natsKills ends the NATS server at random moments while usage comes in and starts it
// again on what is on the disk.
func natsKills(ctx context.Context, r *run, o *Outcome) error {
	world := r.world(max(1000, r.Events/4))
	return r.under(ctx, o, r.plan("nats"), world, func(ctx context.Context, s *site, f *Feeder) error {
		choose := chance(r.Seed, forFaults)
		for n := range int64(r.NATSKills) {
			share := max(1, world.Events/int64(r.NATSKills))
			f.waitFor(ctx, share*n+choose.Int64N(share))
			if err := s.nats.Kill(); err != nil {
				return err
			}
			pause(ctx, time.Duration(choose.Int64N(int64(time.Second))))
			if err := s.nats.Start(ctx); err != nil {
				return err
			}
			o.Runs++
			if took, ok := f.goesOn(ctx, s.program); ok {
				o.Recovery = append(o.Recovery, took)
			}
			if !s.program.Running() {
				return fmt.Errorf("kill %d of NATS has ended the program: %s", n+1, s.program.lastWords())
			}
			if (n+1)%20 == 0 {
				r.logf("NATS kills: %d of %d, %d of %d events", n+1, r.NATSKills, f.sent.Load(), world.Events)
			}
		}
		return nil
	})
}

// goesOn waits until the next batch is taken, and returns how long that took; false
// when there is none left, or the program has ended.
func (f *Feeder) goesOn(ctx context.Context, p *Program) (time.Duration, bool) {
	begun, before := time.Now(), f.sent.Load()
	for f.sent.Load() == before && p.Running() && ctx.Err() == nil {
		select {
		case <-f.ended:
			return 0, false
		case <-time.After(time.Millisecond):
		}
	}
	return time.Since(begun), f.sent.Load() > before
}

// trouble is a state of the network, and for how long.
type trouble struct {
	name    string
	weather weather
	lasts   time.Duration
}

// breaks are the troubles of a network. Of a connection that is half open nothing is
// heard: it takes the client's pings to find it dead.
func breaks(choose *rand.Rand) trouble {
	upTo := func(d time.Duration) time.Duration { return time.Duration(1 + choose.Int64N(int64(d))) }
	switch choose.IntN(10) {
	case 0, 1, 2:
		return trouble{"reset", weather{}, 0}
	case 3, 4:
		return trouble{"refused", weather{away: true}, upTo(1500 * time.Millisecond)}
	case 5, 6:
		return trouble{"slow", weather{delay: 50 * time.Millisecond, piece: 4000}, upTo(2 * time.Second)}
	case 7, 8:
		return trouble{"breaking off", weather{oneIn: 20}, upTo(2 * time.Second)}
	}
	if choose.IntN(5) == 0 {
		return trouble{"half open for long", weather{stall: true}, 40 * time.Second}
	}
	return trouble{"half open", weather{stall: true}, upTo(4 * time.Second)}
}

// network does to the connections between the program and NATS what networks do.
func network(ctx context.Context, r *run, o *Outcome) error {
	world := r.world(max(1000, r.Events/4))
	made := map[string]int{}
	err := r.under(ctx, o, r.plan("network"), world, func(ctx context.Context, s *site, f *Feeder) error {
		choose := chance(r.Seed, forFaults)
		for n := range int64(r.Cuts) {
			share := max(1, world.Events/int64(r.Cuts))
			f.waitFor(ctx, share*n+choose.Int64N(share))
			t := breaks(choose)
			s.proxy.Set(t.weather)
			if t.lasts == 0 {
				s.proxy.Cut()
			}
			pause(ctx, t.lasts)
			s.proxy.Set(weather{})
			made[t.name]++
			o.Runs++
			if took, ok := f.goesOn(ctx, s.program); ok {
				o.Recovery = append(o.Recovery, took)
			}
			if !s.program.Running() {
				return fmt.Errorf("%s, trouble %d of the network, has ended the program: %s", t.name, n+1, s.program.lastWords())
			}
		}
		return nil
	})
	var kinds []string
	for _, name := range ids(made) {
		kinds = append(kinds, fmt.Sprintf("%d times %s", made[name], name))
	}
	o.note("%s", strings.Join(kinds, ", "))
	return err
}
