package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/trace"
	"strings"
	"time"

	"github.com/tollway/tollway/host"
	figures "github.com/tollway/tollway/host/internal/serving"
)

// benchServingCommand measures what those wait for who look at figures.
type benchServingCommand struct {
	outputFlags
	Keys       int           `default:"1000000" help:"Subtotals that there are, ten for each account, and so lines of the month."`
	Events     int           `default:"100000" help:"Usage events a second while everything is measured."`
	Gets       int           `default:"2000" help:"Calls of SubtotalService.Get a second."`
	Watches    int           `default:"1000" help:"Open watches, each of one account."`
	Hot        bool          `help:"Have all watches follow one account, which changes in every checkpoint."`
	Probes     int           `default:"8" help:"Of them, those that latencies are measured with."`
	Duration   time.Duration `default:"30s" help:"How long is measured."`
	Partitions int           `default:"8" help:"Partitions of the log."`
	Formats    []string      `name:"export" default:"csv,parquet" placeholder:"FORMAT,…" help:"Then close the month and export it in these formats; \"none\" does not."`
	Dir        string        `placeholder:"DIR" type:"existingdir" help:"Where a temporary directory is made: on the disk that is to be measured. Default: the system's."`
	CPUProfile string        `name:"cpu-profile" placeholder:"FILE" help:"Write a profile of the server's processor time while it is measured, for go tool pprof."`
	Trace      string        `placeholder:"FILE" help:"Write what the server's goroutines did and waited for in a few seconds of it, for go tool trace. It costs some of what is measured."`
}

// benchClientsCommand is the process of a measurement's clients.
type benchClientsCommand struct{}

// Run does what is ordered on standard input.
func (benchClientsCommand) Run(ctx context.Context, s streams) error {
	return figures.Work(ctx, s.in, s.out, time.Now)
}

// What is promised of serving.
const (
	servingSeenMax   = 150 * time.Millisecond
	servingGetMax    = 5 * time.Millisecond
	servingWatchMax  = 256 << 10
	servingExportMax = 20 * time.Second
	servingMemoryMax = 256 << 20
	// Of a rate that is asked for, all but what comes due in the last moment.
	servingRatePercent = 99
)

// Run measures and prints the report.
func (c *benchServingCommand) Run(ctx context.Context, s streams) (err error) {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	config := figures.Config{
		Keys: c.Keys, Events: c.Events, Gets: c.Gets, Watches: c.Watches, Probes: c.Probes, Duration: c.Duration, Partitions: c.Partitions,
		Hot: c.Hot, Turns: host.ShareProcessors(), Dir: c.Dir, Now: time.Now,
		Progress: func(what string) { fmt.Fprintf(s.err, "%s  %s\n", time.Now().Format(time.TimeOnly), what) },
		Launch: func(ctx context.Context, args ...string) *exec.Cmd {
			command := exec.CommandContext(ctx, program, args...)
			command.Args[0] = os.Args[0]
			return command
		},
	}
	if c.Formats[0] != "none" {
		config.Formats = c.Formats
	}
	switch {
	case c.CPUProfile != "":
		config.Profile = func() (func() error, error) { return profileTo(c.CPUProfile) }
	case c.Trace != "":
		config.Profile = func() (func() error, error) { return traceTo(c.Trace) }
	}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	r, err := figures.Run(ctx, config)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	return c.print(s, &r)
}

// traceFor is how long a trace lasts: one of a second has some tens of megabytes.
const traceFor = 3 * time.Second

// traceTo traces the beginning of what is measured. The function that it returns ends
// it.
func traceTo(name string) (stop func() error, err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := trace.Start(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	timer := time.AfterFunc(traceFor, trace.Stop)
	return func() error {
		timer.Stop()
		trace.Stop() // which waits for the one that the timer has begun
		return file.Close()
	}, nil
}

// print shows each figure beside its goal.
func (c *benchServingCommand) print(s streams, r *figures.Report) error {
	g := columns("figure", ">goal", ">measured", "met")
	row := func(figure, goal, measured string, met bool) {
		g.add(figure, goal, measured, map[bool]string{true: "yes", false: "no"}[met])
	}
	atMost := func(figure string, d, most time.Duration) {
		row(figure, "at most "+shortTime(most), shortTime(d), d <= most)
	}
	memory := func(figure string, n, most int64) { row(figure, "at most "+shortBytes(most), shortBytes(n), n <= most) }
	rate := func(figure string, n int64, goal int) {
		row(figure, fmt.Sprintf("%d/s", goal), fmt.Sprintf("%d/s", n), n*100 >= int64(goal)*servingRatePercent)
	}
	rate("usage events accepted meanwhile", r.Events, c.Events)
	rate("usage events priced meanwhile", r.Priced, c.Events)
	atMost("accepted to a watching client, p99", r.Seen.P99, servingSeenMax)
	rate(fmt.Sprintf("SubtotalService.Get, of %d keys", r.Keys), r.Gets, c.Gets)
	atMost("SubtotalService.Get, p99", r.Get.P99, servingGetMax)
	row("watches held open", fmt.Sprint(c.Watches), fmt.Sprint(r.Watches), r.Watches == c.Watches)
	memory("memory of each watch", r.WatchBytes, servingWatchMax)
	for _, e := range r.Exports {
		name := fmt.Sprintf("month end of %d lines as %s", e.Lines, strings.ToUpper(e.Format))
		atMost(name, e.Took, servingExportMax)
		memory(name+", peak memory", e.PeakMemory, servingMemoryMax)
	}
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	fmt.Fprintf(s.out, `
Accepted to a watching client: %d samples, p50 %s, max %s. Get: %d samples from when each was due, p50 %s, max %s, %d failed.
The %d watches received %d updates. Memory of a watch is what the server's heap and stacks grew by when they were opened, by their number.
The server used %d %% of a processor, and the clients, a process of their own on the same machine, %d %%.
`, r.Seen.Samples, shortTime(r.Seen.P50), shortTime(r.Seen.Max), r.Get.Samples, shortTime(r.Get.P50), shortTime(r.Get.Max), r.GetFailures, r.Watches, r.Updates,
		r.ServerCPU, r.ClientCPU)
	if len(r.Exports) > 0 {
		fmt.Fprintf(s.out, "The month of %d invoices was closed in %s. Each export is `tollway invoices export`, a process of its own: time and memory are that process's.\n",
			r.Exports[0].Invoices, shortTime(r.Closed))
	}
	return nil
}

// shortTime writes a time in seconds or milliseconds, with two decimals.
func shortTime(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%d.%02d s", d/time.Second, d%time.Second/(10*time.Millisecond))
	}
	return fmt.Sprintf("%d.%02d ms", d/time.Millisecond, d%time.Millisecond/(10*time.Microsecond))
}

// shortBytes writes an amount of memory in MiB or KiB.
func shortBytes(n int64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
