package main

import (
	"context"
	"fmt"
	"time"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// subtotalsHistoryCommand shows how an account's subtotals came to be.
type subtotalsHistoryCommand struct {
	clientFlags
	outputFlags
	subtotalFlags
	Account string `arg:"" help:"The account."`
	By      string `default:"day" enum:"hour,day" help:"Width of the rows: hour (of UTC) or day (in the account's time zone)."`
}

// Run prints a line for each hour or day of each tariff.
func (c *subtotalsHistoryCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	step, layout := tollwayv1.HistoryStep_HISTORY_STEP_DAY, time.DateOnly
	if c.By == "hour" {
		step, layout = tollwayv1.HistoryStep_HISTORY_STEP_HOUR, "2006-01-02T15:04Z07:00"
	}
	answer, err := clients.Subtotals.History(ctx, &tollwayv1.SubtotalServiceHistoryRequest{
		Account: c.Account, Period: c.Period, Tariff: c.Tariff, Meter: c.Meter, Currency: c.Currency, Step: step,
	})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	g := columns("tariff", c.By, ">events", ">quantity", ">amount", "currency").orSay("%s", noUsage(c.Account, c.subtotalFlags))
	for _, series := range answer.GetSeries() {
		events := series.GetRestEvents() // fewer than none where usage was taken out
		for _, b := range series.GetBuckets() {
			at := b.GetStart().AsTime()
			if c.By == "day" { // a day begins at midnight of the account's zone, which UTC may count to the day before
				at = at.Add(12 * time.Hour)
			}
			events += int64(b.GetEvents())
			g.add(series.GetTariff(), at.Format(layout), fmt.Sprint(b.GetEvents()), b.GetQuantity(), b.GetAmount(), series.GetCurrency())
		}
		g.add(series.GetTariff(), "rest", fmt.Sprint(series.GetRestEvents()), none, series.GetRest(), series.GetCurrency())
		g.add(series.GetTariff(), "all", fmt.Sprint(events), none, series.GetAmount(), series.GetCurrency())
	}
	return g.print(s.out, c.Output)
}

// subtotalsForecastCommand estimates what an account's period comes to.
type subtotalsForecastCommand struct {
	clientFlags
	outputFlags
	Account string `arg:"" help:"The account."`
	Period  string `placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date. Default: the account's newest."`
}

// Run prints the estimate and how it was made.
func (c *subtotalsForecastCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Subtotals.Forecast(ctx, &tollwayv1.SubtotalServiceForecastRequest{Account: c.Account, Period: c.Period})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	g := columns("tariff", ">so_far", ">forecast", "currency").orSay("%s", noUsage(c.Account, subtotalFlags{Period: c.Period}))
	for _, f := range answer.GetSums() {
		g.add(f.GetTariff(), f.GetAmountSoFar(), f.GetAmount(), f.GetCurrency())
	}
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	for _, t := range answer.GetTotals() {
		fmt.Fprintf(s.out, "forecast for the end of %s: %s %s, an estimate\n", answer.GetPeriod().GetId(), t.GetAmount(), t.GetCurrency())
	}
	if answer.GetExplanation() != "" {
		fmt.Fprintf(s.out, "%s\n", answer.GetExplanation())
	}
	return nil
}
