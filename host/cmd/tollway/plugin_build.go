package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
)

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
