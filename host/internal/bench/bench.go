package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Config says what is measured.
type Config struct {
	// Events is how many events the packed pipeline has. Arrays take half of
	// them, single messages a fifth: they are slower to write.
	Events int
	// Accounts is how many accounts the packed pipeline has, the others as much
	// fewer as they have fewer events. Each account has ten meters, and so ten
	// slots.
	Accounts int
	// Partitions is into how many streams the log is divided.
	Partitions int
	// Rounds is how often everything is measured.
	Rounds int
	// Only names the parts that are measured: those of Parts; empty: all.
	Only []string
	// Dir is where the temporary directory is made; empty: where the system has
	// them. It should be on the disk that is to be measured.
	Dir string
	// Now is the clock.
	Now func() time.Time
	// Progress is told what is measured next; nil: nobody.
	Progress func(what string)
}

// PartStages is the part that measures each stage alone. The other parts are
// whole pipelines, each named for a body format.
const PartStages = "stages"

// Parts lists what Config.Only may name.
func Parts() []string {
	parts := []string{PartStages}
	for _, f := range formats() {
		parts = append(parts, f.key)
	}
	return parts
}

// wants reports whether a part is to be measured.
func (c Config) wants(part string) bool { return len(c.Only) == 0 || slices.Contains(c.Only, part) }

// Limits of a Config. The stages in memory take stageEvents at least.
const (
	eventsMin   = 10_000
	accountsMax = 1_000_000
)

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	say := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Events < eventsMin {
		say("%d events: take at least %d, or nothing is measured but the start", c.Events, eventsMin)
	}
	if c.Accounts < 1 || c.Accounts > accountsMax {
		say("%d accounts: there must be 1 to %d", c.Accounts, accountsMax)
	}
	if c.Partitions < 1 {
		say("%d partitions: there must be at least 1", c.Partitions)
	}
	if c.Rounds < 1 {
		say("%d rounds: there must be at least 1", c.Rounds)
	}
	for _, part := range c.Only {
		if !slices.Contains(Parts(), part) {
			say("there is no part %q; the parts are %s", part, strings.Join(Parts(), ", "))
		}
	}
	return errors.Join(problems...)
}

// run is one run of everything.
type run struct {
	config Config
	dir    string
	report Report
}

// Run measures. It writes only below a temporary directory, which it removes.
func Run(ctx context.Context, config Config) (report Report, err error) {
	if err := config.Validate(); err != nil {
		return Report{}, err
	}
	if config.Progress == nil {
		config.Progress = func(string) {}
	}
	dir, err := os.MkdirTemp(config.Dir, "tollway-bench-")
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &run{config: config, dir: dir, report: Report{
		CPUs: runtime.GOMAXPROCS(0), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Accounts: config.Accounts, Meters: meters, Partitions: config.Partitions, Rounds: config.Rounds,
	}}
	if config.wants(PartStages) {
		if err := r.stages(ctx); err != nil {
			return Report{}, fmt.Errorf("bench: %w", err)
		}
	}
	if err := r.pipelines(ctx); err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	return r.report, nil
}

// sample is one measurement.
type sample struct {
	units       int
	took        time.Duration
	cpu         time.Duration // of all threads of the process
	allocations uint64
	bytes       uint64
}

// add puts another stretch of the same measurement into the sample.
func (s *sample) add(o sample) {
	s.units += o.units
	s.took += o.took
	s.cpu += o.cpu
	s.allocations += o.allocations
	s.bytes += o.bytes
}

// measure runs fn, which does some units of work.
func (r *run) measure(units int, fn func() error) (sample, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, cpu := r.config.Now(), cpuTime()
	err := fn()
	s := sample{units: units, took: r.config.Now().Sub(start), cpu: cpuTime() - cpu}
	runtime.ReadMemStats(&after)
	s.allocations, s.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return s, err
}

// rounds runs fn once for each round, on a heap without the garbage of the one
// before.
func (r *run) rounds(fn func() error) error {
	for range r.config.Rounds {
		runtime.GC()
		if err := fn(); err != nil {
			return err
		}
	}
	return nil
}
