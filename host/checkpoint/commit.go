package checkpoint

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Entry is a key of a table with its new value. A nil Value deletes the key; an
// empty one does not.
type Entry struct {
	Key, Value []byte
}

// Commit is what one checkpoint changes.
type Commit struct {
	// Header replaces the header, at most HeaderMaxBytes.
	Header []byte

	// Puts are the entries changed, by table and in any order; of two for one
	// key the later counts. A key has 1 to KeyMaxBytes bytes.
	Puts map[uint8][]Entry

	// Appends are the entries added to the end of logs, in order.
	Appends map[uint8][][]byte

	// Room says that every entry in Appends for a journal begins with RoomBytes
	// bytes which are not part of it. The store writes its own there, and hands
	// the entry to Badger as it lies instead of copying it first.
	Room bool

	// Trim drops, by log, the entries below a number, of those that were there
	// before this commit. They are never read again; their numbers stay taken.
	// A number below what was trimmed already changes nothing.
	Trim map[uint8]uint64
}

// RoomBytes is the room that [Commit.Room] promises.
const RoomBytes = segmentHeaderSize

// Commit makes c the partition's next checkpoint. When it returns nil, c is on
// the disk; when the process dies before that, the next open finds all of c or
// nothing. What c refers to is free again when Commit returns.
//
// A commit that fits in one of Badger's transactions is one. A larger one
// writes its segments first, in several, and the commit record last.
//
// # Errors
//
// An error that wraps ErrTooLarge, and *DiskFullError: nothing was written, and
// the next Commit may succeed. ErrClosed. Every other error stops the
// partition: it is returned by every later Commit as well, and the store has to
// be opened again; it wraps ErrUncertain, or is the *CorruptError that the fold
// met.
func (p *Partition) Commit(c *Commit) error {
	if err := p.store.enter(); err != nil {
		return err
	}
	defer p.store.leave()
	p.mu.Lock()
	defer p.mu.Unlock()
	if stopped := p.failed.Load(); stopped != nil {
		return stopped.err
	}
	start := p.store.options.Now()
	current := p.state.Load()
	kept, dropped := current.trimmed(c.Trim)
	size, err := c.check(&p.store.journals)
	if err == nil {
		err = p.store.checkSpace(size)
	}
	if err == nil {
		err = p.checkRecord(kept, c)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: partition %d: commit %d: %w", p.number, current.number+1, err)
	}
	next, err := p.pack(kept, c, dropped.writes)
	if err == nil {
		// From here on the new checkpoint counts, or nothing of it does.
		err = p.writer.finish(append(dropped.writes, p.recordWrite(next))...)
	}
	if err != nil {
		err = fmt.Errorf("checkpoint: partition %d: commit %d: %w: %w", p.number, current.number+1, ErrUncertain, err)
		p.stop(err)
		return err
	}
	failpoint.Hit("store.after-last")
	p.state.Store(next)
	p.store.folder.reap(dropped.doomed)
	p.store.counters.commits.Add(1)
	p.took(p.store.options.Now().Sub(start))
	p.store.folder.wake()
	return nil
}

// check refuses what exceeds a limit, and returns about how many bytes the
// commit takes.
func (c *Commit) check(journals *[256]bool) (bytes int64, err error) {
	if len(c.Header) > HeaderMaxBytes {
		return 0, fmt.Errorf("header of %d bytes: %w: at most %d", len(c.Header), ErrTooLarge, HeaderMaxBytes)
	}
	for table, entries := range c.Puts {
		for i := range entries {
			e := &entries[i]
			if len(e.Key) == 0 || len(e.Key) > KeyMaxBytes {
				return 0, fmt.Errorf("table %d: key of %d bytes: %w: must have 1 to %d", table, len(e.Key), ErrTooLarge, KeyMaxBytes)
			}
			if n := len(e.Key) + len(e.Value); n > EntryMaxBytes {
				return 0, fmt.Errorf("table %d: entry of %d bytes: %w: at most %d", table, n, ErrTooLarge, EntryMaxBytes)
			}
			bytes += int64(len(e.Key) + len(e.Value) + entryOverhead)
		}
	}
	for log, entries := range c.Appends {
		room := c.Room && journals[log]
		for _, e := range entries {
			if room && len(e) < RoomBytes {
				return 0, fmt.Errorf("log %d: entry of %d bytes has no room of %d", log, len(e), RoomBytes)
			}
			if len(e) > EntryMaxBytes {
				return 0, fmt.Errorf("log %d: entry of %d bytes: %w: at most %d", log, len(e), ErrTooLarge, EntryMaxBytes)
			}
			bytes += int64(len(e) + entryOverhead)
		}
	}
	return bytes, nil
}

// recordSize returns the most that a commit's record can have: with one more run for
// each table and log touched.
func (c *Commit) recordSize(current *state) int {
	size := recordHeaderSize + len(c.Header) + (len(c.Puts)+len(c.Appends))*(familySize+runSize)
	for i := range current.families {
		size += familySize + len(current.families[i].runs)*runSize
	}
	return size
}

// checkRecord refuses a commit whose record would not fit in a transaction beside a
// segment.
func (p *Partition) checkRecord(current *state, c *Commit) error {
	if size := c.recordSize(current); size > p.store.segmentBytes {
		return fmt.Errorf("commit record of %d bytes: %w: at most %d: too many runs wait for the fold", size, ErrTooLarge, p.store.segmentBytes)
	}
	return nil
}

// pack packs what c changes into runs, writes what does not fit in one
// transaction, and returns the state that the record is to say. last are writes that go
// with the record.
func (p *Partition) pack(current *state, c *Commit, last []write) (*state, error) {
	next := *current
	next.number++
	next.header = slices.Clone(c.Header)
	p.writer.begin(p.store, p.store.txnLimit)
	result := &next
	for _, table := range slices.Sorted(maps.Keys(c.Puts)) {
		if len(c.Puts[table]) == 0 {
			continue
		}
		r, err := p.packTable(p.table(table), c.Puts[table])
		if err != nil {
			return nil, err
		}
		result = result.grown(p.table(table), r)
	}
	var journals []longer
	for _, log := range slices.Sorted(maps.Keys(c.Appends)) {
		if len(c.Appends[log]) == 0 {
			continue
		}
		if j, ok := p.longer(current, log, c.Appends[log], c.Room); ok {
			journals = append(journals, j)
			continue
		}
		r, err := p.packLog(p.log(log), p.LogLast(log)+1, c.Appends[log], c.Room)
		if err != nil {
			return nil, err
		}
		result = result.grown(p.log(log), r)
	}
	return p.packJournals(result, journals, c.Room, last, costOf(recordKeySize, c.recordSize(current)))
}

// packJournals appends to journals: behind all else, when it is known whether the commit
// is a single transaction.
func (p *Partition) packJournals(result *state, journals []longer, room bool, last []write, lastCost cost) (*state, error) {
	for _, w := range last {
		lastCost = lastCost.plus(w.cost())
	}
	single := p.writer.fitsLast(journals, room, len(last)+1, lastCost)
	for _, j := range journals {
		if single {
			r, err := p.packLonger(j, room)
			if err != nil {
				return nil, err
			}
			result = result.lengthened(j.family, r)
			continue
		}
		r, err := p.packLog(j.family, j.last.end(), j.entries, room)
		if err != nil {
			return nil, err
		}
		result = result.grown(j.family, r)
	}
	return result, nil
}

// packTable sorts entries and packs them into a run.
func (p *Partition) packTable(f family, entries []Entry) (run, error) {
	p.sorter.sort(entries)
	k := newPacker(&p.writer, f, 0)
	order := p.sorter.order
	for i := range order {
		e := &entries[order[i].at]
		if i+1 < len(order) && order[i].head == order[i+1].head && bytes.Equal(e.Key, entries[order[i+1].at].Key) {
			continue // a later entry has the same key
		}
		if err := k.table(e.Key, e.Value); err != nil {
			return run{}, err
		}
	}
	p.store.counters.entries.Add(k.run.entries)
	return k.finish()
}

// packLog packs entries into a run.
func (p *Partition) packLog(f family, first uint64, entries [][]byte, room bool) (run, error) {
	k := newPacker(&p.writer, f, first)
	add := k.log
	switch journal := p.store.journals[f.table]; {
	case journal && room:
		add = k.roomy
	case journal:
		add = k.alone
	}
	for _, e := range entries {
		if err := add(e); err != nil {
			return run{}, err
		}
	}
	p.store.counters.entries.Add(k.run.entries)
	return k.finish()
}

// recordWrite encodes the record of a state.
func (p *Partition) recordWrite(s *state) write {
	key := makeRecordKey(p.number)
	p.record = appendRecord(p.record[:0], key, s)
	return write{key: key, value: p.record}
}
