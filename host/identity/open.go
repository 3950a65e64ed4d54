package identity

import (
	"bytes"
	"fmt"
)

// Open makes a set of what the checkpoint holds. The store is read by Add as
// well, later.
//
// # Errors
//
// Those of the store, and ErrCorrupt.
func Open(store Store, o Options) (*Set, error) { return open(store, o, defaultSizes()) }

func open(store Store, o Options, z sizes) (*Set, error) {
	s := &Set{
		sizes: z, store: store, options: o, horizon: o.Horizon,
		nextRecent: store.LogLast(o.Recent) + 1, nextPiece: store.LogLast(o.Pieces) + 1, nextFilter: store.LogLast(o.Filters) + 1,
	}
	s.probe = newProbe(s)
	filters, err := s.readFilters()
	if err != nil {
		return nil, err
	}
	s.smallMin = 2 * s.room()
	s.small = newLevel(s.bucketBits, s.smallMin, len(s.runs))
	s.large = newLevel(s.bucketBits, max(s.count, 4*s.smallMin), len(s.runs)) // in parts from the start, or the first step is a long one
	if err := s.fill(filters); err != nil {
		return nil, err
	}
	if err := s.readRecent(); err != nil {
		return nil, err
	}
	return s, nil
}

// readFilters registers the runs and returns their filters, in the order of
// their numbers.
func (s *Set) readFilters() ([]filter, error) {
	var filters []filter
	log := s.options.Filters
	err := s.store.LogRange(log, s.store.LogFirst(log), 0, func(n uint64, blob []byte) error {
		f, err := parseFilter(blob)
		if err != nil {
			return damaged(log, n, err)
		}
		s.recentBelow = max(s.recentBelow, f.recentBelow)
		if f.count == 0 || f.until < s.horizon {
			return nil
		}
		if first := s.store.LogFirst(s.options.Pieces); f.firstPiece < first || f.firstPiece+uint64(len(f.firstKeys)) > s.nextPiece {
			return damaged(log, n, errPieces)
		}
		f.deltas = bytes.Clone(f.deltas)
		s.register(&run{entry: n, firstPiece: f.firstPiece, firstKeys: f.firstKeys, count: f.count, until: f.until})
		filters = append(filters, f)
		return nil
	})
	return filters, err
}

// fill puts the filters into the large level, a segment at a time, so that what
// is written stays in the caches.
func (s *Set) fill(filters []filter) error {
	readers := make([]prefixes, len(filters))
	for i := range filters {
		readers[i] = filters[i].prefixes()
	}
	var list []loose
	for at := range s.large.segments {
		list = list[:0]
		_, to := s.large.bounds(at)
		for i := range readers {
			var err error
			if list, err = readers[i].below(list, to, uint64(i)); err != nil {
				return damaged(s.options.Filters, s.runs[i].entry, err)
			}
		}
		if err := s.large.build(at, list, &s.jobs.spare); err != nil {
			return err
		}
	}
	return nil
}

// readRecent reads what is not in runs. A blob's records stay in one
// generation, since the log is trimmed by blobs.
func (s *Set) readRecent() error {
	s.generations = append(s.generations, s.takeGeneration())
	log := s.options.Recent
	return s.store.LogRange(log, max(s.recentBelow, s.store.LogFirst(log)), 0, func(n uint64, blob []byte) error {
		r, err := parseRecords(blob, blobRecent)
		if err != nil {
			return damaged(log, n, err)
		}
		g := s.generations[len(s.generations)-1]
		if r.count >= cap(g.records)-len(g.records) {
			if len(g.records) == 0 {
				s.generations = s.generations[:0]
			}
			g = newGeneration(max(s.room(), r.count+1))
			s.generations = append(s.generations, g)
		}
		err = r.each(func(at *record) { g.add(&at.id, keyOf(&at.id), &at.Content, at.Position, at.until) })
		if err != nil {
			return damaged(log, n, err)
		}
		g.cut, g.next = len(g.records), n+1
		return nil
	})
}

func damaged(log uint8, entry uint64, err error) error {
	return fmt.Errorf("identity: log %d: entry %d: %w: %w", log, entry, ErrCorrupt, err)
}
