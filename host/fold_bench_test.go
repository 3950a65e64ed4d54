package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/plugins"
)

// newUnfed makes a host without a log, with a catalog in force: its partitions are
// given their messages by hand.
func newUnfed(t testing.TB, partitions int, yaml []byte) *Host {
	t.Helper()
	config := Config{DataDir: t.TempDir(), Partitions: partitions}.withDefaults()
	h := &Host{config: config, log: config.Log, invoices: newInvoiceIndex(partitions), alerts: newAlertList(partitions)}
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	h.histories = newHistories(h)
	t.Cleanup(func() { must(h.Close()) })
	var err error
	h.store, err = config.openStore()
	must(err)
	h.runtime, err = plugins.NewRuntime(t.Context(), plugins.Config{CacheDir: filepath.Join(os.TempDir(), "tollway-bench-plugins")})
	must(err)
	h.endRuntime = h.runtime.Close
	builtIns, err := LoadBuiltIns(t.Context(), h.runtime)
	must(err)
	h.registry = newRegistry(builtIns, nil)
	parsed, problems := catalog.Parse([]catalog.File{{Name: "bench.yaml", Data: yaml}})
	r := h.newResolver(t.Context(), catalog.Empty(), ApplyRequest{})
	problems = append(problems, parsed.Resolve(r)...)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	must(r.close())
	var views []query.Partition
	turns := newTurns(0)
	for n := range partitions {
		p := &partition{number: n, host: h, state: accumulate.NewState(), decoder: ingest.NewDecoder(1), rater: rate.NewRater(h.registry), turn: turn{turns: turns}, health: newHealth(config.Now())}
		h.partitions = append(h.partitions, p)
		must(p.load())
		must(p.completeStored())
		p.useCatalog(parsed)
		views = append(views, query.Partition{Stream: stream.Usage(n), State: p.state})
		h.outboxes = append(h.outboxes, newOutbox(h, p))
	}
	h.queries = query.NewEngine(views)
	return h
}

// feedAll has all partitions work through their messages, side by side.
func feedAll(t testing.TB, h *Host, messages [][]stream.Message) {
	t.Helper()
	const reading = 100 // messages that are read at a time
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	workers, _ := errgroup.WithContext(ctx)
	feeders := errgroup.Group{}
	for n, p := range h.partitions {
		batches := make(chan []stream.Message)
		workers.Go(func() error { return p.committer.run(ctx) })
		workers.Go(func() error { return p.work(ctx, batches) })
		feeders.Go(func() error {
			for list := messages[n]; len(list) > 0; {
				k := min(reading, len(list))
				batches <- list[:k]
				list = list[k:]
			}
			return nil
		})
	}
	if err := feeders.Wait(); err != nil {
		t.Fatal(err)
	}
	for n, p := range h.partitions {
		list := messages[n]
		for len(list) > 0 && p.state.Header().Position < list[len(list)-1].Sequence {
			time.Sleep(time.Millisecond)
		}
	}
	stop()
	_ = workers.Wait()
}

// BenchmarkWork takes packed messages of 100,000 accounts with ten slots each
// through everything but the reading of the log. The first half of the events has
// each slot made; with the second, which is apart, hardly any is new.
func BenchmarkWork(b *testing.B) {
	const accounts, events, partitions = 100_000, 3_000_000, 8
	world, err := cloud.New(accounts, false)
	if err != nil {
		b.Fatal(err)
	}
	header := stream.Header{"Content-Type": {ingest.ContentTypePacked}}
	halves := [2][][]stream.Message{make([][]stream.Message, partitions), make([][]stream.Message, partitions)}
	sequence := make([]uint64, partitions)
	for half := range halves {
		s := cloud.Stretch{From: half * events / 2, To: (half + 1) * events / 2, Partitions: partitions, PerMessage: 100}
		err := world.Messages(cloud.Packed, s, func(p int, body []byte) error {
			sequence[p]++
			halves[half][p] = append(halves[half][p], stream.Message{Sequence: sequence[p], Subject: fmt.Sprintf("usage.%d.batch", p), Header: header, Data: body})
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	HoldMemory(b.Context())
	for range b.N {
		h := newUnfed(b, partitions, world.Catalog())
		for half := range halves {
			runtime.GC()
			var profile *os.File
			if dir := os.Getenv("TOLLWAY_BENCH_PROFILES"); dir != "" {
				if profile, err = os.Create(filepath.Join(dir, fmt.Sprintf("half-%d.profile", half+1))); err != nil {
					b.Fatal(err)
				}
				if err := pprof.StartCPUProfile(profile); err != nil {
					b.Fatal(err)
				}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun, cpu := time.Now(), processorTime()
			feedAll(b, h, halves[half])
			took, used := time.Since(begun), processorTime()-cpu
			runtime.ReadMemStats(&after)
			if profile != nil {
				pprof.StopCPUProfile()
				if err := profile.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(took.Nanoseconds())/(events/2), fmt.Sprintf("ns/event-%d", half+1))
			b.ReportMetric(float64(used.Nanoseconds())/(events/2), fmt.Sprintf("cpu-ns/event-%d", half+1))
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/(events/2), fmt.Sprintf("allocs/event-%d", half+1))
		}
		var total uint64
		for _, p := range h.partitions {
			total += p.state.Header().Counters.Read
		}
		if total != events {
			b.Fatalf("%d events were read, not %d", total, events)
		}
	}
}
