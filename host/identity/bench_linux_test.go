package identity

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/ingest"
)

// randomHash makes a hash of a number that looks like one of xxh3.
func randomHash(n uint64) (h ingest.Hash) {
	for i := 0; i < 16; i += 8 {
		high, low := bits.Mul64(n^0x9e3779b97f4a7c15, uint64(i)+0xbf58476d1ce4e5b9)
		v := high ^ low
		v = (v ^ v>>31) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(h[i:], v^v>>29)
	}
	return h
}

// cpuTime is the time that the processor gave to this thread: others share the
// machine.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load is a set that is filled as a partition does: so many Adds a batch of
// events, so many batches a checkpoint.
type load struct {
	partition                 *checkpoint.Partition
	set                       *Set
	next                      uint64
	ids                       []ingest.Hash
	bytes                     int
	add, cut, put, committing time.Duration
	cutMax, addMax            time.Duration // of a Cut with Committed, of a batch of Adds
	prefetch                  bool
}

const loadBatch = 512

// checkpoint adds so many new identities and commits them.
func (l *load) checkpoint(tb testing.TB, n int) {
	for n > 0 {
		l.ids = l.ids[:0]
		for range min(n, loadBatch) {
			l.next++
			l.ids = append(l.ids, randomHash(l.next))
		}
		n -= len(l.ids)
		start := cpuTime()
		if l.prefetch {
			for at := 0; at < len(l.ids); at += 64 {
				foresee(l.set, l.ids[at:min(at+64, len(l.ids))])
				l.adds(tb, l.ids[at:min(at+64, len(l.ids))])
			}
		} else {
			l.adds(tb, l.ids)
		}
		took := cpuTime() - start
		l.add += took
		l.addMax = max(l.addMax, took)
	}
	start := cpuTime()
	b := l.set.Cut()
	cut := cpuTime() - start
	c := &checkpoint.Commit{Header: []byte("h"), Room: true}
	start = cpuTime()
	b.Put(c)
	l.put += cpuTime() - start
	for _, blobs := range c.Appends {
		for _, blob := range blobs {
			l.bytes += len(blob)
		}
	}
	start = cpuTime()
	if err := l.partition.Commit(c); err != nil {
		tb.Fatal(err)
	}
	l.committing += cpuTime() - start
	start = cpuTime()
	l.set.Committed(b)
	cut += cpuTime() - start
	l.cut += cut
	l.cutMax = max(l.cutMax, cut)
}

func (l *load) adds(tb testing.TB, ids []ingest.Hash) {
	for i := range ids {
		_, known, err := addTo(l.set, ids[i], ids[i], l.next, 1)
		if err != nil || known {
			tb.Fatal(known, err)
		}
	}
}

func newLoad(tb testing.TB, partition *checkpoint.Partition) *load {
	set, err := Open(partition, testOptions())
	if err != nil {
		tb.Fatal(err)
	}
	return &load{partition: partition, set: set}
}

// BenchmarkFill fills a set with new identities: what each costs in Add, in Cut
// and Committed, and in Put, which runs beside the others; what is written and
// kept of it; and how long the set takes to open again.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int{1_000_000, 10_000_000} {
		for _, prefetch := range []bool{false, true} {
			b.Run(fmt.Sprintf("ids=%d/prefetch=%v", n, prefetch), func(b *testing.B) {
				for range b.N {
					fill(b, n, prefetch)
				}
			})
		}
	}
}

func fill(b *testing.B, n int, prefetch bool) {
	store := mustStore(b, 64<<20)
	partition, err := store.Partition(1)
	if err != nil {
		b.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := newLoad(b, partition)
	l.prefetch = prefetch
	const each = 6_000
	var tenth time.Duration
	for at := 0; at < n; at += each {
		before := l.add
		l.checkpoint(b, each)
		if at >= n-n/10 {
			tenth += l.add - before
		}
	}
	per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	b.ReportMetric(per(l.add), "add-ns/id")
	b.ReportMetric(per(tenth*10), "last-add-ns/id")
	b.ReportMetric(per(l.cut), "cut-ns/id")
	b.ReportMetric(per(l.put), "put-ns/id")
	b.ReportMetric(per(l.committing), "commit-ns/id")
	b.ReportMetric(float64(l.bytes)/float64(n), "written-B/id")
	b.ReportMetric(float64(l.set.Bytes())/float64(n), "memory-B/id")
	b.ReportMetric(float64(l.cutMax.Microseconds()), "cut-max-µs")
	b.ReportMetric(float64(l.addMax.Microseconds()), "512-adds-max-µs")
	b.ReportMetric(float64(l.set.Lookups()), "false-hits")
	start := cpuTime()
	again, err := Open(partition, testOptions())
	if err != nil || again.Len() != l.set.Len() {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpuTime() - start).Milliseconds()), "open-ms")
	b.ReportMetric(0, "ns/op")
	// Old events in the order in which they came, and in none.
	const old = 50_000
	start = cpuTime()
	for i := range uint64(old) {
		if _, known, err := addTo(again, randomHash(i+1), ingest.Hash{}, 1, 1); err != nil || !known {
			b.Fatal(known, err)
		}
	}
	b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/old, "old-ns/id")
	start = cpuTime()
	for i := range uint64(old) {
		if _, known, err := addTo(again, randomHash(i*7919%uint64(n)+1), ingest.Hash{}, 1, 1); err != nil || !known {
			b.Fatal(known, err)
		}
	}
	b.ReportMetric(float64((cpuTime()-start).Nanoseconds())/old, "any-ns/id")
}
