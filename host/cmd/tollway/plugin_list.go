package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// pluginListCommand lists tariffs.
type pluginListCommand struct {
	clientFlags
	outputFlags
	InForce bool `help:"Ask the server which plugins its catalog uses."`
}

// listedPlugin is a row of the list.
type listedPlugin struct {
	Tariff  string `json:"tariff"`
	Kind    string `json:"kind"` // "tariff" or "rule"
	Plugin  string `json:"plugin"`
	Version string `json:"version,omitempty"` // effective_from, of those in force
	Digest  string `json:"digest"`
	Title   string `json:"title,omitempty"`
}

// Run prints the list.
func (c *pluginListCommand) Run(ctx context.Context, s streams) error {
	list, err := builtinTariffs()
	if c.InForce {
		list, err = c.inForce(ctx)
	}
	if err != nil {
		return err
	}
	if c.Output == "json" {
		b, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s\n", b)
		return err
	}
	g := columns("tariff", "kind", "plugin", "effective from", "digest", "title")
	for _, p := range list {
		g.add(p.Tariff, p.Kind, p.Plugin, p.Version, p.Digest, p.Title)
	}
	return g.print(s.out, c.Output)
}

// builtinTariffs lists the tariffs that the program brings along.
func builtinTariffs() ([]listedPlugin, error) {
	modules, err := builtin.Modules()
	if err != nil {
		return nil, err
	}
	list := []listedPlugin{}
	for _, m := range modules {
		manifest, err := plugins.ReadManifest(m.Wasm)
		if err != nil {
			return nil, fmt.Errorf("built-in plugin %s: %w", m.Name, err)
		}
		for _, t := range manifest.Tariffs {
			list = append(list, listedPlugin{Tariff: t.Name, Kind: t.Kind.String(), Plugin: m.Name, Digest: plugins.Digest(m.Wasm), Title: t.Title})
		}
	}
	return list, nil
}

// inForce lists the plugins to which the versions of a server's tariffs are
// bound.
func (c *pluginListCommand) inForce(ctx context.Context) ([]listedPlugin, error) {
	clients, err := c.connect()
	if err != nil {
		return nil, err
	}
	defer clients.Close()
	list := []listedPlugin{}
	request := &tollwayv1.CatalogServiceGetRequest{Kind: catalog.KindTariff, PageSize: 1000}
	for {
		answer, err := clients.Catalog.Get(ctx, request)
		if err != nil {
			return nil, failed(clients, err)
		}
		for _, o := range answer.GetObjects() {
			var tariff struct {
				Versions []struct {
					EffectiveFrom string `json:"effective_from"`
					Plugin        string `json:"plugin"`
					Module        string `json:"module"`
				} `json:"versions"`
			}
			if err := json.Unmarshal([]byte(o.GetBody()), &tariff); err != nil {
				return nil, fmt.Errorf("tariff %s: %w", o.GetName(), err)
			}
			for _, v := range tariff.Versions {
				list = append(list, listedPlugin{Tariff: o.GetName(), Kind: plugins.KindTariff.String(), Plugin: v.Plugin, Version: v.EffectiveFrom, Digest: v.Module})
			}
		}
		if request.PageToken = answer.GetNextPageToken(); request.PageToken == "" {
			return list, nil
		}
	}
}
