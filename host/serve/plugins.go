package serve

import (
	"context"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/rpc"
)

// PushPlugin implements rpc.Engine.
func (e engine) PushPlugin(ctx context.Context, request rpc.PushRequest) (query.Plugin, bool, error) {
	return e.host.PushPlugin(ctx, host.PushRequest(request))
}

// Plugins implements rpc.Engine.
func (e engine) Plugins(ctx context.Context) (rpc.Plugins, error) {
	list, err := e.host.Plugins(ctx)
	keys, required := e.host.TrustedKeys()
	return rpc.Plugins{Plugins: list, TrustedKeys: keys, SignatureRequired: required}, err
}

// PluginBytes implements rpc.Engine.
func (e engine) PluginBytes(ctx context.Context, digest string) (wasm, signature []byte, err error) {
	return e.host.PluginBytes(ctx, digest)
}

// RevokePlugin implements rpc.Engine.
func (e engine) RevokePlugin(ctx context.Context, request rpc.RevokeRequest) ([]query.Plugin, error) {
	return e.host.RevokePlugin(ctx, host.RevokeRequest(request))
}

// StartShadow implements rpc.Engine.
func (e engine) StartShadow(ctx context.Context, request rpc.ShadowRequest) (query.Shadow, error) {
	return e.host.StartShadow(ctx, host.ShadowRequest(request))
}

// ShadowReports implements rpc.Engine.
func (e engine) ShadowReports(ctx context.Context, tariff string, accountsMax int) ([]query.ShadowReport, error) {
	return e.host.ShadowReports(ctx, tariff, accountsMax)
}

// StopShadow implements rpc.Engine.
func (e engine) StopShadow(ctx context.Context, tariff, by string) error {
	return e.host.StopShadow(ctx, tariff, by)
}
