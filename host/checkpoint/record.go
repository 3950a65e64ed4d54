package checkpoint

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// HeaderMaxBytes bounds the header of a [Commit]: it is written with every
// commit. What grows belongs in a table.
const HeaderMaxBytes = 128 << 10

// Offsets in a commit record, in the entry of a family that follows the header,
// and in the entry of a run that follows its family.
const (
	recordSum        = 0
	recordFormat     = 4
	recordReserved   = 5
	recordNumber     = 8
	recordHeaderLen  = 16
	recordFamilies   = 20
	recordHeaderSize = 24

	familyKind     = 0
	familyTable    = 1
	familyReserved = 2
	familyRuns     = 4
	familyFirst    = 8
	familySize     = 16

	runID       = 0
	runFirst    = 8
	runEntries  = 16
	runBytes    = 24
	runSegments = 32
	runReserved = 36
	runSize     = 40
)

// recordFormatVersion is the version of the commit record's bytes.
const recordFormatVersion = 2

// run is a sorted piece of a table, or a stretch of a log, in segments 0 to
// segments-1.
type run struct {
	id       uint64
	first    uint64 // the number of the first entry of a log; 0 in tables
	entries  uint64
	bytes    uint64 // of all segment values
	segments uint32
}

// end is the number behind the last entry of a log's run.
func (r run) end() uint64 { return r.first + r.entries }

// familyState is a table or log with its runs, oldest first. A key's newest
// value is in the newest run that has the key; a log's runs follow each other.
type familyState struct {
	family
	first uint64 // the first number of a log that was not trimmed; 0 in tables
	runs  []run
}

// next returns the number that a log's next entry will have.
func (f *familyState) next() uint64 {
	if len(f.runs) == 0 {
		return f.first
	}
	return f.runs[len(f.runs)-1].end()
}

// empty reports whether there is nothing to say about a family: a log of which
// everything was trimmed still has numbers that may not come back.
func (f *familyState) empty() bool { return len(f.runs) == 0 && f.first <= 1 }

// state is what a commit record says: one checkpoint of a partition. A
// published state is never changed.
type state struct {
	number   uint64
	header   []byte
	families []familyState // sorted by kind, then table
}

// find returns the family, or nil when it never had entries.
func (s *state) find(f family) *familyState {
	i, ok := slices.BinarySearchFunc(s.families, f, compareFamilies)
	if !ok {
		return nil
	}
	return &s.families[i]
}

// with returns a copy of s in which one family is as given; the others are
// shared.
func (s *state) with(f familyState) *state {
	next := *s
	i, ok := slices.BinarySearchFunc(s.families, f.family, compareFamilies)
	switch {
	case ok && f.empty():
		next.families = slices.Concat(s.families[:i], s.families[i+1:])
	case ok:
		next.families = slices.Clone(s.families)
		next.families[i] = f
	case !f.empty():
		next.families = slices.Insert(slices.Clone(s.families), i, f)
	}
	return &next
}

// grown returns s with one more run at the end of a family.
func (s *state) grown(f family, r run) *state {
	grown := familyState{family: f, first: r.first}
	if old := s.find(f); old != nil {
		grown = *old
	}
	grown.runs = slices.Concat(grown.runs, []run{r})
	return s.with(grown)
}

// compareFamilies orders families as records list them.
func compareFamilies(a familyState, f family) int {
	return cmp.Or(cmp.Compare(a.kind, f.kind), cmp.Compare(a.table, f.table))
}

// appendRecord appends the commit record of a state, to be stored under key.
func appendRecord(dst, key []byte, s *state) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, recordHeaderSize)...)
	h := dst[at:]
	h[recordFormat] = recordFormatVersion
	binary.LittleEndian.PutUint64(h[recordNumber:], s.number)
	binary.LittleEndian.PutUint32(h[recordHeaderLen:], uint32(len(s.header)))
	binary.LittleEndian.PutUint32(h[recordFamilies:], uint32(len(s.families)))
	dst = append(dst, s.header...)
	for i := range s.families {
		dst = appendFamily(dst, &s.families[i])
	}
	binary.LittleEndian.PutUint32(dst[at+recordSum:], sumOf(key, dst[at:]))
	return dst
}

// appendFamily appends a family and its runs.
func appendFamily(dst []byte, f *familyState) []byte {
	dst = append(dst, byte(f.kind), f.table, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.runs)))
	dst = binary.LittleEndian.AppendUint64(dst, f.first)
	for _, r := range f.runs {
		dst = binary.LittleEndian.AppendUint64(dst, r.id)
		dst = binary.LittleEndian.AppendUint64(dst, r.first)
		dst = binary.LittleEndian.AppendUint64(dst, r.entries)
		dst = binary.LittleEndian.AppendUint64(dst, r.bytes)
		dst = binary.LittleEndian.AppendUint32(dst, r.segments)
		dst = binary.LittleEndian.AppendUint32(dst, 0)
	}
	return dst
}

// parseRecord checks and decodes the commit record stored under key. Any bytes
// may be given; the state shares none of them.
func parseRecord(partition uint16, key, value []byte) (*state, error) {
	if len(value) < recordHeaderSize {
		return nil, errors.New("record is shorter than its header")
	}
	if binary.LittleEndian.Uint32(value[recordSum:]) != sumOf(key, value) {
		return nil, errSum
	}
	if v := value[recordFormat]; v != recordFormatVersion {
		return nil, fmt.Errorf("record format %d, this program reads %d", v, recordFormatVersion)
	}
	if value[recordReserved] != 0 || value[recordReserved+1] != 0 || value[recordReserved+2] != 0 {
		return nil, errReserved
	}
	s := &state{number: binary.LittleEndian.Uint64(value[recordNumber:])}
	headerLen := uint64(binary.LittleEndian.Uint32(value[recordHeaderLen:]))
	families := binary.LittleEndian.Uint32(value[recordFamilies:])
	rest := value[recordHeaderSize:]
	if s.number == 0 || headerLen > HeaderMaxBytes || headerLen > uint64(len(rest)) {
		return nil, errHeader
	}
	s.header, rest = slices.Clone(rest[:headerLen]), rest[headerLen:]
	for range families {
		f, after, err := cutFamily(partition, rest)
		if err != nil {
			return nil, err
		}
		if n := len(s.families); n > 0 && compareFamilies(s.families[n-1], f.family) >= 0 {
			return nil, errors.New("families are not in order")
		}
		s.families, rest = append(s.families, f), after
	}
	if len(rest) != 0 {
		return nil, errors.New("bytes after the last run")
	}
	return s, nil
}

// cutFamily cuts a family with its runs off b.
func cutFamily(partition uint16, b []byte) (familyState, []byte, error) {
	if len(b) < familySize {
		return familyState{}, nil, errHeader
	}
	f := familyState{family: family{partition: partition, kind: kind(b[familyKind]), table: b[familyTable]}}
	n := uint64(binary.LittleEndian.Uint32(b[familyRuns:]))
	f.first = binary.LittleEndian.Uint64(b[familyFirst:])
	if (f.kind != kindTable && f.kind != kindLog) || binary.LittleEndian.Uint16(b[familyReserved:]) != 0 ||
		(f.kind == kindTable) != (f.first == 0) {
		return familyState{}, nil, errHeader
	}
	b = b[familySize:]
	if n > uint64(len(b)/runSize) || n == 0 && f.first <= 1 {
		return familyState{}, nil, errHeader
	}
	if n == 0 {
		return f, b, nil
	}
	next := uint64(0)
	if f.kind == kindLog {
		next = binary.LittleEndian.Uint64(b[runFirst:])
		if next == 0 || next > f.first {
			return familyState{}, nil, errFirst
		}
	}
	f.runs = make([]run, n)
	for i := range f.runs {
		r := run{
			id:       binary.LittleEndian.Uint64(b[runID:]),
			first:    binary.LittleEndian.Uint64(b[runFirst:]),
			entries:  binary.LittleEndian.Uint64(b[runEntries:]),
			bytes:    binary.LittleEndian.Uint64(b[runBytes:]),
			segments: binary.LittleEndian.Uint32(b[runSegments:]),
		}
		if r.id == 0 || r.entries == 0 || r.segments == 0 || r.first != next ||
			r.first > 1<<62 || r.entries > 1<<56 || binary.LittleEndian.Uint32(b[runReserved:]) != 0 {
			return familyState{}, nil, errors.New("a run contradicts itself or its neighbours")
		}
		if f.kind == kindLog {
			next += r.entries
		}
		f.runs[i], b = r, b[runSize:]
	}
	if f.first > next {
		return familyState{}, nil, errFirst
	}
	return f, b, nil
}

// errFirst is the reason of a CorruptError.
var errFirst = errors.New("a log's first number lies outside its runs")
