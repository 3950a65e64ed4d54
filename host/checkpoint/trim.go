package checkpoint

import (
	"slices"
)

// The bounds of what one commit does about trimmed runs.
const (
	// trimWritesMax is the number of keys that it writes for them, or a little
	// more; what is left goes with the next commit.
	trimWritesMax = 1_000

	// trimSegmentsMax is the most segments of a run that the commit deletes
	// itself. A run that has more is doomed and deleted behind its back.
	trimSegmentsMax = 64
)

// dropped is what a commit does about trimmed runs.
type dropped struct {
	writes []write  // deletions of segments, and markers
	doomed []doomed // the runs that have a marker
}

// trimmed returns s with the logs' first numbers raised as trim says, without
// the runs that lie below them, and how those go. A crash leaves a run that the
// record does not name only under a marker: a run without one is deleted by the
// transaction that changes the record.
func (s *state) trimmed(trim map[uint8]uint64) (*state, dropped) {
	var gone dropped
	for i := range s.families {
		f := s.families[i]
		if f.kind != kindLog {
			continue
		}
		first := max(f.first, min(trim[f.table], f.next()))
		n := 0
		for n < len(f.runs) && f.runs[n].end() <= first && len(gone.writes) < trimWritesMax {
			gone.add(f.family, f.runs[n])
			n++
		}
		if n == 0 && first == f.first {
			continue
		}
		// Runs are shared with readers of the old state, so they stay in place.
		f.first, f.runs = first, f.runs[n:]
		s = s.with(f)
	}
	return s, gone
}

// add notes how a run goes.
func (d *dropped) add(f family, r run) {
	if r.segments > trimSegmentsMax {
		gone := doomed{family: f, run: r.id}
		d.doomed = append(d.doomed, gone)
		d.writes = append(d.writes, markDoomed(gone))
		return
	}
	for i := range r.segments {
		d.writes = append(d.writes, write{key: appendSegmentKey(nil, f, r.id, i), remove: true})
	}
}

// reap leaves doomed runs to the fold's goroutine.
func (f *folder) reap(runs []doomed) {
	if len(runs) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.doomed = append(f.doomed, runs...)
}

// reapOne deletes a run that reap was given and reports whether there was one.
// When that fails, the marker lets the next open delete it.
func (f *folder) reapOne() (found bool, err error) {
	f.mu.Lock()
	if len(f.doomed) == 0 {
		f.mu.Unlock()
		return false, nil
	}
	gone := f.doomed[0]
	f.doomed = slices.Delete(f.doomed, 0, 1)
	f.mu.Unlock()
	return true, f.store.deleteRuns([]doomed{gone})
}
