package rpc

import (
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// A preview carries the lines of tariffs and rules, and the document as it would be
// issued; a request without an account is refused.
func TestPreview(t *testing.T) {
	engine := bill()
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	period := billing.Period{Start: start, End: start.AddDate(0, 1, 0)}
	engine.invoices = []export.Invoice{{
		ID: "emma.2026-10-01.EUR.0", Account: "emma", Period: period, Currency: "EUR", TotalText: "25.00",
		Lines: []export.Line{{Rule: "minimum", ID: "minimum_commitment", AmountText: "25.00", Module: "sha256:aa"}},
	}}
	_, clients := serve(t, engine, nil)
	answer, err := clients.Invoices.Preview(t.Context(), &tollwayv1.InvoiceServicePreviewRequest{Account: "emma", WithDocuments: true})
	if err != nil {
		t.Fatal(err)
	}
	want, err := engine.invoices[0].Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.GetInvoices()) != 1 || len(answer.GetDocuments()) != 1 || string(answer.GetDocuments()[0]) != string(want) || answer.GetParked() != nil {
		t.Fatalf("preview %v", answer)
	}
	if l := answer.GetInvoices()[0].GetLines()[0]; l.GetRule() != "minimum" || l.GetTariff() != "" || l.GetEffectiveFrom() != nil || l.GetAmount() != "25.00" {
		t.Errorf("line %v", l)
	}
	for _, bad := range []*tollwayv1.InvoiceServicePreviewRequest{{}, {Account: "emma", Period: "October"}} {
		if _, err := clients.Invoices.Preview(t.Context(), bad); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// A period's answer counts all parked accounts and lists the first ones.
func TestParkedInvoices(t *testing.T) {
	engine := bill()
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	p := query.PeriodState{Period: billing.Period{Start: start, End: start.AddDate(0, 1, 0)}, Closed: []int{0}}
	for range parkedMax + 5 {
		p.Parked = append(p.Parked, query.Parked{Account: "emma", Partition: 3, Reason: "rule_fault", Detail: "x", Rule: "vat", Module: "sha256:aa"})
	}
	engine.periods = []query.PeriodState{p}
	_, clients := serve(t, engine, nil)
	answer, err := clients.Periods.List(t.Context(), &tollwayv1.PeriodServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	got := answer.GetPeriods()[0]
	if got.GetParkedCount() != parkedMax+5 || len(got.GetParked()) != parkedMax {
		t.Fatalf("%d parked, %d listed", got.GetParkedCount(), len(got.GetParked()))
	}
	if k := got.GetParked()[0]; k.GetAccount() != "emma" || k.GetPartition() != 3 || k.GetReason() != "rule_fault" || k.GetRule() != "vat" || k.GetPlugin() != "sha256:aa" {
		t.Errorf("parked %v", k)
	}
}
