package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// run writes the sets that are committed, until the context ends.
func (b *backfills) run(ctx context.Context) error {
	for {
		again := false
		b.mu.Lock()
		names := slices.Sorted(maps.Keys(b.records))
		b.mu.Unlock()
		for _, name := range names {
			if !b.recordOpen(name) || !b.has(name) {
				continue
			}
			if err := b.writeWithTurn(ctx, name); err != nil && ctx.Err() == nil {
				again = b.failed(name, err) || again
			}
		}
		var retry <-chan time.Time
		if again {
			retry = time.After(backfillRetry)
		}
		select {
		case <-b.wake:
		case <-retry:
		case <-ctx.Done():
			return nil
		}
	}
}

// failed tells of a set that could not be written, and reports whether it is tried again
// without being asked for.
func (b *backfills) failed(name string, err error) (again bool) {
	if errors.Is(err, stream.ErrUnavailable) {
		b.host.log.Warn("a backfill cannot be written, trying on", "backfill", name, "error", err)
		return true
	}
	b.host.log.Error("a backfill cannot be written; committing it again goes on", "backfill", name, "error", err)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failure[name] = err
	close(b.changed)
	b.changed = make(chan struct{})
	return false
}

func (b *backfills) writeWithTurn(ctx context.Context, name string) error {
	if err := b.take(ctx); err != nil {
		return err
	}
	defer b.give()
	return b.write(ctx, name)
}

// write writes what is missing of a set to the log, waits until it is read, and records
// that it is done.
func (b *backfills) write(ctx context.Context, name string) error {
	set, err := b.store.Get(name)
	if err != nil {
		return invalidBackfill(name, err)
	}
	r, _ := b.record(name)
	written, last, err := b.written(ctx, r)
	if err != nil {
		return err
	}
	for _, bucket := range set.Buckets {
		err := set.Each(bucket, func(n uint64, body []byte) error {
			part := bucket.File + "." + strconv.FormatUint(n, 10)
			if written[part] {
				return nil
			}
			sequences, err := b.host.conn.Publish(ctx, []stream.Outgoing{{
				Subject: stream.BatchSubject(bucket.Partition), Data: body,
				Header: map[string]string{"Content-Type": ingest.ContentTypePacked, headerBackfill: name, headerPart: part},
			}})
			if err != nil {
				return fmt.Errorf("host: backfill %s: %w", name, err)
			}
			last[bucket.Partition] = sequences[0]
			return nil
		})
		if err != nil {
			return err
		}
	}
	var positions []query.Position
	for _, n := range slices.Sorted(maps.Keys(last)) {
		positions = append(positions, query.Position{Stream: stream.Usage(n), Partition: n, Sequence: last[n]})
	}
	if err := b.host.Wait(ctx, positions); err != nil {
		return err
	}
	r.Done = b.host.config.Now().UTC()
	if err := b.host.shelf.append(ctx, subjectBackfill+name, r); err != nil {
		return err
	}
	if err := b.store.Drop(name); err != nil { // the log has it
		return err
	}
	b.keep(r)
	return nil
}

// written reads which messages of a set the logs have, behind where they ended when it
// was begun, and where the last one of each partition stands.
func (b *backfills) written(ctx context.Context, r backfillRecord) (parts map[string]bool, last map[int]uint64, err error) {
	parts, last = map[string]bool{}, map[int]uint64{}
	for n := range b.host.partitions {
		err := b.host.conn.Each(ctx, stream.Usage(n), stream.BatchSubject(n), r.Ends[n], func(m stream.Message) error {
			if m.Header.Get(headerBackfill) == r.Name {
				parts[m.Header.Get(headerPart)], last[n] = true, m.Sequence
			}
			return nil
		})
		if err != nil {
			return nil, nil, fmt.Errorf("host: backfill %s: %w", r.Name, err)
		}
	}
	return parts, last, nil
}
