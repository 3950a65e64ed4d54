package main

import (
	"context"
	"errors"
	"fmt"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// alertsCommand shows alerts.
type alertsCommand struct {
	List alertsListCommand `cmd:"" help:"List the alerts that were fired, the newest first; --follow goes on with those to come."`
}

// alertsListCommand lists alerts.
type alertsListCommand struct {
	clientFlags
	outputFlags
	Account string `placeholder:"ID" help:"Only those of this account."`
	Alert   string `placeholder:"NAME" help:"Only those of the alert with this name in the catalog."`
	Period  string `placeholder:"PERIOD" help:"Only those of this billing period, such as 2026-10."`
	Limit   int    `default:"100" help:"Rows at most; 0 for all."`
	Follow  bool   `help:"Print alerts as they are fired, one a line, until interrupted: from now on."`
}

// Run pages through the alerts, or follows them.
func (c *alertsListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if c.Follow && c.Output == "csv" {
		return usageError{errors.New("--follow prints lines or, with -o json, objects: CSV has no end to wait for")}
	}
	if c.Follow {
		stream, err := clients.Alerts.Watch(ctx, &tollwayv1.AlertServiceWatchRequest{Account: c.Account, Alert: c.Alert, Period: c.Period})
		for err == nil {
			var answer *tollwayv1.AlertServiceWatchResponse
			if answer, err = stream.Receive(); err == nil {
				err = c.print(s, answer.GetAlerts())
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return failed(clients, err)
	}
	whole := &tollwayv1.AlertServiceListResponse{}
	for request := (&tollwayv1.AlertServiceListRequest{Account: c.Account, Alert: c.Alert, Period: c.Period}); ; {
		if request.PageSize = 1000; c.Limit > 0 {
			request.PageSize = uint32(min(1000, c.Limit-len(whole.GetAlerts())))
		}
		answer, err := clients.Alerts.List(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		whole.Alerts = append(whole.Alerts, answer.GetAlerts()...)
		whole.AsOf, whole.NextPageToken = answer.GetAsOf(), answer.GetNextPageToken()
		if request.PageToken = whole.NextPageToken; request.PageToken == "" || c.Limit > 0 && len(whole.GetAlerts()) >= c.Limit {
			break
		}
	}
	if c.Output == "json" {
		return printJSON(s.out, whole)
	}
	g := columns("time", "alert", "account", "period", ">threshold", ">value", "of", ">crossing", "cause", "event").orSay("no alert was fired that this asks for: docs/alerts.md says how to set one up")
	for _, a := range whole.GetAlerts() {
		event := ""
		if a.GetEventId() != "" {
			event = a.GetEventSource() + " " + a.GetEventId()
		}
		g.add(second(a.GetTime()), a.GetAlert(), a.GetAccount(), a.GetPeriod().GetId(), a.GetThreshold(), a.GetValue(), alertUnit(a),
			fmt.Sprint(a.GetCrossing()), a.GetCause(), event)
	}
	if err := g.print(s.out, c.Output); err != nil {
		return err
	}
	if whole.GetNextPageToken() != "" && c.Output == "table" {
		_, err = fmt.Fprintln(s.out, "… and more; --limit 0 lists all")
	}
	return err
}

// alertUnit says what an alert adds up: "EUR", or "units of calls".
func alertUnit(a *tollwayv1.Alert) string {
	if a.GetCurrency() != "" {
		return a.GetCurrency()
	}
	return "units of " + a.GetMeter()
}

// print writes alerts as they come.
func (c *alertsListCommand) print(s streams, alerts []*tollwayv1.Alert) error {
	for _, a := range alerts {
		if c.Output == "json" {
			if err := printJSON(s.out, a); err != nil {
				return err
			}
			continue
		}
		_, err := fmt.Fprintf(s.out, "%s  %s  %s  %s  reached %s %s at %s\n", second(a.GetTime()), a.GetAlert(), shown(a.GetAccount()), a.GetPeriod().GetId(),
			a.GetThreshold(), alertUnit(a), a.GetValue())
		if err != nil {
			return err
		}
	}
	return nil
}
