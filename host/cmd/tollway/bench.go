package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/tollway/tollway/host/internal/bench"
)

// benchCommand measures.
type benchCommand struct {
	Stages   benchStagesCommand   `cmd:"" default:"withargs" help:"Measure each stage alone, and small pipelines. This is what is done when nothing is said."`
	Pipeline benchPipelineCommand `cmd:"" help:"Measure the whole pipeline beside the raw read, plain Go maps and PostgreSQL."`
	Ingest   benchIngestCommand   `cmd:"" help:"Measure usage through RPC into a log that syncs."`
	Latency  benchLatencyCommand  `cmd:"" help:"Measure from accepted to visible, at parts of what the host bears."`
	Growth   benchGrowthCommand   `cmd:"" help:"Measure the cost of an event, and memory, as keys and identities grow."`
	Recovery benchRecoveryCommand `cmd:"" help:"Measure from the start of a process to its first answer, after a clean stop and after kill -9."`
	Serving  benchServingCommand  `cmd:"" help:"Measure what those wait for who look at figures while usage flows."`
	Clients  benchClientsCommand  `cmd:"" hidden:"" help:"Be the clients of a measurement."`
	Worker   benchWorkerCommand   `cmd:"" hidden:"" help:"Be a process of a measurement."`
}

// benchStagesCommand measures the stages and small pipelines.
type benchStagesCommand struct {
	outputFlags
	Events     int      `default:"1000000" help:"Packed events of the whole pipeline; JSON arrays have half of them, single messages a fifth."`
	Accounts   int      `default:"10000" help:"Accounts of the packed events, with ten meters each; the others have as much fewer."`
	Partitions int      `default:"8" help:"Partitions of the log."`
	Rounds     int      `default:"3" help:"How often everything is measured."`
	Only       []string `placeholder:"PART,…" help:"Measure these parts only: stages, single, array, packed."`
	Dir        string   `placeholder:"DIR" type:"existingdir" help:"Where a temporary directory is made: on the disk that is to be measured. Default: the system's."`
	CPUProfile string   `name:"cpu-profile" placeholder:"FILE" help:"Write a profile of the processor time, for go tool pprof."`
}

// Run measures and prints the report.
func (c *benchStagesCommand) Run(ctx context.Context, s streams) (err error) {
	config := bench.Config{
		Events: c.Events, Accounts: c.Accounts, Partitions: c.Partitions, Rounds: c.Rounds, Only: c.Only, Dir: c.Dir, Now: time.Now,
		Progress: func(what string) { fmt.Fprintf(s.err, "measuring: %s\n", what) },
	}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	stop := func() error { return nil }
	if c.CPUProfile != "" {
		if stop, err = profileTo(c.CPUProfile); err != nil {
			return err
		}
	}
	report, err := bench.Run(ctx, config)
	if err = errors.Join(err, stop()); err != nil {
		return err
	}
	if c.Output == "json" {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return printBench(s, c.Output, report)
}

// profileTo begins a profile of the processor time. The function that it
// returns ends it.
func profileTo(name string) (stop func() error, err error) {
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

// printBench shows the report as tables.
func printBench(s streams, output string, r bench.Report) error {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	g := columns("measured", ">per second", ">min", ">max", "unit", ">raw read/s", ">ratio", ">CPU ns", ">allocs", ">bytes")
	for _, st := range r.Stages {
		g.add(st.Name, number(st.Rate.Median), number(st.Rate.Min), number(st.Rate.Max), st.Unit, "", "",
			number(st.CPU), st.Allocations.String(), number(st.Bytes))
	}
	for _, p := range r.Pipelines {
		g.add("pipeline "+p.Name, number(p.EndToEnd.Median), number(p.EndToEnd.Min), number(p.EndToEnd.Max), "event",
			number(p.Read.Median), p.Ratio.String(), number(p.CPU), p.Allocations.String(), number(p.Bytes))
	}
	if err := g.print(s.out, output); err != nil || output == "csv" {
		return err
	}
	_, err := fmt.Fprintf(s.out, `
%s, %s, %d CPUs; %d accounts with %d meters, %d partitions; medians of %d rounds.
A pipeline goes from a filled stream to the last durable checkpoint; the raw read is of the same stream in
the same round, and ratio is one by the other. CPU ns, allocs and bytes are per unit, the server's included.
Every account's total was equal to its known sum.
`, r.Go, r.Platform, r.CPUs, r.Accounts, r.Meters, r.Partitions, r.Rounds)
	return err
}
