package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/tollway/tollway/host/internal/cloud"
)

// RecoveryConfig says what Recovery measures.
type RecoveryConfig struct {
	Common
	Accounts   int // with ten keys each
	Events     int // and so about as many identities; more than keys
	PerMessage int
}

// Validate reports every problem at once.
func (c *RecoveryConfig) Validate() error {
	problems := c.problems()
	if c.Accounts < 1 || c.Accounts > cloud.AccountsMax || c.Events < 2*c.Accounts*cloud.Meters || c.Events < eventsMin || c.PerMessage < 1 {
		problems = append(problems, fmt.Errorf("%d accounts, %d events: there must be 1 to %d accounts, and at least twenty events an account",
			c.Accounts, c.Events, cloud.AccountsMax))
	}
	return errors.Join(problems...)
}

// RecoveryReport is what Recovery has measured.
type RecoveryReport struct {
	Machine    Machine         `json:"machine"`
	Partitions int             `json:"partitions"`
	Keys       int             `json:"keys"`
	Events     int             `json:"events"`
	Killed     []time.Duration `json:"killed_ns"`  // from the start of the process to the first answer, after kill -9
	Stopped    []time.Duration `json:"stopped_ns"` // after a clean stop
	Figures    Figures         `json:"figures"`    // of the host that came to the end
}

// Recovery measures how long a host with an old state takes to its first answer.
func Recovery(ctx context.Context, config RecoveryConfig) (RecoveryReport, error) {
	if err := config.Validate(); err != nil {
		return RecoveryReport{}, err
	}
	r := RecoveryReport{
		Machine: thisMachine(config.Now()), Partitions: config.Partitions, Keys: config.Accounts * cloud.Meters, Events: config.Events,
	}
	err := withBed(config.Common, func(b *bed) error {
		f, err := b.fill(ctx, "recovery", Usage{
			Accounts: config.Accounts, Sweep: true, Format: cloud.Packed, Events: config.Events, PerMessage: config.PerMessage,
		})
		if err != nil {
			return err
		}
		return f.withServer(ctx, func(log Log) error {
			j := f.job(jobHost)
			j.Log, j.Stay = log, true
			return errors.Join(r.measure(ctx, f, j), os.RemoveAll(j.DataDir))
		})
	})
	return r, err
}

// measure kills a host again and again while it works through the second half of
// the log, lets it come to the end, and then stops it cleanly again and again.
func (r *RecoveryReport) measure(ctx context.Context, f *field, j job) error {
	b := f.bed
	read := uint64(0)
	for n := range b.Rounds + 1 {
		goal := f.half() + f.half()*uint64(n)/uint64(b.Rounds+1)
		took, at, err := f.startAndKill(ctx, j, read, goal)
		if err != nil {
			return err
		}
		if n > 0 { // the first start had nothing to recover
			b.progress("after kill -9 at %s events: first answer after %v", thousands(int64(read)), took)
			r.Killed = append(r.Killed, took)
		}
		read = at
	}
	for n := range b.Rounds + 1 {
		took, figures, err := f.startAndStop(ctx, j, read)
		if err != nil {
			return err
		}
		switch n {
		case 0: // this one still comes after a kill
			b.progress("after kill -9 at %s events: first answer after %v; %s MiB at the end", thousands(int64(read)), took, mebibytes(figures.PeakRSS))
			r.Killed, r.Figures = append(r.Killed, took), figures
		default:
			b.progress("after a clean stop: first answer after %v", took)
			r.Stopped = append(r.Stopped, took)
		}
		read = uint64(f.usage.Events)
	}
	return nil
}

// begin starts a host and waits for its first answer, which must know at least
// what was committed before.
func (f *field) begin(ctx context.Context, j job, committed uint64) (*process, time.Duration, error) {
	start := f.bed.Now()
	p, err := f.bed.Launch.start(ctx, j)
	if err != nil {
		return nil, 0, err
	}
	a, err := p.await(answerReady, nil)
	took := f.bed.Now().Sub(start)
	if err == nil && a.Read < committed {
		err = fmt.Errorf("%d events were committed and %d are after the start", committed, a.Read)
	}
	if err != nil {
		return nil, 0, errors.Join(err, p.kill())
	}
	return p, took, nil
}

// startAndKill starts a host and kills it when it has read so much. It returns
// how long the first answer took, and what was known to be committed at the end.
func (f *field) startAndKill(ctx context.Context, j job, committed, goal uint64) (took time.Duration, read uint64, err error) {
	p, took, err := f.begin(ctx, j, committed)
	if err != nil {
		return 0, 0, err
	}
	_, err = p.await(answerDone, func(a answer) error {
		if read = a.Read; read >= goal {
			return errKill
		}
		return nil
	})
	if err == nil {
		read = uint64(f.usage.Events) // it came to the end before it could be killed
	} else if !errors.Is(err, errKill) {
		return 0, 0, errors.Join(err, p.kill())
	}
	return took, read, p.kill()
}

// startAndStop starts a host, lets it come to the end of the log, where it
// compares all totals, and stops it.
func (f *field) startAndStop(ctx context.Context, j job, committed uint64) (time.Duration, Figures, error) {
	p, took, err := f.begin(ctx, j, committed)
	if err != nil {
		return 0, Figures{}, err
	}
	a, err := p.await(answerDone, nil)
	return took, a.Figures, errors.Join(err, p.stop())
}

// Tables shows the report.
func (r *RecoveryReport) Tables() []Table {
	t := Table{
		Title:   "From the start of a process to its first answer, ms",
		Columns: []string{"after", "starts", "min", "p50", "max"},
		Note: fmt.Sprintf("Machine: %s. The host in a process without NATS, %s keys, %s events, %d partitions; killed while it worked through the second half of the log. "+
			"Nothing that was committed was missing, and every total was equal to its known sum.",
			r.Machine, thousands(int64(r.Keys)), thousands(int64(r.Events)), r.Partitions),
	}
	for _, row := range []struct {
		name string
		list []time.Duration
	}{{"kill -9", r.Killed}, {"a clean stop", r.Stopped}} {
		if len(row.list) == 0 {
			continue
		}
		sorted := slices.Sorted(slices.Values(row.list))
		t.add(row.name, fmt.Sprint(len(sorted)), millis(sorted[0]), millis(middle(sorted)), millis(sorted[len(sorted)-1]))
	}
	memory := Table{
		Title:   "Memory of that host",
		Columns: []string{"what", "MiB"},
		Note:    "From its last start to the end of the log.",
	}
	memory.add("RSS, at the end", mebibytes(r.Figures.RSS))
	memory.add("RSS, at most", mebibytes(r.Figures.PeakRSS))
	memory.add("state on the disk", mebibytes(r.Figures.StoreBytes))
	goals := goalTable(r.goals(), fmt.Sprintf("%s keys and %s events, which are about as many identities.", thousands(int64(r.Keys)), thousands(int64(r.Events))))
	return []Table{goals, t, memory}
}
