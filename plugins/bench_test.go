package plugins_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/fuel"
)

func BenchmarkRewrite(b *testing.B) {
	b.SetBytes(int64(len(guestWasm)))
	for b.Loop() {
		m, err := fuel.Parse(guestWasm)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Rewrite(fuel.Options{MemoryPagesMax: 1024, BeginModule: "tollway_v1", BeginName: "begin", BeginManyName: "begin_many"}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadCold(b *testing.B) {
	for b.Loop() {
		benchmarkLoad(b, plugins.Config{})
	}
}

func BenchmarkLoadCached(b *testing.B) {
	c := plugins.Config{CacheDir: b.TempDir()}
	benchmarkLoad(b, c)
	for b.Loop() {
		benchmarkLoad(b, c)
	}
}

func benchmarkLoad(b *testing.B, c plugins.Config) {
	ctx := context.Background()
	r, err := plugins.NewRuntime(ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := r.Load(ctx, guestWasm); err != nil {
		b.Fatal(err)
	}
	if err := r.Close(ctx); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkInstantiate(b *testing.B) {
	m := load(b, newRuntime(b, plugins.Config{}), guestWasm)
	ctx := context.Background()
	for b.Loop() {
		i, err := m.NewInstance(ctx)
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Close(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore(b *testing.B) {
	g := newGuest(b, load(b, newRuntime(b, plugins.Config{}), guestWasm), "sum")
	g.price(&plugins.Batch{Slots: g.slots(1), Events: events(10, 1)})
	b.ReportMetric(float64(plugins.ImageBytes(g.i))/(1<<20), "MiB")
	for b.Loop() {
		plugins.Restore(g.i)
	}
}

// BenchmarkPrice prices the same batch again and again, its slots as they have become.
func BenchmarkPrice(b *testing.B) {
	m := load(b, newRuntime(b, plugins.Config{}), guestWasm)
	for _, n := range []int{1, 16, 256, 4096} {
		b.Run(fmt.Sprintf("N=%d", n), func(b *testing.B) {
			g := newGuest(b, m, "sum")
			slots := max(1, n/8)
			batch := &plugins.Batch{Slots: g.slots(slots), Events: events(n, slots)}
			g.price(batch)
			for k := range batch.Slots {
				batch.Slots[k].New = false
			}
			before := slices.Clone(batch.Slots)
			b.ReportAllocs()
			for b.Loop() {
				copy(batch.Slots, before)
				if _, err := g.i.Price(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
			b.ReportMetric(float64(g.i.FuelUsed())/float64(n), "fuel/event")
		})
	}
}
