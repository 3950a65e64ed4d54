package main

import (
	"context"
	"fmt"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/export"
)

// rateCommand rates files without a server.
type rateCommand struct {
	outputFlags
	Catalog    string   `required:"" placeholder:"PATH" help:"Catalog file, or a folder of them."`
	Usage      []string `required:"" placeholder:"FILE" help:"Files of events: JSON Lines, a JSON array or CSV. May be given several times."`
	Partitions int      `default:"8" help:"Partitions of the temporary log; changes no figure."`
}

// Run rates the files and prints the report.
func (c *rateCommand) Run(ctx context.Context, s streams) error {
	if c.Partitions < 1 || c.Partitions > host.MaxPartitions {
		return usageError{fmt.Errorf("--partitions must be 1 to %d", host.MaxPartitions)}
	}
	files, modules, err := readCatalog(c.Catalog)
	if err != nil {
		return err
	}
	bar := newProgress(s.err, "reading", "events")
	seen := 0
	report, err := host.RateFiles(ctx, host.RateRequest{
		Catalog: files, Plugins: modules, Usage: c.Usage, Partitions: c.Partitions,
		Progress: func(events int) {
			bar.add(events - seen)
			seen = events
		},
	})
	bar.finish()
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = report.WriteJSON(s.out)
	} else {
		err = printReport(s, c.Output, report)
	}
	if n := len(report.Parked); n > 0 && err == nil {
		err = fmt.Errorf("%s could not be made, the first of %s for %s: %s", counted(n, "invoice"), report.Parked[0].Account, report.Parked[0].Period, report.Parked[0].Detail)
	}
	return err
}

// printReport shows a report as tables.
func printReport(s streams, output string, report export.Report) error {
	g := columns("invoice", "tariff", "group", "description", ">quantity", ">amount", "currency").orSay("no event was priced, so there is no invoice")
	for _, inv := range report.Invoices {
		for _, l := range inv.Lines {
			group := map[string]string{}
			for _, f := range l.Group {
				group[f.Key] = f.Text
			}
			g.add(inv.ID, lineOf(l.Tariff, l.Rule), groupText(group), l.Description, l.Quantity.String(), l.AmountText, string(inv.Currency))
		}
	}
	if err := g.print(s.out, output); err != nil || output == "csv" {
		return err
	}
	if len(report.DeadLetters) > 0 {
		letters := columns("dead letter", "source", "reason", "detail")
		for _, l := range report.DeadLetters {
			letters.add(l.ID, l.Source, l.Reason, l.Detail)
		}
		if _, err := fmt.Fprintln(s.out); err != nil {
			return err
		}
		if err := letters.print(s.out, output); err != nil {
			return err
		}
	}
	if len(report.Parked) > 0 {
		parked := columns("parked", "account", "reason", "detail")
		for _, k := range report.Parked {
			parked.add(k.Period, string(k.Account), k.Reason, k.Detail)
		}
		if _, err := fmt.Fprintln(s.out); err != nil {
			return err
		}
		if err := parked.print(s.out, output); err != nil {
			return err
		}
	}
	n := report.Counts
	_, err := fmt.Fprintf(s.out, "%s; %d events read = %d priced + %d duplicates + %d dead letters\n",
		counted(len(report.Invoices), "invoice"), n.Read, n.Priced, n.Duplicates, n.DeadLettered)
	return err
}
