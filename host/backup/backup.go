// Package backup keeps copies of a host's state in a folder: one file for each
// partition, and manifest.json, which is written last and says what they are.
//
//	.unfinished                 there while the folder is being filled
//	partition-0.snapshot        a snapshot, see host/checkpoint/FORMAT.md
//	manifest.json
package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tollway/tollway/host/query"
)

// ManifestName is the file that a folder gets last.
const ManifestName = "manifest.json"

// unfinishedName marks a folder that a backup was begun in.
const unfinishedName = ".unfinished"

// manifestVersion is that of the manifest and of the files that it describes.
const manifestVersion = 1

// Manifest describes a finished backup.
type Manifest struct {
	Version int       `json:"version"`
	MadeAt  time.Time `json:"made_at"`
	// StoreID is that of the data directory, which the log knows as its owner.
	StoreID    string      `json:"store_id"`
	Partitions []Partition `json:"partitions"` // by number, all that the log has
	// Deliveries is how far the receivers of invoices had come; none in those of earlier
	// releases.
	Deliveries []query.DeliveryProgress `json:"deliveries,omitempty"`
	// Sum is the SHA-256 of the manifest with an empty sum.
	Sum string `json:"sum"`
}

// Partition is one partition's part of a backup.
type Partition struct {
	Partition       int       `json:"partition"`
	Stream          string    `json:"stream"`
	Position        uint64    `json:"position"`   // in the stream, of the last message that is part of it
	LogDigest       string    `json:"log_digest"` // SHA-256 of that message
	Checkpoint      uint64    `json:"checkpoint"` // its number; 0 for a partition that was empty, which has no file
	Digest          string    `json:"digest"`     // of the state
	CatalogRevision uint64    `json:"catalog_revision"`
	TakenAt         time.Time `json:"taken_at"`
	File            string    `json:"file,omitempty"`
	Bytes           int64     `json:"bytes"`
	SHA256          string    `json:"sha256,omitempty"`
}

// Errors of Begin.
var (
	ErrFinished = errors.New("it holds a finished backup")
	ErrNotEmpty = errors.New("it is not empty")
)

// fileName is that of a partition's file.
func fileName(partition int) string { return fmt.Sprintf("partition-%d.snapshot", partition) }

// Writer fills a folder. It belongs to one goroutine.
type Writer struct {
	dir      string
	manifest Manifest
}

// Begin makes a folder, or takes an empty one, or begins a backup anew that was
// not finished.
//
// # Errors
//
// ErrFinished, ErrNotEmpty, and those of the file system.
func Begin(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	begun := false
	for _, e := range entries {
		begun = begun || e.Name() == unfinishedName
		if e.Name() == ManifestName {
			return nil, ErrFinished
		}
	}
	if len(entries) > 0 && !begun {
		return nil, ErrNotEmpty
	}
	mark := filepath.Join(dir, unfinishedName)
	if err := writeSynced(mark, nil); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	for _, e := range entries { // of the one before, whose partitions are older
		if strings.HasPrefix(e.Name(), "partition-") || strings.HasPrefix(e.Name(), ManifestName) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("backup: %w", err)
			}
		}
	}
	return &Writer{dir: dir, manifest: Manifest{Version: manifestVersion}}, syncFolder(dir)
}

// File is a partition's file while it is written.
type File struct {
	writer *Writer
	file   *os.File
	sum    hash.Hash
	bytes  int64
}

// temporary is behind the name of a file that is not whole.
const temporary = ".new"

// Create begins the file of a partition.
func (w *Writer) Create(partition int) (*File, error) {
	f, err := os.OpenFile(filepath.Join(w.dir, fileName(partition)+temporary), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return &File{writer: w, file: f, sum: sha256.New()}, nil
}

// Write implements [io.Writer].
func (f *File) Write(b []byte) (int, error) {
	n, err := f.file.Write(b)
	f.sum.Write(b[:n])
	f.bytes += int64(n)
	if err != nil {
		return n, fmt.Errorf("backup: %w", err)
	}
	return n, nil
}

// Abandon closes a file that did not become whole, and removes it.
func (f *File) Abandon() error {
	return errors.Join(f.file.Close(), os.Remove(f.file.Name()))
}

// Finish makes the file durable under its name and enters it in the manifest. sum
// is the SHA-256 of what the host has sent, in hex.
func (f *File) Finish(p Partition, storeID, sum string) error {
	have := hex.EncodeToString(f.sum.Sum(nil))
	m := &f.writer.manifest
	switch {
	case have != sum:
		return errors.Join(fmt.Errorf("backup: partition %d did not arrive as it was sent: its SHA-256 is %s, not %s", p.Partition, have, sum), f.Abandon())
	case m.StoreID != "" && m.StoreID != storeID, len(m.Partitions) != p.Partition:
		return errors.Join(fmt.Errorf("backup: partition %d of data directory %s came after partition %d of %s", p.Partition, storeID, len(m.Partitions)-1, m.StoreID), f.Abandon())
	}
	m.StoreID = storeID
	if p.Checkpoint > 0 {
		p.File, p.Bytes, p.SHA256 = fileName(p.Partition), f.bytes, have
	}
	m.Partitions = append(m.Partitions, p)
	if p.File == "" {
		return f.Abandon()
	}
	if err := errors.Join(f.file.Sync(), f.file.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(f.file.Name(), strings.TrimSuffix(f.file.Name(), temporary)); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return syncFolder(f.writer.dir)
}

// Deliveries enters how far the receivers of invoices have come.
func (w *Writer) Deliveries(list []query.DeliveryProgress) { w.manifest.Deliveries = list }

// Finish reads what was written once more and writes the manifest.
func (w *Writer) Finish(ctx context.Context, at time.Time) (*Manifest, error) {
	m := &w.manifest
	m.MadeAt = at.UTC()
	if err := m.Verify(ctx, w.dir); err != nil {
		return nil, err
	}
	var err error
	if m.Sum, err = m.sum(); err != nil {
		return nil, err
	}
	b, err := m.encode()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.dir, ManifestName)
	if err := writeSynced(path+temporary, b); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if err := os.Rename(path+temporary, path); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	if err := syncFolder(w.dir); err != nil {
		return nil, err
	}
	if err := os.Remove(filepath.Join(w.dir, unfinishedName)); err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	return m, syncFolder(w.dir)
}

// encode writes the manifest for people as well.
func (m *Manifest) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("backup: %s: %w", ManifestName, err)
	}
	return append(b, '\n'), nil
}

// sum adds the manifest up.
func (m *Manifest) sum() (string, error) {
	c := *m
	c.Sum = ""
	b, err := c.encode()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Read reads the manifest of a backup.
//
// # Errors
//
// One that wraps fs.ErrNotExist when there is none, so that the backup was not
// finished, or the folder holds none. Others say what is wrong with it.
func Read(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("backup: %w", err)
	}
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("backup: %s is damaged, or of no backup: %w", path, err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("backup: %s is of version %d, this program reads %d", path, m.Version, manifestVersion)
	}
	sum, sumErr := m.sum()
	again, err := m.encode()
	switch {
	case sumErr != nil || err != nil:
		return nil, errors.Join(sumErr, err)
	case sum != m.Sum || !bytes.Equal(again, b): // JSON may be written in other ways, ours is in one
		return nil, fmt.Errorf("backup: %s is damaged: its sum does not match", path)
	}
	for n, p := range m.Partitions {
		if p.Partition != n || p.File != "" && p.File != fileName(n) || (p.File == "") != (p.Checkpoint == 0) {
			return nil, fmt.Errorf("backup: %s is damaged: entry %d is not of partition %d", path, n, n)
		}
	}
	return m, nil
}

// Verify reads every file and compares it with the manifest.
//
// # Errors
//
// The first file that is missing, cut or damaged, by name.
func (m *Manifest) Verify(ctx context.Context, dir string) error {
	for _, p := range m.Partitions {
		if p.File == "" {
			continue
		}
		if err := p.verify(ctx, filepath.Join(dir, p.File)); err != nil {
			return err
		}
	}
	return nil
}

func (p Partition) verify(ctx context.Context, path string) (err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("backup: %s is missing", path)
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if info.Size() != p.Bytes {
		return fmt.Errorf("backup: %s has %d bytes, not %d: it was cut, or is another file", path, info.Size(), p.Bytes)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, &bounded{ctx, f}); err != nil {
		return fmt.Errorf("backup: %s: %w", path, err)
	}
	if have := hex.EncodeToString(sum.Sum(nil)); have != p.SHA256 {
		return fmt.Errorf("backup: %s is damaged: its SHA-256 is %s, not %s", path, have, p.SHA256)
	}
	return nil
}

// bounded reads until a context ends.
type bounded struct {
	ctx context.Context
	r   io.Reader
}

// Read implements [io.Reader].
func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.r.Read(p)
}

// writeSynced writes a file and waits for the disk.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}
