package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	Acceptance     bool     `help:"Measure what docs/performance.md promises, in some twelve minutes: the first number of accounts, packed beside plain Go maps and PostgreSQL, single events beside the raw read, and a run that is killed in the middle."`
	Events         int      `default:"5000000" help:"Packed events; JSON arrays have a fifth of them, single messages a tenth."`
	Accounts       []int    `default:"100000,1000000" help:"Accounts of the packed logs, one log each, with ten meters an account."`
	PerMessage     int      `default:"500" help:"Events in an array and in a packed batch: as many as the host itself writes at most."`
	DatabaseEvents int      `default:"1000000" help:"How many of the first log's events PostgreSQL takes."`
	Rounds         int      `default:"5" help:"How often everything is measured."`
	Only           []string `placeholder:"PART,…" help:"Measure these parts only: packed, array, single, postgres, kill."`
}

// quickShare is how much less a quick run measures.
const quickShare = 20

// Run measures and prints the report.
func (c *benchPipelineCommand) Run(ctx context.Context, s streams) error {
	if c.Acceptance {
		c.Accounts, c.Only = c.Accounts[:1], trial.AcceptanceParts()
	}
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

// benchIngestCommand measures how usage gets into the log.
type benchIngestCommand struct {
	trialFlags
	Quick    bool `help:"Send a twentieth as much in one round."`
	Accounts int  `default:"100000" help:"Accounts, with ten meters each."`
	Events   int  `default:"3000000" help:"Events sent in a round."`
	Rounds   int  `default:"5" help:"How often everything is measured."`
}

// Run measures and prints the report.
func (c *benchIngestCommand) Run(ctx context.Context, s streams) error {
	if c.Quick {
		c.Rounds, c.Events = 1, c.Events/quickShare
	}
	common, err := c.common(c.Rounds, s)
	if err != nil {
		return err
	}
	config := trial.IngestConfig{Common: common, Accounts: c.Accounts, Events: c.Events}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	report, err := trial.Ingest(ctx, config)
	if err != nil {
		return err
	}
	return c.print(s, "ingest", &report)
}

// benchLatencyCommand measures when usage is visible.
type benchLatencyCommand struct {
	trialFlags
	Quick    bool          `help:"Measure for two seconds a level."`
	Accounts int           `default:"100000" help:"Accounts, with ten meters each."`
	Batch    int           `default:"1000" help:"Events handed in together."`
	Senders  int           `default:"32" help:"Batches on their way at a time."`
	Duration time.Duration `default:"12s" help:"How long each level lasts."`
	Percents []int         `default:"25,50,75" help:"The levels, in percent of the capacity."`
	Rounds   int           `default:"3" help:"How often everything is measured."`
}

// Run measures and prints the report.
func (c *benchLatencyCommand) Run(ctx context.Context, s streams) error {
	if c.Quick {
		c.Rounds, c.Duration = 1, 2*time.Second
	}
	common, err := c.common(c.Rounds, s)
	if err != nil {
		return err
	}
	config := trial.LatencyConfig{Common: common, Accounts: c.Accounts, LatencyLoad: trial.LatencyLoad{
		Batch: c.Batch, Senders: c.Senders, Duration: c.Duration, Percents: c.Percents,
	}}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	report, err := trial.Latency(ctx, config)
	if err != nil {
		return err
	}
	return c.print(s, "latency", &report)
}

// benchGrowthCommand measures as keys grow.
type benchGrowthCommand struct {
	trialFlags
	Quick      bool   `help:"Stop at a hundredth of the size."`
	Accounts   []int  `default:"1000,10000,100000,1000000" help:"The steps: accounts, with ten keys each."`
	Identities []int  `default:"1000000,3000000,10000000,30000000,100000000" help:"The steps of the set of identities of one partition."`
	Events     int    `default:"12000000" help:"Events at each step, of which the second half is measured: by then the heap has been as large as it gets."`
	PerMessage int    `default:"500" help:"Events in a packed batch: as many as the host itself writes at most."`
	Rounds     int    `default:"2" help:"How often everything is measured."`
	Plot       string `placeholder:"FILE" help:"Also draw the growth, as SVG."`
}

// Run measures and prints the report.
func (c *benchGrowthCommand) Run(ctx context.Context, s streams) error {
	if c.Quick {
		const steps = 2
		c.Rounds, c.Events = 1, c.Events/quickShare
		c.Accounts, c.Identities = c.Accounts[:min(steps, len(c.Accounts))], c.Identities[:min(steps, len(c.Identities))]
	}
	common, err := c.common(c.Rounds, s)
	if err != nil {
		return err
	}
	config := trial.GrowthConfig{Common: common, Accounts: c.Accounts, Events: c.Events, PerMessage: c.PerMessage, Identities: c.Identities}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	report, err := trial.Growth(ctx, config)
	if err != nil {
		return err
	}
	if c.Plot != "" {
		report.Plot = filepath.Base(c.Plot)
		if err := os.WriteFile(c.Plot, report.Drawing(), 0o644); err != nil { //nolint:gosec // a picture is for everybody
			return err
		}
	}
	return c.print(s, "growth", &report)
}

// benchRecoveryCommand measures starts on an old state.
type benchRecoveryCommand struct {
	trialFlags
	Quick      bool `help:"Measure a twentieth as much."`
	Accounts   int  `default:"100000" help:"Accounts, with ten keys each."`
	Events     int  `default:"10000000" help:"Events, and so about as many identities."`
	PerMessage int  `default:"500" help:"Events in a packed batch: as many as the host itself writes at most."`
	Rounds     int  `default:"5" help:"How often the host is killed, and stopped."`
}

// Run measures and prints the report.
func (c *benchRecoveryCommand) Run(ctx context.Context, s streams) error {
	if c.Quick {
		c.Events, c.Accounts, c.Rounds = c.Events/quickShare, c.Accounts/quickShare, 2
	}
	common, err := c.common(c.Rounds, s)
	if err != nil {
		return err
	}
	config := trial.RecoveryConfig{Common: common, Accounts: c.Accounts, Events: c.Events, PerMessage: c.PerMessage}
	if err := config.Validate(); err != nil {
		return usageError{err}
	}
	report, err := trial.Recovery(ctx, config)
	if err != nil {
		return err
	}
	return c.print(s, "recovery", &report)
}

// benchWorkerCommand is a process of a measurement.
type benchWorkerCommand struct{}

// Run does the job that stands on standard input.
func (benchWorkerCommand) Run(ctx context.Context, s streams) error {
	return trial.Work(ctx, s.in, s.out, time.Now)
}
