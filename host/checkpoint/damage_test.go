package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// damagedStore holds a table of one run, a log of one run with large entries,
// and their segments' keys.
type damagedStore struct {
	*Store
	*Partition
	table, log   run
	tableF, logF family
}

func newDamagedStore(t *testing.T) *damagedStore {
	t.Helper()
	s, p := mustOpen(t, t.TempDir(), testOptions())
	rng := rand.New(rand.NewPCG(8, 8))
	c := &Commit{Header: []byte("h"), Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
	for i := range 400 {
		c.Puts[2] = append(c.Puts[2], Entry{Key: fmt.Appendf(nil, "%04d", i), Value: randomBytes(rng, 3_000)})
		c.Appends[1] = append(c.Appends[1], randomBytes(rng, 3_000))
	}
	c.Appends[1] = append(c.Appends[1], randomBytes(rng, 700_000))
	mustCommit(t, p, c)
	d := &damagedStore{Store: s, Partition: p, tableF: p.table(2), logF: p.log(1)}
	t.Cleanup(func() { mustClose(t, d.Store) }) // tests may have opened it again
	d.table, d.log = p.state.Load().find(d.tableF).runs[0], p.state.Load().find(d.logF).runs[0]
	if d.table.segments < 4 || d.log.segments < 6 {
		t.Fatalf("%d and %d segments are too few to damage", d.table.segments, d.log.segments)
	}
	return d
}

// change replaces a value behind the store's back; nil deletes it.
func (d *damagedStore) change(t *testing.T, key []byte, fn func([]byte) []byte) {
	t.Helper()
	at := d.moment()
	defer at.end()
	value, err := at.get(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, d.Store, func(txn *badger.Txn) error {
		if value = fn(value); value == nil {
			return txn.Delete(key)
		}
		return txn.Set(key, value)
	})
}

func (d *damagedStore) load() error {
	return d.Load(2, func(_, _ []byte) error { return nil })
}

func (d *damagedStore) scan() error {
	return d.LogRange(1, 1, 0, func(uint64, []byte) error { return nil })
}

// TestDamageIsReported plants damage through Badger, so that Badger's own sums
// are right, and reads: the error names the place, in Load, LogRange and Verify.
func TestDamageIsReported(t *testing.T) {
	resum := func(key, v []byte) []byte {
		binary.LittleEndian.PutUint32(v, sumOf(key, v))
		return v
	}
	for name, c := range map[string]struct {
		segment uint32
		reason  string
		change  func(key, v []byte) []byte
	}{
		"a bit of the payload":     {2, "sum does not match", func(_, v []byte) []byte { v[len(v)/2] ^= 4; return v }},
		"a bit of the sum":         {0, "sum does not match", func(_, v []byte) []byte { v[1] ^= 128; return v }},
		"a bit of the header":      {1, "sum does not match", func(_, v []byte) []byte { v[segmentCount] ^= 1; return v }},
		"the end is cut off":       {1, "sum does not match", func(_, v []byte) []byte { return v[:len(v)-1] }},
		"hardly anything is left":  {1, "shorter than its header", func(_, v []byte) []byte { return v[:5] }},
		"gone":                     {1, "missing", func(_, _ []byte) []byte { return nil }},
		"a later format":           {1, "segment format 9, this program reads 2", func(k, v []byte) []byte { v[segmentFormat] = 9; return resum(k, v) }},
		"an unknown shape":         {1, "header contradicts itself", func(k, v []byte) []byte { v[segmentShape] = 7; return resum(k, v) }},
		"reserved bytes":           {1, "reserved bytes", func(k, v []byte) []byte { v[segmentReserved] = 1; return resum(k, v) }},
		"an entry too many":        {1, "an entry's length exceeds the bytes", func(k, v []byte) []byte { v[segmentCount]++; return resum(k, v) }},
		"an entry too few":         {1, "bytes after the last entry", func(k, v []byte) []byte { v[segmentCount]--; return resum(k, v) }},
		"another number":           {1, "starts with number", func(k, v []byte) []byte { v[segmentFirst] ^= 1; return resum(k, v) }},
		"a piece of something":     {1, "header contradicts itself", func(k, v []byte) []byte { v[segmentShape] = 2; return resum(k, v) }},
		"an endless entry":         {1, "an entry's length exceeds the bytes", func(k, v []byte) []byte { copy(v[segmentHeaderSize:], "\xff\xff\xff\xff\xff\xff"); return resum(k, v) }},
		"a length beyond the rest": {1, "an entry's length exceeds the bytes", func(k, v []byte) []byte { copy(v[segmentHeaderSize:], "\xff\xff\xff\x0f"); return resum(k, v) }},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamagedStore(t)
			for _, f := range []family{d.tableF, d.logF} {
				run, read := d.table, d.load
				if f.kind == kindLog {
					run, read = d.log, d.scan
				}
				key := appendSegmentKey(nil, f, run.id, c.segment)
				whole := []byte(nil)
				d.change(t, key, func(v []byte) []byte { whole = bytes.Clone(v); return c.change(key, v) })
				for how, err := range map[string]error{"read": read(), "verify": d.Verify(t.Context())} {
					var damage *CorruptError
					if !errors.As(err, &damage) || damage.Partition != 3 || damage.Table != f.table || damage.Log != (f.kind == kindLog) ||
						damage.Run != run.id || damage.Segment != int(c.segment) || !strings.Contains(damage.Reason, c.reason) {
						t.Errorf("%s: got %v, want segment %d with %q", how, err, c.segment, c.reason)
					}
				}
				raw(t, d.Store, func(txn *badger.Txn) error { return txn.Set(key, whole) })
				if err := read(); err != nil {
					t.Errorf("repaired: %v", err)
				}
			}
		})
	}
}

// TestDamagedValueFile plants damage in value files, and in what Badger knows of them.
func TestDamagedValueFile(t *testing.T) {
	for name, c := range map[string]struct {
		reason string
		change func(t *testing.T, d *damagedStore, key []byte, file string, at place)
	}{
		"a bit is flipped": {"sum does not match", func(t *testing.T, _ *damagedStore, _ []byte, file string, at place) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[at.offset+at.size/2] ^= 16
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"the end is cut off": {"EOF", func(t *testing.T, _ *damagedStore, _ []byte, file string, at place) {
			if err := os.Truncate(file, int64(at.offset+at.size-1)); err != nil {
				t.Fatal(err)
			}
		}},
		"the file is gone": {"does not exist", func(t *testing.T, _ *damagedStore, _ []byte, file string, _ place) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}},
		"a place is no place": {"sum does not match", func(t *testing.T, d *damagedStore, key []byte, _ string, at place) {
			b := appendPlace(nil, key, at)
			b[placeOffset] ^= 1
			raw(t, d.Store, func(txn *badger.Txn) error { return txn.SetEntry(badger.NewEntry(key, b).WithMeta(metaPlaced)) })
		}},
		"a place beyond all files": {"does not exist", func(t *testing.T, d *damagedStore, key []byte, _ string, at place) {
			at.file = 99
			raw(t, d.Store, func(txn *badger.Txn) error {
				return txn.SetEntry(badger.NewEntry(key, appendPlace(nil, key, at)).WithMeta(metaPlaced))
			})
		}},
		"a place longer than any value": {"not the place", func(t *testing.T, d *damagedStore, key []byte, _ string, at place) {
			at.size = valueMaxBytes + 1
			raw(t, d.Store, func(txn *badger.Txn) error {
				return txn.SetEntry(badger.NewEntry(key, appendPlace(nil, key, at)).WithMeta(metaPlaced))
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamagedStore(t)
			key := appendSegmentKey(nil, d.tableF, d.table.id, 1)
			at, ok := d.values.where(key)
			if !ok {
				t.Fatal("the segment has no place")
			}
			c.change(t, d, key, filepath.Join(d.dir.valuesPath(), valueFileName(at.file)), at)
			mustClose(t, d.Store)
			d.Store, d.Partition = mustOpen(t, d.dir.path, testOptions())
			for how, err := range map[string]error{"read": d.load(), "verify": d.Verify(t.Context())} {
				var damage *CorruptError
				if !errors.As(err, &damage) || damage.Partition != 3 || damage.Run != d.table.id || damage.Segment < 0 || !strings.Contains(damage.Reason, c.reason) {
					t.Errorf("%s: got %v, want %q", how, err, c.reason)
				}
			}
		})
	}
}

func TestCorruptErrorText(t *testing.T) {
	for want, err := range map[string]*CorruptError{
		"checkpoint: partition 3: table 2: run 0x10: segment 4: damaged: gone": {Partition: 3, Table: 2, Run: 16, Segment: 4, Reason: "gone"},
		"checkpoint: partition 3: log 2: run 0x10: damaged: gone":              {Partition: 3, Table: 2, Log: true, Run: 16, Segment: -1, Reason: "gone"},
		"checkpoint: partition 3: commit record: damaged: gone":                {Partition: 3, Segment: -1, Reason: "gone"},
	} {
		if err.Error() != want {
			t.Errorf("got  %s\nwant %s", err, want)
		}
	}
}

// TestSegmentsSwapped: a whole segment under another's key is damage.
func TestSegmentsSwapped(t *testing.T) {
	d := newDamagedStore(t)
	one, two := appendSegmentKey(nil, d.tableF, d.table.id, 1), appendSegmentKey(nil, d.tableF, d.table.id, 2)
	var first []byte
	d.change(t, one, func(v []byte) []byte { first = bytes.Clone(v); return v })
	d.change(t, two, func([]byte) []byte { return first })
	var damage *CorruptError
	if err := d.load(); !errors.As(err, &damage) || damage.Segment != 2 {
		t.Fatalf("got %v", err)
	}
}

// TestKeysOutOfOrder within a segment whose sum is right.
func TestKeysOutOfOrder(t *testing.T) {
	d := newDamagedStore(t)
	key := appendSegmentKey(nil, d.tableF, d.table.id, 1)
	d.change(t, key, func(v []byte) []byte {
		v[segmentHeaderSize+3] = '9' // the first digit of the first key: one byte of length before it, two of the value's
		binary.LittleEndian.PutUint32(v, sumOf(key, v))
		return v
	})
	var damage *CorruptError
	if err := d.load(); !errors.As(err, &damage) || damage.Segment != 1 || !strings.Contains(err.Error(), "not in order") {
		t.Fatalf("got %v", err)
	}
}

// TestPiecesDamaged: pieces of an entry that are missing or of another entry.
func TestPiecesDamaged(t *testing.T) {
	d := newDamagedStore(t)
	last := d.log.segments - 1
	key := appendSegmentKey(nil, d.logF, d.log.id, last)
	for reason, change := range map[string]func(v []byte){
		"pieces do not belong together": func(v []byte) { v[segmentPiece]-- },
		"header contradicts itself":     func(v []byte) { v[segmentPiece]++ },
	} {
		var whole []byte
		d.change(t, key, func(v []byte) []byte {
			whole = bytes.Clone(v)
			change(v)
			binary.LittleEndian.PutUint32(v, sumOf(key, v))
			return v
		})
		var damage *CorruptError
		if err := d.scan(); !errors.As(err, &damage) || damage.Segment != int(last) || !strings.Contains(err.Error(), reason) {
			t.Fatalf("got %v, want %s", err, reason)
		}
		raw(t, d.Store, func(txn *badger.Txn) error { return txn.Set(key, whole) })
	}
}

// TestTotalsDiffer: a record whose totals are not those of the segments.
func TestTotalsDiffer(t *testing.T) {
	for _, f := range []string{"table", "log"} {
		d := newDamagedStore(t)
		key := makeRecordKey(3)
		read, fam := d.load, d.tableF
		if f == "log" {
			read, fam = d.scan, d.logF
		}
		d.change(t, key, func(v []byte) []byte {
			s, err := parseRecord(3, key, v)
			if err != nil {
				t.Fatal(err)
			}
			s.find(fam).runs[0].bytes++
			return appendRecord(nil, key, s)
		})
		var damage *CorruptError
		if err := read(); !errors.As(err, &damage) || damage.Segment != -1 || !strings.Contains(err.Error(), "the commit record has") {
			t.Fatalf("got %v", err)
		}
	}
}

// TestRecordDamaged: the partition does not open, others do, and nothing of it
// is swept.
func TestRecordDamaged(t *testing.T) {
	d := newDamagedStore(t)
	d.change(t, makeRecordKey(3), func(v []byte) []byte { v[recordNumber] ^= 1; return v })
	var damage *CorruptError
	if err := d.load(); !errors.As(err, &damage) || damage.Run != 0 || damage.Partition != 3 {
		t.Fatalf("got %v", err)
	}
	raw(t, d.Store, func(txn *badger.Txn) error {
		w := markDoomed(doomed{family: d.tableF, run: d.table.id})
		return txn.Set(w.key, w.value)
	})
	dir := d.dir.path
	segments := len(keysOf(t, d.Store, prefixSegment))
	mustClose(t, d.Store)
	s, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	d.Store = s
	if _, err := s.Partition(3); !errors.As(err, &damage) || damage.Run != 0 {
		t.Fatalf("got %v", err)
	}
	if _, err := s.Partition(4); err != nil {
		t.Fatal(err)
	}
	if n := len(keysOf(t, s, prefixSegment)); n != segments {
		t.Fatalf("%d of %d segments are left", n, segments)
	}
}

// TestMarkerDamaged: a marker over a live run stops the partition, and deletes
// nothing; a marker whose sum is wrong is ignored.
func TestMarkerDamaged(t *testing.T) {
	d := newDamagedStore(t)
	raw(t, d.Store, func(txn *badger.Txn) error {
		w := markDoomed(doomed{family: d.logF, run: d.log.id})
		return txn.Set(w.key, []byte{1, 2, 3, 4})
	})
	dir := d.dir.path
	mustClose(t, d.Store)
	s, p := mustOpen(t, dir, testOptions())
	if err := p.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw(t, s, func(txn *badger.Txn) error {
		w := markDoomed(doomed{family: d.logF, run: d.log.id})
		return txn.Set(w.key, w.value)
	})
	mustClose(t, s)
	s, err := Open(dir, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	d.Store = s
	var damage *CorruptError
	if _, err := s.Partition(3); !errors.As(err, &damage) || damage.Run != d.log.id || !damage.Log {
		t.Fatalf("got %v", err)
	}
	if n := len(keysOf(t, s, prefixSegment)); n != int(d.table.segments+d.log.segments) {
		t.Fatalf("%d segments are left", n)
	}
}

// TestFoldMeetsDamage: the partition stops with the error that names the place.
func TestFoldMeetsDamage(t *testing.T) {
	d := newDamagedStore(t)
	for range 5 {
		mustCommit(t, d.Partition, &Commit{Puts: map[uint8][]Entry{2: {{Key: []byte("k"), Value: []byte("v")}}}, Appends: map[uint8][][]byte{1: {[]byte("e")}}})
	}
	d.change(t, appendSegmentKey(nil, d.tableF, d.table.id, 1), func(v []byte) []byte { v[100] ^= 1; return v })
	d.change(t, appendSegmentKey(nil, d.logF, d.log.id, 1), func(v []byte) []byte { v[100] ^= 1; return v })
	d.options.FoldMinBytes = 0
	s := d.state.Load()
	for _, f := range []family{d.tableF, d.logF} {
		runs := s.find(f).runs
		var damage *CorruptError
		err := d.folder.fold(foldJob{partition: d.Partition, family: f, runs: runs, oldest: true})
		if !errors.As(err, &damage) || damage.Segment != 1 || damage.Log != (f.kind == kindLog) {
			t.Fatalf("got %v", err)
		}
	}
	var damage *CorruptError
	if err := d.Commit(&Commit{}); !errors.As(err, &damage) || damage.Run != d.table.id {
		t.Fatalf("commit after it: %v", err)
	}
	if stats := d.Stats(); stats.Partitions[0].Stopped == nil {
		t.Fatal("the partition is not stopped")
	}
	if d.folder.once() {
		t.Fatal("a stopped partition was folded")
	}
	if err := d.Load(0, func(_, _ []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestJournalDamaged: damage of an entry of a journal is found by whatever reads
// that entry, and by nothing that reads another.
func TestJournalDamaged(t *testing.T) {
	d := newDamagedStore(t)
	rng := rand.New(rand.NewPCG(8, 1))
	blobs := [][]byte{randomBytes(rng, 10_000), randomBytes(rng, 100_000), randomBytes(rng, 50_000), randomBytes(rng, 200_000)}
	mustCommit(t, d.Partition, &Commit{Appends: map[uint8][][]byte{modelJournal: blobs}})
	fam := d.Partition.log(modelJournal)
	run := d.state.Load().find(fam).runs[0]
	resum := func(key, v []byte) []byte {
		binary.LittleEndian.PutUint32(v, sumOf(key, v))
		return v
	}
	for name, c := range map[string]struct {
		reason string
		change func(key, v []byte) []byte
	}{
		"a bit of the payload": {"sum does not match", func(_, v []byte) []byte { v[len(v)/2] ^= 4; return v }},
		"the end is cut off":   {"sum does not match", func(_, v []byte) []byte { return v[:len(v)-1] }},
		"hardly anything left": {"shorter than its header", func(_, v []byte) []byte { return v[:9] }},
		"gone":                 {"missing", func(_, _ []byte) []byte { return nil }},
		"another number":       {"starts with number", func(k, v []byte) []byte { v[segmentFirst] ^= 1; return resum(k, v) }},
		"two entries":          {"header contradicts itself", func(k, v []byte) []byte { v[segmentCount]++; return resum(k, v) }},
		"another shape":        {"", func(k, v []byte) []byte { v[segmentShape] = byte(shapeWhole); return resum(k, v) }},
	} {
		key := appendSegmentKey(nil, fam, run.id, 1)
		d.change(t, key, func(v []byte) []byte { return c.change(key, v) })
		look := func([]byte) error { return nil }
		scan := d.LogRange(modelJournal, 1, 0, func(n uint64, entry []byte) error {
			if n > 1 || !bytes.Equal(entry, blobs[0]) {
				t.Errorf("%s: entry %d was handed out", name, n)
			}
			return nil
		})
		_, entry := d.Entry(modelJournal, 2)
		back := d.LogBackward(modelJournal, func(n uint64, entry []byte) error {
			if n < 3 || !bytes.Equal(entry, blobs[n-1]) {
				t.Errorf("%s: entry %d was handed out", name, n)
			}
			return nil
		})
		found := map[string]error{"LogRange": scan, "LogBackward": back, "Entry": entry, "View": d.View(modelJournal, 2, look), "Verify": d.Verify(t.Context())}
		for how, err := range found {
			var damage *CorruptError
			if !errors.As(err, &damage) || !damage.Log || damage.Table != modelJournal || damage.Run != run.id || damage.Segment != 1 ||
				!strings.Contains(damage.Reason, c.reason) {
				t.Errorf("%s: %s: got %v", name, how, err)
			}
		}
		for _, n := range []uint64{1, 3, 4} {
			if e, err := d.Entry(modelJournal, n); err != nil || !bytes.Equal(e, blobs[n-1]) {
				t.Errorf("%s: entry %d: %v", name, n, err)
			}
		}
		whole := append(make([]byte, segmentHeaderSize), blobs[1]...)
		sealSegment(key, whole, segment{shape: shapeAlone, count: 1, first: 2})
		raw(t, d.Store, func(txn *badger.Txn) error { return txn.Set(key, whole) })
	}
	if err := d.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
}
