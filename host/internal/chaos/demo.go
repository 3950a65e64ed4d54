package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins/hostile"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// demo bills the same usage with 1, 2 and 8 partitions, and shows on the last of them
// what the program does while all is well.
func demo(ctx context.Context, r *run, marks []*Mark) error {
	invoices, live, correct, available, scales, restored := marks[0], marks[1], marks[2], marks[3], marks[4], marks[5]
	world := r.world(r.Events / 4)
	world.Manual = true // nothing is late then
	want, open, err := world.Want(true)
	if err != nil {
		return err
	}
	var first answers
	var sizes []string
	for _, partitions := range []int{1, 2, 8} {
		last := partitions == 8
		err := r.on(ctx, partitions, world, func(s *site, f *Feeder) error {
			if last {
				if err := r.whileWell(ctx, s, live, available); err != nil {
					return err
				}
			}
			if err := s.closeMonths(ctx, world); err != nil {
				return err
			}
			documents, err := s.documents(ctx)
			if err != nil {
				return err
			}
			all := answers{}
			for id, d := range ofWorld(documents) {
				all[id] = string(d)
			}
			if first == nil {
				first = all
			}
			if !maps.Equal(first, all) {
				scales.Problems = append(scales.Problems, fmt.Sprintf("%d partitions: %s", partitions, difference(first, all)))
			}
			sizes = append(sizes, fmt.Sprintf("%d partitions: %d invoices", partitions, len(all)))
			if !last {
				return nil
			}
			v := compare(ofWorld(documents), want)
			invoices.Problems, invoices.Figures = v.problems, fmt.Sprintf("%d invoices of %d accounts, %d lines compared, %d differ", len(all), world.Accounts, len(want), v.wrong)
			if err := r.correctness(ctx, s, f, correct, open); err != nil {
				return err
			}
			return r.restoring(ctx, s, restored)
		})
		if err != nil {
			return fmt.Errorf("%d partitions: %w", partitions, err)
		}
	}
	scales.Figures = strings.Join(sizes, ", ") + fmt.Sprintf(", all the same bytes, of %d events", world.Events)
	return nil
}

// on feeds a world to a site of so many partitions.
func (r *run) on(ctx context.Context, partitions int, world World, then func(*site, *Feeder) error) (err error) {
	p := r.plan(fmt.Sprint("demo-", partitions))
	p.partitions = partitions
	s, err := p.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := r.feed(ctx, s, world, func(context.Context, *site, *Feeder) error { return nil })
	if err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return then(s, f)
}

// correctness compares the counters, and the subtotals of what is still open: the month
// ends later in UTC than in Berlin.
func (r *run) correctness(ctx context.Context, s *site, f *Feeder, m *Mark, open map[string]bool) error {
	c, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if c.GetPriced() != uint64(f.world.Events+liveEvents) || c.GetRead() != c.GetPriced()+c.GetDuplicates() || c.GetDuplicates() < f.doubled.Load() {
		m.Problems = append(m.Problems, fmt.Sprintf("%v of %d events", c, f.world.Events+liveEvents))
	}
	var v verdict
	if err := s.compareOpen(ctx, &v, open); err != nil {
		return err
	}
	m.Problems = append(m.Problems, v.problems...)
	m.Figures = fmt.Sprintf("%d events read = %d priced + %d duplicates + %d dead letters; %d were sent once, %d again; %d subtotals of open periods compared", c.GetRead(), c.GetPriced(), c.GetDuplicates(),
		c.GetDeadLettered(), f.world.Events+liveEvents, f.doubled.Load(), len(open))
	return nil
}

// liveEvents are the events that are watched.
const liveEvents = 20

// whileWell shows live updates and availability.
func (r *run) whileWell(ctx context.Context, s *site, live, available *Mark) error {
	clients := s.program.Clients()
	ctx, cancel := context.WithTimeout(ctx, insistMax)
	defer cancel()
	stream, err := clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{Account: "live-1"})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }() // it is cut off
	var seen []time.Duration
	for n := range liveEvents {
		begun := time.Now()
		e := stray(fmt.Sprint("live-", n), "live-1", "usage", map[string]string{"units": "1", "megabytes": "1"})
		if _, err := clients.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{e}}); err != nil {
			return err
		}
		for shown := false; !shown; {
			m, err := stream.Receive()
			if err != nil {
				return err
			}
			shown = slices.ContainsFunc(m.GetSubtotals(), func(t *tollwayv1.Subtotal) bool { return t.GetTariff() == countTariff && t.GetEvents() == uint64(n+1) })
		}
		seen = append(seen, time.Since(begun))
	}
	p50, _, most := spread(seen)
	live.Figures = fmt.Sprintf("%d of %d events seen, half of them within %s of being sent, all within %s", len(seen), liveEvents, p50, most)
	return r.availability(ctx, s, available)
}

// availability asks while NATS is away, and after a kill.
func (r *run) availability(ctx context.Context, s *site, m *Mark) error {
	if err := s.nats.Kill(); err != nil {
		return err
	}
	const queries = 100
	var took []time.Duration
	for range queries {
		begun := time.Now()
		if _, err := s.program.Clients().Subtotals.List(ctx, &tollwayv1.SubtotalServiceListRequest{PageSize: 100}); err != nil {
			m.Problems = append(m.Problems, err.Error())
		}
		took = append(took, time.Since(begun))
		pause(ctx, 20*time.Millisecond)
	}
	if err := s.nats.Start(ctx); err != nil {
		return err
	}
	s.program.Kill()
	back, err := s.program.Start(ctx)
	p50, _, most := spread(took)
	m.Figures = fmt.Sprintf("%d of %d queries answered while NATS was away, half of them within %s, all within %s; after kill -9 the first answer came %s after the start",
		queries-len(m.Problems), queries, p50, most, back.Round(10*time.Millisecond))
	return err
}

// restoring takes a backup with the command, drops the state, restores it with the
// command, and compares all answers.
func (r *run) restoring(ctx context.Context, s *site, m *Mark) error {
	before, err := ask(ctx, s.program.Clients())
	if err != nil {
		return err
	}
	folder := filepath.Join(s.dir, "backup")
	command := func(arguments ...string) error {
		out, err := exec.CommandContext(ctx, r.Binary, arguments...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("tollway %s: %w\n%s", strings.Join(arguments, " "), err, out)
		}
		return nil
	}
	if err := command("backup", "--server", s.program.URL(), "--to", folder); err != nil {
		return err
	}
	s.program.Kill()
	if err := os.RemoveAll(filepath.Join(s.data, "state")); err != nil {
		return err
	}
	if err := command("restore", "--from", folder, "--data", s.data); err != nil {
		return err
	}
	took, err := s.program.Start(ctx)
	if err != nil {
		return err
	}
	var after answers
	err = s.insist(ctx, "ask after the restore", func(ctx context.Context, c *rpc.Clients) (err error) {
		after, err = ask(ctx, c)
		return err
	})
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) {
		m.Problems = append(m.Problems, difference(before, after))
	}
	m.Figures = fmt.Sprintf("%d answers compared, all the same; %s from the start to the first", len(before), took.Round(10*time.Millisecond))
	return nil
}

// journey is a tour on which nothing dies.
func journey(ctx context.Context, r *run, marks []*Mark) error {
	late, corrections, poison := marks[0], marks[1], marks[2]
	o := &Outcome{}
	one := tour{run: r, name: "journey", at: 1}
	if _, err := one.make(ctx, o); err != nil {
		return err
	}
	late.Problems = o.Problems
	late.Figures = fmt.Sprintf("%d events, %d%% out of order and %d%% late: %d lines of invoices adjust earlier ones; %d lost, %d doubled, %d lines differ",
		o.Events, disorderedPer, latePercent, one.adjusted, o.Lost, o.Doubled, o.Wrong)
	if one.adjusted == 0 {
		late.Problems = append(late.Problems, "no invoice was adjusted")
	}
	corrections.Figures = fmt.Sprintf("1 of 2 events of an account voided, 1 left; %d invoices with the same bytes in webhook, archive and bus", one.invoices)
	poison.Figures = fmt.Sprintf("%d events with no number for a quantity: %d dead letters, replayed and refused again, then discarded", strays, strays)
	return nil
}

// hostiles applies tariffs that mean harm beside honest ones.
func hostiles(ctx context.Context, r *run, marks []*Mark) (err error) {
	m := marks[0]
	modules, err := hostile.Always()
	if err != nil {
		return err
	}
	world := r.world(r.Events / 8)
	catalog, files, err := world.withHostile(modules)
	if err != nil {
		return err
	}
	s, err := r.plan("hostile").open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	f, err := r.feed(ctx, s, world, func(ctx context.Context, s *site, f *Feeder) error {
		f.waitFor(ctx, world.Events/3)
		err := s.insistFor(ctx, compileMax, 2*compileMax, "apply hostile tariffs", func(ctx context.Context, c *rpc.Clients) error {
			_, err := c.Catalog.Apply(ctx, &tollwayv1.CatalogServiceApplyRequest{Files: []*tollwayv1.CatalogFile{{Name: "catalog.json", Data: catalog}}, Plugins: files})
			return err
		})
		if err != nil {
			return err
		}
		t := tour{run: r, site: s}
		for n := range 3 {
			for _, name := range slices.Sorted(maps.Keys(modules)) {
				if err := t.send(ctx, stray(fmt.Sprint(name, n), strayAccount, name, map[string]string{"units": "1"})); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.closeMonths(ctx, world); err != nil {
		return err
	}
	documents, err := s.documents(ctx)
	if err != nil {
		return err
	}
	want, _, err := world.Want(true)
	if err != nil {
		return err
	}
	v := compare(ofWorld(documents), want)
	m.Problems = v.problems
	counts, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if counts.GetDeadLettered() != uint64(3*len(modules)) {
		m.Problems = append(m.Problems, fmt.Sprintf("%v: %d events of hostile tariffs are no dead letters", counts, 3*len(modules)))
	}
	m.Figures = fmt.Sprintf("%d hostile tariffs (%s): %d dead letters of %d events; %d other events: %d lost, %d doubled, %d lines differ", len(modules),
		strings.Join(slices.Sorted(maps.Keys(modules)), ", "), counts.GetDeadLettered(), 3*len(modules), f.world.Events, v.lost, v.doubled, v.wrong)
	return nil
}
