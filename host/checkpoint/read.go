package checkpoint

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// readRecord reads the newest commit record that a transaction sees.
func readRecord(m *moment, partition uint16) (*state, error) {
	key := makeRecordKey(partition)
	value, err := m.get(key, nil)
	if errors.Is(err, errMissing) {
		return &state{}, nil
	}
	if err != nil {
		return nil, damagedRecord(partition, err)
	}
	s, err := parseRecord(partition, key, value)
	if err != nil {
		return nil, damagedRecord(partition, err)
	}
	return s, nil
}

func damagedRecord(partition uint16, err error) error {
	if errors.Is(err, badger.ErrDBClosed) {
		return ErrClosed
	}
	return &CorruptError{Partition: int(partition), Segment: -1, Reason: err.Error()}
}

// view calls fn with the newest checkpoint and a moment that keeps seeing it, whatever is
// committed and folded meanwhile.
func (p *Partition) view(fn func(*moment, *state) error) error {
	if err := p.store.enter(); err != nil {
		return err
	}
	defer p.store.leave()
	m := p.store.moment()
	defer m.end()
	current, err := readRecord(&m, p.number)
	if err != nil {
		return err
	}
	return fn(&m, current)
}

// Load calls fn once for every key of a table that was not deleted, in
// ascending order, with its newest value. Both are valid during the call. An
// error of fn ends it and is returned as it is. Load sees the checkpoint that
// was the newest when it began; what is folded or deleted meanwhile stays on the
// disk until it ends, so fn should not be slow.
//
// # Errors
//
// *CorruptError when a part of the table is missing or damaged; what fn saw
// until then is true, but not all.
func (p *Partition) Load(table uint8, fn func(key, value []byte) error) error {
	return p.view(func(at *moment, current *state) error {
		return (&View{p, at, current}).Load(table, fn)
	})
}

// Load is that of [Partition].
func (v *View) Load(table uint8, fn func(key, value []byte) error) error {
	f := v.current.find(v.partition.table(table))
	if f == nil {
		return nil
	}
	m, err := newMerger(v.at, f.family, f.runs)
	if err != nil {
		return err
	}
	for {
		key, value, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if value == nil {
			continue
		}
		if err := fn(key, value); err != nil {
			return err
		}
	}
}

// runReader reads the entries of one run in order, and checks on the way that
// they are all there.
type runReader struct {
	at     *moment
	family family
	run    run

	index   uint32 // of the next segment
	next    uint64 // the number that the next segment of a log starts with
	entries uint64 // read so far, those skipped by seek not included
	bytes   uint64 // of the segments read so far
	partial bool   // seek skipped segments, so the totals are not comparable

	keyBuf  []byte
	value   []byte // of the current segment
	joined  []byte // of the current entry, if it was in pieces
	payload []byte // what is left of the current segment
	left    uint32 // entries in it
	alone   bool   // the payload is one entry without its length
}

// damaged makes the error of the segment read last.
func (r *runReader) damaged(err error) error {
	if errors.Is(err, badger.ErrDBClosed) {
		return ErrClosed
	}
	return r.family.corrupt(r.run.id, int(r.index)-1, err.Error())
}

// segment reads the next segment.
func (r *runReader) segment() (segment, error) {
	r.keyBuf = appendSegmentKey(r.keyBuf[:0], r.family, r.run.id, r.index)
	r.index++
	value, err := r.at.get(r.keyBuf, r.value)
	if err != nil {
		return segment{}, r.damaged(err)
	}
	r.value = value
	s, err := parseSegment(r.keyBuf, value)
	if err != nil {
		return segment{}, r.damaged(err)
	}
	r.bytes += uint64(len(value))
	return s, nil
}

// more makes the next segment current, or the next entry that is in pieces; ok
// is false at the end of the run, after the totals were found right.
func (r *runReader) more() (ok bool, err error) {
	if r.index == r.run.segments {
		if !r.partial && (r.entries != r.run.entries || r.bytes != r.run.bytes) {
			return false, r.family.corrupt(r.run.id, -1, fmt.Sprintf("%d entries in %d bytes, the commit record has %d in %d",
				r.entries, r.bytes, r.run.entries, r.run.bytes))
		}
		if r.family.kind == kindLog && r.next != r.run.first+r.run.entries {
			return false, r.family.corrupt(r.run.id, -1, "the last number differs from the commit record's")
		}
		return false, nil
	}
	s, err := r.segment()
	if err != nil {
		return false, err
	}
	if s.first != r.next {
		return false, r.damaged(fmt.Errorf("starts with number %d, expected %d", s.first, r.next))
	}
	r.payload, r.left, r.alone = s.payload, s.count, s.shape == shapeAlone
	if s.shape == shapePiece {
		if r.payload, err = r.join(s); err != nil {
			return false, err
		}
		r.left = 1
	}
	if r.alone && r.family.kind == kindTable {
		return false, r.damaged(errHeader)
	}
	r.entries += uint64(r.left)
	if r.family.kind == kindLog {
		r.next += uint64(r.left)
	}
	return true, nil
}

// join reads the remaining pieces of an entry.
func (r *runReader) join(s segment) ([]byte, error) {
	r.joined = r.joined[:0]
	if s.piece != 0 || s.count > r.run.segments-r.index+1 {
		return nil, r.damaged(errHeader)
	}
	for want := uint32(0); ; want++ {
		r.joined = append(r.joined, s.payload...)
		if len(r.joined) > EntryMaxBytes+entryOverhead {
			return nil, r.damaged(errEntry)
		}
		if want+1 == s.count {
			return r.joined, nil
		}
		next, err := r.segment()
		if err != nil {
			return nil, err
		}
		if next.shape != shapePiece || next.piece != want+1 || next.count != s.count || next.first != s.first {
			return nil, r.damaged(errors.New("pieces do not belong together"))
		}
		s = next
	}
}

// drained reports damage when entries ended before bytes.
func (r *runReader) drained() error {
	if r.left == 0 && len(r.payload) > 0 {
		return r.damaged(errTrailing)
	}
	return nil
}

// tableEntry returns the next entry of a table's run; both are valid until the
// next call.
func (r *runReader) tableEntry() (key, value []byte, ok bool, err error) {
	if r.left == 0 {
		if ok, err := r.more(); err != nil || !ok {
			return nil, nil, false, err
		}
	}
	key, value, r.payload, err = cutTableEntry(r.payload)
	if err != nil {
		return nil, nil, false, r.damaged(err)
	}
	r.left--
	return key, value, true, r.drained()
}

// logEntry returns the next entry of a log's run and its number; it is valid
// until the next call.
func (r *runReader) logEntry() (n uint64, entry []byte, ok bool, err error) {
	if r.left == 0 {
		if ok, err := r.more(); err != nil || !ok {
			return 0, nil, false, err
		}
	}
	n = r.next - uint64(r.left)
	if r.alone {
		r.left = 0
		return n, r.payload, true, nil
	}
	entry, r.payload, err = cutLogEntry(r.payload)
	if err != nil {
		return 0, nil, false, r.damaged(err)
	}
	r.left--
	return n, entry, true, r.drained()
}

// seek moves a log's reader to the last segment that starts at or before
// number from, by bisection: the numbers are in the segments' headers, so that
// nothing about segments has to be kept in memory.
func (r *runReader) seek(from uint64) error {
	if from <= r.run.first || r.run.segments == 1 {
		return nil
	}
	low, high := uint32(0), r.run.segments
	start, first := uint32(0), r.run.first // of the entries that low holds
	for high-low > 1 {
		middle := low + (high-low)/2
		r.index = middle
		s, err := r.segment()
		if err != nil {
			return err
		}
		if s.first > from {
			high = middle
			continue
		}
		if s.piece > middle {
			return r.damaged(errHeader)
		}
		// All pieces of an entry have its number; the first is the start.
		low, start, first = middle, middle-s.piece, s.first
	}
	r.index, r.next, r.bytes, r.partial = start, first, 0, start > 0
	return nil
}
