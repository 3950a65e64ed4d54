package serve

import (
	"context"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// Deliveries implements rpc.Engine.
func (e engine) Deliveries(ctx context.Context) ([]deliver.Status, error) {
	return e.host.Deliveries(ctx)
}

// RetryDelivery implements rpc.Engine.
func (e engine) RetryDelivery(ctx context.Context, sink string, account billing.AccountID) error {
	return e.host.RetryDelivery(ctx, sink, account)
}

// SkipDelivery implements rpc.Engine.
func (e engine) SkipDelivery(ctx context.Context, request rpc.SkipRequest) error {
	return e.host.SkipDelivery(ctx, host.SkipRequest(request))
}
