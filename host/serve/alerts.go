package serve

import (
	"context"

	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/rpc"
)

// Alerts implements rpc.Engine.
func (e engine) Alerts(_ context.Context, f query.AlertFilter, page query.Page) (query.AlertPage, error) {
	return e.host.Alerts(f, page)
}

// WatchAlerts implements rpc.Engine.
func (e engine) WatchAlerts(f query.AlertFilter, all bool, token string) (rpc.AlertWatch, error) {
	return e.host.WatchAlerts(f, all, token)
}
