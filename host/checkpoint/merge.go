package checkpoint

import "bytes"

// merger merges the runs of a table: every key once, in order, with the value
// of the newest run that has it.
type merger struct {
	sources []*source // a heap; the least key first, of equal keys the newest
	last    *source   // whose entry was returned last and has to move on
}

// source is a run in a merger.
type source struct {
	runReader
	age        int // greater is newer
	head       uint64
	key, entry []byte
	kept       []byte // the key before, when its segment is gone
}

// newMerger starts to read runs, given oldest first.
func newMerger(at *moment, f family, runs []run) (*merger, error) {
	m := &merger{sources: make([]*source, 0, len(runs))}
	for i, r := range runs {
		s := &source{runReader: runReader{at: at, family: f, run: r}, age: i}
		ok, err := s.advance()
		if err != nil {
			return nil, err
		}
		if ok {
			m.sources = append(m.sources, s)
		}
	}
	for i := len(m.sources)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// advance moves a source to its next entry.
func (s *source) advance() (ok bool, err error) {
	previous := s.key
	if s.left == 0 { // the next segment takes the place of this one's bytes
		s.kept = append(s.kept[:0], s.key...)
		previous = s.kept
	}
	s.key, s.entry, ok, err = s.tableEntry()
	if err != nil || !ok {
		return false, err
	}
	if bytes.Compare(previous, s.key) >= 0 {
		return false, s.damaged(errOrder)
	}
	s.head = headOf(s.key, 0)
	return true, nil
}

// next returns the next key with its newest value, nil for a deletion; both are
// valid until the next call. ok is false at the end.
func (m *merger) next() (key, value []byte, ok bool, err error) {
	if m.last != nil {
		if err := m.pass(m.last.key); err != nil {
			return nil, nil, false, err
		}
	}
	if len(m.sources) == 0 {
		m.last = nil
		return nil, nil, false, nil
	}
	m.last = m.sources[0]
	return m.last.key, m.last.entry, true, nil
}

// pass moves every source that stands on key.
func (m *merger) pass(key []byte) error {
	older := false
	// Older values of the key lie directly below the top of the heap.
	for i := 1; i <= 2 && i < len(m.sources); i++ {
		older = older || bytes.Equal(m.sources[i].key, key)
	}
	if older {
		key = bytes.Clone(key)
	}
	for {
		ok, err := m.sources[0].advance()
		if err != nil {
			return err
		}
		if !ok {
			n := len(m.sources) - 1
			m.sources[0] = m.sources[n]
			m.sources = m.sources[:n]
		}
		m.down(0)
		if !older || len(m.sources) == 0 || !bytes.Equal(m.sources[0].key, key) {
			return nil
		}
	}
}

// before reports whether a's entry comes before b's: by key, of equal keys the
// newer.
func before(a, b *source) bool {
	if a.head != b.head {
		return a.head < b.head
	}
	if c := bytes.Compare(a.key, b.key); c != 0 {
		return c < 0
	}
	return a.age > b.age
}

// down restores the heap below i.
func (m *merger) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(m.sources); child++ {
			if before(m.sources[child], m.sources[least]) {
				least = child
			}
		}
		if least == i {
			return
		}
		m.sources[i], m.sources[least] = m.sources[least], m.sources[i]
		i = least
	}
}
