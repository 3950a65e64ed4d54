package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/vectors"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
)

// vectorsCommand prices known cases with the built-in tariffs.
type vectorsCommand struct {
	File string `arg:"" help:"File of cases, one JSON object a line."`
}

// Run prints the results by model; a case that fails is an error.
func (c *vectorsCommand) Run(ctx context.Context, s streams) (err error) {
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	modules, err := builtin.Modules()
	if err != nil {
		return err
	}
	runtime, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: host.UserPluginCache()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.Close(ctx)) }()
	var loaded []*plugins.Module
	for _, m := range modules {
		module, err := runtime.Load(ctx, m.Wasm)
		if err != nil {
			return fmt.Errorf("built-in plugin %s: %w", m.Name, err)
		}
		loaded = append(loaded, module)
	}
	total, err := vectors.Run(ctx, loaded, file, s.out)
	if err == nil && total.Failed > 0 {
		err = fmt.Errorf("%d cases failed", total.Failed)
	}
	return err
}
