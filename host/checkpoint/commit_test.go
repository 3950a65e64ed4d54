package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	s, p := mustOpen(t, dir, testOptions())
	want := newModel()
	want.check(t, p)
	for _, c := range []*Commit{
		{Header: []byte("one")},
		{
			Header: []byte("two"),
			Puts: map[uint8][]Entry{
				0: {{Key: []byte("b"), Value: []byte("2")}, {Key: []byte("a"), Value: []byte("1")}, {Key: []byte("c"), Value: []byte{}}},
				2: {{Key: []byte{0}, Value: []byte{0}}},
			},
			Appends: map[uint8][][]byte{1: {[]byte("first"), {}, []byte("third")}},
		},
		{
			Header: nil,
			Puts: map[uint8][]Entry{
				0: {{Key: []byte("b")}, {Key: []byte("nowhere")}, {Key: []byte("a"), Value: []byte("newer")}},
				1: {},
			},
			Appends: map[uint8][][]byte{0: {[]byte("other")}, 1: {[]byte("fourth")}},
		},
	} {
		want.apply(c)
		mustCommit(t, p, c)
		want.check(t, p)
	}
	if again, err := s.Partition(3); err != nil || again != p {
		t.Fatalf("the partition opened twice: %v", err)
	}
	other, err := s.Partition(4)
	if err != nil {
		t.Fatal(err)
	}
	newModel().check(t, other)
	mustClose(t, s)
	s, p = mustOpen(t, dir, testOptions())
	want.check(t, p)
	if err := p.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
}

func TestLaterEntryOfOneCommitWins(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for _, n := range []int{10, 5_000} { // compared, and distributed
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		c := &Commit{Puts: map[uint8][]Entry{}}
		for i := range n {
			e := Entry{Key: fmt.Appendf(nil, "a shared beginning %d of some length", rng.IntN(n/2)), Value: fmt.Appendf(nil, "%d", i)}
			c.Puts[0] = append(c.Puts[0], e)
		}
		want, err := read(p)
		if err != nil {
			t.Fatal(err)
		}
		want.apply(c)
		mustCommit(t, p, c)
		want.check(t, p)
	}
}

func TestSortIsThatOfComparison(t *testing.T) {
	var s sorter
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 7))
		entries := make([]Entry, 1+rng.IntN(2*radixMin))
		for i := range entries {
			// Short keys of few letters: prefixes of each other and repeats.
			key := append([]byte("same"), randomBytes(rng, rng.IntN(12))...)
			for j := 4; j < len(key); j++ {
				key[j] %= byte(2 + seed%3)
			}
			entries[i].Key = key
		}
		want := make([]int, len(entries))
		for i := range want {
			want[i] = i
		}
		slices.SortStableFunc(want, func(a, b int) int { return bytes.Compare(entries[a].Key, entries[b].Key) })
		s.sort(entries)
		if !slices.EqualFunc(s.order, want, func(k sortKey, at int) bool { return k.at == at }) {
			t.Fatalf("seed %d: another order than a stable sort's", seed)
		}
	}
}

func TestEntriesLargerThanSegments(t *testing.T) {
	dir := t.TempDir()
	s, p := mustOpen(t, dir, testOptions())
	rng := rand.New(rand.NewPCG(1, 1))
	want := newModel()
	limit := s.segmentBytes - segmentHeaderSize
	for round := range 3 {
		c := &Commit{Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
		for i, size := range []int{10, limit - 20, limit - 8, limit - 7, limit - 6, limit, limit + 1, 3 * limit, 5, 5 << 20, 7} {
			c.Puts[1] = append(c.Puts[1], Entry{Key: fmt.Appendf(nil, "%02d", i+round), Value: randomBytes(rng, size)})
			c.Appends[0] = append(c.Appends[0], randomBytes(rng, size))
		}
		c.Puts[1] = append(c.Puts[1], Entry{Key: bytes.Repeat([]byte("k"), KeyMaxBytes), Value: []byte("v")})
		want.apply(c)
		mustCommit(t, p, c)
	}
	check := func() {
		t.Helper()
		want.check(t, p)
		for from := uint64(0); from < 36; from++ {
			if d := want.logDifference(p, 0, from, 3); d != "" {
				t.Fatal(d)
			}
		}
	}
	check()
	s.options.FoldRunsMax = 2
	foldAll(t, s)
	check()
	mustClose(t, s)
	s, p = mustOpen(t, dir, testOptions())
	check()
	checkNothingLeft(t, s)
	mustClose(t, s)
}

func TestCommitLimits(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for name, c := range map[string]*Commit{
		"header of 131073 bytes":                  {Header: make([]byte, HeaderMaxBytes+1)},
		"table 7: key of 0 bytes":                 {Puts: map[uint8][]Entry{7: {{Value: []byte("v")}}}},
		"table 7: key of 65536 bytes":             {Puts: map[uint8][]Entry{7: {{Key: make([]byte, KeyMaxBytes+1)}}}},
		"table 7: entry of 67108865 bytes":        {Puts: map[uint8][]Entry{7: {{Key: []byte("k"), Value: make([]byte, EntryMaxBytes)}}}},
		"log 8: entry of 67108865 bytes":          {Appends: map[uint8][][]byte{8: {make([]byte, EntryMaxBytes+1)}}},
		"partition 3: commit 1: header of 140000": {Header: make([]byte, 140_000)},
	} {
		if err := p.Commit(c); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	full := &Commit{Header: make([]byte, HeaderMaxBytes), Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
	for i := range 256 {
		full.Puts[uint8(i)] = []Entry{{Key: []byte("k"), Value: randomBytes(rand.New(rand.NewPCG(1, 1)), 4_000)}}
		full.Appends[uint8(i)] = [][]byte{[]byte("e")}
	}
	for range 4 {
		mustCommit(t, p, full)
	}
	want := newModel()
	for range 4 {
		want.apply(full)
	}
	want.check(t, p)
	var err error
	for range 40 { // nothing folds, so runs pile up
		if err = p.Commit(full); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "too many runs wait for the fold") {
		t.Fatalf("got %v", err)
	}
	foldAll(t, s)
	mustCommit(t, p, full)
}

func TestCommitRefusesAFullDisk(t *testing.T) {
	o := testOptions()
	o.FreeMinBytes = 1 << 50
	s, p := mustOpen(t, t.TempDir(), o)
	defer mustClose(t, s)
	var full *DiskFullError
	if err := p.Commit(scripted(1)); !errors.As(err, &full) || !strings.Contains(err.Error(), "MiB needed") {
		t.Fatalf("got %v", err)
	}
	s.options.FreeMinBytes = 1
	mustCommit(t, p, scripted(1))
	free, err := FreeBytes(t.TempDir())
	if err != nil || free <= 0 {
		t.Fatalf("free: %d, %v", free, err)
	}
	if _, err := FreeBytes("/does/not/exist"); err == nil {
		t.Fatal("free space of nothing")
	}
}

// TestCommitFailsAtEachStep lets each transaction of a large commit fail, once
// without and once after having taken place, and opens the store again.
func TestCommitFailsAtEachStep(t *testing.T) {
	failure := errors.New("injected")
	for step := 1; ; step++ {
		for _, persisted := range []bool{false, true} {
			dir := t.TempDir()
			s, p := mustOpen(t, dir, testOptions())
			want := newModel()
			want.scriptedTo(6)
			for n := range want.number {
				mustCommit(t, p, scripted(n+1))
			}
			steps := 0
			commit := s.commitTransaction
			s.commitTransaction = func(txn *badger.Txn) error {
				if steps++; steps != step {
					return commit(txn)
				}
				if persisted {
					if err := commit(txn); err != nil {
						return err
					}
				}
				return failure
			}
			err := p.Commit(scripted(7))
			if steps < step {
				if err != nil || step < 3 {
					t.Fatalf("after %d transactions: %v", steps, err)
				}
				mustClose(t, s)
				return
			}
			if !errors.Is(err, failure) || !errors.Is(err, ErrUncertain) {
				t.Fatalf("step %d: got %v", step, err)
			}
			if again := p.Commit(scripted(7)); again != err {
				t.Fatalf("step %d: the stopped partition says %v", step, again)
			}
			last := steps == transactionsOf(t, 7)
			mustClose(t, s)
			s, p = mustOpen(t, dir, testOptions())
			if last && persisted {
				want.scriptedTo(7)
			}
			want.check(t, p)
			checkNothingLeft(t, s)
			mustCommit(t, p, scripted(want.number+1))
			want.scriptedTo(want.number + 1)
			want.check(t, p)
			mustClose(t, s)
		}
	}
}

// transactionsOf counts the transactions of checkpoint n in an empty store.
func transactionsOf(t *testing.T, n uint64) int {
	t.Helper()
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	mustCommit(t, p, scripted(n))
	return int(s.Stats().Transactions)
}

// TestReadersSeeOneCheckpoint reads while another goroutine commits and the
// fold works: all keys that one commit wrote have the same value.
func TestReadersSeeOneCheckpoint(t *testing.T) {
	o := testOptions()
	o.foldByHand = false
	s, p := mustOpen(t, t.TempDir(), o)
	const commits = 300
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := readOneCheckpoint(p); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range commits {
		c := &Commit{Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{0: {fmt.Appendf(nil, "%d", n)}}}
		for key := range 50 {
			c.Puts[0] = append(c.Puts[0], Entry{Key: fmt.Appendf(nil, "%d", key), Value: fmt.Appendf(nil, "%d%050d", n, 0)})
		}
		mustCommit(t, p, c)
	}
	close(done)
	readers.Wait()
	mustClose(t, s)
	if stats := s.Stats(); stats.Folds == 0 || stats.FoldErrors > 0 || stats.Commits != commits {
		t.Fatalf("stats: %+v", stats)
	}
}

func readOneCheckpoint(p *Partition) error {
	seen := map[string]int{}
	err := p.Load(0, func(_, value []byte) error {
		seen[string(value)]++
		return nil
	})
	if err != nil || len(seen) > 1 {
		return fmt.Errorf("%d different values: %w", len(seen), err)
	}
	next := uint64(1)
	err = p.LogRange(0, 1, 0, func(n uint64, entry []byte) error {
		if n != next || string(entry) != fmt.Sprint(n-1) {
			return fmt.Errorf("number %d holds %q", n, entry)
		}
		next++
		return nil
	})
	return err
}

// TestCallbackErrors come back as they are, and end the visit.
func TestCallbackErrors(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for n := range uint64(3) {
		mustCommit(t, p, scripted(n+1))
	}
	enough := errors.New("enough")
	calls := 0
	if err := p.Load(0, func(_, _ []byte) error { calls++; return enough }); err != enough || calls != 1 {
		t.Fatalf("%v after %d calls", err, calls)
	}
	if err := p.LogRange(0, 1, 0, func(uint64, []byte) error { calls++; return enough }); err != enough || calls != 2 {
		t.Fatalf("%v after %d calls", err, calls)
	}
	if err := p.LogRange(0, p.LogLast(0)+1, 0, func(uint64, []byte) error { return enough }); err != nil {
		t.Fatal(err)
	}
}

// TestCommitAllocatesNothingPerEntry: what a commit allocates does not grow with
// its entries, once its buffers have grown.
func TestCommitAllocatesNothingPerEntry(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	s.commitTransaction = func(txn *badger.Txn) error { return nil }
	allocs := func(n int) float64 {
		entries := benchEntries(rand.New(rand.NewPCG(1, 2)), n, 1<<20)
		current := p.state.Load()
		return testing.AllocsPerRun(20, func() {
			if _, err := p.pack(current, &Commit{Puts: map[uint8][]Entry{0: entries}}, nil); err != nil {
				t.Fatal(err)
			}
			p.writer.release()
		})
	}
	few, many := allocs(10), allocs(1_000)
	if many > few+10 {
		t.Errorf("%v allocations for 10 entries, %v for 1000", few, many)
	}
}
