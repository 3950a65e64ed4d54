package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// FuzzSegment decodes arbitrary bytes, their sum made right so that decoding
// gets beyond it: no panic, and never more entries or bytes than there are.
func FuzzSegment(f *testing.F) {
	key := appendSegmentKey(nil, family{partition: 1, kind: kindTable, table: 2}, 3, 4)
	seed := func(s segment, payload []byte) {
		value := append(make([]byte, segmentHeaderSize), payload...)
		sealSegment(key, value, s)
		f.Add(value)
	}
	seed(segment{shape: shapeWhole, count: 2}, appendTableEntry(appendTableEntry(nil, []byte("a"), []byte("1")), []byte("b"), nil))
	seed(segment{shape: shapeWhole, count: 2, first: 9}, appendLogEntry(appendLogEntry(nil, []byte("entry")), nil))
	seed(segment{shape: shapePiece, count: 3, piece: 1}, []byte("piece"))
	seed(segment{shape: shapeAlone, count: 1, first: 9}, []byte("entry"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, err := parseSegment(key, value); err == nil && binary.LittleEndian.Uint32(value) != sumOf(key, value) {
			t.Fatal("a wrong sum was accepted")
		}
		if len(value) >= segmentHeaderSize {
			binary.LittleEndian.PutUint32(value, sumOf(key, value))
		}
		s, err := parseSegment(key, value)
		if err != nil {
			return
		}
		again := append(make([]byte, segmentHeaderSize), s.payload...)
		sealSegment(key, again, s)
		if !bytes.Equal(again, value) {
			t.Fatal("the header read is not the header written")
		}
		size := 0
		for rest := s.payload; len(rest) > 0; {
			k, v, after, err := cutTableEntry(rest)
			if err != nil {
				break
			}
			size += len(k) + len(v)
			rest = after
		}
		for rest := s.payload; len(rest) > 0; {
			e, after, err := cutLogEntry(rest)
			if err != nil {
				break
			}
			size += len(e)
			rest = after
		}
		if size > 2*len(s.payload) {
			t.Fatalf("%d bytes of entries from %d", size, len(s.payload))
		}
	})
}

// FuzzRecord decodes arbitrary bytes as a commit record; what decodes encodes
// to the same bytes.
func FuzzRecord(f *testing.F) {
	key := makeRecordKey(1)
	f.Add(appendRecord(nil, key, &state{number: 1, header: []byte("header")}))
	f.Add(appendRecord(nil, key, &state{number: 7, families: []familyState{
		{family: family{1, kindTable, 0}, runs: []run{{id: 5, entries: 3, bytes: 100, segments: 1}, {id: 4, entries: 1, bytes: 9, segments: 2}}},
		{family: family{1, kindLog, 0}, first: 1, runs: []run{{id: 6, first: 1, entries: 3, bytes: 100, segments: 1}, {id: 8, first: 4, entries: 1, bytes: 9, segments: 2}}},
		{family: family{1, kindLog, 3}, first: 12},
		{family: family{1, kindLog, 9}, first: 15, runs: []run{{id: 9, first: 12, entries: 7, bytes: 900, segments: 7}}},
	}}))
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) >= recordHeaderSize {
			binary.LittleEndian.PutUint32(value, sumOf(key, value))
		}
		s, err := parseRecord(1, key, value)
		if err != nil {
			return
		}
		again := appendRecord(nil, key, s)
		if !bytes.Equal(again, value) {
			t.Fatal("decoded and encoded, the record is another")
		}
		back, err := parseRecord(1, key, again)
		if err != nil || !reflect.DeepEqual(s, back) {
			t.Fatalf("decoded twice, the record is another: %v", err)
		}
	})
}

// FuzzRead stores up to three arbitrary segments, with right sums, as a run and
// reads it in every way: an error that says it is damage, or none.
func FuzzRead(f *testing.F) {
	s, p := mustOpen(f, f.TempDir(), func() Options { o := testOptions(); o.NoSync = true; return o }())
	f.Cleanup(func() { mustClose(f, s) })
	entry := appendTableEntry(nil, []byte("key"), []byte("value"))
	f.Add(true, byte(shapeWhole), uint32(1), uint64(0), entry, byte(shapeWhole), uint32(1), []byte("zz"), uint8(2))
	f.Add(false, byte(shapeAlone), uint32(1), uint64(1), []byte("entry"), byte(shapeAlone), uint32(1), []byte{}, uint8(2))
	f.Add(false, byte(shapePiece), uint32(2), uint64(1), appendLogEntry(nil, []byte("entry")), byte(shapePiece), uint32(2), []byte("more"), uint8(2))
	f.Fuzz(func(t *testing.T, isTable bool, shape1 byte, count1 uint32, first uint64, payload1 []byte, shape2 byte, count2 uint32, payload2 []byte, segments uint8) {
		fam, written := p.log(0), run{id: 77, first: 1, entries: uint64(count1) + uint64(count2), segments: uint32(segments%3) + 1}
		if isTable {
			fam, written.first = p.table(0), 0
		}
		written.entries = max(written.entries, 1)
		recordKey := makeRecordKey(3)
		raw(t, s, func(txn *badger.Txn) error {
			for i := range uint32(3) {
				key := appendSegmentKey(nil, fam, written.id, i)
				header, payload := segment{shape: shape(shape1), count: count1, first: first}, payload1
				if i > 0 {
					header, payload = segment{shape: shape(shape2), count: count2, piece: i, first: first}, payload2
					if shape2 == byte(shapeWhole) {
						header.piece, header.first = 0, first+uint64(count1)
					}
				}
				value := append(make([]byte, segmentHeaderSize), payload...)
				sealSegment(key, value, header)
				written.bytes += uint64(len(value))
				if err := txn.Set(key, value); err != nil {
					return err
				}
			}
			current := &state{number: 1, families: []familyState{{family: fam, first: written.first, runs: []run{written}}}}
			return txn.Set(recordKey, appendRecord(nil, recordKey, current))
		})
		for _, err := range []error{
			p.Load(0, func(_, _ []byte) error { return nil }),
			p.LogRange(0, 1, 0, func(uint64, []byte) error { return nil }),
			p.LogRange(0, 2, 0, func(uint64, []byte) error { return nil }),
			p.Verify(t.Context()),
		} {
			var damage *CorruptError
			if err != nil && !errors.As(err, &damage) {
				t.Fatalf("got %v", err)
			}
		}
	})
}
