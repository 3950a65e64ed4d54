package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchEntries makes n entries of about 200 bytes: keys of 40 bytes in random
// order out of universe, values of 160.
func benchEntries(rng *rand.Rand, n, universe int) []Entry {
	entries := make([]Entry, n)
	arena := make([]byte, 0, n*200)
	for i := range entries {
		start := len(arena)
		arena = fmt.Appendf(arena, "subtotal/account-%08d/2026-10/main", rng.IntN(universe))
		key := arena[start:]
		start = len(arena)
		arena = append(arena, make([]byte, 160)...)
		value := arena[start:]
		for j := 0; j < len(value); j += 8 {
			binary.LittleEndian.PutUint64(value[j:], rng.Uint64())
		}
		entries[i] = Entry{Key: key, Value: value}
	}
	return entries
}

// anonymousBytes returns the process's memory that is not a mapped file, 0 where
// the system does not say.
func anonymousBytes() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}

func BenchmarkCommit(b *testing.B) {
	for _, changed := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("changed=%d", changed), func(b *testing.B) {
			s, err := Open(b.TempDir(), DefaultOptions())
			if err != nil {
				b.Fatal(err)
			}
			p, err := s.Partition(0)
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 2))
			sets := make([][]Entry, 8)
			for i := range sets {
				sets[i] = benchEntries(rng, changed, 1_000_000)
			}
			took := make([]time.Duration, 0, b.N)
			header := make([]byte, 512)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				err := p.Commit(&Commit{Header: header, Puts: map[uint8][]Entry{1: sets[i%len(sets)]}})
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			ms := func(q int) float64 { return float64(took[len(took)*q/1000].Microseconds()) / 1000 }
			b.ReportMetric(ms(500), "p50-ms")
			b.ReportMetric(ms(990), "p99-ms")
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/float64(changed), "p50-ns/entry")
			b.ReportMetric(float64(anonymousBytes())/(1<<20), "anon-MiB")
			stats := s.Stats()
			b.ReportMetric(float64(stats.Folds), "folds")
			b.ReportMetric(float64(stats.BytesWritten)/float64(stats.Entries)/200, "amplification")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkOpenLoad(b *testing.B) {
	const keys, step = 1_000_000, 50_000
	dir := b.TempDir()
	s, err := Open(dir, DefaultOptions())
	if err != nil {
		b.Fatal(err)
	}
	p, err := s.Partition(0)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 160)
	perm := rng.Perm(keys)
	for at := 0; at < keys; at += step {
		entries := make([]Entry, step)
		for i := range entries {
			entries[i] = Entry{Key: fmt.Appendf(nil, "subtotal/account-%08d/2026-10/main", perm[at+i]), Value: value}
		}
		if err := p.Commit(&Commit{Puts: map[uint8][]Entry{1: entries}}); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var open, load time.Duration
	for b.Loop() {
		start := time.Now()
		s, err := Open(dir, DefaultOptions())
		if err != nil {
			b.Fatal(err)
		}
		p, err := s.Partition(0)
		if err != nil {
			b.Fatal(err)
		}
		open += time.Since(start)
		start = time.Now()
		n := 0
		if err := p.Load(1, func(_, _ []byte) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
		load += time.Since(start)
		if n != keys {
			b.Fatalf("loaded %d keys, want %d", n, keys)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(open.Milliseconds())/float64(b.N), "open-ms")
	b.ReportMetric(float64(load.Milliseconds())/float64(b.N), "load-ms")
}

// BenchmarkPack is a commit without Badger: sorting, encoding and sums.
func BenchmarkPack(b *testing.B) {
	for _, changed := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprintf("changed=%d", changed), func(b *testing.B) {
			s, err := Open(b.TempDir(), DefaultOptions())
			if err != nil {
				b.Fatal(err)
			}
			p, err := s.Partition(0)
			if err != nil {
				b.Fatal(err)
			}
			entries := benchEntries(rand.New(rand.NewPCG(1, 2)), changed, 1_000_000)
			var w writer
			b.ReportAllocs()
			for b.Loop() {
				w.begin(s, cost{tree: 1 << 30, files: 1 << 30})
				p.writer = w
				if _, err := p.packTable(p.table(1), entries); err != nil {
					b.Fatal(err)
				}
				p.writer.release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(changed), "ns/entry")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
