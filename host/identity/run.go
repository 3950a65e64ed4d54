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

// search looks for an identity in a run of which the index says that it has one
// with the same prefix. That there is none is damage: to say that the identity
// is not known would bill its event twice.
func (s *Set) search(at *run, want *ingest.Hash, key uint64) (prior Seen, known bool, err error) {
	rest := uint64(1)<<(64-32-s.bucketBits) - 1
	low, high := key&^rest, key|rest
	similar := false
	visit := func(have *record) bool {
		similar = true
		if have.id == *want && have.until >= s.horizon {
			prior, known = have.Seen, true
		}
		return !known
	}
	from := max(0, sort.Search(len(at.firstKeys), func(p int) bool { return at.firstKeys[p] >= low })-1)
	for p := from; p < len(at.firstKeys) && at.firstKeys[p] <= high && !known; p++ {
		entry := at.firstPiece + uint64(p)
		err := s.store.Peek(s.options.Pieces, entry, func(blob []byte) error {
			r, err := parseRecords(blob, blobPiece)
			if err == nil {
				err = r.find(low, high, visit)
			}
			if err != nil {
				return damaged(s.options.Pieces, entry, err)
			}
			return nil
		})
		if err != nil {
			return Seen{}, false, err
		}
	}
	if !similar {
		return Seen{}, false, damaged(s.options.Pieces, at.firstPiece, errNotThere)
	}
	return prior, known, nil
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
