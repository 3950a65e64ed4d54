package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/telco"
)

// worldFlags describe a telco world.
type worldFlags struct {
	Start     string `default:"2026-01" placeholder:"MONTH" help:"First month."`
	Customers int    `default:"9" help:"Customers; the first nine have names."`
	Events    int    `default:"120" help:"Events of each customer in each month."`
	Seed      uint64 `default:"1" help:"The same seed makes the same events."`
}

// config is the world that the flags describe.
func (f worldFlags) config(mode telco.Mode, months int) (telco.Config, error) {
	start, err := time.Parse("2006-01", f.Start)
	if err != nil {
		return telco.Config{}, usageError{fmt.Errorf("--start %q is no month: write 2026-01", f.Start)}
	}
	c := telco.Config{Mode: mode, Start: start, Months: months, Customers: f.Customers, EventsPerMonth: f.Events, Seed: f.Seed}
	if err := c.Validate(); err != nil {
		return telco.Config{}, usageError{err}
	}
	return c, nil
}

// usageGenerateCommand writes generated events.
type usageGenerateCommand struct {
	worldFlags
	Months int    `default:"1" help:"Months of usage."`
	Mode   string `enum:"charged,rated" default:"charged" help:"charged: events carry amounts whose sums are known; rated: calls, data and messages to be priced."`
	Out    string `short:"f" placeholder:"FILE" help:"File for the events. Default: standard output."`
	Totals string `placeholder:"FILE" help:"Also write the known totals, as CSV of account, period, amount."`
}

// Run writes the events as JSON Lines in the order in which they arrive.
func (c *usageGenerateCommand) Run(ctx context.Context, s streams) error {
	mode, err := telco.ParseMode(c.Mode)
	if err != nil {
		return usageError{err}
	}
	world, err := c.config(mode, c.Months)
	if err != nil {
		return err
	}
	if c.Totals != "" {
		if mode != telco.Charged {
			return usageError{errors.New("--totals: only the totals of charged usage are known")}
		}
		if err := toFile(c.Totals, func(w io.Writer) error { return writeTotals(w, world) }); err != nil {
			return err
		}
	}
	if c.Out == "" {
		return writeEvents(ctx, s.out, s.err, world)
	}
	return toFile(c.Out, func(w io.Writer) error { return writeEvents(ctx, w, s.err, world) })
}

// toFile writes a file.
func toFile(name string, write func(io.Writer) error) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return write(file)
}

// writeEvents writes a world's events, one a line.
func writeEvents(ctx context.Context, w, report io.Writer, world telco.Config) error {
	bar := newProgress(report, "generating", "events")
	defer bar.finish()
	out := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	n := 0
	for a := range world.Arrivals() {
		var err error
		if line, err = ingest.AppendJSON(line[:0], &a.Event); err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
		if n++; n%10_000 == 0 {
			bar.add(10_000)
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return out.Flush()
}

// writeTotals writes what each customer pays in each month.
func writeTotals(w io.Writer, world telco.Config) error {
	out := csv.NewWriter(w)
	if err := out.Write([]string{"account", "period", "amount"}); err != nil {
		return err
	}
	for m := range world.Months {
		for i := range world.Customers {
			if err := out.Write([]string{string(world.Account(i)), world.Period(m).ID(), world.Sum(i).Fixed(2)}); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}
