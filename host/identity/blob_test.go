package identity

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
)

// sample makes records in the order of their keys.
func sample(n, periods int) []record {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(periods)))
	list := make([]record, n)
	for i := range list {
		list[i] = record{
			id: randomHash(rng.Uint64()), Seen: Seen{Content: randomHash(rng.Uint64()), Position: 1<<40 + rng.Uint64N(70_000)},
			until: int64(rng.IntN(periods)),
		}
	}
	slices.SortFunc(list, func(a, b record) int {
		if keyOf(&a.id) < keyOf(&b.id) {
			return -1
		}
		return 1
	})
	return list
}

func TestRecordsRoundTrip(t *testing.T) {
	var c encoder
	for _, n := range []int{0, 1, 2, 63, 64, 65, 1000} {
		for _, periods := range []int{1, 2, 40, 700} {
			want := sample(n, periods)
			blob := c.append([]byte("room"), blobPiece, want, 64)[4:]
			r, err := parseRecords(blob, blobPiece)
			if err != nil {
				t.Fatal(n, periods, err)
			}
			var got []record
			if err := r.each(func(at *record) { got = append(got, *at) }); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d records of %d periods differ", n, periods)
			}
			for i := range want {
				found := false
				key := keyOf(&want[i].id)
				err := r.find(key, key, func(at *record) bool { found = *at == want[i]; return !found })
				if err != nil || !found {
					t.Fatal(n, periods, i, err)
				}
			}
			if _, err := parseRecords(blob, blobRecent); err == nil {
				t.Fatal("a piece was read as recent records")
			}
		}
	}
}

// resum makes the sums of a blob right, so that fuzzing comes past them.
func resum(b []byte) {
	if len(b) < recordsHeader {
		return
	}
	l := layout{
		count: int(binary.LittleEndian.Uint32(b[recordsCount:])), page: int(binary.LittleEndian.Uint32(b[recordsPage:])),
		ends: int(binary.LittleEndian.Uint32(b[recordsEnds:])), positionWidth: int(b[recordsPositionWidth]), untilWidth: int(b[recordsUntilWidth]),
	}
	if l.page == 0 || l.size() != len(b) {
		return
	}
	binary.LittleEndian.PutUint32(b[recordsSum:], headerSum(b[:l.head()]))
	for p := range l.pages() {
		from, to := l.pageAt(p)
		binary.LittleEndian.PutUint32(b[to-pageOverhead:], crc32.Checksum(b[from:to-pageOverhead], castagnoli))
	}
}

// FuzzRecords reads any bytes: they are refused, or say the same again when they
// are written.
func FuzzRecords(f *testing.F) {
	var c encoder
	f.Add(c.append(nil, blobPiece, sample(130, 3), 64))
	f.Add(c.append(nil, blobPiece, nil, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		resum(b)
		r, err := parseRecords(b, blobPiece)
		if err != nil {
			return
		}
		if r.pages() > 0 {
			_ = r.find(r.first(0), ^uint64(0), func(*record) bool { return true })
		}
		var list []record
		if err := r.each(func(at *record) { list = append(list, *at) }); err != nil {
			return
		}
		again, err := parseRecords(c.append(nil, blobPiece, list, r.page), blobPiece)
		if err != nil {
			t.Fatal(err)
		}
		var same []record
		if err := again.each(func(at *record) { same = append(same, *at) }); err != nil || !slices.Equal(list, same) {
			t.Fatal("written again, the records differ", err)
		}
	})
}

// FuzzFilter reads any bytes.
func FuzzFilter(f *testing.F) {
	f.Add(appendFilter(nil, &filter{recentBelow: 3, firstPiece: 9, firstKeys: []uint64{5, 1 << 60}, count: 3, until: 7}, []uint64{5, 1 << 59, 1 << 60}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if b = bytes.Clone(b); len(b) >= filterHeader {
			binary.LittleEndian.PutUint32(b[filterSum:], blobFilterSum(b))
		}
		read, err := parseFilter(b)
		if err != nil {
			return
		}
		p := read.prefixes()
		list, err := p.below(nil, 0, 0)
		if err != nil {
			return
		}
		if len(list) != read.count || !slices.IsSorted(list) {
			t.Fatalf("%d prefixes of %d", len(list), read.count)
		}
		if again := appendFilter(nil, &read, list); len(again) > len(b) {
			t.Fatalf("%d bytes, written again %d", len(b), len(again))
		}
	})
}

// damagedStore changes one entry of one log.
type damagedStore struct {
	Store
	log    uint8
	change func(entry []byte) []byte
}

func (d damagedStore) altered(entry []byte) []byte { return d.change(bytes.Clone(entry)) }

func (d damagedStore) LogRange(log uint8, from uint64, limit int, fn func(uint64, []byte) error) error {
	return d.Store.LogRange(log, from, limit, func(n uint64, entry []byte) error {
		if log == d.log {
			entry = d.altered(entry)
		}
		return fn(n, entry)
	})
}

func (d damagedStore) ReadAt(log uint8, n uint64, b []byte, offset int64) (read int, err error) {
	err = d.LogRange(log, n, 1, func(_ uint64, entry []byte) error {
		read, err = bytes.NewReader(entry).ReadAt(b, offset)
		return err
	})
	return read, err
}

// TestDamage flips every bit of what a set is opened with and reads: no known
// identity may be new after it.
func TestDamage(t *testing.T) {
	partition, err := mustStore(t, 16<<20).Partition(1)
	if err != nil {
		t.Fatal(err)
	}
	z := sizes{generation: 40, bucketBits: 3, pace: 2, piece: 20, burst: 9, page: 8}
	set, err := open(partition, testOptions(), z)
	if err != nil {
		t.Fatal(err)
	}
	const known = 100
	for i := range uint64(known) {
		if _, _, err := addTo(set, randomHash(i), hashOf('c', i), i, int64(i%3)); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, partition, set)
	longest := 0
	for _, log := range []uint8{logRecent, logPieces, logFilters} {
		err := partition.LogRange(log, partition.LogFirst(log), 0, func(_ uint64, entry []byte) error {
			longest = max(longest, len(entry))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for bit := 0; bit < 8*longest; bit += 3 {
			damagedBy(t, damagedStore{partition, log, func(b []byte) []byte {
				b[bit/8%len(b)] ^= 1 << (bit % 8)
				return b
			}}, z, known)
		}
		damagedBy(t, damagedStore{partition, log, func(b []byte) []byte { return b[:len(b)-1] }}, z, known)
		damagedBy(t, damagedStore{partition, log, func(b []byte) []byte { return nil }}, z, known)
	}
}

// damagedBy fails when a set that reads damage says something untrue.
func damagedBy(t *testing.T, store damagedStore, z sizes, known uint64) {
	t.Helper()
	set, err := open(store, testOptions(), z)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
		return
	}
	failed := false
	for i := range known {
		got, was, err := addTo(set, randomHash(i), ingest.Hash{}, 0, 9)
		switch {
		case errors.Is(err, ErrCorrupt):
			failed = true
		case err != nil || !was || got != Seen{hashOf('c', i), i}:
			t.Fatal(i, got, was, err)
		}
	}
	if !failed {
		t.Fatal("nobody saw the damage")
	}
}

// commit commits what a set has until nothing is left to seal.
func commit(t *testing.T, partition *checkpoint.Partition, set *Set) (bytes int) {
	t.Helper()
	for range 20 {
		b, c := set.Cut(), &checkpoint.Commit{Header: []byte("h")}
		b.Put(c)
		for _, blobs := range c.Appends {
			for _, blob := range blobs {
				bytes += len(blob)
			}
		}
		if err := partition.Commit(c); err != nil {
			t.Fatal(err)
		}
		set.Committed(b)
	}
	return bytes
}

// TestFetchPiece: wherever the part ends that was read at first, all of what stands before
// the pages is checked, and a page is what it is in the whole blob.
func TestFetchPiece(t *testing.T) {
	t.Parallel()
	var list []record
	for i := range uint64(90) { // with as many ends of periods, some 800 bytes stand before the pages
		list = append(list, record{id: randomHash(i), Seen: Seen{Content: hashOf('c', i), Position: i}, until: int64(i)})
	}
	var c encoder
	blob := c.append(nil, blobPiece, list, 8)
	read := 0
	fetch := func(from, to int) ([]byte, error) {
		read++
		return blob[from:to], nil
	}
	for first := range len(blob) + 1 {
		r, err := fetchPiece(blob[:first], fetch)
		if first < recordsHeader {
			if !errors.Is(err, errBlobShort) {
				t.Fatalf("%d bytes: %v", first, err)
			}
			continue
		}
		n := 0
		if err == nil {
			err = r.each(func(at *record) {
				if *at == list[n] {
					n++
				}
			})
		}
		if err != nil || n != len(list) {
			t.Fatalf("%d bytes: %d records, %v", first, n, err)
		}
	}
	if read == 0 {
		t.Error("nothing was fetched")
	}
	blob[recordsHeader+3] ^= 1 // an end
	if _, err := fetchPiece(blob[:recordsHeader+1], fetch); !errors.Is(err, errBlobSum) {
		t.Errorf("a bit of what was fetched is flipped: %v", err)
	}
	binary.LittleEndian.PutUint32(blob[recordsEnds:], headMaxBytes/8)
	if _, err := fetchPiece(blob[:recordsHeader], fetch); !errors.Is(err, errBlobHeader) {
		t.Errorf("a head without bound: %v", err)
	}
}
