package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/tollway/tollway/host/internal/bench"
	"github.com/tollway/tollway/host/internal/cloud"
)

// GrowthConfig says what Growth measures.
type GrowthConfig struct {
	Common
	// Accounts are the steps, with ten keys (slots) an account.
	Accounts []int
	// Events come at each step once every key has been used once; of the second half of
	// them is said what an event costs. The first half is to be so many that the heap has
	// been as large as it gets: memory that was never looked at before costs a virtual
	// machine more than most of what an event does.
	Events int
	// PerMessage is how many events a packed batch has.
	PerMessage int
	// Identities are the steps of the set of identities of one partition, measured
	// alone; rising.
	Identities []int
}

// Validate reports every problem at once.
func (c *GrowthConfig) Validate() error {
	problems := c.problems()
	if c.Events < eventsMin || c.PerMessage < 1 {
		problems = append(problems, fmt.Errorf("%d events, %d in a message: there must be at least %d, and 1 in a message", c.Events, c.PerMessage, eventsMin))
	}
	for _, a := range c.Accounts {
		if a < 1 || a > cloud.AccountsMax {
			problems = append(problems, fmt.Errorf("%d accounts: there must be 1 to %d", a, cloud.AccountsMax))
		}
	}
	for i, n := range c.Identities {
		if n < identityCommit || i > 0 && n <= c.Identities[i-1] {
			problems = append(problems, fmt.Errorf("%v identities: the steps must rise, from %d on", c.Identities, identityCommit))
			break
		}
	}
	return errors.Join(problems...)
}

// GrowthReport is what Growth has measured.
type GrowthReport struct {
	Machine    Machine      `json:"machine"`
	Partitions int          `json:"partitions"`
	Rounds     int          `json:"rounds"`
	Plot       string       `json:"plot,omitempty"` // where the drawing is, seen from the page
	Keys       []GrowthStep `json:"keys"`
	Identities []GrowthStep `json:"identities"`
}

// GrowthStep is a size and what an event costs at it.
type GrowthStep struct {
	Size   int       `json:"size"`
	Rounds []Figures `json:"rounds"`
}

func (s *GrowthStep) median(figure func(Figures) int64) int64 { return spread(s.Rounds, figure).Median }

// cpu is the processor time of an event, nanoseconds.
func (s *GrowthStep) cpu() int64 {
	return s.median(func(f Figures) int64 { return f.perEvent(int64(f.CPU)) })
}

// wall is the time of an event, nanoseconds.
func (s *GrowthStep) wall() int64 {
	return s.median(func(f Figures) int64 { return f.perEvent(int64(f.Took)) })
}

// rss is the memory at the end, bytes.
func (s *GrowthStep) rss() int64 { return s.median(func(f Figures) int64 { return f.RSS }) }

// Growth measures the cost of an event, and memory, as keys grow.
func Growth(ctx context.Context, config GrowthConfig) (GrowthReport, error) {
	if err := config.Validate(); err != nil {
		return GrowthReport{}, err
	}
	report := GrowthReport{Machine: thisMachine(config.Now()), Partitions: config.Partitions, Rounds: config.Rounds}
	err := withBed(config.Common, func(b *bed) error {
		for _, accounts := range config.Accounts {
			step, err := b.growKeys(ctx, config, accounts)
			if err != nil {
				return fmt.Errorf("%d accounts: %w", accounts, err)
			}
			report.Keys = append(report.Keys, step)
		}
		for _, n := range config.Identities {
			report.Identities = append(report.Identities, GrowthStep{Size: n})
		}
		for range config.Rounds {
			if len(config.Identities) == 0 {
				break
			}
			if err := b.growIdentitiesOnce(ctx, config.Identities, report.Identities); err != nil {
				return err
			}
		}
		return nil
	})
	return report, err
}

// growKeys measures events on a state that has all keys already. Each round is a
// new process on what the round before has left.
func (b *bed) growKeys(ctx context.Context, config GrowthConfig, accounts int) (step GrowthStep, err error) {
	step.Size = accounts * cloud.Meters
	f, err := b.fill(ctx, fmt.Sprint("keys-", step.Size), Usage{
		Accounts: accounts, Sweep: true, Format: cloud.Packed, Events: step.Size, PerMessage: config.PerMessage,
	})
	if err != nil {
		return step, err
	}
	dir := f.job(jobHost).DataDir
	run := func() (figures Figures, err error) {
		err = f.withServer(ctx, func(log Log) error {
			j := f.job(jobHost)
			j.Log, j.DataDir, j.ProfileFile, j.SecondHalf = log, dir, j.DataDir+".profile", true
			a, err := b.Launch.run(ctx, j)
			figures = a.Figures
			return err
		})
		return figures, err
	}
	if _, err := run(); err != nil {
		return step, err
	}
	for range config.Rounds {
		from := f.usage.Events
		f.usage.Events += config.Events
		if err := f.more(ctx, from); err != nil {
			return step, err
		}
		figures, err := run()
		if err != nil {
			return step, err
		}
		b.progress("%s keys: %d ns of processor time an event, %s MiB", thousands(int64(step.Size)), figures.perEvent(int64(figures.CPU)), mebibytes(figures.RSS))
		step.Rounds = append(step.Rounds, figures)
	}
	return step, errors.Join(f.remove(), os.RemoveAll(dir))
}

// Tables shows the report.
func (r *GrowthReport) Tables() []Table {
	t := Table{
		Title:   "Growth of keys (subtotals): an event that changes one of so many, of the second half of those that come once all keys are there (medians)",
		Columns: []string{"keys", "CPU ns", "against the least", "ns", "events/s", "RSS MiB", "bytes a key", "allocations"},
		Note: fmt.Sprintf("Machine: %s. The host in a process without NATS, %d partitions, rounds: %d. Every total was equal to its known sum.",
			r.Machine, r.Partitions, r.Rounds),
	}
	for _, s := range r.Keys {
		first := &r.Keys[0]
		all := s.median(func(f Figures) int64 { return int64(f.Allocations * 100 / max(1, f.Events)) })
		t.add(thousands(int64(s.Size)), thousands(s.cpu()), bench.Hundredths(s.cpu()*100/max(1, first.cpu())).String(), thousands(s.wall()),
			thousands(int64(time.Second)/max(1, s.wall())), mebibytes(s.rss()), orDash((s.rss()-min(first.rss(), s.rss()))/int64(s.Size)), bench.Hundredths(all).String())
	}
	if r.Plot != "" {
		t.Note += "\n\n![Cost of an event and memory as keys grow](" + r.Plot + ")"
	}
	goals := goalTable(r.goals(), "")
	stages := stageTable("Processor time per event by stage, ns (profile labels; medians)")
	for _, s := range r.Keys {
		stages.stages(thousands(int64(s.Size))+" keys", s.Rounds, func(f Figures, name string) int64 { return f.perEvent(int64(f.Stages[name])) })
	}
	return []Table{goals, t, stages, r.identityTable()}
}

// identityTable shows the set of identities.
func (r *GrowthReport) identityTable() Table {
	t := Table{
		Title:   "Growth of identities: the set of one partition alone, with its synced commits (medians)",
		Columns: []string{"identities", "CPU ns", "ns", "RSS MiB", "bytes an identity", "on the disk MiB", "allocations"},
		Note:    "Of the last 1,000,000 events before each size, one in 100 of which repeats any earlier one. Memory is that of the process, store and garbage included.",
	}
	for _, s := range r.Identities {
		all := s.median(func(f Figures) int64 { return int64(f.Allocations * 100 / max(1, f.Events)) })
		t.add(thousands(int64(s.Size)), thousands(s.cpu()), thousands(s.wall()), mebibytes(s.rss()), thousands(s.rss()/int64(s.Size)),
			mebibytes(s.median(func(f Figures) int64 { return f.StoreBytes })), bench.Hundredths(all).String())
	}
	return t
}

// Drawing is the report as a picture in SVG.
func (r *GrowthReport) Drawing() []byte {
	var panels []panel
	add := func(title string, steps []GrowthStep, figure func(*GrowthStep) int64) {
		p := panel{title: title}
		for i := range steps {
			p.names = append(p.names, sizeText(steps[i].Size))
			p.values = append(p.values, figure(&steps[i]))
		}
		if len(p.values) > 0 {
			panels = append(panels, p)
		}
	}
	add("processor time of an event, ns, by keys", r.Keys, (*GrowthStep).cpu)
	add("memory of the host, MiB, by keys", r.Keys, func(s *GrowthStep) int64 { return s.rss() >> 20 })
	add("processor time of an event, ns, by identities", r.Identities, (*GrowthStep).cpu)
	add("memory of the set and its store, MiB, by identities", r.Identities, func(s *GrowthStep) int64 { return s.rss() >> 20 })
	return draw(panels)
}

// sizeText writes a size in a few characters.
func sizeText(n int) string {
	switch {
	case n >= 1_000_000 && n%1_000_000 == 0:
		return fmt.Sprint(n/1_000_000, " M")
	case n >= 1_000 && n%1_000 == 0:
		return fmt.Sprint(n/1_000, " k")
	}
	return fmt.Sprint(n)
}
