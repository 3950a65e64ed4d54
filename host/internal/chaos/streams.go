package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// accident is something that befalls the streams of the log, against which no client
// can guard.
type accident struct {
	name string
	// busy: usage comes in meanwhile. It is not while the whole log is put back: what
	// was taken since would be gone with it.
	busy bool
	// happen does it to a partition's stream. The server runs before and after.
	happen func(ctx context.Context, a *streamRun, name string) error
}

// accidentsOf are all kinds, in the order in which they are gone through.
func accidentsOf() []accident {
	return []accident{
		{"deleted", true, func(ctx context.Context, a *streamRun, name string) error { return a.site.nats.DeleteStream(ctx, name) }},
		{"made anew", true, func(ctx context.Context, a *streamRun, name string) error { return a.site.nats.RemakeStream(ctx, name) }},
		{"cut short", true, func(ctx context.Context, a *streamRun, name string) error {
			return a.putBack(ctx, a.older, name)
		}},
		{"all cut short", false, func(ctx context.Context, a *streamRun, _ string) error { return a.putBack(ctx, a.older, "") }},
		{"set to forget", true, func(ctx context.Context, a *streamRun, name string) error {
			a.site.program.Kill() // else it is noticed within a minute, which is tried elsewhere
			if err := a.site.nats.LimitStream(ctx, name, 24*time.Hour); err != nil {
				return err
			}
			return a.site.program.Begin()
		}},
	}
}

// streamRun is the campaign at work.
type streamRun struct {
	run         *run
	site        *site
	outcome     *Outcome
	older, good string // copies of the server's files: from before the last usage, and from behind it
	refusals    map[string]string
}

// refusedMax bounds how long the program may go on over an accident: the streams are
// looked at every minute at the latest.
const refusedMax = 3 * time.Minute

// accidents has the streams of the log deleted, made anew, cut short and set to
// forget, in turn, while usage comes in. Each time the program must end and say why,
// end again when it is started, and never answer anything else than before. Then the
// right stream is put back, as docs/recovery.md says, and it goes on.
func accidents(ctx context.Context, r *run, o *Outcome) error {
	world := r.world(max(1000, r.Events/20))
	p := r.plan("streams")
	p.batchMax = int(max(1, world.Events/int64(8*max(1, r.Streams))))
	a := &streamRun{run: r, outcome: o, older: filepath.Join(p.dir, "older"), good: filepath.Join(p.dir, "good"), refusals: map[string]string{}}
	err := r.under(ctx, o, p, world, func(ctx context.Context, s *site, f *Feeder) error {
		a.site = s
		choose := chance(r.Seed, forFaults)
		for n := range r.Streams {
			kind := accidentsOf()[n%len(accidentsOf())]
			if err := a.once(ctx, f, n, kind, fmt.Sprint("USAGE-", choose.IntN(p.partitions))); err != nil {
				return fmt.Errorf("accident %d, a stream %s: %w", n+1, kind.name, err)
			}
		}
		f.limit.Store(0)
		return nil
	})
	for _, kind := range ids(a.refusals) {
		o.note("%s: %s", kind, a.refusals[kind])
	}
	return err
}

// once makes one accident, and mends it.
func (a *streamRun) once(ctx context.Context, f *Feeder, n int, kind accident, name string) error {
	share := max(1, f.world.Events/int64(a.run.Streams))
	if err := a.copyLog(ctx, a.older); err != nil {
		return err
	}
	f.limit.Store(share*int64(n) + max(1, share/2))
	f.waitFor(ctx, f.limit.Load())
	if err := a.forbidden(ctx, name); err != nil {
		return err
	}
	if err := a.copyStill(ctx, name); err != nil {
		return err
	}
	before, err := a.site.counts(ctx)
	if err != nil {
		return err
	}
	want, err := ask(ctx, a.site.program.Clients())
	if err != nil {
		return err
	}
	if !kind.busy {
		name = ""
	}
	if err := kind.happen(ctx, a, name); err != nil {
		return err
	}
	a.outcome.Runs++
	if kind.busy {
		f.limit.Store(share * int64(n+1)) // what was taken before is in the copy
	}
	if err := a.refused(ctx, kind, name, want); err != nil {
		return err
	}
	if kind.name == "set to forget" {
		err = a.site.nats.LimitStream(ctx, name, 0)
	} else {
		err = a.putBack(ctx, a.good, name)
	}
	if err != nil {
		return err
	}
	took, err := a.site.program.Start(ctx)
	if err != nil {
		return fmt.Errorf("after the right stream was put back: %w", err)
	}
	a.outcome.Recovery = append(a.outcome.Recovery, took)
	if err := a.site.notBack(ctx, before); err != nil {
		a.outcome.Problems = append(a.outcome.Problems, err.Error())
	}
	return nil
}

// forbidden tries what the streams' settings have the server refuse.
func (a *streamRun) forbidden(ctx context.Context, name string) error {
	if err := a.site.nats.Purge(ctx, name); err == nil {
		return errors.New("the server let a stream be purged")
	}
	if err := a.site.nats.DeleteMessage(ctx, name, 1); err == nil {
		return errors.New("the server let a message be deleted")
	}
	return nil
}

// refused waits until the program has ended and said why, and holds what it answers
// until then against what it answered before. Started again, it must end again.
func (a *streamRun) refused(ctx context.Context, kind accident, name string, want answers) error {
	ctx, cancel := context.WithTimeout(ctx, refusedMax)
	defer cancel()
	for begun := time.Now(); a.site.program.Running(); pause(ctx, 20*time.Millisecond) {
		if ctx.Err() != nil {
			return errors.New("the program goes on as if nothing had happened")
		}
		if kind.name == "set to forget" {
			continue // it was killed before, so there is nothing to ask
		}
		if clients := a.site.program.Clients(); clients != nil && !kind.busy {
			if got, err := ask(ctx, clients); err == nil && !maps.Equal(got, want) {
				a.outcome.Wrong++
				a.outcome.Problems = append(a.outcome.Problems, fmt.Sprintf("a stream %s, after %s: %s", kind.name, time.Since(begun), difference(want, got)))
				return nil
			}
		}
	}
	for _, life := range [...]string{"at first", "started again"} {
		if life != "at first" {
			if err := a.site.program.Begin(); err != nil {
				return err
			}
			select {
			case <-a.site.program.Ended():
			case <-ctx.Done():
				a.site.program.Kill()
				return errors.New("started again, the program goes on as if nothing had happened")
			}
		}
		words := a.site.program.lastWords()
		if !strings.Contains(words, name) || !strings.Contains(words, "restore") && !strings.Contains(words, "nats stream edit") {
			a.outcome.Problems = append(a.outcome.Problems, fmt.Sprintf("a stream %s: %s, the program does not say which and what to do: %s", kind.name, life, words))
		}
		a.refusals[kind.name+", "+life] = lastLine(words)
	}
	return nil
}

// lastLine returns the end of a text.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// copyStill copies the log when nothing more is written: not by the producer, who
// waits, and not by the host, which has read everything and closed what is due.
func (a *streamRun) copyStill(ctx context.Context, name string) error {
	for {
		if err := a.site.settle(ctx); err != nil {
			return err
		}
		copied, err := a.site.nats.Look(ctx, name)
		if err == nil {
			err = a.copyLog(ctx, a.good)
		}
		if err == nil {
			err = a.site.settle(ctx)
		}
		if err != nil {
			return err
		}
		if now, err := a.site.nats.Look(ctx, name); err != nil || now == copied {
			return err
		}
	}
}

// copyLog copies the server's files while it is stopped.
func (a *streamRun) copyLog(ctx context.Context, to string) error {
	n := a.site.nats
	if err := n.Stop(); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(to), copyTree(n.Store(), to)); err != nil {
		return err
	}
	return n.Start(ctx)
}

// putBack replaces a stream's files, or all of the server's for no name, by those of a
// copy.
func (a *streamRun) putBack(ctx context.Context, from, name string) error {
	n := a.site.nats
	if err := n.Kill(); err != nil {
		return err
	}
	part := ""
	if name != "" {
		part = filepath.Join("jetstream", "$G", "streams", name)
	}
	to := filepath.Join(n.Store(), part)
	if err := errors.Join(os.RemoveAll(to), copyTree(filepath.Join(from, part), to)); err != nil {
		return err
	}
	return n.Start(ctx)
}
