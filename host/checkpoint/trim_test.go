package checkpoint

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// TestTrim drops whole runs at once, and keeps the numbers even when nothing is
// left.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	s, p := mustOpen(t, dir, testOptions())
	s.journalRun = 0 // a run for each commit
	want := newModel()
	commit := func(c *Commit) {
		t.Helper()
		want.apply(c)
		mustCommit(t, p, c)
		want.check(t, p)
		checkNothingLeft(t, s)
	}
	for i := range 10 {
		commit(&Commit{Appends: map[uint8][][]byte{modelJournal: {fmt.Appendf(nil, "%d", i), nil, make([]byte, 1_000)}}})
	}
	for _, c := range []struct {
		trim, first uint64
		runs        int
	}{{0, 1, 10}, {1, 1, 10}, {3, 3, 10}, {4, 4, 9}, {2, 4, 9}, {15, 15, 6}, {1000, 31, 0}} {
		commit(&Commit{Trim: map[uint8]uint64{modelJournal: c.trim, 0: 7}})
		f := p.state.Load().find(p.log(modelJournal))
		if p.LogFirst(modelJournal) != c.first || len(f.runs) != c.runs || len(keysOf(t, s, prefixSegment)) != 3*c.runs {
			t.Fatalf("trim %d: first %d, %d runs, %d segments", c.trim, p.LogFirst(modelJournal), len(f.runs), len(keysOf(t, s, prefixSegment)))
		}
	}
	if p.LogFirst(0) != 1 || p.LogLast(0) != 0 || p.LogLast(modelJournal) != 30 {
		t.Fatal("numbers changed")
	}
	mustClose(t, s)
	s, p = mustOpen(t, dir, testOptions())
	want.check(t, p)
	// What a commit appends it does not trim.
	commit(&Commit{Trim: map[uint8]uint64{modelJournal: 99}, Appends: map[uint8][][]byte{modelJournal: {[]byte("new")}}})
	if first, last := p.LogFirst(modelJournal), p.LogLast(modelJournal); first != 31 || last != 31 {
		t.Fatalf("from %d to %d", first, last)
	}
	mustClose(t, s)
}

// TestTrimLargeRuns: a run of many segments is doomed by the commit and deleted
// behind it, or by the next open.
func TestTrimLargeRuns(t *testing.T) {
	for _, how := range []string{"behind", "next open", "fails"} {
		t.Run(how, func(t *testing.T) {
			s, p := mustOpen(t, t.TempDir(), testOptions())
			entries := make([][]byte, 2*sweepWritesMax)
			for i := range entries {
				entries[i] = fmt.Append(nil, i)
			}
			mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: entries}})
			mustCommit(t, p, &Commit{Trim: map[uint8]uint64{modelJournal: 2_000}, Appends: map[uint8][][]byte{modelJournal: {[]byte("x")}}})
			if n := len(keysOf(t, s, prefixDoomed)); n != 1 {
				t.Fatalf("%d markers", n)
			}
			switch how {
			case "behind":
				foldAll(t, s)
				checkNothingLeft(t, s)
			case "fails":
				commit := s.commitTransaction
				s.commitTransaction = func(*badger.Txn) error { return errors.New("injected") }
				if s.folder.once() || s.Stats().FoldErrors != 1 {
					t.Fatal("the deletion did not fail")
				}
				s.commitTransaction = commit
				mustCommit(t, p, &Commit{})
			}
			mustClose(t, s)
			s, p = mustOpen(t, s.dir.path, testOptions())
			checkNothingLeft(t, s)
			if e, err := p.Entry(modelJournal, 1001); err != nil || string(e) != "x" {
				t.Fatalf("%q, %v", e, err)
			}
			mustClose(t, s)
		})
	}
}

// TestTrimInSteps: a commit drops a bounded number of runs; later ones drop the
// rest.
func TestTrimInSteps(t *testing.T) {
	o := testOptions()
	o.NoSync = true
	s, p := mustOpen(t, t.TempDir(), o)
	defer func() { mustClose(t, s) }()
	s.journalRun = 0 // a run for each commit
	const runs = 2*trimWritesMax + trimWritesMax/2
	for range runs {
		mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: {[]byte("e")}}})
	}
	mustCommit(t, p, &Commit{Trim: map[uint8]uint64{modelJournal: runs + 1}})
	for _, left := range []int{runs - trimWritesMax, runs - 2*trimWritesMax, 0} {
		if n := len(keysOf(t, s, prefixSegment)); n != left {
			t.Fatalf("%d segments, want %d", n, left)
		}
		if first := p.LogFirst(modelJournal); first != runs+1 {
			t.Fatalf("first is %d", first)
		}
		if err := p.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustClose(t, s)
		s, p = mustOpen(t, s.dir.path, o)
		mustCommit(t, p, &Commit{})
	}
	checkNothingLeft(t, s)
}

// TestTrimOvertakesFold: a log is trimmed while its runs are merged. The fold
// gives up without harm, wherever it stands.
func TestTrimOvertakesFold(t *testing.T) {
	for step := range 2 { // before the fold reads, and before its swap
		s, p := mustOpen(t, t.TempDir(), testOptions())
		want := newModel()
		commit := func(c *Commit) {
			want.apply(c)
			mustCommit(t, p, c)
		}
		rng := rand.New(rand.NewPCG(1, 5))
		for range 6 {
			commit(&Commit{Appends: map[uint8][][]byte{0: {randomBytes(rng, 900_000)}}})
		}
		job, ok := s.folder.due()
		if !ok {
			t.Fatal("nothing is due")
		}
		trim, trimmed := &Commit{Trim: map[uint8]uint64{0: 5}}, make(chan error, 1)
		if want.apply(trim); step == 0 {
			trimmed <- p.Commit(trim)
		} else {
			inner, once := s.commitTransaction, true
			s.commitTransaction = func(txn *badger.Txn) error {
				if once {
					once = false
					go func() { trimmed <- p.Commit(trim) }()
					awaitBehind(s, 1) // and so it is before the swap, which needs the record
				}
				return inner(txn)
			}
		}
		if err := s.folder.fold(job); !errors.Is(err, errOvertaken) {
			t.Fatalf("step %d: got %v", step, err)
		}
		if err := <-trimmed; err != nil {
			t.Fatal(err)
		}
		commit(&Commit{Appends: map[uint8][][]byte{0: {[]byte("e")}}})
		want.check(t, p)
		checkNothingLeft(t, s)
		mustClose(t, s)
	}
}

// TestRoomIsNotCopied: an entry with room reaches Badger as it lies.
func TestRoomIsNotCopied(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	entry := append(make([]byte, RoomBytes), "the entry"...)
	kept, _ := p.state.Load().trimmed(nil)
	if _, err := p.pack(kept, &Commit{Room: true, Appends: map[uint8][][]byte{modelJournal: {entry}}}, nil); err != nil {
		t.Fatal(err)
	}
	if value := p.writer.pending[0].value; &value[0] != &entry[0] {
		t.Error("the entry was copied")
	}
	p.writer.release()
	if b := s.buffers.take(); b != nil {
		t.Error("the caller's memory is in the pool")
	}
	err := p.Commit(&Commit{Room: true, Appends: map[uint8][][]byte{modelJournal: {make([]byte, RoomBytes-1)}}})
	if err == nil || errors.Is(err, ErrUncertain) {
		t.Errorf("an entry without room: %v", err)
	}
	large := slices.Concat(make([]byte, RoomBytes), randomBytes(rand.New(rand.NewPCG(1, 1)), 3*s.segmentBytes))
	mustCommit(t, p, &Commit{Room: true, Appends: map[uint8][][]byte{modelJournal: {entry, large, entry}}})
	for n, want := range map[uint64]string{1: "the entry", 2: string(large[RoomBytes:]), 3: "the entry"} {
		if e, err := p.Entry(modelJournal, n); err != nil || string(e) != want {
			t.Errorf("entry %d: %d bytes, %v", n, len(e), err)
		}
	}
}
