package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/plugins/builtin"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// pluginCommand builds and inspects plugins.
type pluginCommand struct {
	Build   pluginBuildCommand   `cmd:"" help:"Build a tariff written in Go to a plugin, reproducibly."`
	List    pluginListCommand    `cmd:"" help:"List built-in tariffs, or with --in-force those that a server's catalog uses."`
	Inspect pluginInspectCommand `cmd:"" help:"Show a plugin's manifest, imports, exports, size and digest."`
}

// pluginBuildCommand builds a plugin.
type pluginBuildCommand struct {
	Folder string `arg:"" default:"." help:"Folder of the tariff's package main."`
	Out    string `short:"f" placeholder:"FILE" help:"File to write. Default: the folder's name with .wasm, in the folder."`
}

// Run builds the plugin and prints its identity.
func (c *pluginBuildCommand) Run(ctx context.Context, s streams) error {
	wasm, err := build.Folder(ctx, c.Folder)
	if err != nil {
		return err
	}
	in, err := plugins.Inspect(wasm)
	if err != nil {
		return err
	}
	if len(in.Problems) > 0 {
		return fmt.Errorf("the plugin would be refused: %w", errors.Join(in.Problems...))
	}
	out := c.Out
	if out == "" {
		folder, err := filepath.Abs(c.Folder)
		if err != nil {
			return err
		}
		out = filepath.Join(folder, filepath.Base(folder)+".wasm")
	}
	if err := os.WriteFile(out, wasm, 0o644); err != nil {
		return err
	}
	names := make([]string, len(in.Manifest.Tariffs))
	for i, t := range in.Manifest.Tariffs {
		names[i] = t.Name
	}
	_, err = fmt.Fprintf(s.out, "%s: %d bytes, %s, tariffs: %s\n", out, len(wasm), in.Digest, strings.Join(names, ", "))
	return err
}

// pluginListCommand lists tariffs.
type pluginListCommand struct {
	clientFlags
	outputFlags
	InForce bool `help:"Ask the server which plugins its catalog uses."`
}

// listedPlugin is a row of the list.
type listedPlugin struct {
	Tariff  string `json:"tariff"`
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
	g := columns("tariff", "plugin", "effective from", "digest", "title")
	for _, p := range list {
		g.add(p.Tariff, p.Plugin, p.Version, p.Digest, p.Title)
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
			list = append(list, listedPlugin{Tariff: t.Name, Plugin: m.Name, Digest: plugins.Digest(m.Wasm), Title: t.Title})
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
				list = append(list, listedPlugin{Tariff: o.GetName(), Plugin: v.Plugin, Version: v.EffectiveFrom, Digest: v.Module})
			}
		}
		if request.PageToken = answer.GetNextPageToken(); request.PageToken == "" {
			return list, nil
		}
	}
}

// pluginInspectCommand describes a plugin.
type pluginInspectCommand struct {
	File string `arg:"" help:"The .wasm file."`
}

// Run prints what can be said without running the plugin; what would be refused
// is an error.
func (c *pluginInspectCommand) Run(s streams) error {
	wasm, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	in, err := plugins.Inspect(wasm)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "digest   %s\nsize     %d bytes\nmemory   %d bytes at start\n", in.Digest, in.Size, in.MemoryMinBytes)
	if m := in.Manifest; m != nil {
		fmt.Fprintf(&b, "plugin   %s %s, ABI %s, made with %s\n", m.Name, m.Version, m.ABI, m.SDK)
		for _, t := range m.Tariffs {
			fmt.Fprintf(&b, "tariff   %s  %s\n", t.Name, t.Title)
		}
	}
	for _, i := range in.Imports {
		fmt.Fprintf(&b, "import   %s\n", i)
	}
	for _, e := range in.Exports {
		fmt.Fprintf(&b, "export   %s\n", e)
	}
	if _, err := fmt.Fprint(s.out, b.String()); err != nil {
		return err
	}
	if len(in.Problems) > 0 {
		return fmt.Errorf("%s would be refused: %w", c.File, errors.Join(in.Problems...))
	}
	return nil
}
