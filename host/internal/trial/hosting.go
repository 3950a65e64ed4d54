package trial

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// How often a host says how far it is, and how often it is asked whether it is
// ready.
const (
	progressInterval = 10 * time.Millisecond
	readyInterval    = 200 * time.Microsecond
)

// host is the real host on the log. It measures from where it stands to
// job.Until, and compares every total with its known sum.
func (w *worker) host(ctx context.Context) (err error) {
	config := w.hostConfig()
	config.Memory = host.HoldMemory(ctx)
	h, err := host.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	from := h.Counters().Read
	m, err := w.beginProfile()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.Run(ctx) })
	group.Go(func() error {
		defer stop()
		if err := w.measureHost(ctx, h, m, from); err != nil {
			return err
		}
		if w.job.Stay {
			<-ctx.Done()
		}
		return nil
	})
	return group.Wait()
}

// measureHost follows a host that runs, and had read so much before.
func (w *worker) measureHost(ctx context.Context, h *host.Host, m *meter, from uint64) error {
	if err := w.firstQuery(ctx, h); err != nil {
		return err
	}
	all := uint64(w.job.Usage.Events) - from
	err := w.follow(ctx, h, w.job.Until, func(read uint64) { m.passed(read-min(read, from), all) })
	if err != nil {
		return err
	}
	f, err := m.end(h.Counters().Read - from)
	if err != nil {
		return err
	}
	store := h.StoreStats()
	f.StoreWritten = int64(store.BytesWritten)
	if f.StoreBytes, err = h.StoreBytes(); err != nil {
		return err
	}
	if c, ok := any(h).(interface{ CheckpointStats() host.CheckpointStats }); ok {
		stats := c.CheckpointStats()
		f.Checkpoints = &stats
	}
	if err := w.compare(ctx, h); err != nil {
		return err
	}
	return w.say(answer{Kind: answerDone, Figures: f})
}

// firstQuery asks for an account, as the first customer would, and says that it
// was answered.
func (w *worker) firstQuery(ctx context.Context, h *host.Host) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	for h.Ready() != nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		time.Sleep(readyInterval)
	}
	if _, err := h.Queries().Account(query.Filter{Account: world.Account(0)}); err != nil {
		return err
	}
	return w.say(answer{Kind: answerReady, Read: h.Counters().Read})
}

// follow waits for positions and tells what is read until then.
func (w *worker) follow(ctx context.Context, h *host.Host, until []query.Position, passed func(read uint64)) error {
	for {
		wait, cancel := context.WithTimeout(ctx, progressInterval)
		err := h.Wait(wait, until)
		cancel()
		if err == nil || !errors.Is(err, query.ErrNotReached) || ctx.Err() != nil {
			return err
		}
		read := h.Counters().Read
		passed(read)
		if err := w.say(answer{Kind: answerProgress, Read: read}); err != nil {
			return err
		}
	}
}

// compare holds the counters and every account's total against what they must be.
func (w *worker) compare(ctx context.Context, h *host.Host) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	n := w.job.Usage.Events
	if c := h.Counters(); c.Read != uint64(n) || c.Duplicates != uint64(world.Repeats(n)) || c.Priced != c.Read-c.Duplicates {
		return fmt.Errorf("%d events were sent, %d of them twice; the host has read %d, priced %d, found %d duplicates and %d dead letters",
			n, world.Repeats(n), c.Read, c.Priced, c.Duplicates, c.DeadLettered)
	}
	sums := world.Sums(n)
	lanes := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	for lane := range lanes {
		group.Go(func() error {
			for a := lane; a < world.Accounts(); a += lanes {
				if err := compareAccount(h.Queries(), world, sums, a); err != nil || ctx.Err() != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func compareAccount(q *query.Engine, world *cloud.World, sums cloud.Sums, account int) error {
	answer, err := q.Account(query.Filter{Account: world.Account(account)})
	if err != nil {
		return err
	}
	var total billing.Amount
	for _, t := range answer.Totals {
		if total, err = total.Add(t.Amount); err != nil {
			return err
		}
	}
	return sums.Check(account, total)
}
