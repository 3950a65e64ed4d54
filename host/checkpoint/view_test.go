package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// A partition that is damaged is begun anew while its neighbour goes on; what it
// was is gone, also after the store was opened again.
func TestReset(t *testing.T) {
	for _, where := range []string{"segment", "record", "marker"} {
		t.Run(where, func(t *testing.T) {
			d := newDamagedStore(t)
			neighbour, err := d.Store.Partition(4)
			if err != nil {
				t.Fatal(err)
			}
			mustCommit(t, neighbour, &Commit{Header: []byte("n"), Puts: map[uint8][]Entry{1: {{Key: []byte("k"), Value: []byte("v")}}}})
			dir := d.dir.path
			switch where {
			case "segment":
				d.change(t, appendSegmentKey(nil, d.tableF, d.table.id, 1), func(v []byte) []byte { v[100] ^= 1; return v })
			case "record":
				d.change(t, makeRecordKey(3), func(v []byte) []byte { v[recordNumber] ^= 1; return v })
			case "marker":
				raw(t, d.Store, func(txn *badger.Txn) error {
					w := markDoomed(doomed{family: d.logF, run: d.log.id})
					return txn.Set(w.key, w.value)
				})
			}
			if where != "segment" { // found by opening
				mustClose(t, d.Store)
				if d.Store, err = Open(dir, testOptions()); err != nil {
					t.Fatal(err)
				}
				if _, err := d.Store.Partition(3); !IsDamage(err) {
					t.Fatalf("got %v", err)
				}
			} else if err := d.load(); !IsDamage(err) {
				t.Fatalf("got %v", err)
			}
			p, err := d.Store.Reset(3)
			if err != nil {
				t.Fatal(err)
			}
			if header, _, err := p.Header(); err != nil || len(header) != 0 || p.LogLast(1) != 0 {
				t.Fatalf("header %q, %d entries, %v", header, p.LogLast(1), err)
			}
			for _, key := range keysOf(t, d.Store, prefixSegment) {
				if f, _, _ := parseSegmentKey(key); f.partition == 3 {
					t.Fatalf("%x is left", key)
				}
			}
			mustCommit(t, p, &Commit{Header: []byte("new"), Appends: map[uint8][][]byte{1: {[]byte("first")}}})
			mustClose(t, d.Store)
			if d.Store, err = Open(dir, testOptions()); err != nil {
				t.Fatal(err)
			}
			for n, want := range map[int]string{3: "new", 4: "n"} {
				p, err := d.Store.Partition(n)
				if err != nil {
					t.Fatal(err)
				}
				if header, _, err := p.Header(); err != nil || string(header) != want || p.Verify(t.Context()) != nil {
					t.Errorf("partition %d: header %q, %v", n, header, err)
				}
			}
		})
	}
}

// A fold that was under way when its partition was begun anew changes nothing of
// it.
func TestResetOvertakesFold(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	put := func(key string) {
		mustCommit(t, p, &Commit{Puts: map[uint8][]Entry{2: {{Key: []byte(key), Value: []byte(key)}}}})
	}
	put("a")
	put("b")
	current := p.state.Load().find(p.table(2))
	job := foldJob{partition: p, family: current.family, runs: current.runs, oldest: true}
	if _, err := s.Reset(int(p.number)); err != nil {
		t.Fatal(err)
	}
	put("c")
	if err := s.folder.fold(job); !errors.Is(err, errOvertaken) {
		t.Fatalf("got %v", err)
	}
	put("d")
	var keys []string
	if err := p.Load(2, func(key, _ []byte) error { keys = append(keys, string(key)); return nil }); err != nil || fmt.Sprint(keys) != "[c d]" {
		t.Fatalf("%v, %v", keys, err)
	}
}

// What is pinned stays readable while commits and folds replace it.
func TestPinned(t *testing.T) {
	s, p := mustOpen(t, t.TempDir(), testOptions())
	defer mustClose(t, s)
	rng := rand.New(rand.NewPCG(3, 3))
	blob := randomBytes(rng, 60_000)
	mustCommit(t, p, &Commit{Header: []byte("old"), Appends: map[uint8][][]byte{modelJournal: {blob}}, Puts: map[uint8][]Entry{2: {{Key: []byte("k"), Value: []byte("old")}}}})
	err := p.Pinned(func(v *View) error {
		for i := range 40 {
			mustCommit(t, p, &Commit{
				Header: []byte("new"), Appends: map[uint8][][]byte{modelJournal: {randomBytes(rng, 60_000)}},
				Puts: map[uint8][]Entry{2: {{Key: []byte("k"), Value: fmt.Append(nil, i)}}}, Trim: map[uint8]uint64{modelJournal: uint64(i) + 2},
			})
			for s.folder.once() {
			}
		}
		if header, number := v.Header(); string(header) != "old" || number != 1 || v.LogLast(modelJournal) != 1 || v.Bytes() == 0 {
			return fmt.Errorf("header %q of checkpoint %d", header, number)
		}
		seen := 0
		return errors.Join(
			v.Load(2, func(_, value []byte) error {
				seen++
				if string(value) != "old" {
					return fmt.Errorf("value %q", value)
				}
				return nil
			}),
			v.LogRange(modelJournal, 1, 0, func(_ uint64, entry []byte) error {
				seen++
				if !bytes.Equal(entry, blob) {
					return errors.New("another entry")
				}
				return nil
			}),
			func() error {
				if seen != 2 {
					return fmt.Errorf("%d things were seen", seen)
				}
				return nil
			}(),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A bit that is flipped anywhere in a table of Badger's is found before Badger
// reads it: Badger ends the process over some of them.
func TestTablesAreChecked(t *testing.T) {
	dir := t.TempDir()
	s, p := mustOpen(t, dir, testOptions())
	rng := rand.New(rand.NewPCG(4, 4))
	for i := range 20 {
		mustCommit(t, p, &Commit{Puts: map[uint8][]Entry{2: {{Key: fmt.Append(nil, i), Value: randomBytes(rng, 9_000)}}}})
	}
	mustClose(t, s)
	names, err := filepath.Glob(filepath.Join(dir, badgerName, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d tables, %v", len(names), err)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := checkTable(whole); err != nil {
		t.Fatal(err)
	}
	for range 300 {
		b := bytes.Clone(whole)
		b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		_ = checkTable(b) // must not end the process
	}
	for at := len(whole) - 40; at < len(whole); at++ {
		for bit := range 8 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << bit
			_ = checkTable(b)
		}
	}
	b := bytes.Clone(whole)
	b[len(b)/2] ^= 16
	if err := os.WriteFile(names[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	var broken *BrokenError
	if _, err := Open(dir, testOptions()); !errors.As(err, &broken) || !strings.Contains(err.Error(), "is damaged") {
		t.Fatalf("got %v", err)
	}
	moved, err := SetAside(dir)
	if err != nil || moved != dir+asideSuffix {
		t.Fatalf("%q, %v", moved, err)
	}
	fresh, _ := mustOpen(t, dir, testOptions())
	if fresh.ID() != s.ID() {
		t.Errorf("the id was %s and is %s", s.ID(), fresh.ID())
	}
	mustClose(t, fresh)
	if same, err := os.ReadFile(filepath.Join(moved, badgerName, filepath.Base(names[0]))); err != nil || !bytes.Equal(same, b) {
		t.Errorf("what was set aside has changed: %v", err)
	}
}
