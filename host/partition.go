package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/internal/stage"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// partition is the unit of order. Its goroutine, work, folds the log into the
// state; beside it one reads ahead and one writes checkpoints.
//
//	read ──messages──▶ work ──cuts──▶ commit
//	                     ◀──durable──────┘
type partition struct {
	number int
	host   *Host
	state  *accumulate.State
	store  PartitionStore
	health *health

	letters   verdicts      // on dead letters, of the committed state
	completed chan struct{} // closed once the partition has all it needs to fold, or has been begun anew

	// The working goroutine owns these.
	seen      *identity.Set
	rater     *rate.Rater
	decoder   *ingest.Decoder
	reader    LogReader        // the reading goroutine's, while the partition runs
	catalog   *catalog.Catalog // in force; nil before the first marker
	pending   pending
	sorted    triage
	last      stream.Message // the last one folded in
	committer committer
	turn      turn
	positions positions
	marks     []mark      // of catalogs in the log, in order; nil: not read yet
	asks      chan func() // are called between two messages
	trial     *trial      // what makes it a copy that folds on trial; nil for the partition itself
	sighted   sighted

	tally   *accumulate.Tally // the committing goroutine's, while the partition runs
	fetched fetched

	pace pace
}

// load reads of the partition's last checkpoint what queries are answered from. It
// needs no log. A checkpoint that is damaged is dropped, to be made again.
func (p *partition) load() error {
	err := p.loadStored()
	if isDamage(err) {
		return p.beginAnew(err)
	}
	return err
}

func (p *partition) loadStored() error {
	store, err := p.host.store.Partition(p.number)
	if err != nil {
		return err
	}
	p.store = store
	if _, ok := store.(pinnable); !ok {
		p.health.checked() // nothing is promised of a store that cannot be read in full
	}
	p.committer = newCommitter(p)
	header, _, err := store.Header()
	if err != nil {
		return err
	}
	if len(header) == 0 {
		p.health.checked() // there is nothing
		return nil
	}
	h, err := accumulate.DecodeHeader(header)
	if err != nil {
		return err
	}
	loader := accumulate.NewLoader(p.state, h)
	for _, table := range accumulate.Tables() {
		if err := store.Load(table, func(key, value []byte) error { return loader.Table(table, key, value) }); err != nil {
			return err
		}
	}
	if err := store.LogBackward(accumulate.LogSlots, func(_ uint64, entry []byte) error { return loader.Journal(entry) }); err != nil {
		return err
	}
	loader.DeadLetters(store.LogLast(accumulate.LogDeadLetters))
	if last := store.LogLast(accumulate.LogVerdicts); last > 0 {
		err := store.LogRange(accumulate.LogVerdicts, 1, int(last), func(_ uint64, entry []byte) error { return loader.Verdict(entry) })
		if err != nil {
			return err
		}
	}
	if err := loader.End(); err != nil {
		return err
	}
	if err := p.positions.resume(store, p.state, h.Position); err != nil {
		return err
	}
	return p.loadLists()
}

// loadLists takes what became of the partition's usage into the lists of it: those of
// all invoices and alerts, and of the verdicts on its dead letters.
func (p *partition) loadLists() error {
	if err := p.host.invoices.load(p.number, p.store); err != nil {
		return err
	}
	if err := p.host.alerts.load(p.number, p.store); err != nil {
		return err
	}
	if err := p.letters.load(p.store); err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	return nil
}

// complete reads of the last checkpoint what only folding needs: the identities, and
// the sums, which are compared with what the checkpoint says. Queries are answered
// meanwhile, from values whose sums were checked when they were read; usage and
// closes wait. As many partitions do it at a time as have a turn.
func (p *partition) complete(ctx context.Context) error {
	if p.seen != nil {
		return nil // it was begun anew when it was opened
	}
	if p.turn.take(ctx) != nil {
		return nil // ended before it began, which the caller sees
	}
	defer p.turn.give()
	if err := p.completeStored(); err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	failpoint.Hit("open.completed")
	return nil
}

func (p *partition) completeStored() error {
	seen, err := identity.Open(p.store, identityOptions(p.state.Now().Horizon))
	if err != nil {
		return err
	}
	tally, err := p.addUp()
	if err != nil {
		return errors.Join(err, seen.Close())
	}
	p.seen, p.tally = seen, tally
	return p.moveHorizon() // of a release that moved none
}

// join makes sure that the log is the one that the loaded checkpoint was made
// from, and puts its catalog in force.
func (p *partition) join(ctx context.Context) error {
	if p.state.Header().Position > 0 {
		if err := p.compareLog(ctx, p.state.Header()); err != nil {
			return err
		}
	}
	err := p.compareAnchor(ctx)
	var differs *DigestError
	if errors.As(err, &differs) { // the checkpoint is whole, and not the one that stood there
		err = p.beginAnew(err)
		if err == nil {
			err = p.compareAnchor(ctx)
		}
	}
	if err != nil {
		return err
	}
	h := p.state.Header()
	if err := p.loadLists(); err != nil { // those of a partition that is empty or was begun anew
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
		return fmt.Errorf("the log has lost its tail: stream %s ends at %d, the checkpoint was made at %d; restore the stream: docs/recovery.md says what can be done", name, last, h.Position)
	}
	m, err := p.host.conn.Get(ctx, name, h.Position)
	if err != nil {
		return fmt.Errorf("the message at position %d of stream %s, where the checkpoint was made, cannot be read: %w", h.Position, name, err)
	}
	if messageDigest(*m) != h.Digest {
		return fmt.Errorf("stream %s is not the log that this state was made from: another message stands at position %d; use the data directory that belongs to these streams: docs/recovery.md says what can be done", name, h.Position)
	}
	return nil
}

// useCatalog puts a catalog in force.
func (p *partition) useCatalog(c *catalog.Catalog) {
	p.catalog = c
	p.rater.SetCatalog(c)
	p.state.Track(c.HasAlerts())
}

// close releases what the partition holds.
func (p *partition) close(ctx context.Context) error {
	var problems []error
	if p.rater != nil {
		problems = append(problems, p.rater.Close(ctx))
	}
	if p.seen != nil {
		problems = append(problems, p.seen.Close())
	}
	return errors.Join(problems...)
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

// readLimit bounds what is read at a time, and so what is in memory beside the
// state: as much is being read while it is worked on.
func readLimit() stream.Limit {
	return stream.Limit{Messages: 4_000, Bytes: 1 << 20, Linger: time.Millisecond}
}

// run works until the context ends or an error stops the partition.
func (p *partition) run(ctx context.Context) error {
	reader, err := p.openReader(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // ended before it began
	}
	if err != nil {
		return fmt.Errorf("host: partition %d: %w", p.number, err)
	}
	defer reader.Close()
	p.reader = reader
	group, working := errgroup.WithContext(ctx)
	messages := make(chan []stream.Message)
	group.Go(func() error { return p.read(working, messages) })
	group.Go(func() error { return p.committer.run(working) })
	group.Go(func() error { return p.work(working, messages) })
	if _, ok := p.host.store.(resettable); ok {
		group.Go(func() error { return p.condemned(working) })
	}
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err // also of a call that was cancelled while nobody ended the partition
	}
	return nil
}

// openReader begins to read behind the state. While the log cannot be asked it tries
// on, as the reader itself does later.
func (p *partition) openReader(ctx context.Context) (LogReader, error) {
	for {
		reader, err := p.host.conn.Reader(ctx, p.number, p.state.Header().Position)
		if !errors.Is(err, stream.ErrUnavailable) || ctx.Err() != nil {
			return reader, err
		}
		p.host.log.Warn("the log cannot be read, trying on", "partition", p.number, "error", err)
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read reads ahead of the work.
func (p *partition) read(ctx context.Context, messages chan<- []stream.Message) error {
	stage.Read.Enter()
	// The reader uses its list again, so each goes over in one of ours: one is
	// worked on while the other is filled, and handed over when the work is done.
	var lists [2][]stream.Message
	for n := 0; ; n = (n + 1) % len(lists) {
		batch, err := p.reader.Next(ctx, readLimit())
		if err != nil {
			return err
		}
		failpoint.Hit("read.batch")
		p.fetched.reached(batch[len(batch)-1].Sequence)
		lists[n] = append(lists[n][:0], batch...)
		select {
		case messages <- lists[n]:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// work is the way of the events: from the log into the state, and from there into
// checkpoints.
func (p *partition) work(ctx context.Context, messages <-chan []stream.Message) error {
	c := &p.committer
	defer c.stop()
	for {
		if !c.heard() && !p.answered() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case batch := <-messages:
				p.turn.logged = batch[0].Time
				err := p.turn.take(ctx)
				begun := p.host.config.Now()
				if err == nil {
					err = p.foldUpTo(ctx, batch)
				}
				p.turn.give()
				now := p.host.config.Now()
				p.turn.turns.worked(now, now.Sub(begun))
				if err != nil {
					return err
				}
			case done := <-c.done:
				c.landed(done)
			case <-c.due.C:
				c.late = true
			case fn := <-p.asks:
				fn()
			}
		}
		if err := c.offer(ctx); err != nil {
			return err
		}
	}
}

// check asserts what every checkpoint must keep, before it is written.
func (p *partition) check(h *accumulate.Header) error {
	if c := h.Counters; !c.Balanced() {
		return fmt.Errorf("host: partition %d: read %d is not priced %d + duplicates %d + dead-lettered %d; nothing was written",
			p.number, c.Read, c.Priced, c.Duplicates, c.DeadLettered)
	}
	return nil
}
