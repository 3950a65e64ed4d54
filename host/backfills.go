package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tollway/tollway/host/backfill"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// A backfill is a named set of events that is tried before it is billed. Until it is
// committed it is nothing but files of this host: what it would change is found out on
// trial, and dropping it leaves nothing. To commit it, its messages are written to the
// log, each once, in the order in which they were tried; from then on they are usage as
// any other. That it was committed, by whom, and which events it had, the ledger says:
//
//	ledger.backfill.NAME   begun (digest, by whom, where the logs ended), then done
//
// Each message of a set says in its headers which one of which set it is. So when the
// writing is cut, whoever goes on reads the log from where it ended when the writing
// began, and writes what is missing: one message behind the other, so that no later one
// is there where an earlier one is not.
type backfills struct {
	host   *Host
	store  *backfill.Store
	trials *trials
	wake   chan struct{} // there is something to be written
	turn   chan struct{} // has the turn of the one that works on sets

	mu      sync.Mutex
	records map[string]backfillRecord // by name, as the ledger has them
	changed chan struct{}             // closed and replaced when a record has changed
	failure map[string]error          // of the writing, until it is tried again
}

// backfillRecord is the body of a backfill's message in the ledger.
type backfillRecord struct {
	Name   string         `json:"name"`
	Digest string         `json:"digest"`
	Events uint64         `json:"events"`
	By     string         `json:"by"`            // who committed it
	At     time.Time      `json:"at"`            // when that began
	Ends   map[int]uint64 `json:"ends"`          // the last positions then, by partition
	Done   time.Time      `json:"done,omitzero"` // when all was written and read; zero before
}

// Reasons of backfills, stable.
const (
	ReasonInvalidBackfill  = "invalid_backfill"
	ReasonBackfillExists   = "backfill_exists"
	ReasonBackfillNotShown = "backfill_not_shown"
)

// Where backfills are in the ledger, and the headers of their messages.
const (
	subjectBackfill = "ledger.backfill."
	headerBackfill  = "Tollway-Backfill"
	headerPart      = "Tollway-Backfill-Part"
)

// backfillRetry is how long the writing of a set waits for a log that cannot be reached.
const backfillRetry = 2 * time.Second

// openBackfills opens the sets that are there, and reads what the ledger says of sets.
func (h *Host) openBackfills(ctx context.Context) error {
	store, err := backfill.Open(filepath.Join(h.config.DataDir, "backfills"), h.config.Partitions, h.conn.MessageBytesMax())
	if err != nil {
		return fmt.Errorf("host: %w", err)
	}
	b := &backfills{
		host: h, store: store, trials: newTrials(h), wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		records: map[string]backfillRecord{}, changed: make(chan struct{}), failure: map[string]error{},
	}
	err = h.conn.Each(ctx, stream.Ledger, subjectBackfill+"*", 0, func(m stream.Message) error {
		var r backfillRecord
		if err := json.Unmarshal(m.Data, &r); err != nil {
			return fmt.Errorf("message %d of %s: %w", m.Sequence, stream.Ledger, err)
		}
		b.records[r.Name] = r
		return nil
	})
	if err != nil {
		return fmt.Errorf("host: backfills: %w", err)
	}
	for name, r := range b.records {
		if !r.Done.IsZero() && b.has(name) { // the log has it, and its end came in between
			if err := store.Drop(name); err != nil {
				return fmt.Errorf("host: %w", err)
			}
		}
	}
	h.backfills = b
	return nil
}

// close releases what the backfills hold.
func (b *backfills) close(ctx context.Context) error {
	return errors.Join(b.trials.rater.Close(ctx), b.store.Close())
}

// invalidBackfill makes an error of the store one that tells what to do.
func invalidBackfill(name string, err error) error {
	var line *ingest.LineError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backfill.ErrExists):
		return fault(ReasonBackfillExists, "choose another name, or drop that one: tollway backfill drop "+name, "there is a backfill %s already", name).because(err)
	case errors.Is(err, backfill.ErrNone):
		return fault(ReasonNotFound, "see which there are with: tollway backfill list", "there is no backfill %s that could be worked on", name).because(err)
	case errors.As(err, &line), errors.Is(err, backfill.ErrName), errors.Is(err, backfill.ErrMany), errors.Is(err, backfill.ErrEmpty), errors.Is(err, backfill.ErrSequence):
		return fault(ReasonInvalidBackfill, "nothing was billed; send it again when that is mended", "backfill %s was not taken: %v", name, err).because(err)
	}
	return err
}

// AddToBackfill takes a part of a set, CloudEvents as JSON Lines, numbered from 0.
func (h *Host) AddToBackfill(_ context.Context, name string, number int, lines []byte) error {
	b := h.backfills
	if r, known := b.record(name); known && (!r.Done.IsZero() || b.has(name)) {
		return fault(ReasonBackfillExists, "choose another name", "backfill %s was committed by %s on %s", name, r.By, r.At.Format(time.DateTime))
	}
	return invalidBackfill(name, b.store.Add(name, number, lines))
}

// FinishBackfill makes a set of the parts that were added. A set of which the ledger
// says that it is being committed has to be the same again; the writing goes on then.
func (h *Host) FinishBackfill(_ context.Context, name, by string) (query.Backfill, error) {
	b := h.backfills
	set, err := b.store.Finish(name, by, h.config.Now())
	if err != nil {
		return query.Backfill{}, invalidBackfill(name, err)
	}
	if r, known := b.record(name); known {
		if r.Digest != set.Digest {
			err := fault(ReasonInvalidBackfill, "send the same events in the same order", "backfill %s was being written when it was cut, and is another set than was sent now", name)
			return query.Backfill{}, errors.Join(err, b.store.Drop(name))
		}
		b.start()
	}
	return b.describe(name)
}

func (b *backfills) record(name string) (backfillRecord, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, ok := b.records[name]
	return r, ok
}

func (b *backfills) has(name string) bool {
	_, err := b.store.Get(name)
	return err == nil
}

// keep takes a record that the ledger has.
func (b *backfills) keep(r backfillRecord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records[r.Name] = r
	delete(b.failure, r.Name)
	close(b.changed)
	b.changed = make(chan struct{})
}

// start has what is to be written be written.
func (b *backfills) start() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Backfills lists all sets: those that are here, and those that were committed.
func (h *Host) Backfills(context.Context) ([]query.Backfill, error) {
	b := h.backfills
	names := map[string]bool{}
	for _, s := range b.store.List() {
		names[s.Name] = true
	}
	b.mu.Lock()
	for name := range b.records {
		names[name] = true
	}
	b.mu.Unlock()
	var list []query.Backfill
	for name := range names {
		d, err := b.describe(name)
		var gone *Fault
		if errors.As(err, &gone) {
			continue // dropped meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	for _, s := range b.store.Sending() {
		if !names[s.Name] {
			list = append(list, query.Backfill{Name: s.Name, State: query.BackfillSending, Events: s.Events})
		}
	}
	slices.SortFunc(list, func(x, y query.Backfill) int { return cmp.Or(x.At.Compare(y.At), strings.Compare(x.Name, y.Name)) })
	return list, nil
}

// describe says how a set stands.
func (b *backfills) describe(name string) (query.Backfill, error) {
	set, err := b.store.Get(name)
	r, known := b.record(name)
	if err != nil && !known {
		return query.Backfill{}, invalidBackfill(name, err)
	}
	d := query.Backfill{Name: name, State: query.BackfillReady}
	if set != nil {
		d.Digest, d.Events, d.By, d.At = set.Digest, set.Events, set.By, set.At
		shown, _, err := set.Shown()
		if err != nil {
			return d, err
		}
		d.ShownAt = shown.At
	}
	if !known {
		return d, nil
	}
	d.Digest, d.Events, d.CommittedBy, d.CommittedAt, d.DoneAt = r.Digest, r.Events, r.By, r.At, r.Done
	switch {
	case !r.Done.IsZero():
		d.State = query.BackfillCommitted
	case set != nil:
		d.State = query.BackfillWriting
	default:
		d.State = query.BackfillCut
	}
	if d.At.IsZero() {
		d.At = r.At
	}
	return d, nil
}

// DropBackfill forgets a set that was not committed.
func (h *Host) DropBackfill(ctx context.Context, name string) error {
	b := h.backfills
	if err := b.take(ctx); err != nil {
		return err
	}
	defer b.give()
	if r, known := b.record(name); known {
		return fault(ReasonBackfillExists, "its events are usage as any other: void them", "backfill %s was committed by %s on %s", name, r.By, r.At.Format(time.DateTime))
	}
	return invalidBackfill(name, b.store.Drop(name))
}

func (b *backfills) take(ctx context.Context) error {
	select {
	case b.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *backfills) give() { <-b.turn }

// CommitBackfill has the events of a set written to the log, and returns when they are
// priced. The state may have moved on since its difference was shown: by so many messages.
// What was begun goes on when the caller does not wait for it, or the host is restarted.
func (h *Host) CommitBackfill(ctx context.Context, name, by string) (query.Backfill, uint64, error) {
	b := h.backfills
	moved, err := b.begin(ctx, name, by)
	if err != nil {
		return query.Backfill{}, 0, err
	}
	b.start()
	for {
		b.mu.Lock()
		r, failed, changed := b.records[name], b.failure[name], b.changed
		b.mu.Unlock()
		if !r.Done.IsZero() {
			d, err := b.describe(name)
			return d, moved, err
		}
		if failed != nil {
			return query.Backfill{}, moved, failed
		}
		select {
		case <-changed:
		case <-h.ended:
			return query.Backfill{}, moved, fault(ReasonUnavailable, "the next start goes on with it", "the host is ending")
		case <-ctx.Done():
			return query.Backfill{}, moved, ctx.Err()
		}
	}
}

// begin records in the ledger that a set is committed.
func (b *backfills) begin(ctx context.Context, name, by string) (moved uint64, err error) {
	if err := b.take(ctx); err != nil {
		return 0, err
	}
	defer b.give()
	set, err := b.store.Get(name)
	if _, known := b.record(name); known {
		if err != nil && b.recordOpen(name) {
			return 0, fault(ReasonNotFound, "send the same events again: tollway backfill send "+name+" FILE", "backfill %s was cut, and what was not written of it is not here any more", name)
		}
		b.mu.Lock()
		delete(b.failure, name)
		b.mu.Unlock()
		return 0, nil // it goes on
	}
	if err != nil {
		return 0, invalidBackfill(name, err)
	}
	shown, ok, err := set.Shown()
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, fault(ReasonBackfillNotShown, "look first what it changes: tollway backfill show "+name, "backfill %s was not committed: nobody has seen its difference", name)
	}
	r := backfillRecord{Name: name, Digest: set.Digest, Events: set.Events, By: by, At: b.host.config.Now().UTC(), Ends: map[int]uint64{}}
	for n := range b.host.partitions {
		_, last, err := b.host.conn.LastSequence(ctx, stream.Usage(n))
		if err != nil {
			return 0, fmt.Errorf("host: backfill %s: %w", name, err)
		}
		r.Ends[n] = last
		if at, was := shown.Positions[n]; was && last > at {
			moved += last - at
		}
	}
	body, err := json.Marshal(r)
	if err != nil {
		return 0, fmt.Errorf("host: backfill %s: %w", name, err)
	}
	if _, err := b.host.conn.Append(ctx, subjectBackfill+name, 0, nil, body); err != nil {
		return 0, fmt.Errorf("host: backfill %s: %w", name, err)
	}
	b.keep(r)
	return moved, nil
}

// recordOpen reports whether a set was begun and is not done.
func (b *backfills) recordOpen(name string) bool {
	r, known := b.record(name)
	return known && r.Done.IsZero()
}
