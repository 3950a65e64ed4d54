package rpc

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// octoberIn makes the state of October in a calendar.
func octoberIn(zone string, open ...int) query.PeriodState {
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	return query.PeriodState{Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Zone: zone, AnchorDay: 1, Open: open}
}

// TestExportOfAnOpenPeriodIsRefused: the refusal lists each calendar with the
// partitions that are open, and the accounts without invoices.
func TestExportOfAnOpenPeriodIsRefused(t *testing.T) {
	engine := bill()
	engine.invoices = invoices(3)
	parked := octoberIn("Asia/Tokyo")
	parked.Parked = []query.Parked{{Account: "noah", Reason: "overflow"}}
	engine.periods = []query.PeriodState{octoberIn("UTC", 0, 1), octoberIn("Europe/Berlin"), parked}
	_, clients := serve(t, engine, nil)
	ask := func(r *tollwayv1.InvoiceServiceExportRequest) (*tollwayv1.InvoiceServiceExportResponse, *Failure) {
		t.Helper()
		stream, err := clients.Invoices.Export(t.Context(), r)
		var m *tollwayv1.InvoiceServiceExportResponse
		if err == nil {
			defer stream.Close()
			m, err = stream.Receive()
		}
		if err != nil {
			return nil, clients.Explain(err)
		}
		return m, nil
	}
	_, failure := ask(&tollwayv1.InvoiceServiceExportRequest{Period: "2026-10"})
	if failure == nil || failure.Code != "failed_precondition" || failure.Reason != ReasonPeriodOpen || len(failure.Open) != 2 {
		t.Fatalf("got %+v", failure)
	}
	if got := failure.Open[0]; got.GetTimeZone() != "UTC" || len(got.GetOpenPartitions()) != 2 {
		t.Errorf("open: %v", got)
	}
	if got := failure.Open[1]; got.GetTimeZone() != "Asia/Tokyo" || got.GetParkedCount() != 1 {
		t.Errorf("parked: %v", got)
	}
	for _, part := range []string{"2026-10-01 in UTC is open in partitions 0 1", "in Asia/Tokyo has 1 accounts without an invoice"} {
		if !strings.Contains(failure.Message, part) {
			t.Errorf("%q is not in %q", part, failure.Message)
		}
	}
	m, failure := ask(&tollwayv1.InvoiceServiceExportRequest{Period: "2026-10", Partial: true})
	if failure != nil || !m.GetDone() || len(m.GetInvoices()) != 3 || len(m.GetOpenPeriods()) != 2 {
		t.Errorf("partial: %v, %+v", m, failure)
	}
	if _, failure = ask(&tollwayv1.InvoiceServiceExportRequest{Period: "2031-01"}); failure == nil || failure.Reason != ReasonInvalidPeriod {
		t.Errorf("a period that is not there: %+v", failure)
	}
	if _, failure = ask(&tollwayv1.InvoiceServiceExportRequest{}); failure == nil || failure.Reason != ReasonInvalidRequest {
		t.Errorf("no period: %+v", failure)
	}
	engine.periods = []query.PeriodState{octoberIn("UTC")}
	if m, failure = ask(&tollwayv1.InvoiceServiceExportRequest{Period: "2026-10"}); failure != nil || !m.GetDone() || len(m.GetOpenPeriods()) != 0 {
		t.Errorf("closed: %v, %+v", m, failure)
	}
}

// longInvoice has one line with a description of so many bytes.
func longInvoice(id string, bytes int) export.Invoice {
	v := invoices(1)[0]
	v.ID = id
	v.Lines = []export.Line{{Tariff: "t", ID: "l", AmountText: "0", Description: strings.Repeat("x", bytes)}}
	return v
}

// TestExportOfLongDocuments cuts an export with documents beyond the size of a
// chunk after any message and goes on from its cursor: the bytes are the same, and
// no message is much longer than a chunk.
func TestExportOfLongDocuments(t *testing.T) {
	engine := bill()
	engine.periods = []query.PeriodState{octoberIn("UTC")}
	engine.invoices = []export.Invoice{
		longInvoice("emma-0", 10), longInvoice("emma-1", 3*exportBytesMax), longInvoice("emma-2", exportBytesMax/2),
		longInvoice("emma-3", exportBytesMax), longInvoice("emma-4", 7), longInvoice("emma-5", 2*exportBytesMax),
	}
	var want bytes.Buffer
	if err := export.WriteJSONL(&want, engine.invoices); err != nil {
		t.Fatal(err)
	}
	_, clients := serve(t, engine, nil)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		request := &tollwayv1.InvoiceServiceExportRequest{Period: "2026-10", AsDocuments: true}
		var got bytes.Buffer
		for done := false; !done; {
			stream, err := clients.Invoices.Export(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			for take := random.IntN(4) + 1; take > 0 && !done; take-- {
				m, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				size := len(m.GetDocumentPiece())
				for _, d := range m.GetDocuments() {
					size += len(d)
					got.Write(append(d, '\n'))
				}
				if got.Write(m.GetDocumentPiece()); m.GetDocumentEnds() {
					got.WriteByte('\n')
				}
				if size > exportBytesMax {
					t.Fatalf("a message holds %d bytes", size)
				}
				request.Cursor, done = m.GetCursor(), m.GetDone()
			}
			if err := stream.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Fatalf("round %d: got %d bytes, want %d", round, got.Len(), want.Len())
		}
		// Behind the last cursor there is nothing but done.
		stream, err := clients.Invoices.Export(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Receive(); err != nil || !m.GetDone() || len(m.GetDocuments())+len(m.GetDocumentPiece()) != 0 {
			t.Errorf("behind the end: %v, %v", m, err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
