package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/dgraph-io/badger/v4"
)

// LogRange calls fn for the entries of a log from number from on, in order, at
// most limit of them; a limit of 0 or less is none. The entry is valid during
// the call. An error of fn ends it and is returned as it is. Numbers start at
// 1, a from of 0 means 1; a from beyond the end calls nothing. As with Load, fn
// should not be slow: whoever feeds a slow reader asks for a limited range at a
// time.
//
// # Errors
//
// An error that wraps ErrTrimmed when from is below LogFirst. *CorruptError when
// a part of the log that had to be read is missing or damaged.
func (p *Partition) LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error {
	return p.view(func(at *moment, current *state) error {
		return (&View{p, at, current}).LogRange(log, from, limit, fn)
	})
}

// LogRange is that of [Partition].
func (v *View) LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error {
	from = max(from, 1)
	p := v.partition
	f := v.current.find(p.log(log))
	if f == nil || from >= f.next() {
		return nil
	}
	if from < f.first {
		return p.trimmed(f, from)
	}
	scan := logScan{at: v.at, family: f.family, from: from, left: limit, fn: fn}
	for _, r := range f.runs[f.search(from):] {
		read := scan.run
		if p.alone(log, r) {
			read = scan.lent
		}
		if err := read(r); err != nil || scan.full {
			return err
		}
	}
	return nil
}

// LogBackward calls fn for all entries of a log that were not trimmed, the last
// one first. What is said of LogRange's fn and errors holds here. A run of entries
// that share segments, which those of a journal do not, is in memory at once.
func (p *Partition) LogBackward(log uint8, fn func(n uint64, entry []byte) error) error {
	return p.view(func(at *moment, current *state) error {
		return (&View{p, at, current}).LogBackward(log, fn)
	})
}

// LogBackward is that of [Partition].
func (v *View) LogBackward(log uint8, fn func(n uint64, entry []byte) error) error {
	p := v.partition
	f := v.current.find(p.log(log))
	if f == nil {
		return nil
	}
	scan := logScan{at: v.at, family: f.family, from: f.first, fn: fn, backward: true}
	for _, r := range slices.Backward(f.runs) {
		read := scan.turned
		if p.alone(log, r) {
			read = scan.lent
		}
		if err := read(r); err != nil {
			return err
		}
	}
	return nil
}

// trimmed makes the error of a read of an entry that was dropped.
func (p *Partition) trimmed(f *familyState, n uint64) error {
	return fmt.Errorf("checkpoint: partition %d: log %d: entry %d: %w: the first is %d", p.number, f.table, n, ErrTrimmed, f.first)
}

// search returns the place of the run that has number n, which is not below the
// first run's.
func (f *familyState) search(n uint64) int {
	return sort.Search(len(f.runs), func(i int) bool { return f.runs[i].end() > n })
}

// logScan is one LogRange or LogBackward.
type logScan struct {
	at       *moment
	family   family
	from     uint64
	left     int // entries to visit; 0 or less is no limit
	full     bool
	backward bool // a run's last entry comes first
	fn       func(n uint64, entry []byte) error
	key      []byte
}

// visit hands an entry out.
func (l *logScan) visit(n uint64, entry []byte) error {
	if err := l.fn(n, entry); err != nil {
		return err
	}
	l.left--
	l.full = l.left == 0
	return nil
}

// run visits the entries of any run.
func (l *logScan) run(r run) error {
	reader := &runReader{at: l.at, family: l.family, run: r, next: r.first}
	if err := reader.seek(l.from); err != nil {
		return err
	}
	for !l.full {
		n, entry, ok, err := reader.logEntry()
		if err != nil || !ok {
			return err
		}
		if n < l.from {
			continue
		}
		if err := l.visit(n, entry); err != nil {
			return err
		}
	}
	return nil
}

// turned visits the entries of any run, the last one first.
func (l *logScan) turned(r run) error {
	var entries [][]byte
	forward := *l
	forward.fn = func(_ uint64, entry []byte) error {
		entries = append(entries, slices.Clone(entry))
		return nil
	}
	if err := forward.run(r); err != nil {
		return err
	}
	for i, entry := range slices.Backward(entries) {
		if err := l.visit(r.end()-uint64(len(entries)-i), entry); err != nil {
			return err
		}
	}
	return nil
}

// lent visits the entries of a run in which each has a segment of its own.
func (l *logScan) lent(r run) error {
	start, bytes := max(l.from, r.first), uint64(0)
	for i := uint64(0); start+i < r.end() && !l.full; i++ {
		n := start + i
		if l.backward {
			n = r.end() - 1 - i
		}
		l.key = appendSegmentKey(l.key[:0], l.family, r.id, uint32(n-r.first))
		err := lendEntry(l.at, l.family, l.key, r, n, func(value, entry []byte) error {
			bytes += uint64(len(value))
			return l.visit(n, entry)
		})
		if err != nil {
			return err
		}
	}
	if start == r.first && !l.full && bytes != r.bytes {
		return l.family.corrupt(r.id, -1, fmt.Sprintf("%d bytes, the commit record has %d", bytes, r.bytes))
	}
	return nil
}

// lendEntry calls fn with entry n of a run in which each has a segment of its
// own, and with the segment's value, after checking both.
func lendEntry(at *moment, f family, key []byte, r run, n uint64, fn func(value, entry []byte) error) error {
	checked := false
	err := at.lend(key, func(value []byte) error {
		s, err := parseSegment(key, value)
		if err != nil {
			return err
		}
		entry, err := s.only(n)
		if err != nil {
			return err
		}
		checked = true
		return fn(value, entry)
	})
	switch {
	case err == nil || checked:
		return err
	case errors.Is(err, badger.ErrDBClosed):
		return ErrClosed
	}
	return f.corrupt(r.id, int(n-r.first), err.Error())
}

// only returns the entry of a segment that holds just entry n of a log.
func (s segment) only(n uint64) ([]byte, error) {
	switch {
	case s.first != n:
		return nil, fmt.Errorf("starts with number %d, expected %d", s.first, n)
	case s.shape == shapeAlone:
		return s.payload, nil
	case s.shape != shapeWhole || s.count != 1:
		return nil, errHeader
	}
	entry, rest, err := cutLogEntry(s.payload)
	if err == nil && len(rest) > 0 {
		err = errTrailing
	}
	return entry, err
}

// Entry returns a copy of one entry of a log, after checking its sum. Of a
// journal it reads that entry alone.
//
// # Errors
//
// An error that wraps ErrTrimmed when n is below LogFirst, ErrNoEntry when it is
// above LogLast. *CorruptError when the entry is missing or damaged.
func (p *Partition) Entry(log uint8, n uint64) ([]byte, error) {
	var copied []byte
	err := p.View(log, n, func(entry []byte) error {
		copied = slices.Clone(entry)
		return nil
	})
	return copied, err
}

// alone reports whether each entry of a log's run has a segment of its own. Of a
// journal's run the numbers say it, since a segment holds an entry or a piece of
// one; elsewhere large entries and shared segments can come to the same numbers.
func (p *Partition) alone(log uint8, r run) bool {
	return p.store.journals[log] && r.entries == uint64(r.segments)
}

// View is Entry without the copy: fn sees the entry in a buffer of the store's. It may
// not keep it, and should not be slow, as in LogRange.
func (p *Partition) View(log uint8, n uint64, fn func(entry []byte) error) error {
	return p.entry(log, n, func(at *moment, f family, r run) error {
		if p.alone(log, r) {
			key := appendSegmentKey(make([]byte, 0, segmentKeySize), f, r.id, uint32(n-r.first))
			return lendEntry(at, f, key, r, n, func(_, entry []byte) error { return fn(entry) })
		}
		scan := logScan{at: at, family: f, from: n, left: 1, fn: func(_ uint64, entry []byte) error { return fn(entry) }}
		return scan.run(r)
	})
}

// entry calls read with the run of an entry and a transaction that sees it. It
// goes by the published state, which costs less than reading the commit record,
// and begins again when a commit or a fold took the run away meanwhile.
func (p *Partition) entry(log uint8, n uint64, read func(*moment, family, run) error) error {
	if err := p.store.enter(); err != nil {
		return err
	}
	defer p.store.leave()
	current := p.state.Load()
	for {
		f := current.find(p.log(log))
		switch {
		case n == 0 || f == nil || n >= f.next():
			return fmt.Errorf("checkpoint: partition %d: log %d: entry %d: %w", p.number, log, n, ErrNoEntry)
		case n < f.first:
			return p.trimmed(f, n)
		}
		from := f.runs[f.search(n)]
		err := p.readOnce(f.family, from, read)
		var damage *CorruptError
		if !errors.As(err, &damage) {
			return err
		}
		// A transaction that removed the run may be ahead of the state.
		p.mu.Lock()
		newer := p.state.Load()
		p.mu.Unlock()
		if r, ok := newer.runOf(f.family, n); ok && r.id == from.id {
			return err
		}
		current = newer
	}
}

// runOf returns the run of an entry of a log.
func (s *state) runOf(log family, n uint64) (run, bool) {
	f := s.find(log)
	if f == nil || n < f.first || n >= f.next() {
		return run{}, false
	}
	return f.runs[f.search(n)], true
}

// readOnce reads in a moment of its own.
func (p *Partition) readOnce(f family, r run, read func(*moment, family, run) error) error {
	at := p.store.moment()
	defer at.end()
	return read(&at, f, r)
}
