package identity

import (
	"runtime"
	"testing"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
)

// TestWork holds what an identity costs where it does not depend on the machine:
// bytes written and kept, reads from the disk, allocations.
func TestWork(t *testing.T) {
	partition, err := mustStore(t, 64<<20).Partition(1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := Open(partition, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	const n, each, foreseen = 400_000, 5_000, 64
	written, largest := 0, 0
	var before, after runtime.MemStats
	added := uint64(0) // allocations of Add
	ids := make([]ingest.Hash, each)
	for at := uint64(0); at < n; at += each {
		for i := range ids {
			ids[i] = randomHash(at + uint64(i))
		}
		runtime.ReadMemStats(&before)
		for i := range ids {
			if i%foreseen == 0 {
				foresee(set, ids[i:min(i+foreseen, each)])
			}
			if _, known, err := addTo(set, ids[i], ids[i], at/100, 1); err != nil || known {
				t.Fatal(known, err)
			}
		}
		runtime.ReadMemStats(&after)
		added += after.Mallocs - before.Mallocs
		b, c := set.Cut(), &checkpoint.Commit{Header: []byte("h"), Room: true}
		b.Put(c)
		bytes := 0
		for _, blobs := range c.Appends {
			for _, blob := range blobs {
				bytes += len(blob) - checkpoint.RoomBytes
			}
		}
		written, largest = written+bytes, max(largest, bytes)
		if err := partition.Commit(c); err != nil {
			t.Fatal(err)
		}
		set.Committed(b)
	}
	written += commit(t, partition, set)
	if per := written / n; per > 80 {
		t.Errorf("%d bytes written of each identity", per)
	}
	if largest > 1_500_000 {
		t.Errorf("a commit of %d bytes for %d identities", largest, each)
	}
	if set.Len() != n {
		t.Errorf("%d identities, want %d", set.Len(), n)
	}
	if most := int64(5*n + 12<<20); set.Bytes() > most {
		t.Errorf("%d bytes of memory, want %d at most", set.Bytes(), most)
	}
	if set.Lookups() > 1 {
		t.Errorf("%d of %d new identities were looked for on disk", set.Lookups(), n)
	}
	if added > n/100 {
		t.Errorf("%d allocations in %d Adds", added, n)
	}
	t.Logf("%d B written, %d B at most in a commit, %d B of memory, %d allocations", written, largest, set.Bytes(), added)

	again, err := Open(partition, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if again.Len() != n {
		t.Errorf("%d identities after opening, want %d", again.Len(), n)
	}
	for i := range uint64(1000) { // of the first run
		id := randomHash(i * 50)
		seen, known, err := addTo(again, id, ingest.Hash{}, 0, 1)
		if err != nil || !known || seen.Content != id {
			t.Fatal(i, seen, known, err)
		}
	}
	if again.Lookups() != 1000 {
		t.Errorf("%d reads for 1000 identities in runs", again.Lookups())
	}
	if least := lookupAllocations(t, again, 1000); least > 100 {
		t.Errorf("%d allocations in 1000 reads of old identities", least)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// TestWholeRuns has commits that add many identities at once: each is a run from the
// start, so that an identity is written once.
func TestWholeRuns(t *testing.T) {
	partition, err := mustStore(t, 16<<20).Partition(1)
	if err != nil {
		t.Fatal(err)
	}
	set, err := Open(partition, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	const each, n = 10_000, 80_000
	written := 0
	for at := uint64(0); at < n; at += each {
		for i := at; i < at+each; i++ {
			if _, known, err := addTo(set, randomHash(i), randomHash(i), i/100, 1); err != nil || known {
				t.Fatal(known, err)
			}
		}
		written += commit(t, partition, set)
	}
	if per := written / n; per > 45 {
		t.Errorf("%d bytes written of each identity", per)
	}
	t.Logf("%d B written", written)
	if last := partition.LogLast(logRecent); last != 0 {
		t.Errorf("the recent log has %d entries", last)
	}
	again, err := Open(partition, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Set{set, again} {
		if s.Len() != n {
			t.Errorf("%d identities, want %d", s.Len(), n)
		}
		for i := uint64(0); i < n; i += 7 {
			seen, known, err := addTo(s, randomHash(i), ingest.Hash{}, 0, 1)
			if err != nil || !known || seen != (Seen{Content: randomHash(i), Position: i / 100}) {
				t.Fatal(i, seen, known, err)
			}
		}
	}
}

// lookupAllocations returns how many allocations finding the first identities of the
// first run takes, the fewest of some tries: the store has goroutines of its own, and may
// have moved values.
func lookupAllocations(t *testing.T, set *Set, n uint64) uint64 {
	const tries = 10
	least := ^uint64(0)
	for range tries {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for i := range n {
			if _, known, err := addTo(set, randomHash(i*50), ingest.Hash{}, 0, 1); err != nil || !known {
				t.Fatal(i, known, err)
			}
		}
		runtime.ReadMemStats(&after)
		least = min(least, after.Mallocs-before.Mallocs)
	}
	return least
}

// TestExpireFrees expires runs and looks that memory and disk are given back.
func TestExpireFrees(t *testing.T) {
	partition, err := mustStore(t, 16<<20).Partition(1)
	if err != nil {
		t.Fatal(err)
	}
	z := sizes{generation: 500, bucketBits: 4, pace: 2, piece: 100, burst: 9, page: 8}
	set, err := open(partition, testOptions(), z)
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(0)
	add := func(n int, until int64) {
		for range n {
			next++
			if _, known, err := addTo(set, randomHash(next), ingest.Hash{}, next, until); err != nil || known {
				t.Fatal(known, err)
			}
		}
		commit(t, partition, set)
	}
	add(10_000, 10)
	before := set.large.count + set.small.count
	set.Expire(11)
	add(2_000, 20)
	if set.Len() > 3_000 {
		t.Errorf("%d identities are kept, of which 2000 have not expired", set.Len())
	}
	if now := set.large.count + set.small.count; now > before/2 {
		t.Errorf("the index has %d entries, before it had %d", now, before)
	}
	if first := partition.LogFirst(logPieces); first < 90 {
		t.Errorf("the log of pieces begins with %d", first)
	}
	if first, last := partition.LogFirst(logRecent), partition.LogLast(logRecent); last+1-first > 3 {
		t.Errorf("the recent log has entries %d to %d", first, last)
	}
	o := testOptions()
	o.Horizon = 11
	again, err := open(partition, o, z)
	if err != nil {
		t.Fatal(err)
	}
	if again.Len() > 3_000 {
		t.Errorf("%d identities are kept after opening", again.Len())
	}
	sums, err := SumStored(partition, o)
	if _, living := sums[20]; err != nil || !living || len(sums) != 1 {
		t.Errorf("the sums of what is stored are %v, %v; want those of what expires at 20", sums, err)
	}
}
