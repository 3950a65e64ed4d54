package main

import (
	"context"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// deliveriesCommand looks after the delivery of invoices.
type deliveriesCommand struct {
	List  deliveriesListCommand  `cmd:"" help:"List the sinks and the invoices that they hold."`
	Retry deliveriesRetryCommand `cmd:"" help:"Try what a sink holds now; have a stopped sink go on."`
	Skip  deliveriesSkipCommand  `cmd:"" help:"Pass an invoice over that a sink holds, for the record."`
}

// deliveriesListCommand lists sinks.
type deliveriesListCommand struct {
	clientFlags
	outputFlags
}

// Run prints the sinks, and in a table behind them what is held.
func (c *deliveriesListCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Deliveries.List(ctx, &tollwayv1.DeliveryServiceListRequest{})
	if err != nil {
		return failed(clients, err)
	}
	if c.Output == "json" {
		return printJSON(s.out, answer)
	}
	g := columns("sink", "kind", "target", "state", ">delivered", ">pending", ">held accounts", ">skipped", "error").orSay("no sink is configured: docs/delivery.md says how")
	held := columns("sink", "account", "invoice", ">waiting", ">attempts", "since", "next", "error")
	more := uint64(0)
	for _, k := range answer.GetSinks() {
		g.add(k.GetName(), k.GetKind(), k.GetTarget(), k.GetState(), strconv.FormatUint(k.GetDelivered(), 10), strconv.FormatUint(k.GetPending(), 10),
			strconv.FormatUint(k.GetHeldAccounts(), 10), strconv.FormatUint(k.GetSkipped(), 10), k.GetError())
		for _, h := range k.GetHeld() {
			held.add(k.GetName(), h.GetAccount(), h.GetInvoice(), strconv.FormatUint(h.GetInvoices(), 10), strconv.Itoa(int(h.GetAttempts())),
				second(h.GetSince()), second(h.GetNext()), h.GetError())
		}
		more += k.GetHeldAccounts() - uint64(len(k.GetHeld()))
	}
	if err := g.print(s.out, c.Output); err != nil || c.Output == "csv" || len(held.rows) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(s.out, "\nThese invoices were not taken and are tried again; later ones of the same account wait behind them:"); err != nil {
		return err
	}
	if err := held.print(s.out, c.Output); err != nil || more == 0 {
		return err
	}
	_, err = fmt.Fprintf(s.out, "… and those of %d more accounts\n", more)
	return err
}

// second writes a time to the second.
func second(t *timestamppb.Timestamp) string { return t.AsTime().Format("2006-01-02T15:04:05Z") }

// deliveriesRetryCommand has held invoices tried at once.
type deliveriesRetryCommand struct {
	clientFlags
	Sink    string `arg:"" help:"Name of the sink, as in the list."`
	Account string `placeholder:"ID" help:"Only this account's invoices."`
}

// Run asks for the attempt.
func (c *deliveriesRetryCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	if _, err := clients.Deliveries.Retry(ctx, &tollwayv1.DeliveryServiceRetryRequest{Sink: c.Sink, Account: c.Account}); err != nil {
		return failed(clients, err)
	}
	_, err = fmt.Fprintf(s.out, "%s tries what it holds now: tollway deliveries list shows what becomes of it\n", c.Sink)
	return err
}

// deliveriesSkipCommand passes an invoice over.
type deliveriesSkipCommand struct {
	clientFlags
	Sink    string `arg:"" help:"Name of the sink, as in the list."`
	Invoice string `arg:"" help:"Id of the invoice, as in the list of what is held."`
	Why     string `required:"" placeholder:"TEXT" help:"Why it is not to be delivered; the ledger keeps it."`
	By      string `placeholder:"NAME" help:"Who decides, for the record. Default: the user and the machine."`
}

// Run passes the invoice over.
func (c *deliveriesSkipCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	who := letterSelection{By: c.By}
	_, err = clients.Deliveries.Skip(ctx, &tollwayv1.DeliveryServiceSkipRequest{Sink: c.Sink, Invoice: c.Invoice, Why: c.Why, By: who.who()})
	if err != nil {
		return failed(clients, err)
	}
	_, err = fmt.Fprintf(s.out, "invoice %s is passed over; the account's next ones are delivered\n", c.Invoice)
	return err
}
