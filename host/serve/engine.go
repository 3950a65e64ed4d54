package serve

import (
	"context"
	"io"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/intake"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// engine answers the services from a host.
type engine struct {
	rpc.Queries
	host *host.Host
}

var _ rpc.Engine = engine{}

// Engine makes a host what the services need.
func Engine(h *host.Host) rpc.Engine {
	return gate{engine{Queries: rpc.Queries{Engine: h.Queries()}, host: h}}
}

// Partitions implements rpc.Engine.
func (e engine) Partitions() int { return e.host.Partitions() }

// Submit implements rpc.Engine.
func (e engine) Submit(ctx context.Context, chunk rpc.UsageChunk) (rpc.UsageTicket, error) {
	return Submit(ctx, e.host.Submit, chunk)
}

// Submit hands a chunk to what takes it in, a host or an intake without one.
func Submit(ctx context.Context, take func(context.Context, intake.Chunk) (*intake.Ticket, error), chunk rpc.UsageChunk) (rpc.UsageTicket, error) {
	c := intake.Chunk{Events: chunk.Events}
	for _, b := range chunk.Bodies {
		c.Bodies = append(c.Bodies, intake.Body(b))
	}
	t, err := take(ctx, c)
	if err != nil {
		return nil, err
	}
	return ticket{t}, nil
}

// ticket is an rpc.UsageTicket.
type ticket struct{ *intake.Ticket }

// Wait implements rpc.UsageTicket.
func (t ticket) Wait(ctx context.Context) (rpc.UsageOutcome, error) {
	outcome, err := t.Ticket.Wait(ctx)
	if err != nil {
		return rpc.UsageOutcome{}, err
	}
	out := rpc.UsageOutcome{
		Positions: make([]query.Position, len(outcome.Messages)), Runs: make([]rpc.UsageRun, len(outcome.Runs)), Cause: outcome.Err(),
	}
	for i, m := range outcome.Messages {
		out.Positions[i] = query.Position{Stream: stream.Usage(m.Partition), Partition: m.Partition, Sequence: m.Sequence}
	}
	for i, r := range outcome.Runs {
		out.Runs[i] = rpc.UsageRun{Events: r.Events, Position: r.Message}
	}
	for _, r := range outcome.Rejected {
		out.Rejected = append(out.Rejected, rpc.UsageRejection{Event: r.Event, Reason: r.Problem.Reason, Detail: r.Problem.Detail})
	}
	return out, nil
}

// History implements rpc.Engine.
func (e engine) History(ctx context.Context, request query.HistoryRequest) (query.History, error) {
	return e.host.History(ctx, request)
}

// Forecast implements rpc.Engine.
func (e engine) Forecast(ctx context.Context, filter query.Filter) (query.Forecast, error) {
	return e.host.Forecast(ctx, filter)
}

// Invoices implements rpc.Engine.
func (e engine) Invoices(_ context.Context, f rpc.InvoiceFilter, page query.Page) (rpc.Invoices, error) {
	list, next, asOf, err := e.host.Invoices(host.InvoiceFilter(f), page)
	return rpc.Invoices{Invoices: list, NextToken: next, AsOf: asOf}, err
}

// Invoice implements rpc.Engine.
func (e engine) Invoice(_ context.Context, id string) (export.Invoice, query.AsOf, error) {
	return e.host.Invoice(id)
}

// InvoiceDocuments implements rpc.Engine.
func (e engine) InvoiceDocuments(_ context.Context, f rpc.InvoiceFilter, token string, bytesMax int) (rpc.InvoiceDocuments, error) {
	documents, err := e.host.InvoiceDocuments(host.InvoiceFilter(f), token, bytesMax)
	return rpc.InvoiceDocuments(documents), err
}

// Preview implements rpc.Engine.
func (e engine) Preview(ctx context.Context, account billing.AccountID, period string) (rpc.Preview, error) {
	preview, err := e.host.Preview(ctx, account, period)
	return rpc.Preview(preview), err
}

// Periods implements rpc.Engine.
func (e engine) Periods(context.Context) ([]query.PeriodState, query.AsOf, error) {
	list, asOf := e.host.Periods()
	return list, asOf, nil
}

// ClosePeriod implements rpc.Engine.
func (e engine) ClosePeriod(ctx context.Context, request rpc.CloseRequest) (rpc.Closed, error) {
	issued := host.InvoiceFilter{Period: request.Period}
	before := e.host.CountInvoices(issued)
	if _, err := e.host.ClosePeriod(ctx, host.CloseRequest(request)); err != nil {
		return rpc.Closed{}, err
	}
	closed := rpc.Closed{Invoices: e.host.CountInvoices(issued) - before}
	periods, asOf := e.host.Periods()
	closed.AsOf = asOf
	for _, p := range periods {
		if !query.NamesPeriod(request.Period, p.Period.ID()) ||
			request.Zone != "" && request.Zone != p.Zone || request.AnchorDay != 0 && request.AnchorDay != p.AnchorDay {
			continue
		}
		closed.Periods = append(closed.Periods, p)
	}
	return closed, nil
}

// Status implements rpc.Engine.
func (e engine) Status(ctx context.Context) (query.Status, error) { return e.host.Status(ctx) }

// Reconcile implements rpc.Engine.
func (e engine) Reconcile(ctx context.Context, period string) (query.Reconciliation, error) {
	return e.host.Reconcile(ctx, period)
}

// Snapshot implements rpc.Engine.
func (e engine) Snapshot(ctx context.Context, partition int, begin func(query.SnapshotHead) error, w io.Writer) error {
	return e.host.Snapshot(ctx, partition, begin, w)
}

// ApplyCatalog implements rpc.Engine.
func (e engine) ApplyCatalog(ctx context.Context, request rpc.ApplyRequest) (rpc.Applied, error) {
	applied, err := e.host.Apply(ctx, host.ApplyRequest{
		Files: request.Files, Plugins: request.Plugins, Signatures: request.Signatures, Prune: request.Prune, DryRun: request.DryRun,
		Shadow: request.Shadow, By: request.By, At: e.host.Now(), Reprice: request.Reprice, Accounts: request.Accounts,
	})
	if err != nil {
		return rpc.Applied{}, err
	}
	return rpc.Applied{
		Problems: applied.Problems, Revision: applied.Revision, Digest: applied.Digest, Changes: applied.Changes,
		AsOf: e.host.Queries().AsOf(), Warnings: applied.Warnings, Shadows: applied.Shadows, Repriced: applied.Repriced,
	}, nil
}

// Catalog implements rpc.Engine.
func (e engine) Catalog(_ context.Context, f rpc.CatalogFilter, page query.Page) (rpc.CatalogPage, error) {
	asOf := e.host.Queries().AsOf()
	objects, revision, digest, next, err := e.host.Catalog(f.Kind, f.Name, page)
	return rpc.CatalogPage{Revision: revision, Digest: digest, Objects: objects, NextToken: next, AsOf: asOf}, err
}

// DeadLetters implements rpc.Engine.
func (e engine) DeadLetters(_ context.Context, f rpc.DeadLetterFilter, page query.Page) (rpc.DeadLetters, error) {
	list, counts, next, asOf, err := e.host.DeadLetters(host.DeadLetterFilter(f), page)
	return rpc.DeadLetters{DeadLetters: list, Counters: counts, NextToken: next, AsOf: asOf}, err
}

// DeadLetter implements rpc.Engine.
func (e engine) DeadLetter(_ context.Context, partition int, number uint64) (query.DeadLetter, query.AsOf, error) {
	asOf := e.host.Queries().AsOf()
	l, err := e.host.DeadLetter(host.LetterName{Partition: partition, Number: number})
	return l, asOf, err
}

// CountDeadLetters implements rpc.Engine.
func (e engine) CountDeadLetters(context.Context) ([]rpc.LetterCount, query.AsOf, error) {
	counts, asOf, err := e.host.CountLetters()
	list := make([]rpc.LetterCount, len(counts))
	for i, c := range counts {
		list[i] = rpc.LetterCount(c)
	}
	return list, asOf, err
}

// SettleDeadLetters implements rpc.Engine.
func (e engine) SettleDeadLetters(ctx context.Context, request rpc.SettleRequest) (rpc.Settled, query.AsOf, error) {
	r := host.SettleRequest{Filter: host.DeadLetterFilter(request.Filter), Discard: request.Discard, Why: request.Why, By: request.By}
	for _, n := range request.Names {
		r.Names = append(r.Names, host.LetterName(n))
	}
	settled, err := e.host.SettleLetters(ctx, r)
	return rpc.Settled(settled), e.host.Queries().AsOf(), err
}
