package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// TestDiskStaysBounded writes a journal hundreds of times over, with the
// goroutine beside it, and looks at what the disk holds on the way.
func TestDiskStaysBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("Badger 4.9's collection reads a number of its write buffer (DB.MaxVersion) while its writer changes it")
	}
	commits := 1_200
	if testing.Short() {
		commits = 300
	}
	o := testOptions()
	o.NoSync, o.foldByHand = true, false
	o.ValueLogFileBytes = 2 << 20
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
	const settled = 60_000_000
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

// TestOrphansAreDeleted: segments that no record names, as a value log
// collection brings them back.
func TestOrphansAreDeleted(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	mustCommit(t, p, scripted(1))
	want := newModel()
	want.scriptedTo(1)
	plant := func() {
		raw(t, s, func(txn *badger.Txn) error {
			for i := range uint32(3) {
				if err := txn.Set(appendSegmentKey(nil, p.log(modelJournal), 7<<16, i), make([]byte, 100_000)); err != nil {
					return err
				}
			}
			// Another partition's stays: it has no record.
			return txn.Set(appendSegmentKey(nil, family{partition: 9, kind: kindLog}, 8<<16, 0), make([]byte, 100))
		})
	}
	before := len(keysOf(t, s, prefixSegment))
	plant()
	s.logWritten.Store(s.options.ValueLogFileBytes)
	foldAll(t, s)
	if n := len(keysOf(t, s, prefixSegment)); n != before+1 || s.Stats().RunsSwept != 1 {
		t.Fatalf("%d segments, %d before, %d swept", n, before, s.Stats().RunsSwept)
	}
	plant()
	mustClose(t, s)
	s, p = mustOpen(t, s.dir.path, testOptions())
	defer mustClose(t, s)
	if n := len(keysOf(t, s, prefixSegment)); n != before+1 {
		t.Fatalf("%d segments after opening, %d before", n, before)
	}
	want.check(t, p)
}

// TestPeekRemembers: where an entry was found is remembered, also over a collection of
// the value log; where that has moved it, the entry is found in its new place, and nothing
// is logged of it.
func TestPeekRemembers(t *testing.T) {
	if raceEnabled {
		t.Skip("Badger 4.9's collection reads a number of its write buffer (DB.MaxVersion) while its writer changes it")
	}
	const other = 1 // a log
	var logged bytes.Buffer
	o := testOptions()
	o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	o.ValueLogFileBytes = 2 << 20
	s, p := mustOpen(t, t.TempDir(), o)
	defer mustClose(t, s)
	blob := bytes.Repeat([]byte("x"), 100_000)
	mustCommit(t, p, &Commit{Header: []byte("h"), Appends: map[uint8][][]byte{modelJournal: {blob}}})
	peek := func() *badger.Item {
		t.Helper()
		shown := false
		err := p.Peek(modelJournal, 1, func(b []byte) error {
			shown = bytes.Equal(b, blob)
			return nil
		})
		if err != nil || !shown {
			t.Fatalf("shown %v, %v", shown, err)
		}
		return p.peeked.items[peekedAt{p.state.Load().find(p.log(modelJournal)).runs[0].id, 0}]
	}
	item := peek()
	if item == nil || peek() != item {
		t.Fatal("where it was found is not remembered")
	}
	for round, moved := 0, false; !moved; round++ { // what stands beside it is dropped, until its file is collected
		for range 40 {
			mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{other: {randomBytes(rand.New(rand.NewPCG(1, 2)), 100_000)}}, Trim: map[uint8]uint64{other: p.LogLast(other)}})
		}
		foldAll(t, s)
		if moved = peek() != item; !moved && round == 100 {
			t.Fatal("its file is not collected")
		}
	}
	if again := peek(); again == item || peek() != again {
		t.Error("its new place is not remembered")
	}
	if logged.Len() > 0 {
		t.Errorf("logged: %s", logged.String())
	}
}

// TestUnsynced: Badger logs that the value log could not be synced and
// acknowledges the write; the store does not.
func TestUnsynced(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	mustCommit(t, p, scripted(1))
	commit := s.commitTransaction
	s.commitTransaction = func(txn *badger.Txn) error {
		s.db.Opts().Logger.Errorf("Error while curlf sync: %v\n", "injected")
		return commit(txn)
	}
	if err := p.Commit(scripted(2)); !errors.Is(err, ErrUncertain) || !errors.Is(err, errUnsynced) {
		t.Fatalf("got %v", err)
	}
}

// TestLendTellsWhereAValueLies: only what is mapped may be unmapped, so a small
// value is never called mapped, wherever it lies; and what was unmapped is read
// again as it was.
func TestLendTellsWhereAValueLies(t *testing.T) {
	s, _ := mustOpen(t, t.TempDir(), testOptions())
	values := map[string][]byte{}
	rng := rand.New(rand.NewPCG(3, 3))
	for _, size := range []int{4, 100, logMinBytes - 1, logMinBytes, 100_000, 400_000} {
		values[fmt.Sprint("key ", size)] = randomBytes(rng, size)
	}
	raw(t, s, func(txn *badger.Txn) error {
		for key, value := range values {
			if err := txn.Set([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
	for _, where := range []string{"buffer", "buffer", "table", "table"} {
		if where == "table" { // closing writes the tables
			mustClose(t, s)
			s, _ = mustOpen(t, s.dir.path, testOptions())
		}
		for key, value := range values {
			err := lend(s.db.NewTransaction(false), []byte(key), func(v []byte, mapped bool) error {
				if !bytes.Equal(v, value) || mapped != (len(v) >= logMinBytes) {
					return fmt.Errorf("%s of %d bytes, mapped: %t", where, len(v), mapped)
				}
				if mapped {
					unmap(v)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	mustClose(t, s)
}

// TestBallast is drawn in proportion, bounded at a time, and not lost.
func TestBallast(t *testing.T) {
	b := ballast{every: 128 << 20, fills: 2 << 20, zeros: make([]byte, ballastMaxBytes)}
	drawn := 0
	for range 1_000 {
		n := len(b.draw(500_000))
		if n > ballastMaxBytes || n > 0 && n < ballastMinBytes {
			t.Fatalf("drew %d bytes", n)
		}
		drawn += n
	}
	if want := 500_000_000 / 64; drawn < want*99/100 || drawn > want {
		t.Errorf("drew %d bytes, want %d", drawn, want)
	}
	if len(b.draw(100<<20)) != ballastMaxBytes || len(b.draw(0)) != ballastMaxBytes {
		t.Error("what one transaction does not draw is lost")
	}
}
