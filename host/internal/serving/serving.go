package serving

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export/folder"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// Config says what is measured.
type Config struct {
	Keys       int           // subtotals that there are; ten for each account
	Events     int           // a second while everything is measured
	Gets       int           // calls of SubtotalService.Get a second
	Watches    int           // open streams, each of one account
	Probes     int           // of them, those that latencies are measured with
	Duration   time.Duration // of the measurement
	Partitions int
	// Formats are those in which the month is exported when it is closed, at the end.
	Formats  []string
	Dir      string // where a temporary directory is made
	Now      func() time.Time
	Progress func(what string)
	// Hot has all watches but the probes' follow one account, which changes all the time.
	Hot bool
	// Turns is [host.Config.Turns].
	Turns int
	// Profile begins a profile of the server while it is measured; nil for none. What it
	// returns ends it.
	Profile func() (stop func() error, err error)
	// Launch makes a command of `tollway`, to be started: of the clients, which are in
	// this process without it, and of exports.
	Launch func(ctx context.Context, args ...string) *exec.Cmd
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	if c.Keys < cloud.Meters || c.Events < 1 || c.Gets < 1 || c.Partitions < 1 {
		problems = append(problems, fmt.Errorf("there must be at least %d keys, and one event and call a second and one partition", cloud.Meters))
	}
	if c.Probes < 1 || c.Watches < c.Probes {
		problems = append(problems, errors.New("there must be at least one probe, and as many watches as probes"))
	}
	if len(c.Formats) > 0 && c.Launch == nil {
		problems = append(problems, errors.New("exports need a program that makes them"))
	}
	for _, f := range c.Formats {
		if !folder.Known(f) {
			problems = append(problems, fmt.Errorf("there is no format %q", f))
		}
	}
	if c.Duration < time.Second {
		problems = append(problems, errors.New("the duration must be at least 1s"))
	}
	return errors.Join(problems...)
}

// Report is what was measured.
type Report struct {
	Keys        int    `json:"keys"`
	Watches     int    `json:"watches"`
	Events      int64  `json:"events_per_second"` // accepted
	Priced      int64  `json:"priced_per_second"` // events in checkpoints meanwhile
	Gets        int64  `json:"gets_per_second"`   // reached
	WatchBytes  int64  `json:"bytes_per_watch"`   // of the server's memory
	Updates     int64  `json:"updates"`           // that the watches received
	Seen        Spread `json:"seen"`              // from the producer's answer to a watching client
	Get         Spread `json:"get"`               // from when a call was due to its answer
	GetFailures int64  `json:"get_failures"`
	ServerCPU   int64  `json:"server_cpu_percent"`  // of one processor
	ClientCPU   int64  `json:"clients_cpu_percent"` // likewise

	Closed  time.Duration `json:"closed_ns"` // what closing the month took; 0 without an export
	Exports []Exported    `json:"exports,omitempty"`
}

// Spread are quantiles of times.
type Spread struct {
	Samples int           `json:"samples"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
}

// times collects times. It is safe for concurrent use.
type times struct {
	mu   sync.Mutex
	list []time.Duration
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, d)
}

func (t *times) spread() Spread {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(t.list)
	if n == 0 {
		return Spread{}
	}
	slices.Sort(t.list)
	return Spread{Samples: n, P50: t.list[n/2], P99: t.list[min(n-1, n*99/100)], Max: t.list[n-1]}
}

// run is one measurement.
type run struct {
	Config
	host   *host.Host
	dir    string
	world  *cloud.World
	report Report
	next   atomic.Int64 // event
}

// Run measures.
func Run(ctx context.Context, config Config) (report Report, err error) {
	if err := config.Validate(); err != nil {
		return Report{}, err
	}
	dir, err := os.MkdirTemp(config.Dir, "tollway-serving-*")
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &run{Config: config, dir: dir}
	r.report.Keys, r.report.Watches = config.Keys, config.Watches
	if r.world, err = cloud.New(config.Keys/cloud.Meters, true); err != nil {
		return Report{}, err
	}
	held := host.HoldMemory(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	settings := serve.Config{
		Host: host.Config{
			DataDir: dir, Partitions: config.Partitions, NATS: stream.Config{Embedded: &stream.EmbeddedConfig{}},
			PluginCache: host.UserPluginCache(), Now: config.Now, Turns: config.Turns, Memory: held,
		},
		RPC: rpc.Config{Listen: "127.0.0.1:0"},
	}
	err = serve.Run(ctx, settings, func(url string, h *host.Host) error {
		defer stop()
		r.host = h
		if err := r.fill(ctx); err != nil {
			return err
		}
		if err := r.measure(ctx, url); err != nil || len(r.Formats) == 0 {
			return err
		}
		if err := r.closeMonth(ctx); err != nil {
			return err
		}
		return r.export(ctx, url)
	})
	return r.report, err
}

// measure has the clients do their work, and notes what the server does meanwhile.
func (r *run) measure(ctx context.Context, url string) (err error) {
	r.Progress(fmt.Sprintf("opening %d watches", r.Watches))
	before := memory()
	clients, err := r.invite(ctx, order{
		URL: url, Accounts: r.world.Accounts(), Partitions: r.Partitions, From: int(r.next.Load()), Events: r.Config.Events, Gets: r.Config.Gets,
		Watches: r.Watches, Hot: r.Hot, Probes: r.Probes, Duration: r.Duration,
	})
	if err != nil {
		return err
	}
	if _, err := clients.answer(); err != nil {
		return err
	}
	r.report.WatchBytes = max(0, memory()-before) / int64(r.Watches)
	r.Progress(fmt.Sprintf("measuring for %s", r.Duration))
	stop := func() error { return nil }
	if r.Profile != nil {
		if stop, err = r.Profile(); err != nil {
			return err
		}
	}
	begun, used, read := r.Now(), processorTime(), r.host.Counters().Read
	if err := clients.say.Encode(true); err != nil {
		return err
	}
	a, err := clients.answer()
	took, cpu := r.Now().Sub(begun), processorTime()-used
	priced := int64(r.host.Counters().Read-read) * int64(time.Second) / int64(took)
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if a.Result == nil {
		return errors.New("serving: the clients have measured nothing")
	}
	per := func(n int64) int64 { return n * int64(time.Second) / int64(a.Result.Took) }
	p := &r.report
	p.Events, p.Priced, p.Gets = per(a.Result.Accepted), priced, per(a.Result.Gets)
	p.Seen, p.Get, p.GetFailures, p.Updates = a.Result.Seen, a.Result.Get, a.Result.Failures, a.Result.Updates
	p.ServerCPU, p.ClientCPU = int64(cpu)*100/int64(took), int64(a.Result.CPU)*100/int64(a.Result.Took)
	if r.Launch == nil {
		p.ClientCPU = 0 // it is in the server's
	}
	return clients.leave()
}

// memory is what the process uses for objects and stacks, bytes.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// How the keys are made.
const (
	fillBatch   = 2_000
	fillSenders = 8
)

// fill puts the catalog in force and uses each slot once.
func (r *run) fill(ctx context.Context) error {
	r.Progress(fmt.Sprintf("making %d keys", r.Keys))
	applied, err := r.host.Apply(ctx, host.ApplyRequest{Files: []catalog.File{{Name: "cloud.yaml", Data: r.world.Catalog()}}, At: r.Now()})
	if err == nil && len(applied.Problems) > 0 {
		err = &host.CatalogError{Problems: applied.Problems}
	}
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for range fillSenders {
		group.Go(func() error {
			source, events := r.world.NewEvents(), make([]billing.UsageEvent, fillBatch)
			var last []host.Ingested
			for {
				at := int(r.next.Add(fillBatch)) - fillBatch
				if at >= r.world.Slots() {
					return r.host.Wait(ctx, positions(last))
				}
				source.Make(events, at)
				var err error
				if last, err = r.host.Ingest(ctx, events); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// positions lists those of events that were accepted.
func positions(results []host.Ingested) []query.Position {
	list := make([]query.Position, len(results))
	for i := range results {
		list[i] = results[i].Position
	}
	return list
}
