package serve

import (
	"context"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// gate is an engine that answers nothing from a partition whose state is being
// made again: what is there is not all that was shown before. Usage is taken all
// the same, and so is what only asks how the host is doing.
type gate struct{ engine }

var _ rpc.Engine = gate{}

// look answers from the partition of an account, or from all for the empty one.
// It asks again behind the answer, which may have been read while the state was
// dropped.
func look[T any](g gate, account billing.AccountID, answer func() (T, error)) (T, error) {
	var none T
	if err := g.host.Servable(string(account)); err != nil {
		return none, err
	}
	out, err := answer()
	if refused := g.host.Servable(string(account)); refused != nil {
		return none, refused
	}
	return out, err
}

// with is an answer and how far it has seen.
type with[T any] struct {
	answer T
	asOf   query.AsOf
}

func lookWith[T any](g gate, account billing.AccountID, answer func() (T, query.AsOf, error)) (T, query.AsOf, error) {
	out, err := look(g, account, func() (with[T], error) {
		a, asOf, err := answer()
		return with[T]{a, asOf}, err
	})
	return out.answer, out.asOf, err
}

// AccountSubtotals implements rpc.Engine.
func (g gate) AccountSubtotals(filter query.Filter) (query.Subtotals, error) {
	return look(g, filter.Account, func() (query.Subtotals, error) { return g.engine.AccountSubtotals(filter) })
}

// Subtotals implements rpc.Engine.
func (g gate) Subtotals(filter query.Filter, page query.Page) (query.Subtotals, error) {
	return look(g, filter.Account, func() (query.Subtotals, error) { return g.engine.Subtotals(filter, page) })
}

// Sums implements rpc.Engine.
func (g gate) Sums(grouping query.Grouping, page query.Page) (query.SumPage, error) {
	return look(g, "", func() (query.SumPage, error) { return g.engine.Sums(grouping, page) })
}

// History implements rpc.Engine.
func (g gate) History(ctx context.Context, request query.HistoryRequest) (query.History, error) {
	return look(g, request.Account, func() (query.History, error) { return g.engine.History(ctx, request) })
}

// Forecast implements rpc.Engine.
func (g gate) Forecast(ctx context.Context, filter query.Filter) (query.Forecast, error) {
	return look(g, filter.Account, func() (query.Forecast, error) { return g.engine.Forecast(ctx, filter) })
}

// WatchSubtotals implements rpc.Engine.
func (g gate) WatchSubtotals(filter query.Filter, heartbeat time.Duration) rpc.SubtotalWatch {
	return gatedWatch{g.engine.WatchSubtotals(filter, heartbeat), g, filter.Account}
}

// gatedWatch ends with the reason when its partition is not to be read.
type gatedWatch struct {
	rpc.SubtotalWatch
	gate    gate
	account billing.AccountID
}

// Next implements rpc.SubtotalWatch.
func (w gatedWatch) Next(ctx context.Context) (query.Update, error) {
	return look(w.gate, w.account, func() (query.Update, error) { return w.SubtotalWatch.Next(ctx) })
}

// Invoices implements rpc.Engine.
func (g gate) Invoices(ctx context.Context, f rpc.InvoiceFilter, page query.Page) (rpc.Invoices, error) {
	return look(g, f.Account, func() (rpc.Invoices, error) { return g.engine.Invoices(ctx, f, page) })
}

// Invoice implements rpc.Engine.
func (g gate) Invoice(ctx context.Context, id string) (export.Invoice, query.AsOf, error) {
	return lookWith(g, "", func() (export.Invoice, query.AsOf, error) { return g.engine.Invoice(ctx, id) })
}

// InvoiceDocuments implements rpc.Engine.
func (g gate) InvoiceDocuments(ctx context.Context, f rpc.InvoiceFilter, token string, bytesMax int) (rpc.InvoiceDocuments, error) {
	return look(g, f.Account, func() (rpc.InvoiceDocuments, error) { return g.engine.InvoiceDocuments(ctx, f, token, bytesMax) })
}

// Alerts implements rpc.Engine.
func (g gate) Alerts(ctx context.Context, f query.AlertFilter, page query.Page) (query.AlertPage, error) {
	return look(g, billing.AccountID(f.Account), func() (query.AlertPage, error) { return g.engine.Alerts(ctx, f, page) })
}

// WatchAlerts implements rpc.Engine.
func (g gate) WatchAlerts(f query.AlertFilter, all bool, token string) (rpc.AlertWatch, error) {
	account := billing.AccountID(f.Account)
	return look(g, account, func() (rpc.AlertWatch, error) {
		w, err := g.engine.WatchAlerts(f, all, token)
		return gatedAlerts{w, g, account}, err
	})
}

// gatedAlerts ends as gatedWatch does.
type gatedAlerts struct {
	watch   rpc.AlertWatch
	gate    gate
	account billing.AccountID
}

// Next implements rpc.AlertWatch.
func (w gatedAlerts) Next(ctx context.Context, most time.Duration) ([]query.Alert, string, error) {
	type next struct {
		alerts []query.Alert
		token  string
	}
	n, err := look(w.gate, w.account, func() (next, error) {
		alerts, token, err := w.watch.Next(ctx, most)
		return next{alerts, token}, err
	})
	return n.alerts, n.token, err
}

// Preview implements rpc.Engine.
func (g gate) Preview(ctx context.Context, account billing.AccountID, period string) (rpc.Preview, error) {
	return look(g, account, func() (rpc.Preview, error) { return g.engine.Preview(ctx, account, period) })
}

// Periods implements rpc.Engine.
func (g gate) Periods(ctx context.Context) ([]query.PeriodState, query.AsOf, error) {
	return lookWith(g, "", func() ([]query.PeriodState, query.AsOf, error) { return g.engine.Periods(ctx) })
}

// Reconcile implements rpc.Engine.
func (g gate) Reconcile(ctx context.Context, period string) (query.Reconciliation, error) {
	return look(g, "", func() (query.Reconciliation, error) { return g.engine.Reconcile(ctx, period) })
}

// ApplyCatalog implements rpc.Engine: what a change reaches back into is asked of
// the state.
func (g gate) ApplyCatalog(ctx context.Context, request rpc.ApplyRequest) (rpc.Applied, error) {
	if err := g.host.Servable(""); err != nil {
		return rpc.Applied{}, err
	}
	return g.engine.ApplyCatalog(ctx, request)
}

// DeadLetters implements rpc.Engine.
func (g gate) DeadLetters(ctx context.Context, f rpc.DeadLetterFilter, page query.Page) (rpc.DeadLetters, error) {
	return look(g, "", func() (rpc.DeadLetters, error) { return g.engine.DeadLetters(ctx, f, page) })
}

// DeadLetter implements rpc.Engine.
func (g gate) DeadLetter(ctx context.Context, partition int, number uint64) (query.DeadLetter, query.AsOf, error) {
	return lookWith(g, "", func() (query.DeadLetter, query.AsOf, error) { return g.engine.DeadLetter(ctx, partition, number) })
}

// CountDeadLetters implements rpc.Engine.
func (g gate) CountDeadLetters(ctx context.Context) ([]rpc.LetterCount, query.AsOf, error) {
	return lookWith(g, "", func() ([]rpc.LetterCount, query.AsOf, error) { return g.engine.CountDeadLetters(ctx) })
}

// SettleDeadLetters implements rpc.Engine.
func (g gate) SettleDeadLetters(ctx context.Context, request rpc.SettleRequest) (rpc.Settled, query.AsOf, error) {
	if err := g.host.Servable(""); err != nil {
		return rpc.Settled{}, query.AsOf{}, err
	}
	return g.engine.SettleDeadLetters(ctx, request)
}
