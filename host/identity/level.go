package identity

import (
	"errors"
	"math/bits"
)

// An index is what memory has of the identities in runs: of each the prefix of
// its key, and the number of the run that has it. It is two levels, of which the
// small one takes new runs, so that the large one is rewritten seldom.
//
// A level divides the keys by their first bits into segments and those by the
// next bits into buckets of a few entries. The entry, 32 bits, is what is left
// of the prefix, and the number of the run. With twice as many segments an entry
// needs one bit less for its prefix and has one more for the number, so that
// the prefix stays as long, whatever the number of identities:
//
//	key   │ segment │ bucket      │ rest of the prefix │ not kept   │
//	bits  │ s       │ bucketBits  │ 32 - s             │            │
//	entry                         │ rest of the prefix │ run        │
//	bits                          │ 32 - s             │ s          │
//
// Entries of a bucket stand in no order. A bucket begins where the one before
// ends, so no room is lost, and adding to a segment is copying it with gaps.

// loose is the prefix of an identity in the high bits and the number of its run
// in the low ones: an entry outside of a level.
type loose = uint64

const runMask = 1<<(64-prefixBits) - 1

// segment is the entries whose keys begin with the same bits.
type segment struct {
	starts  []uint16 // of the buckets in entries, and the end of the last; nil when empty
	entries []uint32
}

// buffers are the memory of segments that were rewritten, for the next ones:
// they are of about the same size.
type buffers struct {
	starts  [][]uint16
	entries [][]uint32
}

// buffersMax is how many of a kind are kept.
const buffersMax = 8

// take returns a segment with so many buckets and entries; the entries and, of
// an old segment, the starts have any values.
func (b *buffers) take(buckets, n int) segment {
	var s segment
	if last := len(b.starts) - 1; last >= 0 && len(b.starts[last]) == buckets+1 {
		s.starts, b.starts = b.starts[last], b.starts[:last]
	} else {
		s.starts = make([]uint16, buckets+1)
	}
	for i, e := range b.entries {
		if n <= cap(e) && cap(e) <= n+n/8+64 {
			last := len(b.entries) - 1
			b.entries[i] = b.entries[last]
			b.entries = b.entries[:last]
			s.entries = e[:n]
			return s
		}
	}
	s.entries = make([]uint32, n, n+n/16)
	return s
}

// give takes the memory of a segment back. The oldest makes room.
func (b *buffers) give(s *segment) {
	if s.starts != nil && len(b.starts) < buffersMax {
		b.starts = append(b.starts, s.starts)
	}
	if cap(s.entries) > 0 {
		if len(b.entries) == buffersMax {
			b.entries = append(b.entries[:0], b.entries[1:]...)
		}
		b.entries = append(b.entries, s.entries)
	}
	*s = segment{}
}

// level is a set of prefixes with runs.
type level struct {
	segments    []segment
	segmentBits uint
	bucketBits  uint
	count       int
}

// bucketMean is how many entries a bucket has before the level gets twice as
// many segments, and half as many after it.
const bucketMean = 12

// errCrowded says that identities are not spread as hashes are.
var errCrowded = errors.New("identity: too many identities have the same hash bits: the hash of identities is broken")

// newLevel makes a level that is to hold so many entries of runs with numbers
// below runs.
func newLevel(bucketBits uint, count, runs int) *level {
	s := uint(max(bits.Len(uint(count/(bucketMean<<bucketBits))), bits.Len(uint(max(runs, 1)-1))))
	return &level{segments: make([]segment, 1<<s), segmentBits: s, bucketBits: bucketBits}
}

// find appends to hits the numbers of the runs that may have a key.
func (l *level) find(key uint64, hits []uint32) []uint32 {
	s := &l.segments[key>>(64-l.segmentBits)]
	if len(s.entries) == 0 {
		return hits
	}
	rest := key << l.segmentBits
	bucket := rest >> (64 - l.bucketBits)
	want := uint32(rest<<l.bucketBits>>32) >> l.segmentBits
	for _, e := range s.entries[s.starts[bucket]:s.starts[bucket+1]] {
		if e>>l.segmentBits == want {
			hits = append(hits, e&(1<<l.segmentBits-1))
		}
	}
	return hits
}

// bucket and entry divide a loose entry.
func (l *level) bucket(e loose) uint64 { return e << l.segmentBits >> (64 - l.bucketBits) }

func (l *level) entry(e loose) uint32 {
	return uint32(e<<(l.segmentBits+l.bucketBits)>>32)&^(1<<l.segmentBits-1) | uint32(e&runMask)
}

// bounds returns the first key of a segment and the first behind it, 0 behind
// the last.
func (l *level) bounds(segment int) (from, to uint64) {
	return uint64(segment) << (64 - l.segmentBits), uint64(segment+1) << (64 - l.segmentBits)
}

// build makes a segment of loose entries in any order.
func (l *level) build(at int, list []loose, m *buffers) error {
	if len(list) == 0 {
		return nil
	}
	if len(list) > 1<<16-1 {
		return errCrowded
	}
	s := m.take(1<<l.bucketBits, len(list))
	clear(s.starts)
	for _, e := range list {
		s.starts[l.bucket(e)]++
	}
	end := uint16(0)
	for b, n := range s.starts {
		end += n
		s.starts[b] = end
	}
	for _, e := range list { // each start moves down from the bucket's end
		b := l.bucket(e)
		s.starts[b]--
		s.entries[s.starts[b]] = l.entry(e)
	}
	l.segments[at] = s
	l.count += len(list)
	return nil
}

// extend makes a segment of an old one of a level that is divided alike, and of
// loose entries in any order. counts is memory for as many numbers as there are
// buckets.
func (l *level) extend(at int, old *segment, list []loose, counts []uint16, m *buffers) error {
	if len(old.entries) == 0 {
		return l.build(at, list, m)
	}
	if len(list) == 0 {
		l.segments[at] = *old
		l.count += len(old.entries)
		*old = segment{}
		return nil
	}
	if len(old.entries)+len(list) > 1<<16-1 {
		return errCrowded
	}
	clear(counts)
	for _, e := range list {
		counts[l.bucket(e)]++
	}
	s := m.take(1<<l.bucketBits, len(old.entries)+len(list))
	// Each bucket with more entries ends a stretch that is copied at once.
	from, shift := uint16(0), uint16(0)
	for b, n := range counts {
		s.starts[b] = old.starts[b] + shift
		if n > 0 {
			to := old.starts[b+1]
			copy(s.entries[from+shift:], old.entries[from:to])
			from, shift = to, shift+n
			counts[b] = to + shift // the end of the gap, filled from behind
		}
	}
	copy(s.entries[from+shift:], old.entries[from:])
	s.starts[len(counts)] = uint16(len(s.entries))
	for _, e := range list {
		b := l.bucket(e)
		counts[b]--
		s.entries[counts[b]] = l.entry(e)
	}
	l.segments[at] = s
	l.count += len(s.entries)
	return nil
}

// loosen appends the entries of a segment whose prefixes are from one key up to
// another, 0 being beyond the last key.
func (l *level) loosen(dst []loose, at int, from, to uint64) []loose {
	s := &l.segments[at]
	if len(s.entries) == 0 {
		return dst
	}
	first, behind := l.bounds(at)
	low, high := 0, len(s.starts)-1
	if from > first {
		low = int(l.bucket(from))
	}
	if to != 0 && (behind == 0 || to < behind) {
		high = int(l.bucket(to-1)) + 1
	}
	for b := low; b < high; b++ {
		prefix := first | uint64(b)<<(64-l.segmentBits-l.bucketBits)
		for _, e := range s.entries[s.starts[b]:s.starts[b+1]] {
			rest := uint64(e&^(1<<l.segmentBits-1)) << 32 >> (l.segmentBits + l.bucketBits)
			key := prefix | rest
			if key >= from && (to == 0 || key < to) {
				dst = append(dst, key|uint64(e&(1<<l.segmentBits-1)))
			}
		}
	}
	return dst
}

// within appends the entries with prefixes from one key up to another.
func (l *level) within(dst []loose, from, to uint64) []loose {
	last := (to - 1) >> (64 - l.segmentBits)
	for at := from >> (64 - l.segmentBits); at <= last; at++ {
		dst = l.loosen(dst, int(at), from, to)
	}
	return dst
}

// bytes returns the memory of the level.
func (l *level) bytes() int64 {
	n := int64(len(l.segments)) * 48
	for i := range l.segments {
		n += int64(cap(l.segments[i].entries))*4 + int64(len(l.segments[i].starts))*2
	}
	return n
}
