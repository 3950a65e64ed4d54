package main

import (
	"context"
	"fmt"
	"strings"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// periodsCommand lists and closes billing periods.
type periodsCommand struct {
	List  periodsListCommand  `cmd:"" help:"List billing periods and how far they are closed."`
	Show  periodsShowCommand  `cmd:"" help:"Show what the close of a billing period still waits for."`
	Close periodsCloseCommand `cmd:"" help:"Close a billing period: make its invoices. Later usage is adjusted on the next ones."`
}

// periodsListCommand lists periods.
type periodsListCommand struct {
	clientFlags
	outputFlags
}

// Run prints the periods, newest first.
func (c *periodsListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Periods.List(ctx, &tollwayv1.PeriodServiceListRequest{})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	return printPeriods(s, c.Output, answer.GetPeriods())
}

// periodsShowCommand shows the checklist of a period.
type periodsShowCommand struct {
	clientFlags
	outputFlags
	Period string `arg:"" help:"Billing period: 2026-10, or its start date."`
}

// Run prints the period and what its close waits for, and how many dead letters
// there are, which hold up nothing.
func (c *periodsShowCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Periods.List(ctx, &tollwayv1.PeriodServiceListRequest{Period: c.Period})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	g := columns("period", "time zone", ">anchor day", "waits for", "partitions", "detail")
	for _, p := range answer.GetPeriods() {
		for _, w := range p.GetWaits() {
			g.add(p.GetPeriod().GetId(), p.GetTimeZone(), fmt.Sprint(p.GetAnchorDay()), w.GetReason(), strings.Trim(fmt.Sprint(w.GetPartitions()), "[]"), w.GetDetail())
		}
	}
	if c.Output == "csv" {
		return g.print(s.out, c.Output)
	}
	if len(answer.GetPeriods()) == 0 {
		return fmt.Errorf("there is no period %s: `tollway periods list` shows which there are", c.Period)
	}
	if err := printPeriods(s, c.Output, answer.GetPeriods()); err != nil {
		return err
	}
	if len(g.rows) > 0 {
		if _, err := fmt.Fprintln(s.out, "\nIts close waits for:"); err != nil {
			return err
		}
		if err := g.print(s.out, c.Output); err != nil {
			return err
		}
	}
	letters, err := clients.Periods.Reconcile(ctx, &tollwayv1.PeriodServiceReconcileRequest{Period: c.Period})
	if err != nil {
		return failed(clients, err)
	}
	var open uint64
	for _, e := range letters.GetEvents() {
		open += e.GetDeadLetters() + e.GetUndated()
	}
	if open > 0 {
		_, err = fmt.Fprintf(s.out, "\n%s, which does not hold up the close: tollway dead-letters list --status open\n", openLetters(open))
	}
	return err
}

// openLetters counts dead letters that wait for somebody.
func openLetters(n uint64) string {
	if n == 1 {
		return "1 dead letter is open"
	}
	return fmt.Sprintf("%d dead letters are open", n)
}

// printPeriods shows periods, and behind them in a table what stands in the way of
// invoices.
func printPeriods(s streams, output string, list []*tollwayv1.PeriodStatus) error {
	if err := periodTable(list).print(s.out, output); err != nil || output == "csv" {
		return err
	}
	parked := columns("parked", "account", "reason", "what", "detail")
	more := uint64(0)
	for _, p := range list {
		for _, k := range p.GetParked() {
			parked.add(p.GetPeriod().GetId(), k.GetAccount(), k.GetReason(), whatFailed(k), k.GetDetail())
		}
		more += p.GetParkedCount() - uint64(len(p.GetParked()))
	}
	if len(parked.rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(s.out, "\nThese accounts have no invoice, or one whose adjustments wait. A catalog that mends the cause makes the invoice when it is applied, and the next close the adjustments:"); err != nil {
		return err
	}
	if err := parked.print(s.out, output); err != nil || more == 0 {
		return err
	}
	_, err := fmt.Fprintf(s.out, "… and %d more\n", more)
	return err
}

// whatFailed names the tariff or the rule of a parked invoice.
func whatFailed(k *tollwayv1.ParkedInvoice) string {
	switch {
	case k.GetRule() != "":
		return "rule " + k.GetRule()
	case k.GetTariff() != "":
		return "tariff " + k.GetTariff()
	}
	return ""
}

// parkedText says in a sentence's end why an invoice is parked.
func parkedText(k *tollwayv1.ParkedInvoice) string {
	if what := whatFailed(k); what != "" {
		return what + ": " + k.GetDetail()
	}
	return k.GetDetail()
}

// periodTable shows periods a line each.
func periodTable(list []*tollwayv1.PeriodStatus) *grid {
	g := columns("period", "time zone", ">anchor day", "state", ">partitions closed", ">parked", "usage counts until").orSay("no period yet: the first usage opens one")
	for _, p := range list {
		state := "open"
		if p.GetState() == tollwayv1.PeriodState_PERIOD_STATE_CLOSED {
			state = "closed"
		}
		total := len(p.GetClosedPartitions()) + len(p.GetOpenPartitions())
		g.add(p.GetPeriod().GetId(), p.GetTimeZone(), fmt.Sprint(p.GetAnchorDay()), state,
			fmt.Sprintf("%d of %d", len(p.GetClosedPartitions()), total), fmt.Sprint(p.GetParkedCount()), p.GetClosesAt().AsTime().Format("2006-01-02T15:04Z"))
	}
	return g
}

// periodsCloseCommand closes a period.
type periodsCloseCommand struct {
	clientFlags
	outputFlags
	Period    string `arg:"" help:"Billing period: 2026-10, or its start date."`
	TimeZone  string `placeholder:"ZONE" help:"Only accounts in this time zone."`
	AnchorDay uint32 `placeholder:"DAY" help:"Only accounts whose periods start on this day."`
	SkipGrace bool   `help:"Do not wait for late usage."`
}

// Run closes the period and says what was issued.
func (c *periodsCloseCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Periods.Close(ctx, &tollwayv1.PeriodServiceCloseRequest{
		Period: c.Period, TimeZone: c.TimeZone, AnchorDay: c.AnchorDay, SkipGrace: c.SkipGrace,
	})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	if err := printPeriods(s, c.Output, answer.GetPeriods()); err != nil || c.Output == "csv" {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s issued\n", counted(answer.GetInvoices(), "invoice"))
	return err
}
