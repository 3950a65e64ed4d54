//go:build unix

package checkpoint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// benchJournal is the number of the journal that the benchmarks write.
const benchJournal = 1

// journalOptions are those of a host with one journal.
func journalOptions() Options {
	o := DefaultOptions()
	o.Journals = []uint8{benchJournal}
	return o
}

// processorTime returns what the process has used until now.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// procBytes reads a figure that the system counts for this process, 0 where it
// does not.
func procBytes(file, format string) int64 {
	text, err := os.ReadFile("/proc/self/" + file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var n int64
		if _, err := fmt.Sscanf(line, format, &n); err == nil {
			return n
		}
	}
	return 0
}

// BenchmarkJournal commits blobs of 500 kB to a journal, each partition from a
// goroutine of its own, and trims it so that 300 MB live.
func BenchmarkJournal(b *testing.B) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(600 << 20))
	for _, partitions := range []int{1, 8} {
		for _, blobs := range []int{4, 40} {
			b.Run(fmt.Sprintf("partitions=%d/blobs=%d", partitions, blobs), func(b *testing.B) {
				benchmarkJournal(b, partitions, blobs)
			})
		}
	}
}

func benchmarkJournal(b *testing.B, partitions, blobs int) {
	const size, live = 500_000, 300_000_000
	s, err := Open(b.TempDir(), journalOptions())
	if err != nil {
		b.Fatal(err)
	}
	keep := uint64(live / partitions / size)
	rounds := make([]chan struct{}, partitions)
	var done sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for i := range rounds {
		p, err := s.Partition(i)
		if err != nil {
			b.Fatal(err)
		}
		rounds[i] = make(chan struct{})
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		c := &Commit{Header: make([]byte, 1_000), Room: true, Appends: map[uint8][][]byte{}, Trim: map[uint8]uint64{}}
		for range blobs {
			c.Appends[benchJournal] = append(c.Appends[benchJournal], randomBytes(rng, RoomBytes+size))
		}
		go func() {
			for range rounds[i] {
				c.Trim[benchJournal] = p.LogLast(benchJournal) + uint64(blobs) - min(keep, p.LogLast(benchJournal)+uint64(blobs))
				start := time.Now()
				if err := p.Commit(c); err != nil {
					b.Error(err)
				}
				mu.Lock()
				took = append(took, time.Since(start))
				mu.Unlock()
				done.Done()
			}
		}()
	}
	b.SetBytes(int64(partitions * blobs * size))
	b.ReportAllocs()
	disk, resident := int64(0), int64(0)
	written, used := procBytes("io", "write_bytes: %d"), processorTime(b)
	for b.Loop() {
		done.Add(partitions)
		for _, round := range rounds {
			round <- struct{}{}
		}
		done.Wait()
		held, err := s.DiskBytes()
		if err != nil {
			b.Fatal(err)
		}
		disk, resident = max(disk, held), max(resident, procBytes("status", "VmRSS: %d kB"))
	}
	bytes := float64(len(took) * blobs * size)
	b.ReportMetric(float64((processorTime(b)-used).Nanoseconds())/bytes, "cpu-ns/B")
	b.ReportMetric(float64(procBytes("io", "write_bytes: %d")-written)/bytes, "written/B")
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1_000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1_000, "p99-ms")
	b.ReportMetric(float64(disk)/1_000_000, "disk-MB")
	b.ReportMetric(float64(resident)/1_024, "rss-MiB")
	for _, round := range rounds {
		close(round)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRecover opens a store with 300 MB of journals and streams them, eight
// partitions at once; then reads single entries.
func BenchmarkRecover(b *testing.B) {
	const partitions, commits, blobs, size = 8, 19, 4, 500_000
	dir := b.TempDir()
	s, err := Open(dir, journalOptions())
	if err != nil {
		b.Fatal(err)
	}
	c := &Commit{Appends: map[uint8][][]byte{}}
	for range blobs {
		c.Appends[benchJournal] = append(c.Appends[benchJournal], randomBytes(rand.New(rand.NewPCG(1, 1)), size))
	}
	for i := range partitions * commits {
		p, err := s.Partition(i % partitions)
		if err != nil {
			b.Fatal(err)
		}
		mustCommit(b, p, c)
	}
	mustClose(b, s)
	var open, read, single, peek time.Duration
	for b.Loop() {
		start := time.Now()
		if s, err = Open(dir, journalOptions()); err != nil {
			b.Fatal(err)
		}
		open += time.Since(start)
		start = time.Now()
		streamAll(b, s, partitions, commits*blobs*size)
		read += time.Since(start)
		p, err := s.Partition(0)
		if err != nil {
			b.Fatal(err)
		}
		nothing := func([]byte) error { return nil }
		var part [2 << 10]byte
		start = time.Now()
		for n := range uint64(commits * blobs) {
			if err := p.View(benchJournal, n+1, nothing); err != nil {
				b.Fatal(err)
			}
		}
		single += time.Since(start)
		start = time.Now()
		for n := range uint64(commits * blobs) {
			if _, err := p.ReadAt(benchJournal, n+1, part[:], 1<<10); err != nil {
				b.Fatal(err)
			}
		}
		peek += time.Since(start)
		mustClose(b, s)
	}
	b.ReportMetric(float64(open.Microseconds())/1_000/float64(b.N), "open-ms")
	b.ReportMetric(float64(read.Microseconds())/1_000/float64(b.N), "read-ms")
	b.ReportMetric(float64(single.Microseconds())/float64(b.N)/(commits*blobs), "view-us")
	b.ReportMetric(float64(peek.Microseconds())/float64(b.N)/(commits*blobs), "part-us")
}

// streamAll reads the journals of all partitions at once.
func streamAll(b *testing.B, s *Store, partitions, want int) {
	var readers sync.WaitGroup
	for i := range partitions {
		readers.Go(func() {
			p, err := s.Partition(i)
			if err != nil {
				b.Error(err)
				return
			}
			bytes := 0
			err = p.LogRange(benchJournal, 1, 0, func(_ uint64, entry []byte) error { bytes += len(entry); return nil })
			if err != nil || bytes != want {
				b.Errorf("%d of %d bytes: %v", bytes, want, err)
			}
		})
	}
	readers.Wait()
}
