package host

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/identity"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// What tests outside the package reach inside for.

// Conn is the host's connection to the log.
func (h *Host) Conn() *stream.Conn { return h.conn.(natsLog).Conn }

// StoreUnseen stores a catalog as an apply does that breaks off before the
// first marker, and does not let the host know.
func (h *Host) StoreUnseen(ctx context.Context, file catalog.File) error {
	other := &catalogs{conn: h.conn, current: catalog.Empty()}
	if err := other.load(ctx); err != nil {
		return err
	}
	next, problems := catalog.Parse([]catalog.File{file})
	resolver := h.newResolver(ctx, catalog.Empty(), ApplyRequest{})
	problems = append(problems, next.Resolve(resolver)...)
	if len(problems) > 0 {
		return &CatalogError{Problems: problems}
	}
	if err := resolver.close(); err != nil {
		return err
	}
	_, err := other.store(ctx, other.current.Merge(next, false), h.config.Now(), false)
	return err
}

// ReadToEnd waits until what is in the log is priced.
func (h *Host) ReadToEnd(ctx context.Context) error { return h.readToEnd(ctx) }

// ApplyLate applies a catalog as Apply does, and calls fn between the look at the
// log and the markers. It returns the warnings.
func (h *Host) ApplyLate(ctx context.Context, file catalog.File, fn func()) ([]string, error) {
	current, _, _ := h.catalogs.newest()
	next, problems := catalog.Parse([]catalog.File{file})
	keepPinned(current, next)
	resolver := h.newResolver(ctx, current, ApplyRequest{})
	problems = append(problems, next.Resolve(resolver)...)
	if len(problems) > 0 {
		return nil, &CatalogError{Problems: problems}
	}
	changes := catalog.Compare(current, next)
	if err := errors.Join(resolver.close(), h.refuseReachingBack(ctx, changes)); err != nil {
		return nil, err
	}
	stored, err := h.catalogs.store(ctx, next, h.Now(), false)
	if err != nil {
		return nil, err
	}
	fn()
	positions, err := h.mark(ctx, h.partitions, stored, h.Now())
	if err == nil {
		err = h.Wait(ctx, positions)
	}
	return h.overtaken(next, changes), err
}

// Condemn lets a partition believe that what it has stored is damaged.
func (h *Host) Condemn(partition int) {
	h.partitions[partition].health.condemn(&checkpoint.CorruptError{Partition: partition, Segment: -1, Reason: "a test says so"})
}

// ForgeAnchor anchors another state in the place of the last one.
func (h *Host) ForgeAnchor(ctx context.Context, partition int, state string) error {
	_, anchor, err := h.Conn().LastAnchor(ctx, partition)
	if err != nil {
		return err
	}
	anchor.State = state
	return h.conn.Anchor(ctx, partition, h.epoch, anchor)
}

// Kept is what a partition keeps of identities.
type Kept struct {
	Horizon    time.Time // zero before the first
	Identities int       // some may have expired
	Stretches  int       // of those that have not expired, as of the last checkpoint
	Pieces     int       // entries of the log that has most of what is on the disk
}

// Kept says what a partition keeps of identities.
func (h *Host) Kept(ctx context.Context, partition int) (Kept, error) {
	p := h.partitions[partition]
	var k Kept
	err := p.ask(ctx, func() {
		if at := p.state.Now().Horizon; at != rate.Beginning {
			k.Horizon = time.Unix(0, at).UTC()
		}
		k.Identities = p.seen.Len()
	})
	k.Stretches = len(p.state.Header().Stretches)
	k.Pieces = int(p.store.LogLast(logPieces) + 1 - p.store.LogFirst(logPieces))
	return k, err
}

// TryAcross takes a copy of an account, calls fn and asks the copy for an identity.
func (h *Host) TryAcross(ctx context.Context, account string, fn func()) error {
	p := h.partitions[billing.Partition(billing.AccountID(account), h.config.Partitions)]
	if err := h.trials.take(ctx); err != nil {
		return err
	}
	defer h.trials.give()
	taken, err := h.trials.begin(ctx, p, []string{account})
	if err != nil {
		return err
	}
	fn()
	t, err := h.trials.over(p, taken, []string{account}, nil)
	if err != nil {
		return err
	}
	_, _, err = t.priced(ctx, ingest.Hash{})
	return err
}

// ForgetHorizon makes a partition's checkpoint what a release would have left that let
// no identity expire. No host may run on the directory.
func ForgetHorizon(dir string, partition int) (err error) {
	config := Config{DataDir: dir, Temporary: true}.withDefaults()
	store, err := checkpoint.Open(filepath.Join(dir, stateName), config.stateOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p, err := store.Partition(partition)
	if err != nil {
		return err
	}
	b, _, err := p.Header()
	if err != nil {
		return err
	}
	h, err := accumulate.DecodeHeader(b)
	if err != nil {
		return err
	}
	sums, err := identity.SumStored(p, identityOptions(rate.Beginning))
	if err != nil {
		return err
	}
	h.Horizon, h.Stretches, h.Sums.Identities = rate.Beginning, nil, 0
	for _, sum := range sums {
		h.Sums.Identities += accumulate.Sum(sum)
	}
	if b, err = h.Encode(); err != nil {
		return err
	}
	return p.Commit(&checkpoint.Commit{Header: b})
}
