package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// pluginListCommand lists plugins.
type pluginListCommand struct {
	clientFlags
	outputFlags
	BuiltIn bool `help:"Only those that this program brings along; asks no server."`
	InForce bool `help:"The plugins to which the server's catalog is bound: a row for each version of a tariff, and for each invoice rule."`
}

// listedPlugin is a row of the list: a tariff in a plugin.
type listedPlugin struct {
	Tariff        string   `json:"tariff"`
	Plugin        string   `json:"plugin"`
	Version       string   `json:"version,omitempty"` // effective_from, of those in force
	Digest        string   `json:"digest"`
	Title         string   `json:"title,omitempty"`
	PluginVersion string   `json:"plugin_version,omitempty"`
	Kind          string   `json:"kind,omitempty"`
	Size          uint64   `json:"size,omitempty"`
	SignedBy      string   `json:"signed_by,omitempty"`
	PushedAt      string   `json:"pushed_at,omitempty"`
	PushedBy      string   `json:"pushed_by,omitempty"`
	UsedBy        []string `json:"used_by,omitempty"`
	Accounts      []string `json:"accounts,omitempty"` // of a rule in force: those that have it in a list of their own
	Revoked       string   `json:"revoked,omitempty"`
}

// Run prints the list.
func (c *pluginListCommand) Run(ctx context.Context, s streams) error {
	list, err := c.list(ctx, s)
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
	if c.InForce {
		g := columns("tariff or rule", "kind", "plugin", "effective from", "digest", "rule of")
		for _, p := range list {
			g.add(p.Tariff, p.Kind, p.Plugin, orNone(p.Version), p.Digest, p.ruleOf())
		}
		return g.print(s.out, c.Output)
	}
	g := columns("tariff", "kind", "plugin", "digest", "version", ">size", "signed by", "pushed at", "used by", "state")
	for _, p := range list {
		state := none
		if p.Revoked != "" {
			state = "REVOKED: " + p.Revoked
		}
		g.add(p.Tariff, p.Kind, p.Plugin, p.Digest, p.PluginVersion, fmt.Sprint(p.Size), orNone(p.SignedBy), orNone(p.PushedAt), orNone(strings.Join(p.UsedBy, ", ")), state)
	}
	return g.print(s.out, c.Output)
}

// list asks for what the flags say.
func (c *pluginListCommand) list(ctx context.Context, s streams) ([]listedPlugin, error) {
	switch {
	case c.InForce:
		return c.inForce(ctx)
	case c.BuiltIn:
		return builtinTariffs()
	}
	clients, err := c.connect()
	if err != nil {
		return nil, err
	}
	defer clients.Close()
	answer, err := clients.Plugins.List(ctx, &tollwayv1.PluginServiceListRequest{})
	if f := clients.Explain(err); f != nil && f.Reason == rpc.ReasonUnavailable {
		if _, err := fmt.Fprintf(s.err, "%s; these are the plugins that this program brings along\n", f.Message); err != nil {
			return nil, err
		}
		return builtinTariffs()
	}
	if err != nil {
		return nil, failed(clients, err)
	}
	list := []listedPlugin{}
	for _, p := range answer.GetPlugins() {
		one := listedPlugin{
			Plugin: p.GetName(), Digest: p.GetDigest(), PluginVersion: p.GetVersion(), Kind: p.GetKind(), Size: p.GetSize(),
			SignedBy: signedBy(p), PushedBy: p.GetPushedBy(), Revoked: p.GetRevoked(),
		}
		if p.GetPushedAt() != nil {
			one.PushedAt = p.GetPushedAt().AsTime().Format(time.RFC3339)
		}
		for _, u := range p.GetUsedBy() {
			one.UsedBy = append(one.UsedBy, useText(u, " "))
		}
		for _, t := range p.GetTariffs() {
			one.Tariff = t
			list = append(list, one)
		}
	}
	return list, nil
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
			list = append(list, listedPlugin{
				Tariff: t.Name, Kind: t.Kind.String(), Plugin: m.Name, Digest: plugins.Digest(m.Wasm), Title: t.Title,
				PluginVersion: manifest.Version, Size: uint64(len(m.Wasm)), SignedBy: "built in",
			})
		}
	}
	return list, nil
}
