package identity

import (
	"errors"
	"sort"

	"github.com/tollway/tollway/host/ingest"
)

var errNotThere = errors.New("the run that begins here has nothing of what its filter says")

// run is a number of identities on disk, in the order of their keys, in pieces
// that are entries of a log.
type run struct {
	entry      uint64   // of the log of filters
	firstPiece uint64   // entry of the log of pieces
	firstKeys  []uint64 // of the pieces
	count      int
	until      int64 // latest end of a period, unix ns
	gone       bool  // it has expired, and its number still stands in the index
}

// lookup searches the runs that may have an identity.
func (s *Set) lookup(id *ingest.Hash, key uint64, hits []uint32) (prior Seen, known bool, err error) {
	for _, n := range hits {
		at := s.runs[n]
		if at == nil || at.gone {
			continue
		}
		s.lookups++
		if prior, known, err = s.search(at, id, key); known || err != nil {
			return prior, known, err
		}
	}
	return Seen{}, false, nil
}

// probe is the search for an identity in a run. The set has one, whose functions and
// memory would otherwise be made anew for every search.
type probe struct {
	set       *Set
	want      ingest.Hash
	low, high uint64 // keys that have the same prefix
	entry     uint64 // of the log of pieces
	piece     records
	similar   bool // one of those keys is there
	prior     Seen
	known     bool

	look  func(blob []byte) error
	visit func(*record) bool
}

func newProbe(s *Set) *probe {
	p := &probe{set: s}
	p.look, p.visit = p.inPiece, p.sees
	return p
}

// inPiece searches a piece.
func (p *probe) inPiece(blob []byte) (err error) {
	if p.piece, err = parseRecords(blob, blobPiece); err == nil {
		err = p.piece.find(p.low, p.high, p.visit)
	}
	p.piece.blob = nil // which is the store's again
	if err != nil {
		return damaged(p.set.options.Pieces, p.entry, err)
	}
	return nil
}

// sees looks at a record, and reports whether the search goes on.
func (p *probe) sees(have *record) bool {
	p.similar = true
	if have.id == p.want && have.until >= p.set.horizon {
		p.prior, p.known = have.Seen, true
	}
	return !p.known
}

// search looks for an identity in a run of which the index says that it has one
// with the same prefix. That there is none is damage: to say that the identity
// is not known would bill its event twice.
func (s *Set) search(at *run, want *ingest.Hash, key uint64) (prior Seen, known bool, err error) {
	rest := uint64(1)<<(64-32-s.bucketBits) - 1
	p := s.probe
	p.want, p.low, p.high = *want, key&^rest, key|rest
	p.similar, p.known = false, false
	from := max(0, sort.Search(len(at.firstKeys), func(i int) bool { return at.firstKeys[i] >= p.low })-1)
	for i := from; i < len(at.firstKeys) && at.firstKeys[i] <= p.high && !p.known; i++ {
		p.entry = at.firstPiece + uint64(i)
		if err := s.store.Peek(s.options.Pieces, p.entry, p.look); err != nil {
			return Seen{}, false, err
		}
	}
	if !p.similar {
		return Seen{}, false, damaged(s.options.Pieces, at.firstPiece, errNotThere)
	}
	if !p.known {
		return Seen{}, false, nil
	}
	return p.prior, true, nil
}

// register makes a run count and gives it the lowest number that is free.
func (s *Set) register(r *run) uint32 {
	s.count += r.count
	for i, have := range s.runs {
		if have == nil {
			s.runs[i] = r
			return uint32(i)
		}
	}
	s.runs = append(s.runs, r)
	return uint32(len(s.runs) - 1)
}
