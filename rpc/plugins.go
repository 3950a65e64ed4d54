package rpc

import (
	"context"
	"time"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// PluginEngine is the part of an [Engine] that keeps plugins and tries candidates.
type PluginEngine interface {
	// PushPlugin checks a plugin and keeps it; stored says whether anything was
	// new.
	PushPlugin(ctx context.Context, request PushRequest) (p query.Plugin, stored bool, err error)
	// Plugins returns all plugins and which keys are trusted.
	Plugins(ctx context.Context) (Plugins, error)
	// PluginBytes returns a plugin's bytes and its signature, nil for none.
	PluginBytes(ctx context.Context, digest string) (wasm, signature []byte, err error)
	// RevokePlugin revokes a plugin or a key, and returns what is in use of it.
	RevokePlugin(ctx context.Context, request RevokeRequest) ([]query.Plugin, error)
	// StartShadow begins to price a tariff's usage by a candidate.
	StartShadow(ctx context.Context, request ShadowRequest) (query.Shadow, error)
	// ShadowReports returns the shadow of a tariff with its differences, or all
	// shadows without.
	ShadowReports(ctx context.Context, tariff string, accountsMax int) ([]query.ShadowReport, error)
	// StopShadow ends the shadow of a tariff.
	StopShadow(ctx context.Context, tariff, by string) error
}

// PushRequest carries a plugin.
type PushRequest struct {
	Wasm      []byte
	Signature []byte // nil: it is not signed
	By        string // who pushes it
}

// Plugins is the answer to who has what.
type Plugins struct {
	Plugins           []query.Plugin
	TrustedKeys       []string
	SignatureRequired bool
}

// RevokeRequest names a plugin or a key.
type RevokeRequest struct {
	Digest, KeyID, Reason, By string
}

// ShadowRequest names a candidate.
type ShadowRequest struct {
	Tariff  string
	Plugin  string    // empty: the one in force
	Params  string    // JSON; empty: those in force
	Since   time.Time // zero: the oldest open period that the newest usage belongs to
	Percent int       // of the accounts; 0: all
	By      string    // who starts it
}

// pluginService implements PluginService.
type pluginService struct{ *services }

// Push keeps a plugin.
func (s pluginService) Push(ctx context.Context, r *tollwayv1.PluginServicePushRequest) (*tollwayv1.PluginServicePushResponse, error) {
	if len(r.GetData()) == 0 {
		return nil, refuse(ReasonInvalidRequest, "send the bytes of a .wasm file", "data is empty")
	}
	p, stored, err := s.engine.PushPlugin(ctx, PushRequest{Wasm: r.GetData(), Signature: r.GetSignature(), By: callerOf(ctx)})
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServicePushResponse{Plugin: pluginOut(p), Stored: stored}, nil
}

// List returns all plugins.
func (s pluginService) List(ctx context.Context, _ *tollwayv1.PluginServiceListRequest) (*tollwayv1.PluginServiceListResponse, error) {
	all, err := s.engine.Plugins(ctx)
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServiceListResponse{Plugins: pluginsOut(all.Plugins), TrustedKeys: all.TrustedKeys, SignatureRequired: all.SignatureRequired}, nil
}

// Download returns a plugin.
func (s pluginService) Download(ctx context.Context, r *tollwayv1.PluginServiceDownloadRequest) (*tollwayv1.PluginServiceDownloadResponse, error) {
	wasm, signature, err := s.engine.PluginBytes(ctx, r.GetDigest())
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServiceDownloadResponse{Data: wasm, Signature: signature}, nil
}

// Revoke revokes a plugin or a key.
func (s pluginService) Revoke(ctx context.Context, r *tollwayv1.PluginServiceRevokeRequest) (*tollwayv1.PluginServiceRevokeResponse, error) {
	inUse, err := s.engine.RevokePlugin(ctx, RevokeRequest{Digest: r.GetDigest(), KeyID: r.GetKeyId(), Reason: r.GetReason(), By: callerOf(ctx)})
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServiceRevokeResponse{InUse: pluginsOut(inUse)}, nil
}

// StartShadow begins a shadow.
func (s pluginService) StartShadow(ctx context.Context, r *tollwayv1.PluginServiceStartShadowRequest) (*tollwayv1.PluginServiceStartShadowResponse, error) {
	if r.GetAccountsPercent() > 100 {
		return nil, refuse(ReasonInvalidRequest, "give 1 to 100", "accounts_percent is %d", r.GetAccountsPercent())
	}
	request := ShadowRequest{Tariff: r.GetTariff(), Plugin: r.GetPlugin(), Params: r.GetParams(), Percent: int(r.GetAccountsPercent()), By: callerOf(ctx)}
	if r.GetSince() != nil {
		request.Since = r.GetSince().AsTime()
	}
	shadow, err := s.engine.StartShadow(ctx, request)
	if err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServiceStartShadowResponse{Shadow: shadowOut(shadow)}, nil
}

// How many accounts a report names.
const (
	reportAccounts    = 100
	reportAccountsMax = 1000
)

// ReportShadow compares.
func (s pluginService) ReportShadow(ctx context.Context, r *tollwayv1.PluginServiceReportShadowRequest) (*tollwayv1.PluginServiceReportShadowResponse, error) {
	most := int(min(r.GetAccountsMax(), reportAccountsMax))
	if most == 0 {
		most = reportAccounts
	}
	reports, err := s.engine.ShadowReports(ctx, r.GetTariff(), most)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.PluginServiceReportShadowResponse{Reports: make([]*tollwayv1.ShadowReport, 0, len(reports))}
	for i := range reports {
		out.Reports = append(out.Reports, reportOut(&reports[i]))
	}
	return out, nil
}

// StopShadow ends a shadow.
func (s pluginService) StopShadow(ctx context.Context, r *tollwayv1.PluginServiceStopShadowRequest) (*tollwayv1.PluginServiceStopShadowResponse, error) {
	if err := s.engine.StopShadow(ctx, r.GetTariff(), callerOf(ctx)); err != nil {
		return nil, err
	}
	return &tollwayv1.PluginServiceStopShadowResponse{}, nil
}

func pluginsOut(list []query.Plugin) []*tollwayv1.Plugin {
	out := make([]*tollwayv1.Plugin, 0, len(list))
	for _, p := range list {
		out = append(out, pluginOut(p))
	}
	return out
}

func pluginOut(p query.Plugin) *tollwayv1.Plugin {
	out := &tollwayv1.Plugin{
		Digest: p.Digest, Name: p.Name, Version: p.Version, Kind: p.Kind, Tariffs: p.Tariffs, Size: uint64(p.Size), BuiltIn: p.BuiltIn,
		SignedBy: p.SignedBy, Trusted: p.Trusted, SignatureComment: p.Comment, PushedAt: timestamp(p.PushedAt), PushedBy: p.PushedBy, Revoked: p.Revoked,
	}
	for _, u := range p.UsedBy {
		out.UsedBy = append(out.UsedBy, &tollwayv1.PluginUse{Tariff: u.Tariff, EffectiveFrom: timestamp(u.EffectiveFrom)})
	}
	return out
}

func shadowOut(s query.Shadow) *tollwayv1.Shadow {
	return &tollwayv1.Shadow{
		Tariff: s.Tariff, Plugin: s.Plugin, Digest: s.Digest, Params: s.Params, Since: timestamp(s.Since), AccountsPercent: uint32(s.Percent),
		StartedAt: timestamp(s.StartedAt), StartedBy: s.StartedBy, Ended: s.Ended, Behind: s.Behind, Events: s.Events,
	}
}

func reportOut(r *query.ShadowReport) *tollwayv1.ShadowReport {
	out := &tollwayv1.ShadowReport{
		Shadow: shadowOut(r.Shadow), Active: totalsOut(r.Active), Candidate: totalsOut(r.Candidate),
		AccountsCompared: r.Compared, AccountsDifferent: r.Different, Refused: refusalsOut(r.Refused), Accepted: refusalsOut(r.Accepted),
	}
	for _, a := range r.Accounts {
		account := &tollwayv1.ShadowAccount{
			Account: string(a.Account), Period: periodOut(a.Period), Currency: string(a.Currency),
			Active: a.Active, Candidate: a.Candidate, Difference: a.Difference,
		}
		for _, l := range a.Lines {
			account.Lines = append(account.Lines, &tollwayv1.ShadowLine{
				Id: l.ID, Group: l.Group, Description: l.Description, ActiveQuantity: l.ActiveQuantity, ActiveAmount: l.ActiveAmount,
				CandidateQuantity: l.CandidateQuantity, CandidateAmount: l.CandidateAmount,
			})
		}
		out.Accounts = append(out.Accounts, account)
	}
	return out
}

func refusalsOut(list []query.ShadowRefusal) []*tollwayv1.ShadowRefusal {
	out := make([]*tollwayv1.ShadowRefusal, 0, len(list))
	for _, r := range list {
		out = append(out, &tollwayv1.ShadowRefusal{Reason: r.Reason, Events: r.Events, Detail: r.Detail, Account: r.Account, EventId: r.EventID})
	}
	return out
}
