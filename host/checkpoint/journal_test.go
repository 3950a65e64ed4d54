package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// journalRuns returns how many runs a journal has.
func journalRuns(p *Partition) int {
	f := p.state.Load().find(p.log(modelJournal))
	if f == nil {
		return 0
	}
	return len(f.runs)
}

// A journal that is never trimmed has few runs, however many commits append to it: all
// of them stand in the commit record, which each commit writes again.
func TestJournalOfManyCommitsHasFewRuns(t *testing.T) {
	dir := t.TempDir()
	o := testOptions()
	o.NoSync = true // there are many commits
	s, p := mustOpen(t, dir, o)
	want := newModel()
	const commits = 4_000 // their runs would not fit in a record, one each
	for i := range commits {
		c := &Commit{Header: []byte("h"), Appends: map[uint8][][]byte{modelJournal: {fmt.Appendf(nil, "%d", i)}}}
		want.apply(c)
		mustCommit(t, p, c)
	}
	if n, most := journalRuns(p), commits/journalRunSegments+1; n > most {
		t.Errorf("%d runs after %d commits, at most %d are meant", n, commits, most)
	}
	want.check(t, p)
	checkNothingLeft(t, s)
	mustClose(t, s)
	s, p = mustOpen(t, dir, o)
	defer mustClose(t, s)
	want.check(t, p)
	if err := p.Verify(context.Background()); err != nil {
		t.Error(err)
	}
	for _, n := range []uint64{1, journalRunSegments, journalRunSegments + 1, commits} {
		entry, err := p.Entry(modelJournal, n)
		if err != nil || string(entry) != fmt.Sprint(n-1) {
			t.Errorf("entry %d is %q, %v", n, entry, err)
		}
		part := make([]byte, 8)
		if read, err := p.ReadAt(modelJournal, n, part, 0); !errors.Is(err, io.EOF) || string(part[:read]) != fmt.Sprint(n-1) {
			t.Errorf("entry %d is %q in part, %v", n, part[:read], err)
		}
	}
	// What is trimmed goes by runs, and what is left is found.
	for range commits/trimWritesMax + 1 { // a commit writes no more deletions than that
		c := &Commit{Trim: map[uint8]uint64{modelJournal: commits - 10}}
		want.apply(c)
		mustCommit(t, p, c)
	}
	if n := journalRuns(p); n != 1 {
		t.Errorf("%d runs are left", n)
	}
	want.check(t, p)
	checkNothingLeft(t, s)
}

// What a reader has begun to read stays as it was while the run goes on.
func TestReaderOfAJournalThatGetsLonger(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	commit := func(text string) {
		mustCommit(t, p, &Commit{Appends: map[uint8][][]byte{modelJournal: {[]byte(text)}}})
	}
	commit("a")
	commit("b")
	var seen []string
	err := p.Pinned(func(v *View) error {
		commit("c")
		return v.LogRange(modelJournal, 1, 0, func(_ uint64, entry []byte) error {
			seen = append(seen, string(entry))
			return nil
		})
	})
	if err != nil || !slices.Equal(seen, []string{"a", "b"}) || journalRuns(p) != 1 || p.LogLast(modelJournal) != 3 {
		t.Errorf("saw %q, %v; %d runs", seen, err, journalRuns(p))
	}
}

// A run that counts is made longer by a single transaction only: of several the first
// would leave segments of it that nobody counts.
func TestRunIsMadeLongerByOneTransaction(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	want := newModel()
	commit := func(c *Commit, runs int) {
		t.Helper()
		want.apply(c)
		mustCommit(t, p, c)
		want.check(t, p)
		checkNothingLeft(t, s)
		if n := journalRuns(p); n != runs {
			t.Errorf("%d runs, not %d", n, runs)
		}
	}
	journal := func(size ...int) map[uint8][][]byte {
		var list [][]byte
		for i, n := range size {
			b := make([]byte, n)
			b[0] = byte(i)
			list = append(list, b)
		}
		return map[uint8][][]byte{modelJournal: list}
	}
	commit(&Commit{Appends: journal(100)}, 1)
	commit(&Commit{Appends: journal(100, 20_000)}, 1)
	// What else is committed does not fit in one transaction.
	large := make([]Entry, 40)
	for i := range large {
		large[i] = Entry{Key: fmt.Appendf(nil, "%02d", i), Value: make([]byte, 40_000)}
	}
	commit(&Commit{Puts: map[uint8][]Entry{0: large}, Appends: journal(100)}, 2)
	commit(&Commit{Appends: journal(100)}, 2)
	// Nor does what the journal gets.
	commit(&Commit{Appends: journal(100_000, 100_000, 100_000, 100_000, 100_000, 100_000, 100_000)}, 3)
	commit(&Commit{Appends: journal(100)}, 3)
	// An entry in pieces has a run of its own, and nothing goes behind it.
	commit(&Commit{Appends: journal(s.segmentBytes * 2)}, 4)
	commit(&Commit{Appends: journal(100)}, 5)
	commit(&Commit{Appends: journal(100)}, 5)
	few := make([]int, journalRunSegments-1)
	for i := range few {
		few[i] = 1
	}
	commit(&Commit{Appends: journal(few...)}, 6)
}
