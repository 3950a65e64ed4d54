package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/sdk/conformance"
)

// bench runs plugins in the engine's loader.
type bench struct {
	runtime *plugins.Runtime
	sheet   *sheet
	cases   []graduatedCase
	twin    []string // what the Go tariff makes of the cases
}

func newBench(ctx context.Context) (*bench, error) {
	cases, err := conformance.Decimals()
	if err != nil {
		return nil, err
	}
	s, err := newSheet(cases)
	if err != nil {
		return nil, err
	}
	runtime, err := plugins.NewRuntime(ctx, plugins.Config{})
	if err != nil {
		return nil, err
	}
	return &bench{runtime: runtime, sheet: s, cases: graduatedCases()}, nil
}

func (b *bench) close(ctx context.Context) error { return b.runtime.Close(ctx) }

// run fills the report of a language. Differences are no error.
func (b *bench) run(ctx context.Context, g guest, r *report) error {
	started := time.Now()
	decimals, err := build.Folder(ctx, g.conformance)
	if err != nil {
		return err
	}
	graduated, err := build.Folder(ctx, g.graduated)
	if err != nil {
		return err
	}
	r.buildTime, r.bytes = time.Since(started), len(graduated)
	if err := b.decimals(ctx, decimals, r); err != nil {
		return fmt.Errorf("decimals: %w", err)
	}
	if err := b.graduated(ctx, graduated, r); err != nil {
		return fmt.Errorf("graduated: %w", err)
	}
	return nil
}

// start loads a plugin and configures it.
func (b *bench) start(ctx context.Context, wasm []byte, requests []plugins.ConfigRequest) (*plugins.Instance, []*plugins.Plan, error) {
	module, err := b.runtime.Load(ctx, wasm)
	if err != nil {
		return nil, nil, err
	}
	i, err := module.NewInstance(ctx)
	if err != nil {
		return nil, nil, err
	}
	plans, err := i.Configure(ctx, requests)
	if err != nil {
		return nil, nil, errors.Join(err, i.Close(ctx))
	}
	return i, plans, nil
}
