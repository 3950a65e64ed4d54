package identity

import (
	"maps"
	"math"
	"slices"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/internal/failpoint"
)

// Batch is what was added between two Cuts, and the part of the merging that
// goes with it. It may be Put more than once, when a commit that wrote nothing
// is tried again.
type Batch struct{ *batch }

type batch struct {
	set    *Set
	parts  []part
	pieces []work
	seals  []*seal // those that end with this batch
	trim   map[uint8]uint64

	recentBelow []uint64 // of the seals
	encoder     encoder
	gathered    []record // of a piece
	buffers     [][]byte
	used        int
}

// part is a number of records of a generation, which nobody changes any more.
type part struct {
	records []record
	inRun   bool // the batch has the run that they are in: they need not be written twice
}

// work is a piece of a seal.
type work struct {
	seal  *seal
	piece int
}

// Put adds the batch to a commit, whose Room has to be set before if it is to
// be: the logs are journals then. It runs on any goroutine, beside the owner's,
// one batch after the other in the order of their Cuts. The commit refers to the
// batch's memory until Committed.
func (b Batch) Put(c *checkpoint.Commit) {
	b.used = 0
	room := 0
	if c.Room {
		room = checkpoint.RoomBytes
	}
	o := &b.set.options
	for _, p := range b.parts {
		if p.inRun {
			continue
		}
		b.put(c, o.Recent, room, func(dst []byte) []byte {
			return b.encoder.append(dst, blobRecent, p.records, len(p.records))
		})
	}
	for _, w := range b.pieces {
		w.seal.sort()
		b.gathered = w.seal.gather(b.gathered[:0], w.piece)
		b.put(c, o.Pieces, room, func(dst []byte) []byte {
			return b.encoder.append(dst, blobPiece, b.gathered, b.set.page)
		})
	}
	for i, l := range b.seals {
		l.sort() // it may have no pieces
		f := filter{
			recentBelow: b.recentBelow[i], firstPiece: l.firstPiece, firstKeys: l.firstKeys, count: len(l.keys), until: l.until,
		}
		b.put(c, o.Filters, room, func(dst []byte) []byte { return appendFilter(dst, &f, l.keys) })
	}
	if c.Trim == nil {
		c.Trim = make(map[uint8]uint64, len(b.trim))
	}
	maps.Copy(c.Trim, b.trim)
}

// put adds a blob to a log, in a buffer of the batch.
func (b Batch) put(c *checkpoint.Commit, log uint8, room int, encode func(dst []byte) []byte) {
	if b.used == len(b.buffers) {
		b.buffers = append(b.buffers, nil)
	}
	blob := encode(grow(b.buffers[b.used][:0], room))
	b.buffers[b.used] = blob
	b.used++
	if c.Appends == nil {
		c.Appends = map[uint8][][]byte{}
	}
	c.Appends[log] = append(c.Appends[log], blob)
}

// Cut ends a batch: the identities that were added since the last Cut, less
// those that were forgotten, are its own and cannot be forgotten any more.
func (s *Set) Cut() Batch {
	b := s.takeBatch()
	newest := s.generations[len(s.generations)-1]
	whole := s.whole > 0 && newest.cut == 0 && len(newest.records) >= s.whole
	added := 0
	for _, g := range s.generations {
		if to := len(g.records); to > g.cut {
			inRun := whole && g.cut == 0
			b.parts = append(b.parts, part{records: g.records[g.cut:to:to], inRun: inRun})
			added += to - g.cut
			g.cut = to
			if !inRun {
				s.nextRecent++
				g.next = s.nextRecent
			}
		}
	}
	// As many records go into pieces as are added, and some more, or generations
	// would become ever more.
	budget := s.burst + 2*added/s.piece
	if whole { // all that there is goes into runs at once
		s.generations = append(s.generations, s.takeGeneration())
		budget = math.MaxInt
	}
	for ; budget > 0; budget-- {
		if s.sealing == nil && !s.seal() {
			break
		}
		l := s.sealing
		if l.planned < l.pieces {
			b.pieces = append(b.pieces, work{seal: l, piece: l.planned})
			l.planned++
			s.nextPiece++
		}
		failpoint.Hit("identities.sealing")
		if l.planned == l.pieces {
			l.filter = s.nextFilter
			s.nextFilter++
			s.recentBelow = max(s.recentBelow, l.generation.next) // 0 if all its records were forgotten
			b.seals, b.recentBelow = append(b.seals, l), append(b.recentBelow, s.recentBelow)
			s.sealing = nil
		}
	}
	b.trim[s.options.Recent] = s.recentBelow
	b.trim[s.options.Pieces], b.trim[s.options.Filters] = s.needed()
	return Batch{b}
}

// takeBatch returns an empty batch.
func (s *Set) takeBatch() *batch {
	if n := len(s.batches); n > 0 {
		b := s.batches[n-1]
		s.batches = s.batches[:n-1]
		return b
	}
	return &batch{set: s, trim: map[uint8]uint64{}}
}

// seal begins to seal the oldest generation that is full and not sealed, and
// reports whether there is one.
func (s *Set) seal() bool {
	if s.sealed == len(s.generations)-1 {
		return false
	}
	g := s.generations[s.sealed]
	s.sealed++
	l := &seal{generation: g, horizon: s.horizon, firstPiece: s.nextPiece, pieces: (len(g.records) + s.piece - 1) / s.piece}
	s.sealing = l
	s.seals = append(s.seals, l)
	return true
}

// needed returns the first entries of the logs of pieces and filters that are
// still needed. The last filter is always: it says what of the recent log is in
// runs.
func (s *Set) needed() (piece, filter uint64) {
	piece, filter = s.nextPiece, s.nextFilter-1
	for _, r := range s.runs {
		if r != nil && !r.gone {
			piece, filter = min(piece, r.firstPiece), min(filter, r.entry)
		}
	}
	for _, l := range s.seals {
		piece = min(piece, l.firstPiece)
		if l.filter > 0 {
			filter = min(filter, l.filter)
		}
	}
	return piece, filter
}

// Committed says that the commit with a batch is durable. Batches are committed
// in the order of their Cuts.
func (s *Set) Committed(b Batch) {
	for _, l := range b.seals {
		s.seals = slices.DeleteFunc(s.seals, func(have *seal) bool { return have == l })
		if len(l.keys) == 0 || l.until < s.horizon {
			s.drop(l.generation)
			continue
		}
		l.run = &run{entry: l.filter, firstPiece: l.firstPiece, firstKeys: l.firstKeys, count: len(l.keys), until: l.until}
		l.number = s.register(l.run)
		l.generation.counted = true
		s.committed = append(s.committed, l)
	}
	clear(b.parts)
	clear(b.pieces)
	clear(b.seals)
	b.parts, b.pieces, b.seals, b.recentBelow = b.parts[:0], b.pieces[:0], b.seals[:0], b.recentBelow[:0]
	s.batches = append(s.batches, b.batch)
}

// drop takes a generation out of the set.
func (s *Set) drop(g *generation) {
	at := slices.Index(s.generations, g)
	s.generations = slices.Delete(s.generations, at, at+1)
	s.sealed--
	if len(s.spare) < 2 && cap(g.records) == s.room() {
		g.reset()
		s.spare = append(s.spare, g)
	}
}
