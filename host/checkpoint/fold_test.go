package checkpoint

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"pgregory.net/rapid"
)

func TestFoldRange(t *testing.T) {
	const big = logRunBytes
	for _, c := range []struct {
		name     string
		kind     kind
		sizes    []uint64
		from, to int
	}{
		{"nothing", kindTable, nil, 0, 0},
		{"one run", kindTable, []uint64{5000}, 0, 0},
		{"delta below base", kindTable, []uint64{5000, 2000, 2000}, 0, 0},
		{"delta reaches base", kindTable, []uint64{5000, 2000, 3000}, 0, 3},
		{"delta below the minimum", kindTable, []uint64{10, 400, 500}, 0, 0},
		{"too many, small ones at the end", kindTable, []uint64{100_000, 9000, 5, 5, 5}, 2, 5},
		{"too many, sizes falling", kindTable, []uint64{100_000, 9000, 4000, 1000, 300}, 3, 5},
		{"a log is not folded for its size", kindLog, []uint64{5000, 9000}, 0, 0},
		{"a log of too many", kindLog, []uint64{50, 50, 50, 50, 50}, 0, 5},
		{"a log's large runs stay", kindLog, []uint64{big, big, 50, 50, 50, 50, 50}, 2, 7},
		{"a log of large runs only", kindLog, []uint64{big, big, big, big, big, big}, 0, 0},
	} {
		f := familyState{family: family{kind: c.kind}}
		for _, size := range c.sizes {
			f.runs = append(f.runs, run{bytes: size})
		}
		from, to := foldRange(&f, Options{FoldRunsMax: 4, FoldMinBytes: 1000})
		if from != c.from || to != c.to {
			t.Errorf("%s: %d to %d, want %d to %d", c.name, from, to, c.from, c.to)
		}
	}
	many := familyState{family: family{kind: kindTable}, runs: make([]run, 1000)}
	if from, to := foldRange(&many, Options{FoldRunsMax: 4, FoldMinBytes: 1}); to-from > foldInputsMax || to-from < 2 {
		t.Errorf("1000 runs: %d to %d", from, to)
	}
}

// TestFoldKeepsRunsFew commits much more often than runs may pile up.
func TestFoldKeepsRunsFew(t *testing.T) {
	o := testOptions()
	o.NoSync = true
	s, p := mustOpen(t, t.TempDir(), o)
	defer mustClose(t, s)
	want := newModel()
	for n := uint64(1); n <= 200; n++ {
		mustCommit(t, p, scripted(n))
		foldAll(t, s)
		for _, set := range s.Stats().Partitions[0].Sets {
			if set.Runs > o.FoldRunsMax && !(set.Log && set.Table == modelJournal) {
				t.Fatalf("checkpoint %d: %d runs", n, set.Runs)
			}
		}
	}
	want.scriptedTo(200)
	want.check(t, p)
	checkNothingLeft(t, s)
}

// TestFoldDropsDeletions: a table whose keys are all deleted folds to nothing.
func TestFoldDropsDeletions(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	s.options.FoldMinBytes = 0
	put := &Commit{Puts: map[uint8][]Entry{}}
	remove := &Commit{Puts: map[uint8][]Entry{}}
	for i := range 100 {
		put.Puts[0] = append(put.Puts[0], Entry{Key: fmt.Append(nil, i), Value: []byte{}})
		remove.Puts[0] = append(remove.Puts[0], Entry{Key: fmt.Append(nil, i)})
	}
	mustCommit(t, p, put)
	mustCommit(t, p, remove)
	foldAll(t, s)
	if sets := s.Stats().Partitions[0].Sets; len(sets) != 0 {
		t.Fatalf("%+v", sets)
	}
	checkNothingLeft(t, s)
	if keys := keysOf(t, s, prefixSegment); len(keys) != 0 {
		t.Fatalf("%d segments are left", len(keys))
	}
	mustCommit(t, p, put)
}

// TestFoldErrors: a fold that fails is counted, tidied up, and rests; one that
// cannot know its outcome stops the partition.
func TestFoldErrors(t *testing.T) {
	failure := errors.New("injected")
	for step := 1; step <= 3; step++ { // segments, swap, deletion
		s, p := mustOpen(t, t.TempDir(), testOptions())
		now := time.Now()
		s.options.Now = func() time.Time { return now }
		want := newModel()
		want.scriptedTo(6)
		for n := range want.number {
			mustCommit(t, p, scripted(n+1))
		}
		steps := 0
		commit := s.commitTransaction
		s.commitTransaction = func(txn *badger.Txn) error {
			if steps++; steps == step {
				return failure
			}
			return commit(txn)
		}
		if s.folder.once() || s.Stats().FoldErrors != 1 {
			t.Fatalf("step %d: the fold did not fail", step)
		}
		if s.folder.once() || steps > step+1 {
			t.Fatalf("step %d: the fold did not rest", step)
		}
		want.check(t, p)
		err := p.Commit(scripted(7))
		if stopped := errors.Is(err, ErrUncertain); stopped != (step == 2) || (err != nil && !stopped) {
			t.Fatalf("step %d: commit after it: %v", step, err)
		}
		if err == nil {
			want.scriptedTo(7)
			now = now.Add(time.Minute)
			for s.folder.once() {
			}
			want.check(t, p)
		}
		mustClose(t, s)
		s, p = mustOpen(t, s.dir.path, testOptions())
		want.check(t, p)
		checkNothingLeft(t, s)
		mustClose(t, s)
	}
}

// TestFoldRefusesAFullDisk and leaves everything as it is.
func TestFoldRefusesAFullDisk(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	for n := range uint64(6) {
		mustCommit(t, p, scripted(n+1))
	}
	s.options.FreeMinBytes = 1 << 50
	if s.folder.once() || s.Stats().FoldErrors != 1 {
		t.Fatal("the fold did not fail")
	}
	checkNothingLeft(t, s)
}

// TestCloseEndsAFold in the middle; the next open sweeps what it wrote.
func TestCloseEndsAFold(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	want := newModel()
	want.scriptedTo(7)
	for n := range want.number {
		mustCommit(t, p, scripted(n+1))
	}
	s.folder.ending.Store(true)
	if s.folder.once() || s.Stats().FoldErrors != 0 {
		t.Fatal("the fold went on")
	}
	mustClose(t, s)
	s, p = mustOpen(t, s.dir.path, testOptions())
	want.check(t, p)
	checkNothingLeft(t, s)
	mustClose(t, s)
}

// TestVerifyEndsWithItsContext.
func TestVerifyEndsWithItsContext(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	mustCommit(t, p, scripted(7))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Verify(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestAgainstModel does what a host may do in any order, and compares with the
// model after each step.
func TestAgainstModel(t *testing.T) {
	if testing.Short() {
		if err := flag.Set("rapid.checks", "15"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		o := testOptions()
		o.NoSync = true
		o.FoldMinBytes = 1
		o.FoldRunsMax = rapid.IntRange(2, 6).Draw(rt, "runs")
		s, p := mustOpen(t, t.TempDir(), o)
		want := newModel()
		commit := func(rt *rapid.T) {
			c := drawCommit(rt)
			want.apply(c)
			if err := p.Commit(c); err != nil {
				rt.Fatal(err)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit":       commit,
			"commit again": commit,
			"fold":         func(*rapid.T) { s.folder.once() },
			"reopen": func(*rapid.T) {
				mustClose(t, s)
				s, p = mustOpen(t, s.dir.path, o)
				checkNothingLeft(t, s)
			},
			"range": func(rt *rapid.T) {
				from := rapid.Uint64Range(0, 200).Draw(rt, "from")
				log := uint8(rapid.IntRange(0, modelLogs-1).Draw(rt, "log"))
				if d := want.logDifference(p, log, from, rapid.IntRange(0, 20).Draw(rt, "limit")); d != "" {
					rt.Fatal(d)
				}
				if d := want.entryDifference(p, log, from); d != "" {
					rt.Fatal(d)
				}
			},
			"": func(rt *rapid.T) {
				if d := want.difference(p); d != "" {
					rt.Fatal(d)
				}
				if n := s.Stats().FoldErrors; n > 0 {
					rt.Fatalf("%d folds failed", n)
				}
			},
		})
		if err := p.Verify(t.Context()); err != nil {
			rt.Fatal(err)
		}
		mustClose(t, s)
	})
}

func drawCommit(rt *rapid.T) *Commit {
	c := &Commit{Header: []byte(rapid.StringN(0, 5, 20).Draw(rt, "header")), Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
	size := rapid.SampledFrom([]int{0, 1, 10, 10, 10, 10, 10, 100, 100, 100, 2_000, 2_000, 20_000, 400_000}).Draw(rt, "size")
	for range rapid.IntRange(0, 12).Draw(rt, "puts") {
		table := uint8(rng.IntN(modelTables))
		e := Entry{Key: fmt.Append(nil, rng.IntN(20))}
		if rng.IntN(3) > 0 {
			e.Value = randomBytes(rng, rng.IntN(size+1))
		}
		c.Puts[table] = append(c.Puts[table], e)
	}
	room := rapid.Bool().Draw(rt, "room")
	for range rapid.IntRange(0, 6).Draw(rt, "appends") {
		log := uint8(rng.IntN(modelLogs))
		e := randomBytes(rng, rng.IntN(size+1))
		if c.Room = room; room && log == modelJournal {
			e = append(make([]byte, RoomBytes), e...)
		}
		c.Appends[log] = append(c.Appends[log], e)
	}
	if rapid.Bool().Draw(rt, "trims") {
		c.Trim = map[uint8]uint64{uint8(rng.IntN(modelLogs)): rapid.Uint64Range(0, 200).Draw(rt, "trim")}
	}
	return c
}
