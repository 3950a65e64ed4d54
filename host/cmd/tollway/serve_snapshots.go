package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/backup"
	"github.com/tollway/tollway/host/query"
)

// snapshotsConfig says when a running host copies its state, and where to.
type snapshotsConfig struct {
	Every time.Duration `yaml:"every"` // 0: never
	To    string        `yaml:"to"`    // folder, in which each has one of its own
	Keep  int           `yaml:"keep"`  // how many; default 24
}

// What is kept, and the shortest time between two, unless told otherwise.
const (
	snapshotsKeep = 24
	snapshotsMin  = time.Second
)

// validate sets defaults and reports what is wrong.
func (c *snapshotsConfig) validate() error {
	switch {
	case c.Every == 0 && c.To == "" && c.Keep == 0:
		return nil
	case c.Every < snapshotsMin || c.To == "":
		return usageError{errors.New("snapshots need both a time and a folder: --snapshot-every 1h --snapshot-to DIR, or snapshots.every and snapshots.to in the configuration file")}
	case c.Keep < 0:
		return usageError{errors.New("at least one snapshot is kept: --snapshot-keep is the number of them")}
	case c.Keep == 0:
		c.Keep = snapshotsKeep
	}
	return nil
}

// snapshotTaker takes snapshots of a host until it is ended.
type snapshotTaker struct {
	config  snapshotsConfig
	log     *slog.Logger
	running sync.WaitGroup
	stop    context.CancelFunc
}

// start begins, when snapshots are asked for. The host may be closed once end has
// returned.
func (s *snapshotTaker) start(ctx context.Context, h *host.Host) {
	if s.config.Every == 0 {
		return
	}
	ctx, s.stop = context.WithCancel(ctx)
	s.running.Go(func() { s.run(ctx, h) })
}

func (s *snapshotTaker) end() {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
}

// snapshotRetry bounds the wait after a snapshot that failed.
const snapshotRetry = time.Minute

// run takes the first one when the last of an earlier life is old enough.
func (s *snapshotTaker) run(ctx context.Context, h *host.Host) {
	wait := time.Duration(0)
	last, err := backup.LastTaken(s.config.To)
	if err != nil {
		s.log.Error("the folder of snapshots cannot be read", "error", err)
	} else if !last.IsZero() {
		wait = min(max(0, s.config.Every-h.Now().Sub(last)), s.config.Every)
	}
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		wait = s.config.Every
		if err := s.once(ctx, h); err != nil && ctx.Err() == nil {
			wait = min(s.config.Every, snapshotRetry)
			s.log.Error("no snapshot was taken, trying again", "after", wait, "error", err)
		}
	}
}

// once takes a snapshot and removes those that are too many. One that fails leaves
// nothing behind.
func (s *snapshotTaker) once(ctx context.Context, h *host.Host) error {
	at := h.Now()
	path := filepath.Join(s.config.To, backup.Name(at))
	w, err := backup.Begin(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	m, err := snapshotAll(ctx, h, w, at)
	if err != nil {
		return errors.Join(err, os.RemoveAll(path))
	}
	removed, err := backup.Prune(s.config.To, s.config.Keep)
	s.log.Info("a snapshot was taken", "folder", path, "partitions", len(m.Partitions), "bytes", backupBytes(m), "removed", len(removed))
	return err
}

// snapshotAll writes the state of all partitions.
func snapshotAll(ctx context.Context, h *host.Host, w *backup.Writer, at time.Time) (*backup.Manifest, error) {
	for n := range h.PartitionsHealth() {
		file, err := w.Create(n)
		if err != nil {
			return nil, err
		}
		var head query.SnapshotHead
		err = h.Snapshot(ctx, n, func(of query.SnapshotHead) error {
			head = of
			return nil
		}, file)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("partition %d: %w", n, err), file.Abandon())
		}
		if n == 0 {
			w.Deliveries(head.Deliveries)
		}
		err = file.Finish(backup.Partition{
			Partition: n, Stream: head.Stream, Position: head.Position, LogDigest: head.LogDigest, Checkpoint: head.Checkpoint,
			Digest: head.Digest, CatalogRevision: head.CatalogRevision, TakenAt: head.At,
		}, head.StoreID, file.Sum())
		if err != nil {
			return nil, err
		}
	}
	return w.Finish(ctx, at)
}
