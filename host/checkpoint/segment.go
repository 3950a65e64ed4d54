package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The limits of what is stored. They hold on writing and again on reading.
const (
	// SegmentMaxBytes bounds a segment: so much is in memory of each run that is
	// read beside others.
	SegmentMaxBytes = 900_000

	// KeyMaxBytes bounds the key of an [Entry].
	KeyMaxBytes = 1<<16 - 1

	// EntryMaxBytes bounds a key and its value together, and an entry of a log.
	// What exceeds a segment is cut into pieces.
	EntryMaxBytes = 64 << 20
)

// Offsets in a segment's header; integers in values are little endian.
const (
	segmentSum        = 0
	segmentFormat     = 4
	segmentShape      = 5
	segmentReserved   = 6
	segmentCount      = 8
	segmentPiece      = 12
	segmentFirst      = 16
	segmentHeaderSize = 24
)

// segmentFormatVersion is the version of the segment's bytes.
const segmentFormatVersion = 2

// shape says what a segment's payload is.
type shape uint8

const (
	shapeWhole shape = 1 // whole entries
	shapePiece shape = 2 // a piece of one entry that is larger than a segment
	shapeAlone shape = 3 // one entry of a log, without its length
)

// entryOverhead is the most that encoding adds to a key and its value: two
// lengths.
const entryOverhead = 2 * binary.MaxVarintLen32

// piecesMax is the most pieces that an entry is cut into; smaller stores have
// smaller segments.
const piecesMax = (EntryMaxBytes+entryOverhead)/(segmentMinBytes-segmentHeaderSize) + 1

// segmentMinBytes is not above the limit of a segment that any options yield.
const segmentMinBytes = 128 << 10

// segment is a parsed segment. Its payload aliases the stored value.
type segment struct {
	shape   shape
	count   uint32 // entries of a whole segment, pieces of the entry of a piece
	piece   uint32 // which piece, from 0
	first   uint64 // the number of the first entry of a log's segment; 0 in tables
	payload []byte
}

// parseSegment checks the sum and the header of a segment stored under key.
// Any bytes may be given: the errors are sentences, and nothing is allocated.
func parseSegment(key, value []byte) (segment, error) {
	if len(value) < segmentHeaderSize {
		return segment{}, errShortSegment
	}
	if binary.LittleEndian.Uint32(value[segmentSum:]) != sumOf(key, value) {
		return segment{}, errSum
	}
	return parseHeader(value)
}

// parseHeader checks the header of a segment, but not its sum.
func parseHeader(value []byte) (segment, error) {
	if len(value) < segmentHeaderSize {
		return segment{}, errShortSegment
	}
	if v := value[segmentFormat]; v != segmentFormatVersion {
		return segment{}, fmt.Errorf("segment format %d, this program reads %d", v, segmentFormatVersion)
	}
	s := segment{
		shape:   shape(value[segmentShape]),
		count:   binary.LittleEndian.Uint32(value[segmentCount:]),
		piece:   binary.LittleEndian.Uint32(value[segmentPiece:]),
		first:   binary.LittleEndian.Uint64(value[segmentFirst:]),
		payload: value[segmentHeaderSize:],
	}
	switch {
	case binary.LittleEndian.Uint16(value[segmentReserved:]) != 0:
		return segment{}, errReserved
	case s.shape == shapeWhole && s.piece == 0 && s.count > 0 && uint64(s.count) <= uint64(len(s.payload)):
		return s, nil
	case s.shape == shapeAlone && s.piece == 0 && s.count == 1:
		return s, nil
	case s.shape == shapePiece && s.piece < s.count && s.count <= piecesMax && len(s.payload) > 0:
		return s, nil
	}
	return segment{}, errHeader
}

// The reasons of a CorruptError that need no figures.
var (
	errShortSegment = errors.New("segment is shorter than its header")
	errSum          = errors.New("sum does not match the bytes")
	errReserved     = errors.New("reserved bytes are not zero")
	errHeader       = errors.New("header contradicts itself")
	errEntry        = errors.New("an entry's length exceeds the bytes")
	errTrailing     = errors.New("bytes after the last entry")
	errOrder        = errors.New("keys are not in order")
)

// sealSegment fills the header of a segment, which starts with
// segmentHeaderSize bytes of room, and sums it.
func sealSegment(key, value []byte, s segment) {
	clear(value[:segmentHeaderSize])
	value[segmentFormat] = segmentFormatVersion
	value[segmentShape] = byte(s.shape)
	binary.LittleEndian.PutUint32(value[segmentCount:], s.count)
	binary.LittleEndian.PutUint32(value[segmentPiece:], s.piece)
	binary.LittleEndian.PutUint64(value[segmentFirst:], s.first)
	binary.LittleEndian.PutUint32(value[segmentSum:], sumOf(key, value))
}

// appendTableEntry appends the encoding of a key and its value; a nil value is
// the key's deletion.
func appendTableEntry(dst, key, value []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(key)))
	if value == nil {
		return append(append(dst, 0), key...)
	}
	dst = binary.AppendUvarint(dst, uint64(len(value))+1)
	return append(append(dst, key...), value...)
}

// appendLogEntry appends the encoding of a log's entry.
func appendLogEntry(dst, entry []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(entry))), entry...)
}

// cutTableEntry cuts the first entry off a payload. The value of a deletion is
// nil, that of an empty value is not.
func cutTableEntry(payload []byte) (key, value, rest []byte, err error) {
	keyLen, rest, ok := cutLength(payload, KeyMaxBytes)
	if !ok || keyLen == 0 {
		return nil, nil, nil, errEntry
	}
	valueLen, rest, ok := cutLength(rest, EntryMaxBytes+1)
	if !ok {
		return nil, nil, nil, errEntry
	}
	deleted := valueLen == 0
	if !deleted {
		valueLen--
	}
	if keyLen+valueLen > len(rest) {
		return nil, nil, nil, errEntry
	}
	key, rest = rest[:keyLen:keyLen], rest[keyLen:]
	if deleted {
		return key, nil, rest, nil
	}
	return key, rest[:valueLen:valueLen], rest[valueLen:], nil
}

// cutLogEntry cuts the first entry off a payload.
func cutLogEntry(payload []byte) (entry, rest []byte, err error) {
	n, rest, ok := cutLength(payload, EntryMaxBytes)
	if !ok || n > len(rest) {
		return nil, nil, errEntry
	}
	return rest[:n:n], rest[n:], nil
}

// cutLength cuts a length of at most limit off b.
func cutLength(b []byte, limit int) (n int, rest []byte, ok bool) {
	v, size := binary.Uvarint(b)
	if size <= 0 || v > uint64(limit) {
		return 0, nil, false
	}
	return int(v), b[size:], true
}
