package rpc

import (
	"context"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// Reconcile compares what a period's usage came to with what its invoices say.
func (s periodService) Reconcile(ctx context.Context, r *tollwayv1.PeriodServiceReconcileRequest) (*tollwayv1.PeriodServiceReconcileResponse, error) {
	if r.GetPeriod() == "" {
		return nil, refuse(ReasonInvalidRequest, `name one, {"period": "2026-10"}; List shows which there are`, "period is missing")
	}
	if err := checkPeriod(r.GetPeriod()); err != nil {
		return nil, err
	}
	if err := s.wait(ctx, r.GetMinPosition()); err != nil {
		return nil, err
	}
	answer, err := s.engine.Reconcile(ctx, r.GetPeriod())
	if err != nil {
		return nil, err
	}
	return reconciliationOut(&answer), nil
}

func reconciliationOut(r *query.Reconciliation) *tollwayv1.PeriodServiceReconcileResponse {
	out := &tollwayv1.PeriodServiceReconcileResponse{AsOf: asOfOut(r.AsOf)}
	for i := range r.Events {
		e := &r.Events[i]
		out.Events = append(out.Events, &tollwayv1.ReconciledEvents{
			Partition: uint32(e.Partition), Priced: e.Priced, Invoiced: e.Invoiced, Open: e.Open, Parked: e.Parked,
			DeadLetters: e.Waiting, Discarded: e.Discarded, Undated: e.Undated,
			LogRead: e.Log.Read, LogPriced: e.Log.Priced, LogDuplicates: e.Log.Duplicates, LogDeadLettered: e.Log.DeadLettered,
		})
	}
	for i := range r.Money {
		m := &r.Money[i]
		out.Money = append(out.Money, &tollwayv1.ReconciledMoney{
			Partition: uint32(m.Partition), Currency: string(m.Currency), Priced: m.Priced, Invoiced: m.Invoiced, Open: m.Open, Parked: m.Parked,
			Rules: m.Rules, Adjusted: m.Adjusted, Issued: m.Issued, Invoices: m.Invoices,
		})
	}
	for _, f := range r.Findings {
		out.Findings = append(out.Findings, &tollwayv1.ReconcileFinding{Partition: uint32(f.Partition), Account: string(f.Account), Detail: f.Detail})
	}
	return out
}
