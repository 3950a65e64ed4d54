package main

import (
	"context"
	"fmt"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// invoicesCommand lists, shows, exports and verifies invoices.
type invoicesCommand struct {
	List    invoicesListCommand    `cmd:"" help:"List invoices."`
	Show    invoicesShowCommand    `cmd:"" help:"Show one invoice with its lines."`
	Preview invoicesPreviewCommand `cmd:"" help:"Show what an account's invoices would be if its period were closed now."`
	Export  invoicesExportCommand  `cmd:"" help:"Export the invoices of a closed period."`
	Verify  invoicesVerifyCommand  `cmd:"" help:"Check a folder of exported invoices against itself and against the engine."`
}

// invoicesListCommand lists invoices.
type invoicesListCommand struct {
	clientFlags
	outputFlags
	Period   string `placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date."`
	Account  string `placeholder:"ID" help:"Only this account."`
	Currency string `placeholder:"CODE" help:"Only this currency."`
	Limit    int    `default:"100" help:"Rows at most; 0 for all."`
}

// Run pages through the invoices.
func (c *invoicesListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.InvoiceServiceListRequest{Account: c.Account, Period: c.Period, Currency: c.Currency, PageSize: 1000}
	whole := &tollwayv1.InvoiceServiceListResponse{}
	for {
		if left := c.Limit - len(whole.GetInvoices()); c.Limit > 0 && left < 1000 {
			request.PageSize = uint32(left)
		}
		answer, err := clients.Invoices.List(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		whole.Invoices = append(whole.Invoices, answer.GetInvoices()...)
		whole.AsOf, whole.NextPageToken = answer.GetAsOf(), answer.GetNextPageToken()
		if whole.NextPageToken == "" || c.Limit > 0 && len(whole.Invoices) >= c.Limit {
			break
		}
		request.PageToken = whole.NextPageToken
	}
	if c.Output == "json" {
		return printJSON(s.out, whole)
	}
	g := columns("invoice", "account", "period", ">lines", ">total", "currency").orSay("no invoice was issued that this asks for: `tollway periods list` shows which periods are closed")
	for _, inv := range whole.Invoices {
		g.add(inv.GetId(), inv.GetAccount(), inv.GetPeriod().GetId(), fmt.Sprint(inv.GetLines()),
			inv.GetTotal().GetAmount(), inv.GetTotal().GetCurrency())
	}
	if err := g.print(s.out, c.Output); err != nil {
		return err
	}
	if whole.NextPageToken != "" && c.Output == "table" {
		_, err = fmt.Fprintln(s.out, "… and more; --limit 0 lists all")
	}
	return err
}

// invoicesShowCommand shows one invoice.
type invoicesShowCommand struct {
	clientFlags
	outputFlags
	ID string `arg:"" help:"Id of the invoice, as list prints it."`
}

// Run prints the invoice; as JSON, the document as it was issued.
func (c *invoicesShowCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Invoices.Get(ctx, &tollwayv1.InvoiceServiceGetRequest{Id: c.ID, WithDocument: true})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		_, err := fmt.Fprintf(s.out, "%s\n", answer.GetDocument())
		return err
	}
	return printInvoice(s, c.Output, "invoice", answer.GetInvoice())
}

// printInvoice shows an invoice with its lines as a table or as CSV; what it is
// stands before its id.
func printInvoice(s streams, output, what string, inv *tollwayv1.Invoice) error {
	g := columns("tariff", "subscription", "group", "description", ">quantity", ">amount")
	for _, l := range inv.GetLines() {
		what := l.GetDescription()
		if a := l.GetAdjustment(); a != nil {
			what = fmt.Sprintf("%s, adjusted: %s for %s instead of %s for %s", a.GetPeriod().GetId(), a.GetNewAmount(), a.GetNewQuantity(), a.GetOldAmount(), a.GetOldQuantity())
		}
		g.add(lineOf(l.GetTariff(), l.GetRule()), l.GetSubscription(), groupText(l.GetGroup()), what, l.GetQuantity(), l.GetAmount())
	}
	if output == "table" {
		p := inv.GetPeriod()
		_, err := fmt.Fprintf(s.out, "%s %s for %s, %s to %s\n\n", what, inv.GetId(), shown(inv.GetAccount()),
			p.GetStart().AsTime().Format("2006-01-02T15:04Z"), p.GetEnd().AsTime().Format("2006-01-02T15:04Z"))
		if err != nil {
			return err
		}
	}
	if err := g.print(s.out, output); err != nil || output == "csv" {
		return err
	}
	if _, err := fmt.Fprintf(s.out, "\ntotal %s %s\n", inv.GetTotal(), inv.GetCurrency()); err != nil {
		return err
	}
	return printCorrections(s, inv)
}

// printCorrections lists the events because of which an invoice adjusts earlier
// periods.
func printCorrections(s streams, inv *tollwayv1.Invoice) error {
	for _, c := range inv.GetCorrections() {
		if _, err := fmt.Fprintf(s.out, "\n%s is adjusted because of\n\n", c.GetPeriod().GetId()); err != nil {
			return err
		}
		g := columns("why", "source", "id", ">position")
		for _, e := range c.GetEvents() {
			g.add(e.GetKind(), e.GetSource(), e.GetId(), fmt.Sprint(e.GetPosition()))
		}
		if err := g.print(s.out, "table"); err != nil {
			return err
		}
		if c.GetMore() > 0 {
			if _, err := fmt.Fprintf(s.out, "… and %d more\n", c.GetMore()); err != nil {
				return err
			}
		}
	}
	return nil
}

// lineOf names what made a line: a tariff, or an invoice rule.
func lineOf(tariff, rule string) string {
	if rule != "" {
		return "rule " + rule
	}
	return tariff
}

// invoicesPreviewCommand shows what a close would issue.
type invoicesPreviewCommand struct {
	clientFlags
	outputFlags
	Account string `arg:"" help:"The account."`
	Period  string `placeholder:"PERIOD" help:"Billing period: 2026-10, or its start date. Default: the one that is running."`
}

// Run prints the invoices; as JSON, the documents as they would be issued, one a
// line.
func (c *invoicesPreviewCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Invoices.Preview(ctx, &tollwayv1.InvoiceServicePreviewRequest{Account: c.Account, Period: c.Period, WithDocuments: true})
	if err != nil {
		return failed(clients, err)
	}
	if k := answer.GetParked(); k != nil {
		return fmt.Errorf("period %s of %s would have no invoice: %s", answer.GetPeriod().GetId(), k.GetAccount(), parkedText(k))
	}
	if c.Output == "json" {
		for _, document := range answer.GetDocuments() {
			if _, err := fmt.Fprintf(s.out, "%s\n", document); err != nil {
				return err
			}
		}
		return nil
	}
	for i, inv := range answer.GetInvoices() {
		if i > 0 && c.Output == "table" {
			if _, err := fmt.Fprintln(s.out); err != nil {
				return err
			}
		}
		if err := printInvoice(s, c.Output, "preview of invoice", inv); err != nil {
			return err
		}
	}
	if len(answer.GetInvoices()) == 0 && c.Output == "table" {
		_, err = fmt.Fprintf(s.out, "nothing is due of account %q for period %s\n", c.Account, answer.GetPeriod().GetId())
	}
	return err
}
