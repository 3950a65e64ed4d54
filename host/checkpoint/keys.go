package checkpoint

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// The first byte of every Badger key.
const (
	prefixSegment = 0x01
	prefixDoomed  = 0x02
	prefixRecord  = 0x03
)

// Offsets in keys; integers in keys are big endian, so that they sort.
const (
	segmentKeyRun       = 1
	segmentKeyIndex     = 9
	segmentKeyPartition = 13
	segmentKeyKind      = 15
	segmentKeyTable     = 16
	segmentKeySize      = 17

	doomedKeyRun       = 1
	doomedKeyPartition = 9
	doomedKeyKind      = 11
	doomedKeyTable     = 12
	doomedKeySize      = 13

	recordKeyPartition = 1
	recordKeySize      = 3
)

// partitionMax is the largest partition number that fits a key.
const partitionMax = 1<<16 - 1

// kind tells tables from logs.
type kind uint8

const (
	kindTable kind = 1
	kindLog   kind = 2
)

// family names one table or one log of a partition.
type family struct {
	partition uint16
	kind      kind
	table     uint8 // the number of the table or log
}

// corrupt makes the error of a damaged run of the family.
func (f family) corrupt(run uint64, segment int, reason string) *CorruptError {
	return &CorruptError{
		Partition: int(f.partition), Log: f.kind == kindLog, Table: f.table,
		Run: run, Segment: segment, Reason: reason,
	}
}

// appendSegmentKey appends the key of one segment of a run.
func appendSegmentKey(dst []byte, f family, run uint64, index uint32) []byte {
	dst = append(dst, prefixSegment)
	dst = binary.BigEndian.AppendUint64(dst, run)
	dst = binary.BigEndian.AppendUint32(dst, index)
	dst = binary.BigEndian.AppendUint16(dst, f.partition)
	return append(dst, byte(f.kind), f.table)
}

// parseSegmentKey returns the run that a segment's key belongs to.
func parseSegmentKey(key []byte) (f family, run uint64, ok bool) {
	if len(key) != segmentKeySize || key[0] != prefixSegment {
		return family{}, 0, false
	}
	f = family{
		partition: binary.BigEndian.Uint16(key[segmentKeyPartition:]),
		kind:      kind(key[segmentKeyKind]),
		table:     key[segmentKeyTable],
	}
	return f, binary.BigEndian.Uint64(key[segmentKeyRun:]), true
}

// runPrefix is the prefix of the keys of all segments of a run.
func runPrefix(run uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{prefixSegment}, run)
}

// appendDoomedKey appends the key of the marker that says: delete this run.
func appendDoomedKey(dst []byte, f family, run uint64) []byte {
	dst = append(dst, prefixDoomed)
	dst = binary.BigEndian.AppendUint64(dst, run)
	dst = binary.BigEndian.AppendUint16(dst, f.partition)
	return append(dst, byte(f.kind), f.table)
}

// doomedValue is the value of a marker: a sum of its key, so that a damaged
// marker does not delete a live run.
func doomedValue(key []byte) []byte {
	return binary.LittleEndian.AppendUint32(nil, crc32.Checksum(key, castagnoli))
}

// parseDoomed returns what a marker dooms; ok is false when the marker is
// damaged.
func parseDoomed(key, value []byte) (f family, run uint64, ok bool) {
	if len(key) != doomedKeySize || len(value) != 4 || key[0] != prefixDoomed ||
		binary.LittleEndian.Uint32(value) != crc32.Checksum(key, castagnoli) {
		return family{}, 0, false
	}
	f = family{
		partition: binary.BigEndian.Uint16(key[doomedKeyPartition:]),
		kind:      kind(key[doomedKeyKind]),
		table:     key[doomedKeyTable],
	}
	return f, binary.BigEndian.Uint64(key[doomedKeyRun:]), true
}

// makeRecordKey returns the key of a partition's commit record.
func makeRecordKey(partition uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{prefixRecord}, partition)
}

// parseRecordKey returns the partition of a commit record's key.
func parseRecordKey(key []byte) (partition uint16, ok bool) {
	if len(key) != recordKeySize || key[0] != prefixRecord {
		return 0, false
	}
	return binary.BigEndian.Uint16(key[recordKeyPartition:]), true
}

// runRandomBits is the part of a run number that is random.
const runRandomBits = 16

// nextRun returns a run number above prev. Its low bits are random: were a
// number used again, for instance after damage hid what a crash left behind, an
// old segment could pass for a new one.
func nextRun(prev uint64) uint64 {
	return (prev>>runRandomBits+1)<<runRandomBits | rand.Uint64N(1<<runRandomBits)
}

// castagnoli is the polynomial of every sum here; processors have an
// instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf is the CRC32C over the identity of a value, its key, and the value
// without the four bytes that hold the sum: a value moved to another key fails.
func sumOf(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
}
