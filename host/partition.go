package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// partition is the unit of order: one goroutine runs step and owns every field
// but state, which others may read.
type partition struct {
	number  int
	host    *Host
	state   *accumulate.State
	store   *checkpoint.Partition
	rater   *rate.Rater
	decoder *ingest.Decoder
	reader  *stream.Reader
	unread  []stream.Message // read from the log and left by the step before
	catalog *catalog.Catalog // in force; nil before the first marker
	pending pending
	sorted  triage
	entries [accumulate.Tables][]checkpoint.Entry // memory of the last checkpoint
}

// open loads the partition's last checkpoint and makes sure that the log is the
// one that it was made from.
func (p *partition) open(ctx context.Context) error {
	store, err := p.host.store.Partition(p.number)
	if err != nil {
		return err
	}
	p.store = store
	header, number, err := store.Header()
	if err != nil || number == 0 {
		return err
	}
	h, err := accumulate.DecodeHeader(header)
	if err != nil {
		return err
	}
	for _, table := range []uint8{accumulate.TablePlans, accumulate.TableSlots, accumulate.TableIdentities} {
		if err := store.Load(table, func(key, value []byte) error { return p.state.Load(table, key, value) }); err != nil {
			return err
		}
	}
	p.state.SetHeader(h)
	if err := p.compareLog(ctx, h); err != nil {
		return err
	}
	if err := p.host.invoices.load(p.number, store); err != nil {
		return err
	}
	if h.CatalogRevision == 0 {
		return nil
	}
	snapshot, err := p.host.catalogs.at(ctx, h.CatalogRevision, h.CatalogDigest)
	if err != nil {
		return err
	}
	p.useCatalog(snapshot)
	return nil
}

// compareLog checks that the message at the checkpoint's position is the one
// that the checkpoint was made from.
func (p *partition) compareLog(ctx context.Context, h accumulate.Header) error {
	name := stream.Usage(p.number)
	_, last, err := p.host.conn.LastSequence(ctx, name)
	if err != nil {
		return err
	}
	if last < h.Position {
		return fmt.Errorf("the log has lost its tail: stream %s ends at %d, the checkpoint was made at %d; restore the stream, or start on an empty data directory to rebuild from what is left", name, last, h.Position)
	}
	m, err := p.host.conn.Get(ctx, name, h.Position)
	if err != nil {
		return fmt.Errorf("the message at position %d of stream %s, where the checkpoint was made, cannot be read: %w", h.Position, name, err)
	}
	if messageDigest(*m) != h.Digest {
		return fmt.Errorf("stream %s is not the log that this state was made from: another message stands at position %d; use the data directory that belongs to these streams, or an empty one to rebuild", name, h.Position)
	}
	return nil
}

// useCatalog puts a catalog in force.
func (p *partition) useCatalog(c *catalog.Catalog) {
	p.catalog = c
	p.rater.SetCatalog(c)
}

// close releases what the partition holds.
func (p *partition) close(ctx context.Context) error {
	return p.rater.Close(ctx)
}

// stepLimit bounds what one step reads, and so what one checkpoint holds.
func stepLimit() stream.Limit {
	return stream.Limit{Messages: 20_000, Bytes: 16 << 20, Linger: 5 * time.Millisecond}
}

// step is the way of the events: from the log into a durable checkpoint, and
// only then in front of anybody's eyes.
func (p *partition) step(ctx context.Context) error {
	messages := p.unread
	if len(messages) == 0 {
		var err error
		if messages, err = p.reader.Next(ctx, stepLimit()); err != nil {
			return err
		}
	}
	// A crash from here on leaves the last checkpoint: the same messages are
	// read again and, the log being all that decides, come to the same.
	delta := accumulate.NewDelta(p.state)
	defer delta.Discard()
	n, err := p.fold(ctx, delta, messages)
	if err != nil {
		return err
	}
	if err := p.check(delta); err != nil {
		return err
	}
	if err := p.checkpoint(delta, messages[n-1]); err != nil {
		return err
	}
	// A crash here loses nothing: the checkpoint is durable, and a restart
	// shows it.
	if err := p.host.invoices.load(p.number, p.store); err != nil {
		return err
	}
	p.unread = messages[n:]
	changed := delta.Changed()
	delta.Apply() // from here on those who waited for the position go on
	p.host.committed(p, changed)
	// What goes outward (dead letters, invoices) is published from the
	// checkpoint's logs by the outbox, which finds its place by itself.
	return nil
}

// check asserts what every step must keep, before it is written.
func (p *partition) check(d *accumulate.Delta) error {
	if c := d.Header.Counters; !c.Balanced() {
		return fmt.Errorf("host: partition %d: read %d is not priced %d + duplicates %d + dead-lettered %d; nothing was written",
			p.number, c.Read, c.Priced, c.Duplicates, c.DeadLettered)
	}
	return nil
}

// checkpoint writes a delta, with the position that it reaches, in one atomic
// commit.
func (p *partition) checkpoint(d *accumulate.Delta, last stream.Message) error {
	d.Header.Position = last.Sequence
	d.Header.Digest = messageDigest(last)
	d.Header.Epoch = p.host.epoch
	header, err := d.Header.Encode()
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	for table := range p.entries {
		p.entries[table] = slices.Grow(p.entries[table], d.Count(uint8(table)))
	}
	err = d.Entries(func(table uint8, key, value []byte) {
		p.entries[table] = append(p.entries[table], checkpoint.Entry{Key: key, Value: value})
	})
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	c := checkpoint.Commit{Header: header, Puts: map[uint8][]checkpoint.Entry{}, Appends: map[uint8][][]byte{
		accumulate.LogDeadLetters: d.Appends(accumulate.LogDeadLetters),
		accumulate.LogInvoices:    d.Appends(accumulate.LogInvoices),
	}}
	for table, entries := range p.entries {
		if len(entries) > 0 {
			c.Puts[uint8(table)] = entries
		}
	}
	if err := p.store.Commit(&c); err != nil {
		return fmt.Errorf("host: partition %d: checkpoint at position %d: %w", p.number, last.Sequence, err)
	}
	for table, entries := range p.entries {
		clear(entries)
		p.entries[table] = entries[:0]
	}
	return nil
}

// messageDigest identifies a message of the log, so that another log under the
// same name is noticed.
func messageDigest(m stream.Message) string {
	h := sha256.New()
	h.Write([]byte(m.Subject))
	h.Write([]byte{0})
	h.Write(m.Data)
	return hex.EncodeToString(h.Sum(nil))
}

// run steps until the context ends or an error stops the partition.
func (p *partition) run(ctx context.Context) error {
	reader, err := p.host.conn.Reader(ctx, p.number, p.state.Header().Position)
	if err != nil && ctx.Err() != nil {
		return nil // ended before it began
	}
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	defer reader.Close()
	p.reader = reader
	for {
		if err := p.step(ctx); err != nil {
			if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
	}
}
