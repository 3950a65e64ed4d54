package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// TestDiskStaysBounded writes a journal hundreds of times over, with the
// goroutine beside it, and looks at what the disk holds on the way.
func TestDiskStaysBounded(t *testing.T) {
	commits := 1_200
	if testing.Short() {
		commits = 300
	}
	o := testOptions()
	o.NoSync, o.foldByHand = true, false
	o.ValueFileBytes = 2 << 20
	s, p := mustOpen(t, t.TempDir(), o)
	rng := rand.New(rand.NewPCG(2, 2))
	blobs := [][]byte{randomBytes(rng, 100_000), randomBytes(rng, 150_000), randomBytes(rng, 50_000)}
	const live = 20 // commits of 300 kB
	most := int64(0)
	for n := range commits {
		c := &Commit{Appends: map[uint8][][]byte{modelJournal: blobs}, Trim: map[uint8]uint64{modelJournal: uint64(3 * max(0, n-live))}}
		mustCommit(t, p, c)
		if n%20 == 0 {
			disk, err := s.DiskBytes()
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, disk)
		}
	}
	t.Logf("%d MB written, 6 MB alive, at most %d MB on the disk, %d files collected", commits*3/10, most/1_000_000, s.Stats().FilesCollected)
	// A writer that never rests outruns the collection on a busy machine, but not
	// for good, and what it has left behind is collected once it is slower.
	if written := int64(commits) * 300_000; most > written/2 {
		t.Errorf("the disk held %d bytes of %d", most, written)
	}
	const settled = 25_000_000
	for n, disk := 0, most; disk > settled; n++ {
		if n == 1000 {
			t.Fatalf("the disk still holds %d bytes", disk)
		}
		mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: blobs}, Trim: map[uint8]uint64{modelJournal: p.LogLast(modelJournal) - 3*live}})
		time.Sleep(10 * time.Millisecond)
		var err error
		if disk, err = s.DiskBytes(); err != nil {
			t.Fatal(err)
		}
	}
	if s.Stats().FilesCollected == 0 || s.Stats().FoldErrors > 0 {
		t.Errorf("stats: %+v", s.Stats())
	}
	for n := p.LogFirst(modelJournal); n <= p.LogLast(modelJournal); n++ {
		if e, err := p.Entry(modelJournal, n); err != nil || !bytes.Equal(e, blobs[(n-1)%3]) {
			t.Fatalf("entry %d: %v", n, err)
		}
	}
	mustClose(t, s)
	s, p = mustOpen(t, s.dir.path, o)
	if err := p.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

// journal commits entries of 100 kB to a journal and returns them by number from 1.
func journal(t *testing.T, p *Partition, entries int) (blobs [][]byte) {
	t.Helper()
	rng := rand.New(rand.NewPCG(9, 9))
	for range entries {
		blob := randomBytes(rng, 100_000)
		blobs = append(blobs, blob)
		mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: {blob}}})
	}
	return blobs
}

// Values that stand alone in files of what is gone move together, also where the disk has
// less free than has to remain, and no file is removed as long as a view is open that began
// before.
func TestCollect(t *testing.T) {
	const other = 1 // a log, whose entries stand between those of the journal
	o := testOptions()
	s, p := mustOpen(t, t.TempDir(), o)
	rng := rand.New(rand.NewPCG(1, 2))
	var blobs [][]byte
	for range 60 {
		blobs = append(blobs, randomBytes(rng, 40_000))
		mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: {blobs[len(blobs)-1]}, other: {randomBytes(rng, 100_000)}}})
	}
	files := len(s.values.files)
	err := p.Pinned(func(v *View) error {
		mustCommit(t, p, &Commit{Trim: map[uint8]uint64{other: 61, modelJournal: 3}})
		s.options.FreeMinBytes = 1 << 50 // commits would be refused now
		foldAll(t, s)
		if n := len(s.values.files); n < files {
			return fmt.Errorf("%d files, %d before: some were removed under a view", n, files)
		}
		read := 0
		err := v.LogRange(other, 1, 0, func(uint64, []byte) error { read++; return nil })
		if err != nil || read != 60 {
			return fmt.Errorf("%d entries of what was trimmed since: %w", read, err)
		}
		return v.LogRange(modelJournal, 1, 0, func(n uint64, entry []byte) error {
			if !bytes.Equal(entry, blobs[n-1]) {
				return fmt.Errorf("entry %d differs", n)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	foldAll(t, s)
	if n := len(s.values.files); n > files/2 || s.Stats().FilesCollected == 0 {
		t.Errorf("%d files, %d before, %d collected", n, files, s.Stats().FilesCollected)
	}
	checkNothingLeft(t, s)
	for range 2 {
		for n := p.LogFirst(modelJournal); n <= 60; n++ {
			if e, err := p.Entry(modelJournal, n); err != nil || !bytes.Equal(e, blobs[n-1]) {
				t.Fatalf("entry %d: %v", n, err)
			}
		}
		mustClose(t, s)
		s, p = mustOpen(t, s.dir.path, o)
	}
	checkNothingLeft(t, s)
	mustClose(t, s)
}

// A value that is deleted, or moved, while it is being moved stays as it is then.
func TestMoveOfWhatIsGone(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	blobs := journal(t, p, 3)
	r := p.state.Load().find(p.log(modelJournal)).runs[0]
	var moves []write
	for i, blob := range blobs {
		key := appendSegmentKey(nil, p.log(modelJournal), r.id, uint32(i))
		at, ok := s.values.where(key)
		if !ok {
			t.Fatalf("entry %d has no place", i)
		}
		value := make([]byte, at.size)
		if err := s.values.read(at, value, 0); err != nil || !bytes.Equal(value[segmentHeaderSize:], blob) {
			t.Fatal(err)
		}
		moves = append(moves, write{key: key, value: value, moved: true, from: at})
	}
	if err := s.transact([]write{{key: moves[0].key, remove: true}}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time none is there any more
		if err := s.transact(moves); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := s.values.where(moves[0].key); ok || !moves[0].skipped || len(keysOf(t, s, prefixSegment)) != 2 {
		t.Error("a move has brought back what was deleted")
	}
	for n := uint64(2); n <= 3; n++ {
		if e, err := p.Entry(modelJournal, n); err != nil || !bytes.Equal(e, blobs[n-1]) {
			t.Errorf("entry %d: %v", n, err)
		}
	}
	s.values.check(t)
	if size := s.values.newest.size; size != 5*int64(100_000+segmentHeaderSize) {
		t.Errorf("%d bytes were written: what was gone was written again", size)
	}
}

// What a crash has left in value files goes when the store is opened.
func TestValuesThatNobodyHas(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	journal(t, p, 2)
	injected := errors.New("injected")
	commit := s.commitTransaction
	s.commitTransaction = func(*badger.Txn) error { return injected }
	if err := p.Commit(&Commit{Appends: map[uint8][][]byte{modelJournal: {make([]byte, 100_000)}}}); !errors.Is(err, injected) {
		t.Fatal(err)
	}
	s.commitTransaction = commit
	file := filepath.Join(s.dir.valuesPath(), valueFileName(7))
	mustClose(t, s)
	if err := os.WriteFile(file, []byte("a file that was begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, p = mustOpen(t, s.dir.path, testOptions())
	defer mustClose(t, s)
	mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: {make([]byte, 100_000)}}})
	if s.values.newest.number != 8 {
		t.Errorf("the next file is %d: a number came back", s.values.newest.number)
	}
	foldAll(t, s)
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there still: %v", err)
	}
	s.values.check(t)
	if err := p.Verify(t.Context()); err != nil || p.LogLast(modelJournal) != 3 {
		t.Errorf("%d entries: %v", p.LogLast(modelJournal), err)
	}
}

// Once a file could not be synced nothing is built on it: the system does not say twice
// that it has lost what was written.
func TestUnsynced(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	journal(t, p, 1)
	file := s.values.newest.file
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.values.syncNewest(); err == nil {
			t.Fatal("a file that is closed was synced")
		}
		s.values.newest.file = file
		if err := p.Commit(scripted(2)); !errors.Is(err, ErrUncertain) || !strings.Contains(err.Error(), "could not be synced") {
			t.Fatalf("got %v", err)
		}
	}
	if err := s.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("close: %v", err)
	}
	s, p = mustOpen(t, s.dir.path, testOptions())
	defer mustClose(t, s)
	if err := p.Verify(t.Context()); err != nil || p.LogLast(modelJournal) != 1 {
		t.Errorf("%d entries: %v", p.LogLast(modelJournal), err)
	}
}

// A file that cannot be read is not emptied, and does not keep others from it; while it is
// uncertain what Badger has, none is removed.
func TestCollectLeavesWhatCannotBeRead(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	journal(t, p, 60) // in five files and more
	names := s.values.files
	if len(names) < 5 {
		t.Fatalf("%d files", len(names))
	}
	trim := func(keep ...uint64) { // all but these of the entries
		t.Helper()
		f := p.state.Load().find(p.log(modelJournal))
		var gone []write
		for n := uint64(1); n < 60; n++ {
			if r := f.runs[f.search(n)]; !slices.Contains(keep, n) {
				gone = append(gone, write{key: appendSegmentKey(nil, p.log(modelJournal), r.id, uint32(n-r.first)), remove: true})
			}
		}
		if err := s.transact(gone); err != nil {
			t.Fatal(err)
		}
	}
	s.values.doubt()
	trim(1, 20)
	first, second := s.values.files[1], s.values.files[2]
	if err := first.file.Close(); err != nil {
		t.Fatal(err)
	}
	for n := 0; s.folder.once() || s.folder.rest.After(s.options.Now()); n++ {
		s.folder.rest = time.Time{}
		if n == 100 {
			t.Fatal("there is no end")
		}
	}
	if first.live == 0 || !first.stuck || second.live != 0 || s.counters.foldErrors.Load() != 1 || s.Stats().FilesCollected != 0 {
		t.Errorf("first %+v, second %+v, %d errors, %d removed", first, second, s.counters.foldErrors.Load(), s.Stats().FilesCollected)
	}
	if err := s.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("close: %v", err)
	}
	s, _ = mustOpen(t, s.dir.path, testOptions())
	defer mustClose(t, s)
	foldAll(t, s)
	if _, there := s.values.files[1]; there || s.Stats().FilesCollected < 4 {
		t.Errorf("%d files were removed when it was certain", s.Stats().FilesCollected)
	}
}

// A place is told from other bytes, and from that of another key.
func TestPlaces(t *testing.T) {
	t.Parallel()
	key := appendSegmentKey(nil, family{partition: 3, kind: kindLog, table: 2}, 7, 1)
	want := place{file: 1 << 40, offset: 1<<32 - 1, size: 1<<32 - 1}
	b := appendPlace(nil, key, want)
	if at, err := parsePlace(key, b); err != nil || at != want {
		t.Fatalf("%+v, %v", at, err)
	}
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if _, err := parsePlace(key, b); err == nil {
			t.Errorf("bit %d was flipped and not found", i)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	if _, err := parsePlace(makeRecordKey(3), b); err == nil {
		t.Error("the place of another key was read")
	}
	if _, err := parsePlace(key, b[:placeBytes-1]); err == nil {
		t.Error("a short one was read")
	}
}

// TestHolds: something doomed is over when all who began before are done.
func TestHolds(t *testing.T) {
	t.Parallel()
	h := newHolds()
	first := h.turn()
	if !h.over(first) {
		t.Error("nobody has begun")
	}
	a := h.begin()
	second := h.turn()
	b := h.begin()
	third := h.turn()
	if h.over(second) || h.over(third) {
		t.Error("over under a reader")
	}
	h.end(a)
	if !h.over(second) || h.over(third) {
		t.Error("the first reader is done, the second is not")
	}
	h.end(b)
	if !h.over(third) || len(h.readers) != 1 {
		t.Errorf("all are done: %+v", h.readers)
	}
}
