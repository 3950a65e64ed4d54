package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	figures "github.com/tollway/tollway/host/internal/serving"
)

// benchServingCommand measures what those wait for who look at figures.
type benchServingCommand struct {
	outputFlags
	Keys       int           `default:"1000000" help:"Subtotals that there are, ten for each account."`
	Events     int           `default:"100000" help:"Usage events a second while everything is measured."`
	Gets       int           `default:"2000" help:"Calls of SubtotalService.Get a second."`
	Watches    int           `default:"1000" help:"Open watches, each of one account."`
	Probes     int           `default:"8" help:"Of them, those that latencies are measured with."`
	Duration   time.Duration `default:"30s" help:"How long is measured."`
	Partitions int           `default:"8" help:"Partitions of the log."`
	Dir        string        `placeholder:"DIR" type:"existingdir" help:"Where a temporary directory is made: on the disk that is to be measured. Default: the system's."`
}

// What is promised of serving.
const (
	servingSeenMax = 150 * time.Millisecond
	servingGetMax  = 5 * time.Millisecond
)

// Run measures and prints the report.
func (c *benchServingCommand) Run(ctx context.Context, s streams) error {
	config := figures.Config{
		Keys: c.Keys, Events: c.Events, Gets: c.Gets, Watches: c.Watches, Probes: c.Probes, Duration: c.Duration, Partitions: c.Partitions,
		Dir: c.Dir, Now: time.Now,
		Progress: func(what string) { fmt.Fprintf(s.err, "%s  %s\n", time.Now().Format(time.TimeOnly), what) },
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
	milliseconds := func(d time.Duration) string {
		return fmt.Sprintf("%d.%02d ms", d/time.Millisecond, d%time.Millisecond/(10*time.Microsecond))
	}
	g := columns("measured", ">samples", ">p50", ">p99", ">max", ">at most (p99)")
	row := func(name string, t figures.Spread, most time.Duration) {
		g.add(name, fmt.Sprint(t.Samples), milliseconds(t.P50), milliseconds(t.P99), milliseconds(t.Max), milliseconds(most))
	}
	row("accepted to a watching client", r.Seen, servingSeenMax)
	row("SubtotalService.Get", r.Get, servingGetMax)
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	fmt.Fprintf(s.out, "\n%d keys, %d events/s, %d calls of Get/s (%d failed), %d watches open with %d updates and %d KiB each, both ends of the connection.\n",
		r.Keys, r.Events, r.Gets, r.GetFailures, r.Watches, r.Updates, r.WatchBytes>>10)
	return nil
}
