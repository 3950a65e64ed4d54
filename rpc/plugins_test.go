package rpc

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// pluginFake answers about plugins; the rest is nobody's.
type pluginFake struct {
	Engine
	pushed  PushRequest
	revoked RevokeRequest
	shadow  ShadowRequest
}

func (f *pluginFake) PushPlugin(_ context.Context, r PushRequest) (query.Plugin, bool, error) {
	f.pushed = r
	return query.Plugin{Digest: "sha256:ab", UsedBy: []query.PluginUse{{Tariff: "t", EffectiveFrom: time.Unix(1, 0)}}}, true, nil
}

func (f *pluginFake) Plugins(context.Context) (Plugins, error) {
	return Plugins{Plugins: []query.Plugin{{Name: "n", PushedAt: time.Unix(5, 0)}}, TrustedKeys: []string{"A"}, SignatureRequired: true}, nil
}

func (f *pluginFake) RevokePlugin(_ context.Context, r RevokeRequest) ([]query.Plugin, error) {
	f.revoked = r
	return nil, nil
}

func (f *pluginFake) StartShadow(_ context.Context, r ShadowRequest) (query.Shadow, error) {
	f.shadow = r
	return query.Shadow{Tariff: r.Tariff, Since: r.Since}, nil
}

func (f *pluginFake) ShadowReports(_ context.Context, tariff string, most int) ([]query.ShadowReport, error) {
	return []query.ShadowReport{{
		Shadow: query.Shadow{Tariff: tariff}, Compared: uint64(most), Active: []query.Total{{Currency: "EUR", AmountText: "1.00"}},
		Accounts: []query.ShadowAccount{{Account: "emma", Period: billing.Period{Start: time.Unix(0, 0), End: time.Unix(9, 0)}, Difference: "-1", Lines: []query.ShadowLine{{ID: "l"}}}},
		Refused:  []query.ShadowRefusal{{Reason: "r", Events: 2}},
	}}, nil
}

// What is recorded says whose token a call had, whatever the call itself says.
func TestPluginServiceSaysWho(t *testing.T) {
	fake := &pluginFake{}
	server, _ := serve(t, fake, func(c *Config) { c.TokenFile = tokenFile(t, t.TempDir(), "0123456789abcdef anna") })
	clients, err := NewClients(server.URL(), "0123456789abcdef", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	for _, call := range []func() error{
		func() error {
			answer, err := clients.Plugins.Push(t.Context(), &tollwayv1.PluginServicePushRequest{Data: []byte("wasm"), Signature: []byte("s")})
			if answer.GetPlugin().GetUsedBy()[0].GetTariff() != "t" || !answer.GetStored() {
				t.Errorf("got %v", answer)
			}
			return err
		},
		func() error {
			_, err := clients.Plugins.Revoke(t.Context(), &tollwayv1.PluginServiceRevokeRequest{KeyId: "A", Reason: "why"})
			return err
		},
		func() error {
			_, err := clients.Plugins.StartShadow(t.Context(), &tollwayv1.PluginServiceStartShadowRequest{Tariff: "t", Params: "{}"})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if fake.pushed.By != "anna" || string(fake.pushed.Signature) != "s" || fake.revoked != (RevokeRequest{KeyID: "A", Reason: "why", By: "anna"}) || fake.shadow.By != "anna" || !fake.shadow.Since.IsZero() {
		t.Errorf("%+v", fake)
	}
}

func TestPluginServiceAnswers(t *testing.T) {
	_, clients := serve(t, &pluginFake{}, nil)
	list, err := clients.Plugins.List(t.Context(), &tollwayv1.PluginServiceListRequest{})
	if err != nil || list.GetPlugins()[0].GetPushedAt().GetSeconds() != 5 || !list.GetSignatureRequired() || list.GetTrustedKeys()[0] != "A" {
		t.Errorf("%v, %v", list, err)
	}
	reports, err := clients.Plugins.ReportShadow(t.Context(), &tollwayv1.PluginServiceReportShadowRequest{Tariff: "t", AccountsMax: 9999})
	if err != nil {
		t.Fatal(err)
	}
	r := reports.GetReports()[0]
	if r.GetAccountsCompared() != reportAccountsMax || r.GetAccounts()[0].GetLines()[0].GetId() != "l" || r.GetRefused()[0].GetEvents() != 2 || r.GetActive()[0].GetAmount() != "1.00" {
		t.Errorf("%v", r)
	}
	if _, err := clients.Plugins.Push(t.Context(), &tollwayv1.PluginServicePushRequest{}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("an empty plugin: %v", err)
	}
	if _, err := clients.Plugins.StartShadow(t.Context(), &tollwayv1.PluginServiceStartShadowRequest{AccountsPercent: 101}); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("101 of 100 accounts: %v", err)
	}
}
