package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

func invoices(n int) []export.Invoice {
	out := make([]export.Invoice, n)
	for i := range out {
		start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
		out[i] = export.Invoice{
			ID: fmt.Sprintf("emma-%05d", i), Account: "emma", Currency: "EUR", TotalText: "0", Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)},
		}
	}
	return out
}

// TestExportResumes breaks an export off after each message and goes on from
// its cursor: nothing is missing, nothing comes twice.
func TestExportResumes(t *testing.T) {
	engine := bill()
	engine.invoices = invoices(400)
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	engine.periods = []query.PeriodState{{Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Open: []int{1}}}
	_, clients := serve(t, engine, nil)
	request := &tollwayv1.InvoiceServiceExportRequest{Account: "emma", Partial: true}
	var ids []string
	messages := 0
	for {
		stream, err := clients.Invoices.Export(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		messages++
		for _, v := range m.GetInvoices() {
			ids = append(ids, v.GetId())
		}
		if m.GetDone() {
			if len(m.GetOpenPeriods()) != 1 {
				t.Errorf("open periods are %v", m.GetOpenPeriods())
			}
			break
		}
		request.Cursor = m.GetCursor()
	}
	if len(ids) != 400 || !slices.IsSorted(ids) || len(slices.Compact(ids)) != 400 {
		t.Errorf("got %d invoices in %d messages", len(ids), messages)
	}
}

func TestExportInOneGo(t *testing.T) {
	engine := bill()
	engine.invoices = invoices(3000)
	_, clients := serve(t, engine, nil)
	stream, err := clients.Invoices.Export(t.Context(), &tollwayv1.InvoiceServiceExportRequest{Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	got, messages, done := 0, 0, false
	for {
		m, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages++
		got += len(m.GetInvoices())
		done = m.GetDone()
	}
	if got != 3000 || !done || messages > 12 {
		t.Errorf("got %d invoices in %d messages, done %v", got, messages, done)
	}
}

// TestDocuments asks for invoices as they were issued: the bytes are those of
// the engine's invoice.
func TestDocuments(t *testing.T) {
	engine := bill()
	made := subtotal("emma", "eu", "100.00")
	invoice, err := export.NewInvoice(
		export.Head{Account: "emma", Period: made.Period, Currency: "EUR", Seller: []byte(`{"name":"Example Ltd"}`)},
		[]export.Slot{{
			Tariff: made.Tariff, Meter: made.Meter, Subscription: made.Subscription, Version: made.Version, Currency: "EUR",
			Group: made.Group, Rounding: billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}, Module: made.Module, Events: 3,
			Lines: []export.SlotLine{{ID: "usage", Description: "API calls", Quantity: made.Lines[0].Quantity, Amount: made.Amount}},
		}})
	if err != nil {
		t.Fatal(err)
	}
	engine.invoices = []export.Invoice{invoice}
	_, clients := serve(t, engine, nil)
	want, err := invoice.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := clients.Invoices.Get(t.Context(), &tollwayv1.InvoiceServiceGetRequest{Id: invoice.ID, WithDocument: true})
	if err != nil || !bytes.Equal(got.GetDocument(), want) {
		t.Errorf("Get: %v, %s\nwant %s", err, got.GetDocument(), want)
	}
	line := got.GetInvoice().GetLines()[0]
	if got.GetInvoice().GetTotal() != "100.00" || line.GetAmount() != "100.00" || line.GetUnroundedAmount() != "100" ||
		line.GetGroup()["region"] != "eu" || got.GetInvoice().GetSeller() != `{"name":"Example Ltd"}` {
		t.Errorf("Get: %v", got)
	}
	list, err := clients.Invoices.List(t.Context(), &tollwayv1.InvoiceServiceListRequest{Account: "emma"})
	if err != nil || list.GetInvoices()[0].GetTotal().GetAmount() != "100.00" || list.GetInvoices()[0].GetLines() != 1 {
		t.Errorf("List: %v, %v", list, err)
	}
	stream, err := clients.Invoices.Export(t.Context(), &tollwayv1.InvoiceServiceExportRequest{AsDocuments: true, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	chunk, err := stream.Receive()
	if err != nil || len(chunk.GetInvoices()) != 0 || len(chunk.GetDocuments()) != 1 || !bytes.Equal(chunk.GetDocuments()[0], want) {
		t.Errorf("Export: %v, %v", chunk, err)
	}
}
