package identity

import (
	"unsafe"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/memory"
)

// Add waits for one place in memory after the other. Foresee and Approach have the
// caches read those places, each what needs nothing that the other has found. A loop
// that calls the one some dozen identities ahead of Add, and the other in between,
// waits for hardly any of them: they are read while it works on others.

// Foresee is the first step ahead of an Add.
func (s *Set) Foresee(id *ingest.Hash) {
	key := keyOf(id)
	for _, g := range s.generations {
		memory.Ahead(unsafe.Pointer(&g.slots[key>>g.slotShift]), unsafe.Sizeof(g.slots[0]))
	}
	s.large.foresee(key)
	s.small.foresee(key)
	if j := s.jobs.now; j != nil {
		j.next.foresee(key)
	}
}

// Approach is the second step, of an identity that was foreseen.
func (s *Set) Approach(id *ingest.Hash) {
	key := keyOf(id)
	s.large.approach(key)
	s.small.approach(key)
	if j := s.jobs.now; j != nil {
		j.next.approach(key)
	}
}

// foresee has the caches read where a key's bucket begins and ends.
func (l *level) foresee(key uint64) {
	if s := &l.segments[key>>(64-l.segmentBits)]; len(s.entries) > 0 {
		memory.Ahead(unsafe.Pointer(&s.starts[l.bucket(key)]), 2*unsafe.Sizeof(s.starts[0]))
	}
}

// approach has them read the bucket.
func (l *level) approach(key uint64) {
	s := &l.segments[key>>(64-l.segmentBits)]
	if len(s.entries) == 0 {
		return
	}
	b := l.bucket(key)
	if from, to := s.starts[b], s.starts[b+1]; from < to { // it may lie in two lines of the cache
		memory.Ahead(unsafe.Pointer(&s.entries[from]), uintptr(to-from)*unsafe.Sizeof(s.entries[0]))
	}
}
