package rpc

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// fakeEngine answers from fields, for tests of what lies between a caller and
// the engine: transport, limits, errors, paging. What a host answers is tested
// with a real one.
type fakeEngine struct {
	Engine // methods that a test does not set up must not be called

	mu       sync.Mutex
	ingested []billing.UsageEvent
	bodies   []UsageBody
	waited   [][]query.Position
	applied  []ApplyRequest

	submit    func(ctx context.Context, chunk UsageChunk) (UsageTicket, error)
	subtotals func(filter query.Filter) (query.Subtotals, error)
	watch     *fakeWatch
	invoices  []export.Invoice
	periods   []query.PeriodState
	apply     func(ctx context.Context, request ApplyRequest) (Applied, error)
	letters   []query.DeadLetter
	settled   []SettleRequest
	reached   uint64 // WaitPosition returns for sequences up to this

	waitedLatest int // calls of WaitLatest
	closed       func(CloseRequest) (Closed, error)
	catalog      func(CatalogFilter, query.Page) (CatalogPage, error)
}

var testAsOf = query.AsOf{
	Positions: []query.Position{{Stream: "USAGE-0", Partition: 0, Sequence: 7}, {Stream: "USAGE-1", Partition: 1, Sequence: 1 << 60}},
	Watermark: time.Date(2026, 10, 3, 4, 5, 6, 0, time.UTC), CatalogRevision: 2,
}

func (f *fakeEngine) Partitions() int { return 2 }

func (f *fakeEngine) AddToBackfill(context.Context, string, int, []byte) error { return nil }

func (f *fakeEngine) Submit(ctx context.Context, chunk UsageChunk) (UsageTicket, error) {
	f.mu.Lock()
	f.ingested = append(f.ingested, chunk.Events...)
	f.bodies = append(f.bodies, chunk.Bodies...)
	f.mu.Unlock()
	if f.submit != nil {
		return f.submit(ctx, chunk)
	}
	var o UsageOutcome
	for i := range chunk.Events {
		p := billing.Partition(chunk.Events[i].Account, 2)
		o.Positions = append(o.Positions, query.Position{Stream: fmt.Sprintf("USAGE-%d", p), Partition: p, Sequence: uint64(i + 1)})
		o.Runs = append(o.Runs, UsageRun{1, i})
	}
	return fakeTicket{outcome: o}, nil
}

// fakeTicket answers at once, or when it is told to.
type fakeTicket struct {
	outcome UsageOutcome
	ready   <-chan struct{} // nil: at once
}

func (t fakeTicket) Wait(ctx context.Context) (UsageOutcome, error) {
	if t.ready != nil {
		select {
		case <-t.ready:
		case <-ctx.Done():
			return UsageOutcome{}, ctx.Err()
		}
	}
	return t.outcome, nil
}

func (f *fakeEngine) AccountSubtotals(filter query.Filter) (query.Subtotals, error) {
	return f.subtotals(filter)
}

func (f *fakeEngine) Subtotals(filter query.Filter, page query.Page) (query.Subtotals, error) {
	all, err := f.subtotals(filter)
	var first int
	first, all.NextToken = cut(len(all.Subtotals), page)
	all.Subtotals = all.Subtotals[first:min(first+page.Size, len(all.Subtotals))]
	return all, err
}

func (f *fakeEngine) WatchSubtotals(_ query.Filter, heartbeat time.Duration) SubtotalWatch {
	f.watch.heartbeat = heartbeat
	return f.watch
}

func (f *fakeEngine) Invoices(_ context.Context, filter InvoiceFilter, page query.Page) (Invoices, error) {
	var match []export.Invoice
	for _, v := range f.invoices {
		if filter.Account == "" || filter.Account == v.Account {
			match = append(match, v)
		}
	}
	first, next := cut(len(match), page)
	return Invoices{Invoices: match[first:min(first+page.Size, len(match))], NextToken: next, AsOf: testAsOf}, nil
}

func (f *fakeEngine) InvoiceDocuments(ctx context.Context, filter InvoiceFilter, token string, bytesMax int) (InvoiceDocuments, error) {
	first, _ := strconv.Atoi(token)
	all, err := f.Invoices(ctx, filter, query.Page{Size: 1 << 30})
	out := InvoiceDocuments{Next: token, AsOf: testAsOf}
	for size := 0; err == nil && first < len(all.Invoices); first++ {
		document, err := all.Invoices[first].Encode()
		if size += len(document); err != nil || len(out.Documents) > 0 && size > bytesMax {
			out.More = true
			return out, err
		}
		out.Documents, out.Next = append(out.Documents, document), strconv.Itoa(first+1)
	}
	return out, err
}

// cut finds where a page begins and what continues it.
func cut(rows int, page query.Page) (int, string) {
	first, _ := strconv.Atoi(page.Token)
	if first+page.Size < rows {
		return first, strconv.Itoa(first + page.Size)
	}
	return first, ""
}

func (f *fakeEngine) Invoice(_ context.Context, id string) (export.Invoice, query.AsOf, error) {
	for _, v := range f.invoices {
		if v.ID == id {
			return v, testAsOf, nil
		}
	}
	return export.Invoice{}, query.AsOf{}, refuse(ReasonNotFound, "List shows which there are", "there is no invoice %q", id)
}

func (f *fakeEngine) Preview(_ context.Context, account billing.AccountID, _ string) (Preview, error) {
	p := Preview{AsOf: testAsOf}
	for _, v := range f.invoices {
		if v.Account == account {
			p.Period, p.Invoices = v.Period, append(p.Invoices, v)
		}
	}
	return p, nil
}

func (f *fakeEngine) Status(context.Context) (query.Status, error) {
	return query.Status{Now: time.Unix(1, 0)}, nil
}

func (f *fakeEngine) Periods(context.Context) ([]query.PeriodState, query.AsOf, error) {
	return f.periods, testAsOf, nil
}

func (f *fakeEngine) ClosePeriod(_ context.Context, request CloseRequest) (Closed, error) {
	return f.closed(request)
}

func (f *fakeEngine) ApplyCatalog(ctx context.Context, request ApplyRequest) (Applied, error) {
	f.mu.Lock()
	f.applied = append(f.applied, request)
	f.mu.Unlock()
	return f.apply(ctx, request)
}

func (f *fakeEngine) Catalog(_ context.Context, filter CatalogFilter, page query.Page) (CatalogPage, error) {
	return f.catalog(filter, page)
}

func (f *fakeEngine) DeadLetters(_ context.Context, _ DeadLetterFilter, page query.Page) (DeadLetters, error) {
	first, next := cut(len(f.letters), page)
	return DeadLetters{
		DeadLetters: f.letters[first:min(first+page.Size, len(f.letters))], NextToken: next, AsOf: testAsOf,
		Counters: query.Counters{Read: 10, Priced: 7, Duplicates: 1, DeadLettered: 2},
	}, nil
}

func (f *fakeEngine) DeadLetter(_ context.Context, partition int, number uint64) (query.DeadLetter, query.AsOf, error) {
	for _, l := range f.letters {
		if l.Partition == partition && l.Number == number {
			return l, testAsOf, nil
		}
	}
	return query.DeadLetter{}, testAsOf, refuse(ReasonNotFound, "", "there is no such dead letter")
}

func (f *fakeEngine) CountDeadLetters(context.Context) ([]LetterCount, query.AsOf, error) {
	return []LetterCount{{Reason: "no_meter", Open: 1, All: 2}}, testAsOf, nil
}

func (f *fakeEngine) SettleDeadLetters(_ context.Context, r SettleRequest) (Settled, query.AsOf, error) {
	f.mu.Lock()
	f.settled = append(f.settled, r)
	f.mu.Unlock()
	return Settled{Priced: 1, Duplicates: 2, Refused: 3, Discarded: 4, Passed: 5}, testAsOf, nil
}

func (f *fakeEngine) WaitLatest(ctx context.Context, positions []query.Position) error {
	f.mu.Lock()
	f.waitedLatest++
	f.mu.Unlock()
	return f.WaitPosition(ctx, positions)
}

func (f *fakeEngine) WaitPosition(ctx context.Context, positions []query.Position) error {
	f.mu.Lock()
	f.waited = append(f.waited, positions)
	f.mu.Unlock()
	for _, p := range positions {
		if p.Partition > 1 {
			return fmt.Errorf("%w: there is no partition %d", query.ErrInvalid, p.Partition)
		}
		if p.Sequence > f.reached {
			<-ctx.Done()
			return fmt.Errorf("%w: partition %d is at %d, asked for %d", query.ErrNotReached, p.Partition, f.reached, p.Sequence)
		}
	}
	return nil
}

// fakeWatch gives the updates that a test sends.
type fakeWatch struct {
	updates   chan query.Update
	closed    chan struct{}
	heartbeat time.Duration
	resumed   string
	rest      time.Duration
}

func newFakeWatch() *fakeWatch {
	return &fakeWatch{updates: make(chan query.Update, 16), closed: make(chan struct{})}
}

func (w *fakeWatch) Next(ctx context.Context) (query.Update, error) {
	select {
	case u := <-w.updates:
		return u, nil
	case <-ctx.Done():
		return query.Update{}, ctx.Err()
	}
}

func (w *fakeWatch) Resume(text string) bool {
	w.resumed = text
	return true
}

func (w *fakeWatch) Rest(d time.Duration) { w.rest = d }

func (w *fakeWatch) Close() { close(w.closed) }

// serve runs a server on a free port until the test ends, and makes clients of
// it.
func serve(t testing.TB, engine Engine, change func(*Config)) (*Server, *Clients) {
	t.Helper()
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	config.DrainMax = 2 * time.Second
	if change != nil {
		change(&config)
	}
	server, err := Listen(t.Context(), config, engine)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(t.Context()) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	if config.TLSCertFile != "" {
		return server, nil
	}
	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	return server, clients
}

// client is for plain HTTP calls; it shares no connections between tests.
func client(t *testing.T) *http.Client {
	t.Helper()
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// subtotal makes a subtotal of an account.
func subtotal(account, group, amount string) query.Subtotal {
	zone := time.FixedZone("Europe/Berlin", 2*3600)
	value, err := billing.ParseAmount(amount)
	if err != nil {
		panic(err)
	}
	quantity, err := billing.ParseQuantity("12.5")
	if err != nil {
		panic(err)
	}
	return query.Subtotal{
		Account: billing.AccountID(account), Subscription: "main", Tariff: "api_standard", Meter: "api_calls", Currency: "EUR",
		Version: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Module: "sha256:ab",
		Period: billing.Period{Start: time.Date(2026, 10, 1, 0, 0, 0, 0, zone), End: time.Date(2026, 11, 1, 0, 0, 0, 0, zone)},
		Group:  []billing.Field{{Key: "region", Text: group}},
		Lines:  []query.Line{{ID: "usage", Description: "API calls", Quantity: quantity, Amount: value, AmountText: amount}},
		Amount: value, AmountText: amount, Events: 3, LastEventTime: time.Date(2026, 10, 3, 4, 5, 6, 0, time.UTC),
	}
}

// bill is an engine in which account emma has two subtotals.
func bill() *fakeEngine {
	return &fakeEngine{
		reached: 7,
		subtotals: func(filter query.Filter) (query.Subtotals, error) {
			out := query.Subtotals{AsOf: testAsOf}
			if filter.Account != "" && filter.Account != "emma" {
				return out, nil
			}
			out.Subtotals = []query.Subtotal{subtotal("emma", "eu", "100.00"), subtotal("emma", "us", "0.50")}
			total, err := billing.ParseAmount("100.50")
			out.Totals = []query.Total{{Currency: "EUR", Amount: total, AmountText: "100.50"}}
			return out, err
		},
	}
}
