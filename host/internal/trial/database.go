package trial

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/internal/postgres"
	"github.com/tollway/tollway/host/stream"
)

// databaseBatch is how many events a transaction of the database has.
const databaseBatch = 10_000

// loadDatabase measures how fast PostgreSQL takes the log, on one or several
// connections, each with partitions, and so accounts, of its own.
func (w *worker) loadDatabase(ctx context.Context) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	d := w.job.Database
	meters := make([]postgres.Tiers, cloud.Meters)
	for m := range meters {
		meters[m] = postgres.Tiers(world.Tiers(m))
	}
	if err := postgres.Reset(ctx, d.Address, meters, d.Connections); err != nil {
		return err
	}
	return w.withLog(ctx, func(conn *stream.Conn) error {
		m := w.begin()
		group, lanes := errgroup.WithContext(ctx)
		for n := range d.Connections {
			group.Go(func() error { return w.lane(lanes, conn, world, n) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		f, err := m.end(uint64(w.job.Usage.Events))
		if err != nil {
			return err
		}
		if err := checkDatabase(ctx, d.Address, world, w.job.Usage.Events); err != nil {
			return err
		}
		return w.say(answer{Kind: answerDone, Figures: f})
	})
}

// lane loads every partition of one connection.
func (w *worker) lane(ctx context.Context, conn *stream.Conn, world *cloud.World, n int) (err error) {
	loader, err := postgres.Open(ctx, w.job.Database.Address, n, w.job.Database.Synchronous)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, loader.Close(ctx)) }()
	b := &batch{decoder: ingest.NewDecoder(1), meters: map[string]int{}, have: map[ingest.Hash]struct{}{}}
	for m := range cloud.Meters {
		b.meters[world.EventType(m)] = m
	}
	load := func() error {
		err := loader.Batch(ctx, b.rows)
		b.clear()
		return err
	}
	for i, end := range w.job.Until {
		if i%w.job.Database.Connections != n {
			continue
		}
		err := each(ctx, conn, end, func(messages []stream.Message) error {
			for i := range messages {
				if err := b.take(&messages[i]); err != nil {
					return err
				}
				if len(b.rows) < databaseBatch {
					continue
				}
				if err := load(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return load()
}

// batch collects the rows of a transaction.
type batch struct {
	decoder *ingest.Decoder
	meters  map[string]int // by event type
	events  []ingest.Event
	rows    []postgres.Row
	have    map[ingest.Hash]struct{} // identities in rows
}

// take adds a message's events.
func (b *batch) take(m *stream.Message) error {
	if strings.Contains(m.Subject, ".ctl.") {
		return nil
	}
	b.events = b.decoder.Decode(m.Header.Get, m.Data, b.events[:0])
	for i := range b.events {
		e := &b.events[i]
		if e.Problem != nil {
			return e.Problem
		}
		if _, again := b.have[e.Identity]; again {
			continue
		}
		b.have[e.Identity] = struct{}{}
		units, err := unitsOf(e)
		if err != nil {
			return err
		}
		b.rows = append(b.rows, postgres.Row{Identity: e.Identity, Account: e.Account, Meter: b.meters[e.Type], Units: units})
	}
	return nil
}

// clear begins the next transaction.
func (b *batch) clear() {
	clear(b.have)
	clear(b.rows)
	b.rows = b.rows[:0]
	reset(b.decoder)
}

// reset lets a decoder use its memory again, if it does such a thing.
func reset(d *ingest.Decoder) {
	if r, ok := any(d).(interface{ Reset() }); ok {
		r.Reset()
	}
}

// checkDatabase compares what the database holds with the known sums.
func checkDatabase(ctx context.Context, address string, world *cloud.World, events int) error {
	sums := world.Sums(events)
	number := 0
	err := postgres.Totals(ctx, address, func(account string, amount int64) error {
		for number < len(sums) && string(world.Account(number)) != account {
			if sums[number] != 0 {
				return fmt.Errorf("%w: account %d is not there", cloud.ErrDiffers, number)
			}
			number++
		}
		if number == len(sums) || sums[number] != amount {
			return fmt.Errorf("%w: account %s owes %d in the database", cloud.ErrDiffers, account, amount)
		}
		number++
		return nil
	})
	for ; err == nil && number < len(sums); number++ {
		if sums[number] != 0 {
			err = fmt.Errorf("%w: account %d is not there", cloud.ErrDiffers, number)
		}
	}
	return err
}
