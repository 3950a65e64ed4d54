package rpc

import (
	"context"
	"strings"

	"github.com/tollway/tollway/host/deliver"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// DeliveryEngine is the part of an [Engine] that delivers invoices.
type DeliveryEngine interface {
	// Deliveries says how every sink stands.
	Deliveries(ctx context.Context) ([]deliver.Status, error)
	// RetryDelivery has a sink try at once what it holds, of one account or of all.
	RetryDelivery(ctx context.Context, sink string, account billing.AccountID) error
	// SkipDelivery passes an invoice over that a sink holds.
	SkipDelivery(ctx context.Context, request SkipRequest) error
}

// SkipRequest names an invoice that a sink holds and that is not to be delivered.
type SkipRequest struct {
	Sink, Invoice string
	Why, By       string // for the record
}

// deliveryService implements DeliveryService.
type deliveryService struct{ *services }

// List returns every sink.
func (s deliveryService) List(ctx context.Context, _ *tollwayv1.DeliveryServiceListRequest) (*tollwayv1.DeliveryServiceListResponse, error) {
	sinks, err := s.engine.Deliveries(ctx)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.DeliveryServiceListResponse{Sinks: make([]*tollwayv1.Sink, len(sinks))}
	for i := range sinks {
		out.Sinks[i] = sinkOut(&sinks[i])
	}
	return out, nil
}

// Retry has a sink try at once what it holds.
func (s deliveryService) Retry(ctx context.Context, r *tollwayv1.DeliveryServiceRetryRequest) (*tollwayv1.DeliveryServiceRetryResponse, error) {
	if r.GetSink() == "" {
		return nil, refuse(ReasonInvalidRequest, "List shows which there are", "sink is missing")
	}
	if err := s.engine.RetryDelivery(ctx, r.GetSink(), billing.AccountID(r.GetAccount())); err != nil {
		return nil, err
	}
	return &tollwayv1.DeliveryServiceRetryResponse{}, nil
}

// Skip passes an invoice over.
func (s deliveryService) Skip(ctx context.Context, r *tollwayv1.DeliveryServiceSkipRequest) (*tollwayv1.DeliveryServiceSkipResponse, error) {
	switch {
	case r.GetSink() == "" || r.GetInvoice() == "":
		return nil, refuse(ReasonInvalidRequest, "List shows what is held", "sink or invoice is missing")
	case strings.TrimSpace(r.GetWhy()) == "":
		return nil, refuse(ReasonInvalidRequest, "say in why who decided what", "why is empty: an invoice is passed over for a reason")
	case len(r.GetWhy()) > settleTextMax || len(r.GetBy()) > settleTextMax:
		return nil, refuse(ReasonInvalidRequest, "", "why and by must have at most %d bytes each", settleTextMax)
	}
	if err := s.engine.SkipDelivery(ctx, SkipRequest{Sink: r.GetSink(), Invoice: r.GetInvoice(), Why: r.GetWhy(), By: r.GetBy()}); err != nil {
		return nil, err
	}
	return &tollwayv1.DeliveryServiceSkipResponse{}, nil
}

func sinkOut(s *deliver.Status) *tollwayv1.Sink {
	out := &tollwayv1.Sink{
		Name: s.Name, Kind: s.Kind, Target: s.Target, State: s.State, Delivered: s.Delivered, Skipped: s.Skipped,
		Pending: s.Behind + uint64(s.Pending), Error: s.Error, HeldAccounts: uint64(s.HeldAccounts),
	}
	for i := range s.Held {
		h := &s.Held[i]
		out.Held = append(out.Held, &tollwayv1.HeldDelivery{
			Account: h.Account, Invoice: h.Invoice, Invoices: uint64(h.Invoices), Attempts: uint32(h.Attempts),
			Since: timestamp(h.Since), Next: timestamp(h.Next), Error: h.Error, Refused: h.Refused,
		})
	}
	return out
}
