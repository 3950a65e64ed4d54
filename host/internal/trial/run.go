package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Common is what all measurements have in common.
type Common struct {
	// Launch makes the processes.
	Launch Launcher
	// Partitions is into how many streams a log is divided.
	Partitions int
	// Rounds is how often everything is measured.
	Rounds int
	// Dir is where the temporary directory is made; empty: where the system has
	// them. It should be on the disk that is to be measured.
	Dir string
	// Now is the clock.
	Now func() time.Time
	// Progress is told what happens; nil: nobody.
	Progress func(what string)
}

// problems reports what is wrong.
func (c *Common) problems() []error {
	var problems []error
	if c.Partitions < 1 {
		problems = append(problems, fmt.Errorf("%d partitions: there must be at least 1", c.Partitions))
	}
	if c.Rounds < 1 {
		problems = append(problems, fmt.Errorf("%d rounds: there must be at least 1", c.Rounds))
	}
	return problems
}

// bed is where a measurement runs: a temporary directory and the processes in
// it.
type bed struct {
	Common
	dir  string
	runs int // data directories made so far
}

// withBed runs fn on a bed that is removed afterwards.
func withBed(c Common, fn func(*bed) error) (err error) {
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	dir, err := os.MkdirTemp(c.Dir, "tollway-bench-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := fn(&bed{Common: c, dir: dir}); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// progress tells what happens.
func (b *bed) progress(format string, args ...any) { b.Progress(fmt.Sprintf(format, args...)) }

// field is a log that is filled.
type field struct {
	bed   *bed
	log   Log
	usage Usage
	fill  Filled
}

// fill makes a log and fills it.
func (b *bed) fill(ctx context.Context, name string, u Usage) (*field, error) {
	f := &field{bed: b, usage: u, log: Log{StoreDir: filepath.Join(b.dir, "log-"+name), SeedFile: filepath.Join(b.dir, "seed-"+name), Partitions: b.Partitions}}
	return f, f.more(ctx, 0)
}

// more writes the events from one on into the log, up to usage.Events.
func (f *field) more(ctx context.Context, from int) error {
	f.bed.progress("filling a log with %d %s events of %d accounts", f.usage.Events-from, f.usage.Format, f.usage.Accounts)
	j := f.job(jobFill)
	j.Log.Unsynced = true // it is not what is measured
	j.From = from
	a, err := f.bed.Launch.run(ctx, j)
	if err != nil {
		return err
	}
	f.fill = a.Filled
	rate := int64(f.usage.Events-from) * int64(time.Second) / max(1, int64(a.Filled.Took))
	f.bed.progress("filled: %d messages of %d bytes, %d events/s", a.Filled.Messages, a.Filled.Bytes/max(1, a.Filled.Messages), rate)
	return nil
}

// remove removes the log.
func (f *field) remove() error { return os.RemoveAll(f.log.StoreDir) }

// job is one on the log, with a data directory of its own.
func (f *field) job(kind string) job {
	f.bed.runs++
	return job{
		Kind: kind, Log: f.log, Usage: f.usage, Until: f.fill.Ends,
		DataDir: filepath.Join(f.bed.dir, "data-"+strconv.Itoa(f.bed.runs)), PluginCache: filepath.Join(f.bed.dir, "plugins"),
	}
}

// run does a job and removes its data directory.
func (f *field) run(ctx context.Context, j job) (Figures, error) {
	a, err := f.bed.Launch.run(ctx, j)
	return a.Figures, errors.Join(err, os.RemoveAll(j.DataDir))
}

// withServer runs fn with the log in a process of its own.
func (f *field) withServer(ctx context.Context, fn func(Log) error) (err error) {
	j := f.job(jobServe)
	j.Log.Listen = true
	p, err := f.bed.Launch.start(ctx, j)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	a, err := p.await(answerReady, nil)
	if err != nil {
		return err
	}
	return fn(Log{URL: a.URL, SeedFile: f.log.SeedFile, Partitions: f.log.Partitions})
}

// half is about the middle of the log, in events.
func (f *field) half() uint64 { return uint64(f.usage.Events / 2) }
