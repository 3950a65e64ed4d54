package backfill

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/sdk/billing"
)

// Set is a set of events that is whole. What it has does not change.
type Set struct {
	Manifest
	dir string
}

// Bucket is a part of a set: all events of some accounts of a partition.
type Bucket struct {
	File      string `json:"file"`
	Partition int    `json:"partition"`
	Messages  uint64 `json:"messages"`
	Events    uint64 `json:"events"`
}

// Shown returns as of where the set's difference was shown, false when it was not.
func (s *Set) Shown() (shown Shown, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, fileShown))
	if errors.Is(err, os.ErrNotExist) {
		return shown, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &shown)
	}
	if err != nil {
		return shown, false, fmt.Errorf("backfill: %s: %w", s.Name, err)
	}
	return shown, true, nil
}

// SetShown notes as of where the difference was shown.
func (s *Set) SetShown(shown Shown) error {
	if err := s.write(fileShown, shown); err != nil {
		return fmt.Errorf("backfill: %s: %w", s.Name, err)
	}
	return nil
}

// write writes a file of the set durably, whole or not at all.
func (s *Set) write(name string, of any) error {
	text, err := json.MarshalIndent(of, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, name)
	file, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, '\n'))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return errors.Join(syncFolder(s.dir), syncFolder(filepath.Dir(s.dir)))
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const frameHead = 8

// Each calls fn with the messages of a bucket, numbered from 1. The body is fn's only
// until it returns. ErrCorrupt says that the file is not what was written.
func (s *Set) Each(b Bucket, fn func(n uint64, body []byte) error) (err error) {
	file, err := os.Open(filepath.Join(s.dir, b.File))
	if err != nil {
		return fmt.Errorf("backfill: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	in := bufio.NewReaderSize(file, 256<<10)
	var head [frameHead]byte
	for n := uint64(1); n <= b.Messages; n++ {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return fmt.Errorf("%w: %s, message %d: %w", ErrCorrupt, file.Name(), n, err)
		}
		size := binary.LittleEndian.Uint32(head[:])
		if size > ingest.BodyBytesMax {
			return fmt.Errorf("%w: %s, message %d", ErrCorrupt, file.Name(), n)
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil || crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return fmt.Errorf("%w: %s, message %d", ErrCorrupt, file.Name(), n)
		}
		if err := fn(n, body); err != nil {
			return err
		}
	}
	return nil
}

// writer writes a bucket.
type writer struct {
	bucket Bucket
	file   *os.File
	packer *ingest.Packer
	body   []byte
}

func newWriter(dir string, b Bucket, bytesMax int) (*writer, error) {
	file, err := os.OpenFile(filepath.Join(dir, b.File), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &writer{bucket: b, file: file, packer: ingest.NewPacker(bytesMax)}, nil
}

func (w *writer) add(e *billing.UsageEvent) error {
	err := w.packer.Add(e)
	if errors.Is(err, ingest.ErrFull) {
		if err = w.flush(); err == nil {
			err = w.packer.Add(e)
		}
	}
	if err == nil && w.packer.Len() >= messageEvents {
		err = w.flush()
	}
	w.bucket.Events++
	return err
}

// flush writes the message that is being built.
func (w *writer) flush() error {
	if w.packer.Len() == 0 {
		return nil
	}
	w.body = w.packer.AppendMessage(append(w.body[:0], make([]byte, frameHead)...))
	body := w.body[frameHead:]
	binary.LittleEndian.PutUint32(w.body, uint32(len(body)))
	binary.LittleEndian.PutUint32(w.body[4:], crc32.Checksum(body, castagnoli))
	w.bucket.Messages++
	_, err := w.file.Write(w.body)
	return err
}

func (w *writer) close() error { return errors.Join(w.flush(), w.file.Sync(), w.file.Close()) }
