package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// subtotalsCommand looks at live subtotals.
type subtotalsCommand struct {
	Get      subtotalsGetCommand      `cmd:"" help:"Show one account's subtotals."`
	List     subtotalsListCommand     `cmd:"" help:"List subtotals of all accounts, or add them up by account, meter, tariff or dimension."`
	History  subtotalsHistoryCommand  `cmd:"" help:"Show how an account's subtotals came to be, by hour or day."`
	Forecast subtotalsForecastCommand `cmd:"" help:"Estimate what an account's period comes to."`
	Watch    subtotalsWatchCommand    `cmd:"" help:"Follow subtotals as usage comes in."`
}

// subtotalFlags select subtotals.
type subtotalFlags struct {
	Period   string `placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date. Default: each account's newest."`
	Tariff   string `placeholder:"NAME" help:"Only this tariff."`
	Meter    string `placeholder:"NAME" help:"Only this meter."`
	Currency string `placeholder:"CODE" help:"Only this currency."`
}

// subtotalsGetCommand shows one account.
type subtotalsGetCommand struct {
	clientFlags
	outputFlags
	subtotalFlags
	latestFlag
	Account string `arg:"" help:"The account."`
}

// latestFlag says which state is read.
type latestFlag struct {
	Latest bool `help:"Show all that was read, not only what a checkpoint has made durable."`
}

// Run prints the account's subtotals and their totals.
func (c *subtotalsGetCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Subtotals.Get(ctx, &tollwayv1.SubtotalServiceGetRequest{
		Account: c.Account, Period: c.Period, Tariff: c.Tariff, Meter: c.Meter, Currency: c.Currency, Latest: c.Latest,
	})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	if err := subtotalTable(answer.GetSubtotals()).orSay("%s", noUsage(c.Account, c.subtotalFlags)).print(s.out, c.Output); err != nil || c.Output == "csv" {
		return err
	}
	for _, t := range answer.GetTotals() {
		if _, err := fmt.Fprintf(s.out, "total %s %s, %s\n", t.GetAmount(), t.GetCurrency(), finality(answer.GetFinal())); err != nil {
			return err
		}
	}
	return nil
}

// finality says whether a figure can still change.
func finality(final bool) string {
	if final {
		return "final"
	}
	return "provisional"
}

// subtotalTable shows subtotals a line each.
func subtotalTable(list []*tollwayv1.Subtotal) *grid {
	g := columns("account", "period", "tariff", "group", ">events", ">quantity", ">amount", "currency", "state")
	for _, t := range list {
		g.add(t.GetAccount(), t.GetPeriod().GetId(), t.GetTariff(), groupText(t.GetGroup()),
			fmt.Sprint(t.GetEvents()), quantityText(t.GetLines()), t.GetAmount(), t.GetCurrency(), finality(t.GetFinal()))
	}
	return g
}

// quantityText adds the quantities of lines up, as sums of subtotals do.
func quantityText(lines []*tollwayv1.SubtotalLine) string {
	var sum billing.Decimal
	for _, l := range lines {
		q, err := billing.ParseDecimal(l.GetQuantity())
		if err == nil {
			sum, err = sum.Add(q)
		}
		if err != nil { // of a newer server, or too large
			return none
		}
	}
	return sum.String()
}

// noUsage says why there is nothing to show of an account, or of all when it is
// empty. Accounts come with their usage, so one with a typing mistake is one that has
// none.
func noUsage(account string, f subtotalFlags) string {
	text := "no usage is priced"
	if account != "" {
		text += fmt.Sprintf(" of account %q", account)
	}
	for _, part := range []struct{ what, name string }{{"period", f.Period}, {"tariff", f.Tariff}, {"meter", f.Meter}, {"currency", f.Currency}} {
		if part.name != "" {
			text += fmt.Sprintf(", %s %s", part.what, part.name)
		}
	}
	return text + ": `tollway subtotals list` shows what is, `tollway dead-letters list` what could not be"
}

// groupText shows a group combination: region=eu tier=gold.
func groupText(group map[string]string) string {
	parts := make([]string, 0, len(group))
	for k, v := range group {
		parts = append(parts, k+"="+v)
	}
	sort.Strings(parts)
	return strings.Join(parts, " ")
}

// subtotalsListCommand lists all accounts.
type subtotalsListCommand struct {
	clientFlags
	outputFlags
	subtotalFlags
	latestFlag
	Account string `placeholder:"ID" help:"Only this account."`
	Limit   int    `default:"100" help:"Rows at most; 0 for all."`
	GroupBy string `placeholder:"WHAT" help:"Add up by account, meter, tariff, dimension:NAME, or nothing at all with total."`
	Order   string `default:"name" enum:"name,amount" help:"Order of sums: name, or amount with the largest first."`
}

// Run pages through the subtotals.
func (c *subtotalsListCommand) Run(ctx context.Context, s streams) error {
	if c.GroupBy == "" && c.Order == "amount" {
		return usageError{errors.New("--order amount: sums have an order, single subtotals have none: say of what with --group-by")}
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if c.GroupBy != "" {
		return c.sums(ctx, s, clients)
	}
	request := &tollwayv1.SubtotalServiceListRequest{
		Account: c.Account, Period: c.Period, Tariff: c.Tariff, Meter: c.Meter, Currency: c.Currency, Latest: c.Latest, PageSize: 1000,
	}
	whole := &tollwayv1.SubtotalServiceListResponse{}
	for {
		if left := c.Limit - len(whole.GetSubtotals()); c.Limit > 0 && left < 1000 {
			request.PageSize = uint32(left)
		}
		answer, err := clients.Subtotals.List(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		whole.Subtotals = append(whole.Subtotals, answer.GetSubtotals()...)
		whole.AsOf, whole.NextPageToken = answer.GetAsOf(), answer.GetNextPageToken()
		if whole.NextPageToken == "" || c.Limit > 0 && len(whole.Subtotals) >= c.Limit {
			break
		}
		request.PageToken = whole.NextPageToken
	}
	if c.Output == "json" {
		return printJSON(s.out, whole)
	}
	if err := subtotalTable(whole.Subtotals).orSay("%s", noUsage(c.Account, c.subtotalFlags)).print(s.out, c.Output); err != nil {
		return err
	}
	if whole.NextPageToken != "" && c.Output == "table" {
		_, err = fmt.Fprintf(s.out, "… and more; --limit 0 lists all\n")
	}
	return err
}

// subtotalsWatchCommand follows subtotals.
type subtotalsWatchCommand struct {
	clientFlags
	followFlags
	subtotalFlags
	Account string `arg:"" optional:"" help:"The account; all when left out."`
}

// Run prints the snapshot and then every change, until interrupted.
func (c *subtotalsWatchCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	stream, err := clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{
		Account: c.Account, Period: c.Period, Tariff: c.Tariff, Meter: c.Meter, Currency: c.Currency,
	})
	if err != nil {
		return failed(clients, err)
	}
	rows := &rolling{columns: []column{{}, {}, {}, {}, {right: true}, {}}}
	for {
		update, err := stream.Receive()
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return failed(clients, err)
		}
		if c.Output == "json" {
			if err := printJSON(s.out, update); err != nil {
				return err
			}
			continue
		}
		for _, t := range update.GetSubtotals() {
			rows.add(t.GetPeriod().GetId(), t.GetAccount(), t.GetTariff(), groupText(t.GetGroup()), t.GetAmount()+" "+t.GetCurrency(), counted(t.GetEvents(), "event"))
		}
		if err := rows.print(s.out); err != nil {
			return err
		}
	}
}
