package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// boundRule is an invoice rule as the catalog in force has it.
type boundRule struct {
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	Module string `json:"module"`
}

// ruleOf says whose invoices a rule looks at, for people; none for a tariff.
func (p *listedPlugin) ruleOf() string {
	switch {
	case p.Kind != plugins.KindRule.String():
		return none
	case len(p.Accounts) == 0:
		return "accounts without rules of their own"
	case len(p.Accounts) == 1:
		return "account " + p.Accounts[0]
	default:
		return fmt.Sprintf("%d accounts", len(p.Accounts))
	}
}

// useText is a use of a plugin in words: the name of an invoice rule, or a tariff
// and, behind between, from when on its version is in force.
func useText(u *tollwayv1.PluginUse, between string) string {
	if u.GetEffectiveFrom() == nil {
		return u.GetTariff() // a rule has no versions
	}
	return u.GetTariff() + between + u.GetEffectiveFrom().AsTime().Format(time.RFC3339)
}

// inForce lists the plugins to which a server's catalog is bound: those of the
// tariffs' versions, then those of the invoice rules of all, then those of the
// rules that accounts have in place of these. Accounts with the same rule share a
// row.
func (c *pluginListCommand) inForce(ctx context.Context) ([]listedPlugin, error) {
	clients, err := c.connect()
	if err != nil {
		return nil, err
	}
	defer clients.Close()
	list := []listedPlugin{}
	var tariff struct {
		Versions []struct {
			EffectiveFrom string `json:"effective_from"`
			Plugin        string `json:"plugin"`
			Module        string `json:"module"`
		} `json:"versions"`
	}
	err = catalogObjects(ctx, clients, catalog.KindTariff, func(o *tollwayv1.CatalogObject) error {
		tariff.Versions = nil
		if err := json.Unmarshal([]byte(o.GetBody()), &tariff); err != nil {
			return err
		}
		for _, v := range tariff.Versions {
			list = append(list, listedPlugin{Tariff: o.GetName(), Kind: plugins.KindTariff.String(), Plugin: v.Plugin, Version: v.EffectiveFrom, Digest: v.Module})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows := map[boundRule]int{} // of the accounts' rules, where in list
	rules := func(o *tollwayv1.CatalogObject) error {
		var owner struct {
			Rules []boundRule `json:"invoice_rules"`
		}
		if err := json.Unmarshal([]byte(o.GetBody()), &owner); err != nil {
			return err
		}
		for _, r := range owner.Rules {
			row := listedPlugin{Tariff: r.Name, Kind: plugins.KindRule.String(), Plugin: r.Plugin, Digest: r.Module}
			if o.GetKind() != catalog.KindAccount {
				list = append(list, row)
				continue
			}
			if _, known := rows[r]; !known {
				rows[r] = len(list)
				list = append(list, row)
			}
			shared := &list[rows[r]]
			shared.Accounts = append(shared.Accounts, o.GetName())
		}
		return nil
	}
	for _, kind := range []string{catalog.KindBilling, catalog.KindAccount} {
		if err := catalogObjects(ctx, clients, kind, rules); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// catalogObjects gives each object of a kind in the catalog in force to take, in
// the order of their names.
func catalogObjects(ctx context.Context, clients *rpc.Clients, kind string, take func(*tollwayv1.CatalogObject) error) error {
	request := &tollwayv1.CatalogServiceGetRequest{Kind: kind, PageSize: 1000}
	for {
		answer, err := clients.Catalog.Get(ctx, request)
		if err != nil {
			return failed(clients, err)
		}
		for _, o := range answer.GetObjects() {
			if err := take(o); err != nil {
				return fmt.Errorf("%s %s: %w", kind, o.GetName(), err)
			}
		}
		if request.PageToken = answer.GetNextPageToken(); request.PageToken == "" {
			return nil
		}
	}
}
