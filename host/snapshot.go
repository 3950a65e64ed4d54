package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// Snapshot writes the newest checkpoint of a partition to w, while the partition
// goes on. What it writes was read in full and added up before: begin is called
// with what it is, and then w; of a partition without a checkpoint nothing is
// written. Nothing is locked meanwhile; the state takes more of the disk for as
// long as the call lasts.
//
// # Errors
//
// A *Fault for a partition that is not there, that does not serve, or whose state
// turns out to be damaged, which the host then mends by itself. Those of begin
// and w.
func (h *Host) Snapshot(ctx context.Context, partition int, begin func(query.SnapshotHead) error, w io.Writer) error {
	if partition < 0 || partition >= len(h.partitions) {
		return fault(ReasonInvalidPosition, "they are counted from 0", "there is no partition %d: the log has %d", partition, len(h.partitions))
	}
	p := h.partitions[partition]
	store, ok := p.store.(pinnable)
	if !ok {
		return fmt.Errorf("host: partition %d: its store takes no snapshots", partition)
	}
	if err := p.unservable(); err != nil {
		return err
	}
	err := store.Pinned(func(v *checkpoint.View) error { return p.export(ctx, v, begin, w) })
	if isDamage(err) {
		p.health.condemn(err)
		return fault(ReasonUnavailable, "it is made again from the log: ask again a little later", "partition %d is damaged: %v", partition, err).because(err)
	}
	return err
}

// export writes a checkpoint that adds up.
func (p *partition) export(ctx context.Context, v *checkpoint.View, begin func(query.SnapshotHead) error, w io.Writer) error {
	nobody := func(_, _ uint64) {} // the progress that is shown is the scrub's
	r := &auditReader{ctx: ctx, view: v, fast: true, progress: nobody, all: v.Bytes()}
	header, err := r.audit(p.number)
	if err != nil {
		return err
	}
	digest, err := header.StateDigest()
	if err != nil {
		return err
	}
	_, number := v.Header()
	deliveries, err := p.deliveries(ctx)
	if err != nil {
		return err
	}
	err = begin(query.SnapshotHead{
		StoreID: p.host.store.ID(), Partition: p.number, Partitions: len(p.host.partitions), Stream: stream.Usage(p.number),
		Position: header.Position, LogDigest: header.Digest, Checkpoint: number, Digest: digest,
		CatalogRevision: header.CatalogRevision, Bytes: v.Bytes(), At: p.host.config.Now(),
		Deliveries: deliveries,
	})
	if err != nil || number == 0 { // of what was never committed there is nothing to write
		return err
	}
	failpoint.Hit("snapshot.begun")
	return v.Export(ctx, w)
}

// deliveries returns how far the receivers of invoices have come, for partition 0,
// whose snapshot has it for all.
func (p *partition) deliveries(ctx context.Context) ([]query.DeliveryProgress, error) {
	if p.number != 0 {
		return nil, nil
	}
	return p.host.deliverer.Kept(ctx)
}

// restoredDeliveries is the file of a restored data directory that says how far the
// receivers of invoices had come. It is removed when the log has that.
const restoredDeliveries = "deliveries.restored"

// stateName is the folder of the state within a data directory, and
// restoringName where one is made that is not whole yet.
const (
	stateName     = "state"
	restoringName = "state.restoring"
)

// RestoreState is what a data directory's state is made of.
type RestoreState struct {
	DataDir    string
	StoreID    string // see [query.SnapshotHead]
	Partitions []RestorePartition
	Deliveries []query.DeliveryProgress
}

// RestorePartition is one partition of a [RestoreState].
type RestorePartition struct {
	Name     string // of its file, for messages
	Head     query.SnapshotHead
	Snapshot func() (io.ReadCloser, error)
}

// ErrStateExists says that a data directory has a state, which a restore would
// write over.
var ErrStateExists = errors.New("it holds a state already")

// Restore makes the state of a data directory from snapshots. The directory may
// hold a log and compiled plugins; no host may run on it. The state is there when
// Restore returns nil, and nothing of it else.
//
// # Errors
//
// ErrStateExists, a wrapped *checkpoint.SnapshotError that names the file, and
// those of the file system.
func Restore(ctx context.Context, r RestoreState) (err error) {
	state, temporary := filepath.Join(r.DataDir, stateName), filepath.Join(r.DataDir, restoringName)
	if err := vacant(state); err != nil {
		return err
	}
	if err := os.RemoveAll(temporary); err != nil { // of a restore that was cut
		return fmt.Errorf("restore: %w", err)
	}
	made, err := firstMissing(r.DataDir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if made == "" {
		made = temporary
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(made))
		}
	}()
	if err := importAll(ctx, temporary, r); err != nil {
		return err
	}
	if err := r.writeDeliveries(); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Remove(state); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one
		return fmt.Errorf("restore: %w", err)
	}
	if err := os.Rename(temporary, state); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return syncDirectory(r.DataDir)
}

// writeDeliveries writes how far the receivers of invoices had come, for the next start.
func (r *RestoreState) writeDeliveries() error {
	path := filepath.Join(r.DataDir, restoredDeliveries)
	if len(r.Deliveries) == 0 {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) { // of a restore that was cut
			return err
		}
		return nil
	}
	b, err := json.Marshal(r.Deliveries)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// vacant returns nil when there is no state in a folder.
func vacant(state string) error {
	entries, err := os.ReadDir(state)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("restore: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("restore into %s: %w", filepath.Dir(state), ErrStateExists)
	}
	return nil
}

// firstMissing returns the outermost folder of a path that is not there, "" when
// all are.
func firstMissing(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	missing := ""
	for {
		_, err := os.Stat(path)
		if err == nil {
			return missing, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		missing, path = path, filepath.Dir(path)
	}
}

// importAll makes a store of all partitions and closes it.
func importAll(ctx context.Context, dir string, r RestoreState) (err error) {
	if err := checkpoint.Prepare(dir, r.StoreID); err != nil {
		return err
	}
	config := Config{DataDir: r.DataDir}.withDefaults()
	store, err := checkpoint.Open(dir, config.stateOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	for _, p := range r.Partitions {
		if p.Head.Checkpoint == 0 {
			continue // it was empty
		}
		if err := importOne(ctx, store, p); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}

// importOne imports a snapshot and looks whether it is the one that was asked
// for.
func importOne(ctx context.Context, store *checkpoint.Store, p RestorePartition) (err error) {
	file, err := p.Snapshot()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	number, err := store.Import(ctx, file)
	if err != nil {
		return err
	}
	if number != p.Head.Partition {
		return &checkpoint.SnapshotError{Reason: fmt.Sprintf("it is of partition %d, not %d", number, p.Head.Partition)}
	}
	partition, err := store.Partition(number)
	if err != nil {
		return err
	}
	b, _, err := partition.Header()
	if err != nil {
		return err
	}
	var h accumulate.Header
	if len(b) > 0 {
		if h, err = accumulate.DecodeHeader(b); err != nil {
			return &checkpoint.SnapshotError{Reason: err.Error()}
		}
	}
	digest, err := h.StateDigest()
	if err != nil {
		return &checkpoint.SnapshotError{Reason: err.Error()}
	}
	if h.Position != p.Head.Position || digest != p.Head.Digest || h.Digest != p.Head.LogDigest {
		return &checkpoint.SnapshotError{Reason: fmt.Sprintf("it is of position %d with digest %s, not of position %d with digest %s",
			h.Position, digest, p.Head.Position, p.Head.Digest)}
	}
	return nil
}

// syncDirectory makes the names in a folder durable.
func syncDirectory(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
