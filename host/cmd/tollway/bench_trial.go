package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tollway/tollway/host/internal/trial"
)

// trialFlags are those of all measurements in processes of their own.
type trialFlags struct {
	Output     string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
	Partitions int    `default:"8" help:"Partitions of the log."`
	Dir        string `placeholder:"DIR" type:"existingdir" help:"Where a temporary directory is made: on the disk that is to be measured. Default: the system's."`
	Markdown   string `placeholder:"FILE" type:"existingfile" help:"Also write the tables into the section of a Markdown file that is marked for them."`
}

// common is the configuration that the flags make.
func (c *trialFlags) common(rounds int, s streams) (trial.Common, error) {
	program, err := os.Executable()
	if err != nil {
		return trial.Common{}, err
	}
	return trial.Common{
		Launch:     func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, program, "bench", "worker") },
		Partitions: c.Partitions, Rounds: rounds, Dir: c.Dir, Now: time.Now,
		Progress: func(what string) { fmt.Fprintf(s.err, "%s  %s\n", time.Now().Format(time.TimeOnly), what) },
	}, nil
}

// trialReport is what a measurement has found.
type trialReport interface{ Tables() []trial.Table }

// print shows a report, and writes it into the section of a file if that is
// wanted.
func (c *trialFlags) print(s streams, section string, report trialReport) error {
	if c.Markdown != "" {
		if err := trial.WriteSection(c.Markdown, section, report.Tables()); err != nil {
			return err
		}
	}
	if c.Output == "json" {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		return out.Encode(report)
	}
	return trial.WriteText(s.out, report.Tables())
}

// benchPipelineCommand measures the whole pipeline beside others.
type benchPipelineCommand struct {
	trialFlags
	Quick          bool     `help:"Measure a twentieth as much in one round."`
	Events         int      `default:"5000000" help:"Packed events; JSON arrays have a fifth of them, single messages a tenth."`
	Accounts       []int    `default:"100000,1000000" help:"Accounts of the packed logs, one log each, with ten meters an account."`
	PerMessage     int      `default:"100" help:"Events in an array and in a packed batch."`
	DatabaseEvents int      `default:"1000000" help:"How many of the first log's events PostgreSQL takes."`
	Rounds         int      `default:"5" help:"How often everything is measured."`
	Only           []string `placeholder:"PART,…" help:"Measure these parts only: packed, array, single, postgres, kill."`
}

// quickShare is how much less a quick run measures.
const quickShare = 20

// Run measures and prints the report.
func (c *benchPipelineCommand) Run(ctx context.Context, s streams) error {
	if c.Quick {
		c.Rounds, c.Events, c.DatabaseEvents = 1, c.Events/quickShare, c.DatabaseEvents/quickShare
		for i := range c.Accounts {
			c.Accounts[i] /= quickShare
		}
	}
	common, err := c.common(c.Rounds, s)
	if err != nil {
		return err
	}
	config := trial.PipelineConfig{
		Common: common, Events: c.Events, Accounts: c.Accounts, PerMessage: c.PerMessage, DatabaseEvents: c.DatabaseEvents, Only: c.Only,
	}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	report, err := trial.Pipeline(ctx, config)
	if err != nil {
		return err
	}
	return c.print(s, "pipeline", &report)
}

// benchWorkerCommand is a process of a measurement.
type benchWorkerCommand struct{}

// Run does the job that stands on standard input.
func (benchWorkerCommand) Run(ctx context.Context, s streams) error {
	return trial.Work(ctx, s.in, s.out, time.Now)
}
