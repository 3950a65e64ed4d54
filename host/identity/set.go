package identity

import (
	"slices"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
)

// Store is what a set needs of the checkpoint of its partition.
// *checkpoint.Partition is one.
type Store interface {
	// LogFirst and LogLast return the first and the last entry of a log.
	LogFirst(log uint8) uint64
	LogLast(log uint8) uint64
	// LogRange calls fn with entries of a log.
	LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error
	// ReadAt reads a part of an entry of a log, as io.ReaderAt does. It need not check a
	// sum.
	ReadAt(log uint8, n uint64, b []byte, offset int64) (read int, err error)
}

var _ Store = (*checkpoint.Partition)(nil)

// Options are those of a Set.
type Options struct {
	// The logs that are the set's own. They should be journals.
	Recent  uint8 // records of each checkpoint, until they are in a run
	Pieces  uint8 // of runs
	Filters uint8 // of runs

	// Horizon is that of the last Expire, unix ns; math.MinInt64 before the first.
	Horizon int64
}

// What tests make smaller.
type sizes struct {
	generation int  // records of a generation; 0 goes by the number of identities
	bucketBits uint // of levels
	pace       int  // Adds per step of a job
	piece      int  // records of a piece of a run
	burst      int  // pieces that a commit takes, and in proportion more when it adds many identities
	whole      int  // records of a generation that is made a run by the commit that adds all of them; 0: of none
	page       int  // records of a page of a piece
}

// The sizes of a set that is used.
const (
	generationMin   = 1 << 16
	generationShare = 256 // a generation has one in so many identities, or the minimum

)

func defaultSizes() sizes {
	return sizes{
		bucketBits: prefixBits - 32,
		pace:       64,
		piece:      1 << 12, // some 150 kB, of which a lookup reads a page; the store remembers where each is
		burst:      3,       // some 450 kB
		whole:      1 << 13,
		page:       64, // some 2.2 kB: what a lookup checks
	}
}

// Set is the identities that a partition has priced. Its methods are called by
// one goroutine, that of the partition; only Batch.Put may run beside it.
type Set struct {
	sizes
	store   Store
	options Options
	horizon int64 // what expires before it is not known

	generations []*generation // oldest first; the last one is being filled
	sealed      int           // of those, how many have a seal
	spare       []*generation
	batches     []*batch // empty ones

	sealing   *seal   // of which not all pieces are in batches; nil when there is none
	seals     []*seal // that are not committed
	committed []*seal // whose runs are not in the index, oldest first

	runs         []*run // by number; nil is a number that is free
	small, large *level
	smallMin     int // entries that the small level has at least when it goes into the large one
	jobs         jobs
	purge        int  // levels to purge of runs that are gone
	purgeAgain   bool // when that is done
	count        int  // of identities in runs

	nextRecent, nextPiece, nextFilter uint64 // numbers of the next entries of the logs
	recentBelow                       uint64 // entries of the recent log below it are in runs

	adds    int
	hits    []uint32
	wanted  ingest.Hash // what lookup looks for
	found   Seen        // and what it found last
	probe   *probe
	lookups uint64 // of identities in runs
	err     error  // of a job; the set cannot go on
}

// Add returns what is remembered of an identity, valid until the next call. If it is
// not known, which nil says, it is added, with the hash of the event's content, the
// position of the message that carried it and the end of its billing period, unix ns;
// after that has passed the horizon, it is not known again.
//
// # Errors
//
// Those of the store, and ErrCorrupt: whether the identity is known cannot be
// said, and it was not added.
func (s *Set) Add(id, content *ingest.Hash, position uint64, until int64) (prior *Seen, err error) {
	key := keyOf(id)
	if prior, err = s.find(id, key); prior != nil || err != nil {
		return prior, err
	}
	if s.adds++; s.adds >= s.pace {
		s.adds = 0
		if err := s.advance(); err != nil {
			return nil, err
		}
	}
	g := s.generations[len(s.generations)-1]
	g.add(id, key, content, position, until)
	if g.full() {
		s.generations = append(s.generations, s.takeGeneration())
	}
	return nil, nil
}

// Find returns what is remembered of an identity.
//
// # Errors
//
// Those of Add.
func (s *Set) Find(id ingest.Hash) (prior Seen, known bool, err error) {
	at, err := s.find(&id, keyOf(&id))
	if at == nil || err != nil {
		return Seen{}, false, err
	}
	return *at, true, nil
}

// find returns a pointer, as Add does, since nearly all identities are new: to return
// and copy an empty struct would cost as much as to look for it.
func (s *Set) find(id *ingest.Hash, key uint64) (prior *Seen, err error) {
	for i := len(s.generations) - 1; i >= 0; i-- {
		g := s.generations[i]
		if at := g.find(id, key, s.horizon); at >= 0 {
			return &g.records[at].Seen, nil
		}
	}
	if len(s.runs) > 0 {
		hits := s.small.find(key, s.large.find(key, s.hits[:0]))
		if j := s.jobs.now; j != nil {
			hits = j.next.find(key, hits)
		}
		if len(hits) > 0 {
			s.hits, s.wanted = hits, *id // id itself would be allocated for every Add
			var known bool
			if s.found, known, err = s.lookup(&s.wanted, key, hits); known && err == nil {
				return &s.found, nil
			}
		}
	}
	return nil, err
}

// advance does some of the work on the index: more when runs wait for it.
func (s *Set) advance() error {
	for range 1 + len(s.committed) {
		if s.err == nil {
			s.err = s.step()
		}
	}
	return s.err
}

// Forget takes back an identity that was added since the last Cut: its event
// was rejected. Of others it knows nothing.
func (s *Set) Forget(id ingest.Hash) {
	for i := len(s.generations) - 1; i >= 0; i-- {
		if g := s.generations[i]; g.forget(&id, s.horizon) || g.cut > 0 {
			return // what is older than a generation with a cut was cut
		}
	}
}

// Expire forgets the identities whose billing periods ended before a time, unix
// ns. It never goes back. Which are known depends on that time alone; that their
// memory is free, on whole runs.
func (s *Set) Expire(before int64) {
	if before <= s.horizon {
		return
	}
	s.horizon = before
	for _, r := range s.runs {
		if r != nil && !r.gone && r.until < before {
			r.gone = true
			s.count -= r.count
			if s.purgeAgain = s.purge > 0; s.purge == 0 {
				s.purge = purgeBoth
			}
		}
	}
}

// Len returns how many identities are kept. Some may have expired.
func (s *Set) Len() int {
	n := s.count
	for _, g := range s.generations {
		if !g.counted {
			n += len(g.records)
		}
	}
	return n
}

// Bytes returns the memory that the set has.
func (s *Set) Bytes() int64 {
	n := s.small.bytes() + s.large.bytes() + int64(cap(s.jobs.list))*8
	if s.jobs.now != nil {
		n += s.jobs.now.next.bytes()
	}
	for _, g := range slices.Concat(s.generations, s.spare) {
		n += g.bytes()
	}
	for _, e := range s.jobs.spare.entries {
		n += int64(cap(e)) * 4
	}
	for _, l := range slices.Concat(s.seals, s.committed) {
		n += int64(cap(l.keys))*8 + int64(cap(l.order))*4
	}
	for _, b := range s.batches {
		for _, buffer := range b.buffers {
			n += int64(cap(buffer))
		}
	}
	return n
}

// Lookups returns how many times a run was searched for an identity: once for
// each duplicate of an older event, and hardly ever for a new one.
func (s *Set) Lookups() uint64 { return s.lookups }

// Close gives the memory back. The set is not used after it.
func (s *Set) Close() error {
	*s = Set{}
	return nil
}

// room returns how many records a generation gets.
func (s *Set) room() int {
	if s.generation > 0 {
		return s.generation
	}
	room := generationMin
	for room*2 <= s.count/generationShare {
		room *= 2
	}
	return room
}

// takeGeneration returns an empty generation.
func (s *Set) takeGeneration() *generation {
	room := s.room()
	for n := len(s.spare); n > 0; n = len(s.spare) {
		g := s.spare[n-1]
		s.spare = s.spare[:n-1]
		if cap(g.records) == room {
			return g
		}
	}
	return newGeneration(room)
}
