package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// LatencyLoad is how usage is sent to a host.
type LatencyLoad struct {
	Batch    int           // events handed in together
	Senders  int           // batches on their way at a time
	Duration time.Duration // of each level, and of finding the capacity
	Percents []int         // of the capacity: the levels
}

// LatencyFigures are what a host in one process with its server and those who
// send has shown.
type LatencyFigures struct {
	Capacity int64          `json:"capacity_per_second"` // events accepted and committed
	Levels   []LatencyLevel `json:"levels"`
}

// LatencyLevel is what was seen at a steady rate.
type LatencyLevel struct {
	Percent   int            `json:"percent"` // of the capacity; 0: as fast as it goes
	Wanted    int64          `json:"wanted_per_second"`
	Reached   int64          `json:"reached_per_second"`
	CPU       int64          `json:"cpu_percent"` // of one core; 0 where the system does not tell
	Accepted  LatencySpread  `json:"accepted"`    // from the call to its answer
	Committed LatencySpread  `json:"committed"`   // from the answer to being visible
	Latest    *LatencySpread `json:"latest,omitempty"`

	Took   time.Duration            `json:"took_ns"`
	Stages map[string]time.Duration `json:"stages_ns,omitempty"`
}

// LatencySpread are quantiles of times.
type LatencySpread struct {
	Samples int           `json:"samples"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	P999    time.Duration `json:"p99_9_ns"`
	Max     time.Duration `json:"max_ns"`
}

// latencies collects times. It is safe for concurrent use.
type latencies struct {
	mu   sync.Mutex
	list []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, d)
}

// spread sums up; nobody adds any more.
func (l *latencies) spread() LatencySpread {
	n := len(l.list)
	if n == 0 {
		return LatencySpread{}
	}
	slices.Sort(l.list)
	at := func(part, of int) time.Duration { return l.list[min(n-1, n*part/of)] }
	return LatencySpread{Samples: n, P50: at(1, 2), P99: at(99, 100), P999: at(999, 1000), Max: l.list[n-1]}
}

// latestWaiter is an engine that shows what is not committed yet.
type latestWaiter interface {
	WaitLatest(ctx context.Context, positions []query.Position) error
}

// sending is a stream of events that several senders share.
type sending struct {
	worker *worker
	host   *host.Host
	source *cloud.Events
	next   atomic.Int64 // event

	accepted, committed, latest latencies
}

// latency finds out what a host bears and measures at parts of that.
func (w *worker) latency(ctx context.Context) error {
	world, err := w.job.Usage.world()
	if err != nil {
		return err
	}
	return w.withHost(ctx, func(ctx context.Context, h *host.Host) error {
		if err := w.apply(ctx, h); err != nil {
			return err
		}
		s := &sending{worker: w, host: h, source: world.NewEvents()}
		// The first level warms up and is not shown: slots are new once.
		if _, err := s.level(ctx, 0, 0); err != nil {
			return err
		}
		free, err := s.level(ctx, 0, 0)
		if err != nil {
			return err
		}
		figures := LatencyFigures{Capacity: free.Reached, Levels: []LatencyLevel{free}}
		for _, percent := range w.job.Latency.Percents {
			level, err := s.level(ctx, percent, figures.Capacity*int64(percent)/100)
			if err != nil {
				return err
			}
			figures.Levels = append(figures.Levels, level)
			if err := w.say(answer{Kind: answerProgress}); err != nil {
				return err
			}
		}
		return s.finish(ctx, figures)
	})
}

// finish compares all totals and tells the figures.
func (s *sending) finish(ctx context.Context, figures LatencyFigures) error {
	s.worker.job.Usage.Events = int(s.next.Load())
	if err := s.worker.compare(ctx, s.host); err != nil {
		return err
	}
	return s.worker.say(answer{Kind: answerDone, Latency: figures})
}

// level sends at a rate, or as fast as it goes, and waits until all is visible.
func (s *sending) level(ctx context.Context, percent int, rate int64) (LatencyLevel, error) {
	s.accepted, s.committed, s.latest = latencies{}, latencies{}, latencies{}
	load := s.worker.job.Latency
	profile, err := s.worker.beginProfile()
	if err != nil {
		return LatencyLevel{}, err
	}
	start, before, from := s.worker.now(), processUsage(), s.next.Load()
	group, ctx := errgroup.WithContext(ctx)
	for n := range load.Senders {
		group.Go(func() error { return s.send(ctx, n, start, rate) })
	}
	if err := group.Wait(); err != nil {
		return LatencyLevel{}, err
	}
	took, after, sent := s.worker.now().Sub(start), processUsage(), s.next.Load()-from
	profiled, err := profile.end(uint64(sent))
	if err != nil {
		return LatencyLevel{}, err
	}
	l := LatencyLevel{
		Percent: percent, Wanted: rate, Reached: sent * int64(time.Second) / int64(took),
		CPU: int64((after.cpu - before.cpu) * 100 / took), Accepted: s.accepted.spread(), Committed: s.committed.spread(),
		Took: took, Stages: profiled.Stages,
	}
	if _, ok := any(s.host.Queries()).(latestWaiter); ok {
		latest := s.latest.spread()
		l.Latest = &latest
	}
	return l, nil
}

// aheadMax is how many batches of one sender may be accepted and not yet
// visible, when it sends as fast as it goes.
const aheadMax = 32

// send hands batches in until the time is over, and waits for the last one. At a
// rate the n-th sender has every so many-th batch, at its time or as soon as it
// can.
func (s *sending) send(ctx context.Context, n int, start time.Time, rate int64) error {
	load := s.worker.job.Latency
	events := make([]billing.UsageEvent, load.Batch)
	ahead := make(chan struct{}, aheadMax)
	waiting, ctx := errgroup.WithContext(ctx)
	for turn := n; ; turn += load.Senders {
		if rate > 0 {
			due := start.Add(time.Duration(int64(turn) * int64(load.Batch) * int64(time.Second) / rate))
			if err := s.sleep(ctx, due); err != nil {
				return err
			}
		} else {
			select {
			case ahead <- struct{}{}:
			case <-ctx.Done():
				return waiting.Wait()
			}
		}
		if s.worker.now().Sub(start) >= load.Duration {
			return waiting.Wait()
		}
		s.source.Make(events, int(s.next.Add(int64(load.Batch))-int64(load.Batch)))
		called := s.worker.now()
		results, err := s.host.Ingest(ctx, events)
		if err != nil {
			return errors.Join(err, waiting.Wait())
		}
		answered := s.worker.now()
		s.accepted.add(answered.Sub(called))
		waiting.Go(func() error {
			err := s.see(ctx, reached(results), answered)
			if rate == 0 {
				<-ahead
			}
			return err
		})
	}
}

// sleep waits for a time.
func (s *sending) sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(until.Sub(s.worker.now()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reached returns the last position of a batch in each partition.
func reached(results []host.Ingested) []query.Position {
	var list []query.Position
	for _, r := range results {
		at := slices.IndexFunc(list, func(p query.Position) bool { return p.Partition == r.Position.Partition })
		if at < 0 {
			list = append(list, r.Position)
		} else if list[at].Sequence < r.Position.Sequence {
			list[at] = r.Position
		}
	}
	return list
}

// see waits until each position is visible, as latest and as committed.
func (s *sending) see(ctx context.Context, positions []query.Position, answered time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	engine, showsLatest := any(s.host.Queries()).(latestWaiter)
	for _, p := range positions {
		at := []query.Position{p}
		group.Go(func() error {
			if showsLatest {
				if err := engine.WaitLatest(ctx, at); err != nil {
					return err
				}
				s.latest.add(s.worker.now().Sub(answered))
			}
			if err := s.host.Wait(ctx, at); err != nil {
				return err
			}
			s.committed.add(s.worker.now().Sub(answered))
			return nil
		})
	}
	return group.Wait()
}

// LatencyConfig says what Latency measures.
type LatencyConfig struct {
	Common
	Accounts int
	LatencyLoad
}

// Validate reports every problem at once.
func (c *LatencyConfig) Validate() error {
	problems := c.problems()
	if c.Accounts < 1 || c.Accounts > cloud.AccountsMax || c.Batch < 1 || c.Senders < 1 || c.Duration <= 0 {
		problems = append(problems, fmt.Errorf("%d accounts, batches of %d events, %d senders, %v a level: all must be at least 1",
			c.Accounts, c.Batch, c.Senders, c.Duration))
	}
	for _, p := range c.Percents {
		if p < 1 || p > 100 {
			problems = append(problems, fmt.Errorf("%d %% of the capacity: there must be 1 to 100", p))
		}
	}
	return errors.Join(problems...)
}

// LatencyReport is what Latency has measured.
type LatencyReport struct {
	Machine    Machine          `json:"machine"`
	Partitions int              `json:"partitions"`
	Accounts   int              `json:"accounts"`
	Load       LatencyLoad      `json:"load"`
	Rounds     []LatencyFigures `json:"rounds"`
}

// Latency measures from the moment at which usage is accepted to the moment at
// which a query sees it, at parts of what the host bears.
func Latency(ctx context.Context, config LatencyConfig) (LatencyReport, error) {
	if err := config.Validate(); err != nil {
		return LatencyReport{}, err
	}
	report := LatencyReport{Machine: thisMachine(config.Now()), Partitions: config.Partitions, Accounts: config.Accounts, Load: config.LatencyLoad}
	err := withBed(config.Common, func(b *bed) error {
		for n := range config.Rounds {
			b.progress("latency: round %d of %d", n+1, config.Rounds)
			f := &field{bed: b, usage: Usage{Accounts: config.Accounts}}
			j := f.job(jobLatency)
			j.Latency = config.LatencyLoad
			j.Log, j.ProfileFile = Log{StoreDir: j.DataDir + "-log", Partitions: config.Partitions}, j.DataDir+".profile"
			a, err := b.Launch.run(ctx, j)
			if err != nil {
				return err
			}
			b.progress("capacity: %d events/s", a.Latency.Capacity)
			report.Rounds = append(report.Rounds, a.Latency)
		}
		return nil
	})
	return report, err
}

// Tables shows the report: of each level the round whose figure is the median of
// all, figure by figure.
func (r *LatencyReport) Tables() []Table {
	t := Table{
		Title:   "From accepted to visible, ms (medians of the rounds)",
		Columns: []string{"load", "events/s", "CPU %", "accepted p50 / p99", "latest p50 / p99 / p99.9", "committed p50 / p99 / p99.9", "samples"},
		Note: fmt.Sprintf("Machine: %s. One process with the host, the server, which syncs, and %d senders of %d events a call; %d accounts, %d partitions, %v a level, rounds: %d. "+
			"Accepted is how long a call takes; visible is counted from its answer. Every total was equal to its known sum.",
			r.Machine, r.Load.Senders, r.Load.Batch, r.Accounts, r.Partitions, r.Load.Duration, len(r.Rounds)),
	}
	if len(r.Rounds) == 0 {
		return []Table{t}
	}
	for i, level := range r.Rounds[0].Levels {
		at := func(figure func(LatencyLevel) int64) int64 {
			return spread(r.Rounds, func(f LatencyFigures) int64 { return figure(f.Levels[i]) }).Median
		}
		times := func(of func(LatencyLevel) LatencySpread) (p50, p99, p999 string) {
			text := func(figure func(LatencySpread) time.Duration) string {
				return millis(time.Duration(at(func(l LatencyLevel) int64 { return int64(figure(of(l))) })))
			}
			return text(func(s LatencySpread) time.Duration { return s.P50 }), text(func(s LatencySpread) time.Duration { return s.P99 }),
				text(func(s LatencySpread) time.Duration { return s.P999 })
		}
		a50, a99, _ := times(func(l LatencyLevel) LatencySpread { return l.Accepted })
		c50, c99, c999 := times(func(l LatencyLevel) LatencySpread { return l.Committed })
		latest := "not shown by this version"
		if level.Latest != nil {
			l50, l99, l999 := times(func(l LatencyLevel) LatencySpread { return *l.Latest })
			latest = l50 + " / " + l99 + " / " + l999
		}
		rate, wanted := at(func(l LatencyLevel) int64 { return l.Reached }), at(func(l LatencyLevel) int64 { return l.Wanted })
		rates := thousands(rate)
		if rate < wanted*9/10 {
			rates += " of " + thousands(wanted) + " wanted"
		}
		t.add(level.name(), rates, orDash(at(func(l LatencyLevel) int64 { return l.CPU })),
			a50+" / "+a99, latest, c50+" / "+c99+" / "+c999, thousands(int64(level.Committed.Samples)))
	}
	goals := goalTable(r.goals(), "")
	return []Table{goals, t, r.stageTable()}
}

// stageTable divides the processor time of the levels.
func (r *LatencyReport) stageTable() Table {
	t := stageTable("Processor time by stage, % of one core (profile labels; medians)")
	t.Columns[0] = "load"
	for i, level := range r.Rounds[0].Levels {
		figures := make([]Figures, len(r.Rounds))
		for n := range r.Rounds {
			figures[n] = Figures{Took: r.Rounds[n].Levels[i].Took, Stages: r.Rounds[n].Levels[i].Stages}
		}
		t.stages(level.name(), figures, func(f Figures, name string) int64 { return int64(f.Stages[name] * 100 / max(1, f.Took)) })
	}
	return t
}

// name names a level.
func (l *LatencyLevel) name() string {
	if l.Percent == 0 {
		return "as fast as it goes"
	}
	return strconv.Itoa(l.Percent) + " %"
}
