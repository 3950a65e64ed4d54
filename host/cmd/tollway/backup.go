package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/backup"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// backupCommand copies the state of a running host.
type backupCommand struct {
	clientFlags
	To string `required:"" placeholder:"DIR" help:"Folder to make, with manifest.json last. A backup that was cut is begun anew."`
}

// Run writes one file for each partition and the manifest.
func (c *backupCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	w, err := backup.Begin(c.To)
	switch {
	case errors.Is(err, backup.ErrFinished):
		return fmt.Errorf("%s holds a finished backup already: name another folder", c.To)
	case errors.Is(err, backup.ErrNotEmpty):
		return fmt.Errorf("%s is not empty: name a folder that is, or a new one", c.To)
	case err != nil:
		return err
	}
	bar := newProgress(s.err, "copying the state", "kB")
	at := time.Time{}
	for n, partitions := 0, 1; n < partitions; n++ {
		head, err := backupPartition(ctx, clients, w, n, bar)
		if err != nil {
			bar.finish()
			return fmt.Errorf("partition %d: %w", n, err)
		}
		partitions, at = int(head.GetPartitions()), head.GetAt().AsTime()
	}
	bar.finish()
	m, err := w.Finish(ctx, at)
	if err != nil {
		return err
	}
	if err := printBackup(s.out, m); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "the state of %d partitions, %s, is written to %s\n", len(m.Partitions), bytesText(backupBytes(m)), c.To)
	return err
}

// backupPartition writes the snapshot of one partition.
func backupPartition(ctx context.Context, clients *rpc.Clients, w *backup.Writer, partition int, bar *progress) (head *tollwayv1.SnapshotHead, err error) {
	stream, err := clients.Admin.Snapshot(ctx, &tollwayv1.AdminServiceSnapshotRequest{Partition: uint32(partition)})
	if err != nil {
		return nil, failed(clients, err)
	}
	// What is left of a stream that broke off tells nothing more.
	defer func() { _ = stream.Close() }()
	file, err := w.Create(partition)
	if err != nil {
		return nil, err
	}
	finished := false
	defer func() {
		if !finished {
			err = errors.Join(err, file.Abandon())
		}
	}()
	received := 0
	for {
		m, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the last message says that it is the last
		}
		if err != nil {
			return nil, fmt.Errorf("the copy did not come to its end: %w", failed(clients, err))
		}
		if h := m.GetHead(); h != nil {
			head = h
		}
		if _, err := file.Write(m.GetChunk()); err != nil {
			return nil, err
		}
		received += len(m.GetChunk())
		bar.add(received >> 10)
		received &= 1<<10 - 1
		if !m.GetDone() {
			continue
		}
		finished = true
		if partition == 0 {
			w.Deliveries(deliveriesOf(head))
		}
		return head, file.Finish(backup.Partition{
			Partition: partition, Stream: head.GetStream(), Position: head.GetPosition(), LogDigest: head.GetLogDigest(), Checkpoint: head.GetCheckpoint(),
			Digest: head.GetDigest(), CatalogRevision: head.GetCatalogRevision(), TakenAt: head.GetAt().AsTime(),
		}, head.GetStoreId(), m.GetSha256())
	}
}

func deliveriesOf(head *tollwayv1.SnapshotHead) []query.DeliveryProgress {
	var list []query.DeliveryProgress
	for _, d := range head.GetDeliveries() {
		list = append(list, query.DeliveryProgress{Sink: d.GetSink(), Progress: d.GetProgress()})
	}
	return list
}

// printBackup prints what a backup is of.
func printBackup(w io.Writer, m *backup.Manifest) error {
	g := columns(">partition", ">position", ">bytes", "digest")
	for _, p := range m.Partitions {
		digest := p.Digest
		if p.Checkpoint == 0 {
			digest = "empty"
		}
		g.add(strconv.Itoa(p.Partition), strconv.FormatUint(p.Position, 10), strconv.FormatInt(p.Bytes, 10), digest)
	}
	return g.print(w, "table")
}

func backupBytes(m *backup.Manifest) (total uint64) {
	for _, p := range m.Partitions {
		total += uint64(p.Bytes)
	}
	return total
}

// restoreCommand makes a state from a backup.
type restoreCommand struct {
	From   string `required:"" placeholder:"DIR" help:"Folder that tollway backup has filled, or that tollway serve takes snapshots to: then the newest that is whole."`
	Data   string `placeholder:"DIR" help:"Data directory, which must have no state (config: data)."`
	Config string `placeholder:"FILE" help:"Configuration file of the host."`
}

// Run checks the backup and makes the state; no host may run on the directory.
func (c *restoreCommand) Run(ctx context.Context, s streams) error {
	file, err := readServeConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Data != "" {
		file.Data = c.Data
	}
	if file.Data == "" {
		return usageError{errors.New("the data directory is not set: pass --data DIR, or set data: in the configuration file")}
	}
	m, err := c.choose(ctx, s)
	if err != nil {
		return err
	}
	if file.Partitions != 0 && file.Partitions != len(m.Partitions) {
		return fmt.Errorf("the backup has %d partitions, the configuration says %d: it is of another installation", len(m.Partitions), file.Partitions)
	}
	if err := m.Verify(ctx, c.From); err != nil {
		return err
	}
	err = host.Restore(ctx, c.state(m, file.Data))
	if errors.Is(err, host.ErrStateExists) {
		return fmt.Errorf("%s has a state already, which is not written over: move %s away first", file.Data, filepath.Join(file.Data, "state"))
	}
	if err != nil {
		return err
	}
	if err := printBackup(s.out, m); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "restored into %s, as it was at %s; `tollway serve` reads the rest of the log\n", file.Data, m.MadeAt.Format(time.RFC3339))
	return err
}

// choose reads the manifest of the backup, or of the newest whole one of a folder of
// them, and tells what it passed over.
func (c *restoreCommand) choose(ctx context.Context, s streams) (*backup.Manifest, error) {
	m, err := backup.Read(c.From)
	if !errors.Is(err, fs.ErrNotExist) {
		return m, err
	}
	path, m, skipped, err := backup.Newest(ctx, c.From)
	for _, problem := range skipped {
		if _, err := fmt.Fprintf(s.err, "passed over: %v\n", problem); err != nil {
			return nil, err
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no finished backup: it has no %s, and no folder with one", c.From, backup.ManifestName)
	}
	c.From = path
	return m, err
}

// state says what the state is made of.
func (c *restoreCommand) state(m *backup.Manifest, data string) host.RestoreState {
	r := host.RestoreState{DataDir: data, StoreID: m.StoreID, Deliveries: m.Deliveries}
	for _, p := range m.Partitions {
		path := filepath.Join(c.From, p.File)
		r.Partitions = append(r.Partitions, host.RestorePartition{
			Name:     path,
			Head:     query.SnapshotHead{Partition: p.Partition, Position: p.Position, LogDigest: p.LogDigest, Checkpoint: p.Checkpoint, Digest: p.Digest},
			Snapshot: func() (io.ReadCloser, error) { return os.Open(path) },
		})
	}
	return r
}
