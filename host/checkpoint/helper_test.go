package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"go.uber.org/goleak"
)

// TestMain runs a child of the crash tests when it is one, and otherwise checks
// that no goroutine is left.
func TestMain(m *testing.M) {
	if role := os.Getenv("CHECKPOINT_CHILD"); role != "" {
		os.Exit(runChild(role))
	}
	goleak.VerifyTestMain(m)
}

// testOptions are the smallest: a transaction holds 566 kB, folds are frequent.
func testOptions() Options {
	return Options{
		MemTableBytes:  memTableMinBytes,
		ValueFileBytes: valueFileMin,
		FoldMinBytes:   64 << 10,
		FoldRunsMax:    4,
		Journals:       []uint8{modelJournal},
		Now:            time.Now,
		foldByHand:     true,
	}
}

func mustOpen(t testing.TB, dir string, o Options) (*Store, *Partition) {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Partition(3)
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustCommit(t testing.TB, p *Partition, c *Commit) {
	t.Helper()
	if err := p.Commit(c); err != nil {
		t.Fatal(err)
	}
}

// model is what a partition should hold.
type model struct {
	number uint64
	header []byte
	tables map[uint8]map[string]string
	logs   map[uint8][]string
	first  map[uint8]uint64 // trimmed below it
}

func newModel() *model {
	return &model{tables: map[uint8]map[string]string{}, logs: map[uint8][]string{}, first: map[uint8]uint64{}}
}

func (m *model) apply(c *Commit) {
	m.number++
	m.header = bytes.Clone(c.Header)
	for table, entries := range c.Puts {
		if m.tables[table] == nil {
			m.tables[table] = map[string]string{}
		}
		for _, e := range entries {
			if e.Value == nil {
				delete(m.tables[table], string(e.Key))
			} else {
				m.tables[table][string(e.Key)] = string(e.Value)
			}
		}
	}
	for log, n := range c.Trim {
		m.first[log] = max(m.first[log], min(n, uint64(len(m.logs[log]))+1))
	}
	for log, entries := range c.Appends {
		for _, e := range entries {
			if c.Room && log == modelJournal {
				e = e[RoomBytes:]
			}
			m.logs[log] = append(m.logs[log], string(e))
		}
	}
}

// firstOf returns the number of a log's first entry.
func (m *model) firstOf(log uint8) uint64 { return max(1, m.first[log]) }

// modelTables and modelLogs are the numbers that tests use; one of the logs is a
// journal.
const (
	modelTables  = 3
	modelLogs    = 3
	modelJournal = 2
)

// difference says how a partition differs from the model, "" when it does not.
func (m *model) difference(p *Partition) string {
	header, number, err := p.Header()
	if err != nil || number != m.number || !bytes.Equal(header, m.header) {
		return fmt.Sprintf("checkpoint %d with header %q (%v), want %d with %q", number, header, err, m.number, m.header)
	}
	for table := range uint8(modelTables) {
		want := m.tables[table]
		keys := slices.Sorted(maps.Keys(want))
		i := 0
		err := p.Load(table, func(key, value []byte) error {
			if i == len(keys) || keys[i] != string(key) || want[keys[i]] != string(value) {
				return fmt.Errorf("visit %d is key %q with %d bytes", i, key, len(value))
			}
			i++
			return nil
		})
		if err != nil || i != len(keys) {
			return fmt.Sprintf("table %d: %d of %d keys: %v", table, i, len(keys), err)
		}
	}
	for log := range uint8(modelLogs) {
		want := m.logs[log]
		if last := p.LogLast(log); last != uint64(len(want)) {
			return fmt.Sprintf("log %d ends with %d, want %d", log, last, len(want))
		}
		if first := p.LogFirst(log); first != m.firstOf(log) {
			return fmt.Sprintf("log %d starts with %d, want %d", log, first, m.firstOf(log))
		}
		if d := m.logDifference(p, log, m.firstOf(log), 0); d != "" {
			return d
		}
		if d := m.backwardDifference(p, log); d != "" {
			return d
		}
	}
	return ""
}

// backwardDifference compares what LogBackward visits.
func (m *model) backwardDifference(p *Partition, log uint8) string {
	want, next := m.logs[log], uint64(len(m.logs[log]))
	err := p.LogBackward(log, func(n uint64, entry []byte) error {
		if n != next || n < m.firstOf(log) || want[n-1] != string(entry) {
			return fmt.Errorf("number %d with %d bytes, want number %d", n, len(entry), next)
		}
		next--
		return nil
	})
	if err != nil || next != m.firstOf(log)-1 {
		return fmt.Sprintf("log %d backward, to %d of %d: %v", log, next+1, m.firstOf(log), err)
	}
	return ""
}

// logDifference compares what LogRange visits.
func (m *model) logDifference(p *Partition, log uint8, from uint64, limit int) string {
	want := m.logs[log]
	if max(from, 1) < m.firstOf(log) {
		err := p.LogRange(log, from, limit, func(uint64, []byte) error { return nil })
		if !errors.Is(err, ErrTrimmed) && from <= uint64(len(want)) {
			return fmt.Sprintf("log %d from %d, trimmed below %d: %v", log, from, m.firstOf(log), err)
		}
		return ""
	}
	if from > 1 {
		want = want[min(uint64(len(want)), from-1):]
	}
	if limit > 0 {
		want = want[:min(len(want), limit)]
	}
	i := 0
	err := p.LogRange(log, from, limit, func(n uint64, entry []byte) error {
		if i == len(want) || n != max(from, 1)+uint64(i) || want[i] != string(entry) {
			return fmt.Errorf("visit %d is number %d with %d bytes", i, n, len(entry))
		}
		i++
		return nil
	})
	if err != nil || i != len(want) {
		return fmt.Sprintf("log %d from %d: %d of %d entries: %v", log, from, i, len(want), err)
	}
	return ""
}

// entryDifference compares what Entry, View and ReadAt find.
func (m *model) entryDifference(p *Partition, log uint8, n uint64) string {
	want, wantErr := "", error(nil)
	switch entries := m.logs[log]; {
	case n == 0 || n > uint64(len(entries)):
		wantErr = ErrNoEntry
	case n < m.firstOf(log):
		wantErr = ErrTrimmed
	default:
		want = entries[n-1]
	}
	entry, err := p.Entry(log, n)
	seen := []string{string(entry)}
	look := func(entry []byte) error {
		seen = append(seen, string(entry))
		return nil
	}
	errs := []error{err, p.View(log, n, look), readParts(p, log, n, len(want), look)}
	for i, err := range errs {
		if !errors.Is(err, wantErr) || err == nil && seen[i] != want {
			return fmt.Sprintf("log %d entry %d, read %d: %v", log, n, i, err)
		}
	}
	return ""
}

// readParts reads an entry by ReadAt, in three parts, and beyond its end.
func readParts(p *Partition, log uint8, n uint64, size int, look func([]byte) error) error {
	entry := make([]byte, size+1)
	for i := range 3 {
		from, to := size*i/3, size*(i+1)/3
		if read, err := p.ReadAt(log, n, entry[from:to], int64(from)); err != nil || read != to-from {
			return fmt.Errorf("%d of bytes %d to %d: %w", read, from, to, err)
		}
	}
	if read, err := p.ReadAt(log, n, entry[size/2:], int64(size/2)); !errors.Is(err, io.EOF) || read != size-size/2 {
		return fmt.Errorf("%d bytes of the last %d: %w", read, size-size/2, err)
	}
	return look(entry[:size])
}

func (m *model) check(t testing.TB, p *Partition) {
	t.Helper()
	if d := m.difference(p); d != "" {
		t.Fatal(d)
	}
}

// sum is a digest of everything that the model holds.
func (m *model) sum() [32]byte {
	h := sha256.New()
	put := func(parts ...[]byte) {
		for _, part := range parts {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
			h.Write(part)
		}
	}
	put(binary.BigEndian.AppendUint64(nil, m.number), m.header)
	for table := range uint8(modelTables) {
		put([]byte{'t', table})
		for _, key := range slices.Sorted(maps.Keys(m.tables[table])) {
			put([]byte(key), []byte(m.tables[table][key]))
		}
	}
	for log := range uint8(modelLogs) {
		put([]byte{'l', log})
		first := m.firstOf(log)
		put(binary.BigEndian.AppendUint64(nil, first))
		for _, e := range m.logs[log][first-1:] {
			put([]byte(e))
		}
	}
	return [32]byte(h.Sum(nil))
}

// read makes a model of what a partition holds.
func read(p *Partition) (*model, error) {
	m := newModel()
	var err error
	if m.header, m.number, err = p.Header(); err != nil {
		return nil, err
	}
	for table := range uint8(modelTables) {
		m.tables[table] = map[string]string{}
		err := p.Load(table, func(key, value []byte) error {
			m.tables[table][string(key)] = string(value)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for log := range uint8(modelLogs) {
		m.first[log] = p.LogFirst(log)
		m.logs[log] = make([]string, m.first[log]-1)
		err := p.LogRange(log, m.first[log], 0, func(_ uint64, entry []byte) error {
			m.logs[log] = append(m.logs[log], string(entry))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// scripted is the commit that makes checkpoint n: the same for the same n.
// Every seventh is several transactions large.
func scripted(n uint64) *Commit {
	rng := rand.New(rand.NewPCG(n, 42))
	size, count := 300, 20
	if n%7 == 0 {
		size, count = 4_000, 300
	}
	c := &Commit{Header: fmt.Appendf(nil, "position %d", n), Puts: map[uint8][]Entry{}, Appends: map[uint8][][]byte{}}
	for range count {
		e := Entry{Key: fmt.Appendf(nil, "key %04d", rng.IntN(2_000))}
		if rng.IntN(10) > 0 {
			e.Value = randomBytes(rng, rng.IntN(size))
		}
		table := uint8(rng.IntN(modelTables))
		c.Puts[table] = append(c.Puts[table], e)
	}
	for range rng.IntN(count) {
		log := uint8(rng.IntN(modelJournal))
		c.Appends[log] = append(c.Appends[log], randomBytes(rng, rng.IntN(size/2)))
	}
	for range rng.IntN(4) {
		c.Appends[modelJournal] = append(c.Appends[modelJournal], randomBytes(rng, 1+rng.IntN(size*40)))
	}
	// A journal of some 12 entries; sometimes a log loses its head as well.
	c.Trim = map[uint8]uint64{modelJournal: n*3/2 - min(n*3/2, 12)}
	if n%5 == 0 {
		c.Trim[uint8(n/5)%modelJournal] = n * 5
	}
	return c
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 8 {
		v := rng.Uint64()
		for j := i; j < min(n, i+8); j++ {
			b[j], v = byte(v), v>>8
		}
	}
	return b
}

// scriptedTo brings a model forward to checkpoint n.
func (m *model) scriptedTo(n uint64) {
	for m.number < n {
		m.apply(scripted(m.number + 1))
	}
}

// keysOf returns all keys with a prefix.
func keysOf(t testing.TB, s *Store, prefix byte) [][]byte {
	t.Helper()
	var keys [][]byte
	err := s.visit([]byte{prefix}, false, func(key, _ []byte) error {
		keys = append(keys, bytes.Clone(key))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// checkNothingLeft fails when something is on its way out still, a segment belongs to no
// live run, or a value file has nothing that lives.
func checkNothingLeft(t testing.TB, s *Store) {
	t.Helper()
	if doomed := keysOf(t, s, prefixDoomed); len(doomed) > 0 {
		t.Fatalf("%d doomed markers are left", len(doomed))
	}
	if left := segmentsLeft(t, s); len(left) > 0 {
		t.Fatalf("%d segments belong to no live run, the first is %x", len(left), left[0])
	}
	s.values.check(t)
}

// check compares what is known of value files with what Badger and the disk have.
func (v *values) check(t testing.TB) {
	t.Helper()
	live := map[uint64]int64{}
	for _, at := range v.placed {
		live[at.file] += int64(at.size)
	}
	for number, f := range v.files {
		if f.live != live[number] || f.live == 0 && number != v.last && f.doomed == 0 {
			t.Errorf("file %d: %d bytes live, keys have %d", number, f.live, live[number])
		}
		if info, err := os.Stat(filepath.Join(v.dir, valueFileName(number))); err != nil || info.Size() != f.size {
			t.Errorf("file %d of %d bytes: %v, %v", number, f.size, info, err)
		}
		delete(live, number)
	}
	if len(live) > 0 {
		t.Errorf("keys have places in files that are not there: %v", live)
	}
	names, err := filepath.Glob(filepath.Join(v.dir, "*"))
	if err != nil || len(names) != len(v.files) {
		t.Errorf("%d files on the disk, %d known: %v", len(names), len(v.files), err)
	}
}

// segmentsLeft returns the keys of the segments that belong to no live run.
func segmentsLeft(t testing.TB, s *Store) (left [][]byte) {
	t.Helper()
	live, _, err := s.liveRuns()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keysOf(t, s, prefixSegment) {
		if run := binary.BigEndian.Uint64(key[segmentKeyRun:]); !live[run] {
			left = append(left, key)
		}
	}
	return left
}

// foldAll folds until nothing is due.
func foldAll(t testing.TB, s *Store) {
	t.Helper()
	for s.folder.once() {
	}
	if n := s.counters.foldErrors.Load(); n > 0 {
		t.Fatalf("%d folds failed", n)
	}
}

// raw reads and replaces values behind the store's back.
func raw(t testing.TB, s *Store, fn func(*badger.Txn) error) {
	t.Helper()
	if err := s.db.Update(fn); err != nil {
		t.Fatal(err)
	}
}
