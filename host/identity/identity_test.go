package identity

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The logs of the tests.
const (
	logRecent  = 4
	logPieces  = 5
	logFilters = 6
)

func testOptions() Options { return Options{Recent: logRecent, Pieces: logPieces, Filters: logFilters} }

// tiny makes everything happen after a few identities.
func tiny() sizes {
	return sizes{generation: 24, bucketBits: 3, pace: 2, piece: 5, burst: 2, whole: 9, page: 2}
}

func mustStore(t testing.TB, mem int64) *checkpoint.Store {
	t.Helper()
	o := checkpoint.DefaultOptions()
	o.MemTableBytes, o.ValueFileBytes, o.FreeMinBytes, o.NoSync = mem, 1<<20, 0, true
	o.Journals = []uint8{logRecent, logPieces, logFilters}
	store, err := checkpoint.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// hashOf makes a hash of a number; hashes of tests need not be random.
func hashOf(kind byte, n uint64) ingest.Hash {
	var h ingest.Hash
	h[0] = kind
	binary.BigEndian.PutUint64(h[8:], n)
	return h
}

// kept is what the model has of an identity.
type kept struct {
	Seen
	until int64
}

// machine drives a set and a map beside it.
type machine struct {
	partition *checkpoint.Partition
	set       *Set
	horizon   int64
	have      map[ingest.Hash]kept
	uncut     []ingest.Hash

	cuts    []cut // not committed
	durable cut   // what a crash leaves
	total   Sums  // of what was committed, as whoever commits adds it up
	commits int
}

// cut is a batch and the state of the model that it belongs to.
type cut struct {
	batch   Batch
	have    map[ingest.Hash]kept
	horizon int64
	sums    Sums
}

func (m *machine) open(t *rapid.T) {
	o := testOptions()
	o.Horizon = m.durable.horizon
	set, err := open(m.partition, o, tiny())
	if err != nil {
		t.Fatal(err)
	}
	m.set, m.horizon = set, m.durable.horizon
	m.have, m.uncut, m.cuts = maps.Clone(m.durable.have), nil, nil
}

// addTo is Add with values.
func addTo(s *Set, id, content ingest.Hash, position uint64, until int64) (prior Seen, known bool, err error) {
	if at, err := s.Add(&id, &content, position, until); at != nil || err != nil {
		if at == nil {
			return Seen{}, false, err
		}
		return *at, true, err
	}
	return Seen{}, false, nil
}

// foresee has all identities foreseen, as a loop of Adds does little by little.
func foresee(s *Set, ids []ingest.Hash) {
	for i := range ids {
		s.Foresee(&ids[i])
	}
	for i := range ids {
		s.Approach(&ids[i])
	}
}

// add adds an identity to both and compares.
func (m *machine) add(t *rapid.T, id ingest.Hash, content, position uint64, until int64) {
	seen := Seen{Content: hashOf('c', content), Position: position}
	want, known := m.have[id]
	known = known && want.until >= m.horizon
	got, gotKnown, err := addTo(m.set, id, seen.Content, position, until)
	if err != nil {
		t.Fatal(err)
	}
	if gotKnown != known || known && got != want.Seen {
		t.Fatalf("Add(%x) = %v, %v; want %v, %v", id, got, gotKnown, want.Seen, known)
	}
	if !known {
		m.have[id] = kept{seen, until}
		m.uncut = append(m.uncut, id)
	}
}

// commit makes the oldest cut durable.
func (m *machine) commit(t *rapid.T, room bool) {
	first := m.cuts[0]
	c := &checkpoint.Commit{Header: []byte("h"), Room: room}
	first.batch.Put(c)
	if first.batch.used > 2 && m.commits%5 == 0 { // a commit that wrote nothing is tried again
		c = &checkpoint.Commit{Header: []byte("h"), Room: room}
		first.batch.Put(c)
	}
	m.commits++
	if err := m.partition.Commit(c); err != nil {
		t.Fatal(err)
	}
	m.set.Committed(first.batch)
	m.cuts, m.durable = m.cuts[1:], first
	m.sums(t, first)
}

// sums compares the sums of a cut, and of all that is stored since it is durable, with
// those of the model.
func (m *machine) sums(t *rapid.T, durable cut) {
	o := testOptions()
	o.Horizon = durable.horizon
	stored, err := SumStored(m.partition, o)
	if err != nil {
		t.Fatal(err)
	}
	for until, sum := range durable.sums {
		m.total[until] += sum
	}
	maps.DeleteFunc(m.total, func(until int64, _ uint64) bool { return until < durable.horizon })
	want := Sums{}
	for id, k := range durable.have {
		if k.until >= durable.horizon {
			r := record{id: id, Seen: k.Seen, until: k.until}
			want[k.until] += r.hash()
		}
	}
	if !maps.Equal(stored, want) || !maps.Equal(m.total, want) {
		t.Fatalf("at horizon %d\nstored %v\nadded up %v\nwant %v", durable.horizon, stored, m.total, want)
	}
}

// check asks for every identity of the model, and then takes the answers back.
func (m *machine) check(t *rapid.T) {
	for id, want := range m.have {
		known := want.until >= m.horizon
		got, gotKnown, err := addTo(m.set, id, want.Content, want.Position, want.until)
		if err != nil {
			t.Fatal(err)
		}
		if gotKnown != known || known && got != want.Seen {
			t.Fatalf("Add(%x) = %v, %v; want %v, %v", id, got, gotKnown, want.Seen, known)
		}
	}
}

var partitions atomic.Int32

func TestSetAgainstMap(t *testing.T) {
	store := mustStore(t, 16<<20)
	rapid.Check(t, func(t *rapid.T) {
		partition, err := store.Partition(int(partitions.Add(1)))
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{partition: partition, durable: cut{have: map[ingest.Hash]kept{}}, total: Sums{}}
		m.open(t)
		position := uint64(rapid.IntRange(0, 1<<40).Draw(t, "base"))
		ids := rapid.Uint64Range(0, 2000)
		last := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"fresh": func(t *rapid.T) {
				for range rapid.IntRange(1, 60).Draw(t, "n") {
					last++
					position += last % 3
					until := m.horizon + int64(rapid.IntRange(0, 5).Draw(t, "until"))
					m.add(t, hashOf('n', last), last, position, until)
				}
			},
			"any": func(t *rapid.T) {
				m.add(t, hashOf('i', ids.Draw(t, "id")), ids.Draw(t, "content"), position, m.horizon+int64(rapid.IntRange(0, 5).Draw(t, "until")))
			},
			"again": func(t *rapid.T) {
				if last > 0 {
					m.add(t, hashOf('n', 1+ids.Draw(t, "id")%last), 7, position, m.horizon+1)
				}
			},
			"forget": func(t *rapid.T) {
				for range rapid.IntRange(0, len(m.uncut)).Draw(t, "n") {
					i := rapid.IntRange(0, len(m.uncut)-1).Draw(t, "which")
					m.set.Forget(m.uncut[i])
					delete(m.have, m.uncut[i])
					m.uncut = slices.Delete(m.uncut, i, i+1)
				}
			},
			"forgetOther": func(t *rapid.T) {
				if id := hashOf('n', 1+ids.Draw(t, "id")); !slices.Contains(m.uncut, id) {
					m.set.Forget(id)
				}
			},
			"cut": func(t *rapid.T) {
				if len(m.cuts) < 3 {
					b := m.set.Cut()
					m.cuts = append(m.cuts, cut{b, maps.Clone(m.have), m.horizon, b.Sums()})
					m.uncut = nil
				}
			},
			"commit": func(t *rapid.T) {
				if len(m.cuts) > 0 {
					m.commit(t, rapid.Bool().Draw(t, "room"))
				}
			},
			"expire": func(t *rapid.T) {
				m.horizon += int64(rapid.IntRange(0, 3).Draw(t, "by"))
				m.set.Expire(m.horizon)
			},
			"crash": func(t *rapid.T) { m.open(t) },
			"":      func(t *rapid.T) {},
		})
		m.check(t)
		m.open(t)
		m.check(t)
	})
}
