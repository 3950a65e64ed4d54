package identity

import (
	"errors"
	"fmt"
	"io"
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

	head, part []byte
	fetch      func(from, to int) ([]byte, error)
	visit      func(*record) bool
}

// probeHead is what is read of a piece at first: what stands before its pages, unless it
// has the ends of many billing periods.
const probeHead = 1 << 10

func newProbe(s *Set) *probe {
	p := &probe{set: s, head: make([]byte, probeHead)}
	p.fetch, p.visit = p.read, p.sees
	return p
}

// inPiece searches a piece: it reads what stands before the pages, and one page.
func (p *probe) inPiece() error {
	n, err := p.set.store.ReadAt(p.set.options.Pieces, p.entry, p.head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if p.piece, err = fetchPiece(p.head[:n], p.fetch); err == nil {
		err = p.piece.find(p.low, p.high, p.visit)
	}
	if err != nil && !errors.Is(err, errRead) {
		err = damaged(p.set.options.Pieces, p.entry, err)
	}
	return err
}

// errRead is wrapped by what the store reports, which says itself what is damaged.
var errRead = errors.New("read")

// read reads a part of the piece.
func (p *probe) read(from, to int) ([]byte, error) {
	if cap(p.part) < to-from {
		p.part = make([]byte, to-from)
	}
	part := p.part[:to-from]
	switch _, err := p.set.store.ReadAt(p.set.options.Pieces, p.entry, part, int64(from)); {
	case errors.Is(err, io.EOF):
		return nil, errBlobLength
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errRead, err)
	}
	return part, nil
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
		if err := p.inPiece(); err != nil {
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
