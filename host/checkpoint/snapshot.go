package checkpoint

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/dgraph-io/badger/v4"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// A snapshot is one checkpoint of a partition as a file, see FORMAT.md: the
// segments and the commit record as they are stored, each with the sum that it
// carries anyway, and a SHA-256 of the whole.

// snapshotMagic begins a snapshot.
const snapshotMagic = "tollway-snapshot 1\n"

// Sizes in a snapshot.
const (
	snapshotHead   = 2 + 4 // of an entry: length of the key, length of the value
	snapshotBuffer = 1 << 20
)

// SnapshotError says that a file is no snapshot that can be restored.
type SnapshotError struct{ Reason string }

// Error says what is wrong.
func (e *SnapshotError) Error() string { return "checkpoint: snapshot: " + e.Reason }

// Export writes the checkpoint. What it writes can be read by [Store.Import].
func (v *View) Export(ctx context.Context, w io.Writer) error {
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, sum), snapshotBuffer)
	if _, err := out.WriteString(snapshotMagic); err != nil {
		return fmt.Errorf("checkpoint: snapshot: %w", err)
	}
	entry := func(key, value []byte) error {
		var head [snapshotHead]byte
		binary.LittleEndian.PutUint16(head[:], uint16(len(key)))
		binary.LittleEndian.PutUint32(head[2:], uint32(len(value)))
		for _, part := range [][]byte{head[:], key, value} {
			if _, err := out.Write(part); err != nil {
				return fmt.Errorf("checkpoint: snapshot: %w", err)
			}
		}
		return ctx.Err()
	}
	for i := range v.current.families {
		f := &v.current.families[i]
		for _, r := range f.runs {
			if err := v.exportRun(f.family, r, entry); err != nil {
				return err
			}
		}
	}
	failpoint.Hit("snapshot.before-end")
	key := makeRecordKey(v.partition.number)
	if err := entry(key, appendRecord(nil, key, v.current)); err != nil {
		return err
	}
	if err := entry(nil, nil); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("checkpoint: snapshot: %w", err)
	}
	if _, err := w.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("checkpoint: snapshot: %w", err)
	}
	return nil
}

// exportRun calls entry with each segment of a run, after checking its sum.
func (v *View) exportRun(f family, r run, entry func(key, value []byte) error) error {
	for n := range r.segments {
		key := appendSegmentKey(nil, f, r.id, n)
		checked := false
		err := v.at.lend(key, func(value []byte) error {
			if _, err := parseSegment(key, value); err != nil {
				return err
			}
			checked = true
			return entry(key, value)
		})
		switch {
		case err == nil || checked:
			if err != nil {
				return err
			}
		case errors.Is(err, badger.ErrDBClosed):
			return ErrClosed
		default:
			return f.corrupt(r.id, int(n), err.Error())
		}
	}
	return nil
}

// Import makes an empty partition what a snapshot says: the partition that the
// snapshot is of, whose number it returns. The checkpoint counts once all of the
// snapshot was read and found right; until then the partition stays empty.
//
// # Errors
//
// *SnapshotError when the file is damaged, is none, or the partition is not
// empty. What was written of it stays in the store, which is best removed.
func (s *Store) Import(ctx context.Context, r io.Reader) (partition int, err error) {
	if err := s.enter(); err != nil {
		return 0, err
	}
	defer s.leave()
	in := &snapshotReader{in: bufio.NewReaderSize(r, snapshotBuffer), sum: sha256.New()}
	if magic, err := in.take(len(snapshotMagic)); err != nil || string(magic) != snapshotMagic {
		return 0, &SnapshotError{"this is not a snapshot of this format"}
	}
	var pending []write
	var total cost
	var record write
	for {
		key, value, err := in.entry()
		if err != nil {
			return 0, err
		}
		if key == nil {
			break
		}
		w := write{key: key, value: value}
		if err := in.check(w); err != nil {
			return 0, err
		}
		if key[0] == prefixRecord {
			record = w
			continue
		}
		if next := total.plus(w.cost()); !next.within(s.txnLimit) || len(pending) == s.txnWrites {
			if err := s.transact(pending); err != nil {
				return 0, fmt.Errorf("checkpoint: snapshot: %w", err)
			}
			pending, total = pending[:0], cost{}
		}
		pending, total = append(pending, w), total.plus(w.cost())
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	if err := in.end(); err != nil {
		return 0, err
	}
	return s.adoptRecord(record, pending)
}

// adoptRecord makes the commit record of a snapshot count, together with the
// last of its segments.
func (s *Store) adoptRecord(record write, pending []write) (int, error) {
	number, ok := parseRecordKey(record.key)
	if !ok {
		return 0, &SnapshotError{"it has no commit record"}
	}
	p, err := s.Partition(int(number))
	if err != nil {
		return 0, err
	}
	state, err := parseRecord(number, record.key, record.value)
	if err != nil {
		return 0, &SnapshotError{"commit record: " + err.Error()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if current := p.state.Load(); len(current.families) > 0 || len(current.header) > 0 {
		return 0, &SnapshotError{fmt.Sprintf("partition %d is not empty", number)}
	}
	// The segments first: the record counts with what it names.
	for _, writes := range [][]write{pending, {record}} {
		if len(writes) == 0 {
			continue
		}
		if err := s.transact(writes); err != nil {
			return 0, fmt.Errorf("checkpoint: snapshot: %w", err)
		}
	}
	s.mu.Lock()
	for i := range state.families {
		for _, r := range state.families[i].runs {
			s.lastRun = max(s.lastRun, r.id)
		}
	}
	s.mu.Unlock()
	p.state.Store(state)
	return int(number), nil
}

// snapshotReader reads a snapshot and adds it up.
type snapshotReader struct {
	in        *bufio.Reader
	sum       hash.Hash
	partition int // of the entries; -1 before the first
	begun     bool
}

// take reads bytes that count for the sum.
func (r *snapshotReader) take(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.in, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, &SnapshotError{"its end is missing"}
		}
		return nil, fmt.Errorf("checkpoint: snapshot: %w", err)
	}
	r.sum.Write(b)
	return b, nil
}

// entry returns the next entry, a nil key at the end.
func (r *snapshotReader) entry() (key, value []byte, err error) {
	head, err := r.take(snapshotHead)
	if err != nil {
		return nil, nil, err
	}
	keyLen, valueLen := int(binary.LittleEndian.Uint16(head)), int(binary.LittleEndian.Uint32(head[2:]))
	if keyLen == 0 && valueLen == 0 {
		return nil, nil, nil
	}
	if keyLen == 0 || keyLen > segmentKeySize || valueLen > 2*SegmentMaxBytes {
		return nil, nil, &SnapshotError{"it is damaged: an entry has a length that cannot be"}
	}
	if key, err = r.take(keyLen); err != nil {
		return nil, nil, err
	}
	value, err = r.take(valueLen)
	return key, value, err
}

// check refuses an entry that is not what a partition stores, or of another
// partition than the one before.
func (r *snapshotReader) check(w write) error {
	partition := -1
	if f, _, ok := parseSegmentKey(w.key); ok {
		if _, err := parseSegment(w.key, w.value); err != nil {
			return &SnapshotError{"it is damaged: " + err.Error()}
		}
		partition = int(f.partition)
	} else if number, ok := parseRecordKey(w.key); ok && w.key[0] == prefixRecord {
		partition = int(number)
	}
	if partition < 0 || r.begun && partition != r.partition {
		return &SnapshotError{"it is damaged: an entry is of no partition, or another one"}
	}
	r.begun, r.partition = true, partition
	return nil
}

// end compares the sum behind the last entry.
func (r *snapshotReader) end() error {
	want := r.sum.Sum(nil)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.in, got); err != nil {
		return &SnapshotError{"its end is missing"}
	}
	if !bytes.Equal(got, want) {
		return &SnapshotError{"it is damaged: its SHA-256 does not match"}
	}
	return nil
}
