package serving

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
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
	// Launch makes a command of `tollway`, to be started; needed with Formats.
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
	Events      int64  `json:"events_per_second"` // reached
	Gets        int64  `json:"gets_per_second"`   // reached
	WatchBytes  int64  `json:"bytes_per_watch"`   // of memory, both ends
	Updates     int64  `json:"updates"`           // that the watches received
	Seen        Spread `json:"seen"`              // from the producer's answer to a watching client
	Get         Spread `json:"get"`               // from when a call was due to its answer
	GetFailures int64  `json:"get_failures"`

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
	host    *host.Host
	dir     string
	world   *cloud.World
	clients *rpc.Clients
	report  Report

	next      atomic.Int64 // event
	gets      atomic.Int64
	failures  atomic.Int64
	updates   atomic.Int64
	seen, get times
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
	host.HoldMemory(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	settings := serve.Config{
		Host: host.Config{
			DataDir: dir, Partitions: config.Partitions, NATS: stream.Config{Embedded: &stream.EmbeddedConfig{}},
			PluginCache: host.UserPluginCache(), Now: config.Now,
		},
		RPC: rpc.Config{Listen: "127.0.0.1:0"},
	}
	err = serve.Run(ctx, settings, func(url string, h *host.Host) error {
		defer stop()
		r.host = h
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

// measure fills the state and then measures while usage flows.
func (r *run) measure(ctx context.Context, url string) (err error) {
	if r.clients, err = rpc.NewClients(url, "", nil); err != nil {
		return err
	}
	defer r.clients.Close()
	if err := r.fill(ctx); err != nil {
		return err
	}
	r.Progress(fmt.Sprintf("opening %d watches", r.Watches))
	before := memory()
	group, measuring := errgroup.WithContext(ctx)
	measuring, stop := context.WithCancel(measuring)
	defer stop()
	watches, err := r.open(measuring)
	if err != nil {
		return err
	}
	r.report.WatchBytes = max(0, memory()-before) / int64(r.Watches)
	r.Progress(fmt.Sprintf("measuring for %s", r.Duration))
	for _, w := range watches {
		group.Go(func() error { return w.follow(measuring) })
	}
	from, begun := r.next.Load(), r.Now()
	limited, cancel := context.WithTimeout(measuring, r.Duration)
	defer cancel()
	work, limited := errgroup.WithContext(limited)
	work.Go(func() error { return r.send(limited) })
	work.Go(func() error { return r.ask(limited) })
	for _, w := range watches[:r.Probes] {
		work.Go(func() error { return w.probe(limited) })
	}
	if err := work.Wait(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	took := r.Now().Sub(begun)
	r.report.Events = (r.next.Load() - from) * int64(time.Second) / int64(took)
	r.report.Gets = r.gets.Load() * int64(time.Second) / int64(took)
	stop()
	err = group.Wait()
	r.report.Seen, r.report.Get = r.seen.spread(), r.get.spread()
	r.report.GetFailures, r.report.Updates = r.failures.Load(), r.updates.Load()
	return err
}

// memory is what the process uses for objects and stacks, bytes.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// How usage is sent.
const (
	fillBatch   = 2_000
	fillSenders = 8
	sendBatch   = 500
	sendSenders = 16
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

// send has usage flow at the rate that is wanted, or as near as it comes.
func (r *run) send(ctx context.Context) error {
	start := r.Now()
	group, ctx := errgroup.WithContext(ctx)
	for n := range sendSenders {
		group.Go(func() error {
			source, events := r.world.NewEvents(), make([]billing.UsageEvent, sendBatch)
			for turn := n; ; turn += sendSenders {
				due := start.Add(time.Duration(int64(turn) * sendBatch * int64(time.Second) / int64(r.Events)))
				if !r.sleep(ctx, due) {
					return nil
				}
				source.Make(events, int(r.next.Add(sendBatch))-sendBatch)
				if _, err := r.host.Ingest(ctx, events); err != nil && ctx.Err() == nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// sleep waits for a time; false when ctx ended before.
func (r *run) sleep(ctx context.Context, until time.Time) bool {
	timer := time.NewTimer(until.Sub(r.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// probeEvent is an event of a probe's account, like those that flow.
func (r *run) probeEvent(account billing.AccountID, n int) billing.UsageEvent {
	e := r.world.Event(0)
	e.Account, e.ID = account, string(account)+"/"+strconv.Itoa(n)
	return e
}
