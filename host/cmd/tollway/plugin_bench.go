package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/author"
)

// pluginBenchCommand measures a tariff.
type pluginBenchCommand struct {
	caseFlags
	outputFlags
	All     bool          `help:"Measure every case, not only the first of each tariff that has events."`
	Batches []int         `default:"1,16,256,4096" help:"Events in a batch."`
	For     time.Duration `default:"200ms" help:"How long each figure is measured."`
}

// benchedCase is a case in JSON. Times are in nanoseconds, with three decimals for an event.
type benchedCase struct {
	Tariff        string         `json:"tariff"`
	Case          string         `json:"case"`
	Batches       []benchedBatch `json:"batches"`
	InstantiateNs int64          `json:"instantiate_ns"`
	ConfigureNs   int64          `json:"configure_ns"`
	MemoryBytes   int64          `json:"memory_bytes"`
	MemoryMax     int64          `json:"memory_max_bytes"`
	FuelMax       int64          `json:"fuel_per_event_max"`
}

type benchedBatch struct {
	Events   int    `json:"events"`
	Slots    int    `json:"slots"`
	WasmNs   string `json:"wasm_ns_per_event"`
	NativeNs string `json:"native_ns_per_event,omitempty"`
	Fuel     int64  `json:"fuel_per_event"`
	Rejects  int    `json:"rejects"`
}

// Run measures and prints tables.
func (c *pluginBenchCommand) Run(ctx context.Context, s streams) (err error) {
	for _, n := range c.Batches {
		if n < 1 || n > 1<<16 {
			return usageError{fmt.Errorf("--batches: must be 1 to %d, not %d", 1<<16, n)}
		}
	}
	t, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	load, err := c.load(ctx)
	if err != nil {
		return err
	}
	var list []*author.Benched
	seen := map[string]bool{}
	for _, one := range t.cases {
		if seen[one.Tariff] && !c.All || len(one.Periods[0].Events) == 0 {
			continue
		}
		b, err := t.Bench(ctx, one, author.BenchOptions{Batches: c.Batches, For: c.For, Clock: time.Now})
		var refused *plugins.ConfigError
		if errors.As(err, &refused) {
			continue
		}
		if err != nil {
			return err
		}
		seen[one.Tariff] = true
		list = append(list, b)
	}
	if len(list) == 0 {
		return errors.New("no case has events that can be priced")
	}
	if c.Output == "json" {
		return c.print(s, list, load)
	}
	return c.show(s, list, load)
}

// loadTimes are how long it takes to load the plugin: compiled anew, and from the cache of compiled code.
type loadTimes struct{ Compile, Cached time.Duration }

// load measures the loading of the plugin.
func (c *pluginBenchCommand) load(ctx context.Context) (loadTimes, error) {
	var times loadTimes
	p, err := loadPlugin(ctx, c.Plugin)
	if err != nil {
		return times, err
	}
	for cache, took := range map[string]*time.Duration{"": &times.Compile, host.UserPluginCache(): &times.Cached} {
		started := time.Now()
		w, err := author.Open(ctx, p.wasm, cache)
		if err != nil {
			return times, err
		}
		*took = time.Since(started)
		if err := w.Close(ctx); err != nil {
			return times, err
		}
	}
	return times, nil
}

func (c *pluginBenchCommand) print(s streams, list []*author.Benched, load loadTimes) error {
	var all []benchedCase
	for _, b := range list {
		one := benchedCase{
			Tariff: b.Case.Tariff, Case: b.Case.Name, InstantiateNs: int64(b.Instantiate), ConfigureNs: int64(b.Configure),
			MemoryBytes: b.Memory, MemoryMax: b.MemoryMax, FuelMax: b.FuelPerEvent,
		}
		for _, n := range b.Batches {
			one.Batches = append(one.Batches, benchedBatch{
				Events: n.Events, Slots: n.Slots, WasmNs: nanoseconds(n.Wasm, 3), NativeNs: nanoseconds(n.Native, 3), Fuel: n.Fuel, Rejects: n.Rejects,
			})
		}
		all = append(all, one)
	}
	return printIndented(s.out, map[string]any{"cases": all, "load_ns": int64(load.Compile), "load_cached_ns": int64(load.Cached)})
}

func (c *pluginBenchCommand) show(s streams, list []*author.Benched, load loadTimes) error {
	g := columns("case", ">events", ">slots", ">wasm ns/event", ">native ns/event", ">times", ">fuel/event", ">rejected")
	for _, b := range list {
		for _, n := range b.Batches {
			times := none
			native := nanoseconds(n.Native, 1)
			if native == "" {
				native = none
			} else if n.Native > 0 {
				tenths := n.Wasm * 10 / n.Native
				times = fmt.Sprintf("%d.%d", tenths/10, tenths%10)
			}
			g.add(b.Case.Name, fmt.Sprint(n.Events), fmt.Sprint(n.Slots), nanoseconds(n.Wasm, 1), native, times, thousands(n.Fuel), fmt.Sprint(n.Rejects))
		}
	}
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "\nload: %v, %v from the cache of compiled code\n", load.Compile.Round(time.Millisecond), load.Cached.Round(time.Millisecond)); err != nil {
		return err
	}
	for _, b := range list {
		if _, err := fmt.Fprintf(s.out, "%s: instantiate %v, configure %v; memory %d of %d KiB; fuel of an event at most %s\n", b.Case.Name,
			b.Instantiate.Round(time.Microsecond), b.Configure.Round(time.Microsecond), b.Memory>>10, b.MemoryMax>>10, thousands(b.FuelPerEvent)); err != nil {
			return err
		}
	}
	return nil
}

// nanoseconds writes a time of author.BatchCost with so many decimals; nothing for none.
func nanoseconds(d time.Duration, decimals int) string {
	if d == 0 {
		return ""
	}
	unit := time.Duration(1)
	for range 3 - decimals {
		unit *= 10
	}
	d = d.Round(unit)
	return fmt.Sprintf("%d.%03d", d/author.Picoseconds, d%author.Picoseconds)[:len(fmt.Sprint(int64(d/author.Picoseconds)))+1+decimals]
}
