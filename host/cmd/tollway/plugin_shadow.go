package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// pluginShadowCommand tries candidates on live usage.
type pluginShadowCommand struct {
	Start  shadowStartCommand  `cmd:"" help:"Price a tariff's live usage by a candidate beside what is in force."`
	Report shadowReportCommand `cmd:"" help:"Show the shadows, or which accounts one of them would bill differently."`
	Stop   shadowStopCommand   `cmd:"" help:"End a shadow and forget its figures."`
}

// shadowStartCommand starts a shadow.
type shadowStartCommand struct {
	clientFlags
	Tariff          string    `arg:"" help:"Name of the tariff."`
	Plugin          string    `help:"Candidate, as a catalog names it: a built-in, or NAME@sha256:DIGEST of a pushed plugin. Default: the one in force."`
	Params          string    `help:"Candidate's params as JSON, or @FILE. Default: those in force."`
	Since           time.Time `placeholder:"TIME" help:"Count usage from this event time on. Default: from the start of the oldest open period that the newest usage belongs to."`
	AccountsPercent uint32    `default:"100" help:"Shadow only so many of 100 accounts."`
}

// Run starts the shadow.
func (c *shadowStartCommand) Run(ctx context.Context, s streams) error {
	if name, isFile := strings.CutPrefix(c.Params, "@"); isFile {
		b, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("params: %w", err)
		}
		c.Params = string(b)
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.PluginServiceStartShadowRequest{Tariff: c.Tariff, Plugin: c.Plugin, Params: c.Params, AccountsPercent: c.AccountsPercent}
	if !c.Since.IsZero() {
		request.Since = timestamppb.New(c.Since)
	}
	answer, err := clients.Plugins.StartShadow(ctx, request)
	if err != nil {
		return failed(clients, err)
	}
	_, err = fmt.Fprintf(s.out, "shadow of %s by %s counts usage since %s; look at it with `tollway plugin shadow report %s`\n",
		c.Tariff, candidateText(answer.GetShadow()), sinceText(answer.GetShadow()), c.Tariff)
	return err
}

// candidateText names what a shadow tries.
func candidateText(s *tollwayv1.Shadow) string {
	if s.GetPlugin() == "" {
		return "other params"
	}
	return s.GetPlugin()
}

func sinceText(s *tollwayv1.Shadow) string {
	if s.GetSince() == nil {
		return "the beginning"
	}
	return s.GetSince().AsTime().Format(time.RFC3339)
}

// shadowReportCommand shows what shadows have found.
type shadowReportCommand struct {
	clientFlags
	outputFlags
	Tariff   string `arg:"" optional:"" help:"Name of the tariff. Default: a list of all shadows."`
	Accounts uint32 `default:"20" help:"How many accounts to show."`
	Lines    bool   `help:"Show the lines that differ, too."`
}

// Run prints the report.
func (c *shadowReportCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Plugins.ReportShadow(ctx, &tollwayv1.PluginServiceReportShadowRequest{Tariff: c.Tariff, AccountsMax: c.Accounts})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	if c.Tariff != "" {
		return c.report(s.out, answer.GetReports()[0])
	}
	table := columns("tariff", "candidate", "since", ">events", ">behind", "state").orSay("no shadow runs: tollway apply -f PATH --shadow starts them")
	for _, r := range answer.GetReports() {
		d := r.GetShadow()
		table.add(d.GetTariff(), candidateText(d), sinceText(d), fmt.Sprint(d.GetEvents()), fmt.Sprint(d.GetBehind()), shadowState(d))
	}
	return table.print(s.out, c.Output)
}

func shadowState(s *tollwayv1.Shadow) string {
	if s.GetEnded() != "" {
		return "ended: " + s.GetEnded()
	}
	return "counting"
}

// report prints one shadow.
func (c *shadowReportCommand) report(w io.Writer, r *tollwayv1.ShadowReport) error {
	if c.Output != "csv" {
		if err := shadowHead(w, r); err != nil {
			return err
		}
	}
	names := []string{"account", "period", ">in force", ">candidate", ">difference", "currency"}
	if c.Lines {
		names = append(names, "line", "group", ">line in force", ">line candidate")
	}
	table := columns(names...)
	for _, a := range r.GetAccounts() {
		row := []string{a.GetAccount(), a.GetPeriod().GetId(), a.GetActive(), a.GetCandidate(), a.GetDifference(), a.GetCurrency()}
		if !c.Lines {
			table.add(row...)
			continue
		}
		for _, l := range a.GetLines() {
			table.add(append(row[:6:6], l.GetDescription(), l.GetGroup(), l.GetActiveAmount(), l.GetCandidateAmount())...)
		}
	}
	if len(table.rows) == 0 && c.Output != "csv" {
		_, err := fmt.Fprintln(w, "no line differs")
		return err
	}
	return table.print(w, c.Output)
}

// shadowHead prints what a shadow has counted.
func shadowHead(w io.Writer, r *tollwayv1.ShadowReport) error {
	d := r.GetShadow()
	var b strings.Builder
	fmt.Fprintf(&b, "tariff %s: candidate %s (%s), since %s, %d of 100 accounts\n", d.GetTariff(), candidateText(d), d.GetDigest(), sinceText(d), d.GetAccountsPercent())
	fmt.Fprintf(&b, "%s, %d events counted, %d messages behind\n", shadowState(d), d.GetEvents(), d.GetBehind())
	for i, m := range r.GetActive() {
		if i < len(r.GetCandidate()) {
			fmt.Fprintf(&b, "in force %s, candidate %s %s\n", m.GetAmount(), r.GetCandidate()[i].GetAmount(), m.GetCurrency())
		}
	}
	fmt.Fprintf(&b, "%d accounts compared, %d would be billed differently\n", r.GetAccountsCompared(), r.GetAccountsDifferent())
	for _, f := range r.GetRefused() {
		fmt.Fprintf(&b, "the candidate refuses %d events: %s, the first %s of %s: %s\n", f.GetEvents(), f.GetReason(), f.GetEventId(), f.GetAccount(), f.GetDetail())
	}
	for _, f := range r.GetAccepted() {
		fmt.Fprintf(&b, "only the candidate prices %d events; in force: %s, the first %s of %s: %s\n", f.GetEvents(), f.GetReason(), f.GetEventId(), f.GetAccount(), f.GetDetail())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// shadowStopCommand ends a shadow.
type shadowStopCommand struct {
	clientFlags
	Tariff string `arg:"" help:"Name of the tariff."`
}

// Run ends it.
func (c *shadowStopCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if _, err := clients.Plugins.StopShadow(ctx, &tollwayv1.PluginServiceStopShadowRequest{Tariff: c.Tariff}); err != nil {
		return failed(clients, err)
	}
	_, err = fmt.Fprintf(s.out, "the shadow of %s has ended\n", c.Tariff)
	return err
}
