package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/author"
	"github.com/tollway/tollway/sdk/abi"
)

// pluginInspectCommand describes a plugin.
type pluginInspectCommand struct {
	File   string `arg:"" help:"A .wasm file, a folder to build, or the name of a built-in tariff; #NAME chooses a tariff in it."`
	Params string `placeholder:"JSON" help:"Configure the tariff with these, and show its lines, dimensions and state."`
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// inspectedPlugin is what can be said of a plugin, in JSON.
type inspectedPlugin struct {
	Digest         string            `json:"digest"`
	Size           int               `json:"size"`
	MemoryMinBytes int64             `json:"memory_min_bytes"`
	MemoryMaxBytes int64             `json:"memory_max_bytes"`
	FuelPerEvent   int64             `json:"fuel_per_event"`
	Manifest       *plugins.Manifest `json:"manifest"`
	Imports        []string          `json:"imports"`
	Exports        []string          `json:"exports"`
	Problems       []string          `json:"problems"`
	Plan           *configuredPlan   `json:"plan,omitempty"`
}

// configuredPlan is a tariff with parameters.
type configuredPlan struct {
	Tariff     string             `json:"tariff"`
	Lines      []plugins.LineSpec `json:"lines"`
	Dimensions []string           `json:"dimensions"`
	StateSize  int                `json:"state_size"`
	StateMax   int                `json:"state_max"`
	CarrySize  int                `json:"carry_size"`
}

// Run prints what can be said without running the plugin, and with parameters what it makes of them; what would be
// refused is an error.
func (c *pluginInspectCommand) Run(ctx context.Context, s streams) error {
	p, err := loadPlugin(ctx, c.File)
	if err != nil {
		return err
	}
	in, err := plugins.Inspect(p.wasm)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	out := inspectedPlugin{
		Digest: in.Digest, Size: in.Size, MemoryMinBytes: in.MemoryMinBytes, Manifest: in.Manifest,
		MemoryMaxBytes: abi.MemoryMaxBytes, FuelPerEvent: abi.FuelPerEvent,
		Imports: in.Imports, Exports: in.Exports, Problems: []string{},
	}
	for _, problem := range in.Problems {
		out.Problems = append(out.Problems, problem.Error())
	}
	if m := in.Manifest; m != nil && m.MemoryMaxBytes > 0 {
		out.MemoryMaxBytes = m.MemoryMaxBytes
	}
	if m := in.Manifest; m != nil && m.FuelPerEvent > 0 {
		out.FuelPerEvent = m.FuelPerEvent
	}
	if c.Params != "" && len(in.Problems) == 0 {
		if out.Plan, err = c.configure(ctx, p); err != nil {
			return err
		}
	}
	if c.Output == "json" {
		err = printIndented(s.out, out)
	} else {
		_, err = fmt.Fprint(s.out, out.text(p.tariff))
	}
	if err == nil && len(in.Problems) > 0 {
		err = fmt.Errorf("%s would be refused: %w", c.File, errors.Join(in.Problems...))
	}
	return err
}

// configure gives the parameters to the tariff.
func (c *pluginInspectCommand) configure(ctx context.Context, p *plugin) (_ *configuredPlan, err error) {
	tariff, err := chooseTariff(p, "")
	if err != nil {
		return nil, err
	}
	w, err := author.Open(ctx, p.wasm, host.UserPluginCache())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close(context.WithoutCancel(ctx))) }()
	i, err := w.Module().NewInstance(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.Close(context.WithoutCancel(ctx))) }()
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{{Tariff: tariff, Params: json.RawMessage(c.Params), Currency: "EUR"}})
	if err != nil {
		return nil, err
	}
	plan := plans[0]
	return &configuredPlan{tariff, plan.Lines, plan.Dimensions, plan.StateSize, plan.StateMax, plan.CarrySize}, nil
}

// text is the description for people: of one tariff if one is named, else of all.
func (p *inspectedPlugin) text(tariff string) string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s"+format+"\n", append([]any{what}, args...)...)
	}
	line("digest", "%s", p.Digest)
	line("size", "%s bytes", thousands(int64(p.Size)))
	line("memory", "%s bytes at start, %s at most", thousands(p.MemoryMinBytes), thousands(p.MemoryMaxBytes))
	more := ""
	if p.FuelPerEvent > abi.FuelPerEvent {
		more = " (a server takes that only where plugins.fuel_per_event_max allows it)"
	}
	line("fuel", "%s for an event%s", thousands(p.FuelPerEvent), more)
	if m := p.Manifest; m != nil && m.FuelStart > abi.FuelStart {
		line("", "%s for its start (a server takes that only where plugins.fuel_start_max allows it)", thousands(m.FuelStart))
	}
	if m := p.Manifest; m != nil {
		sdk := "no SDK that it names"
		if m.SDK != "" {
			sdk = m.SDK
		}
		line("plugin", "%s %s, ABI %s, made with %s", m.Name, m.Version, m.ABI, sdk)
		for _, t := range m.Tariffs {
			if tariff != "" && t.Name != tariff {
				continue
			}
			line(t.Kind.String(), "%s  %s", t.Name, t.Title)
			if tariff == "" && len(m.Tariffs) > 1 {
				continue
			}
			var schema bytes.Buffer
			if err := json.Indent(&schema, t.ParamsSchema, "         ", "  "); err == nil {
				line("params", "%s", schema.String())
			}
		}
	}
	if plan := p.Plan; plan != nil {
		for _, l := range plan.Lines {
			line("line", "%s  %s", l.ID, l.Description)
		}
		line("dims", "%s", orNothing(strings.Join(plan.Dimensions, ", ")))
		line("state", "%d to %d bytes, %d carried into the next period", plan.StateSize, plan.StateMax, plan.CarrySize)
	}
	for _, i := range p.Imports {
		line("import", "%s", i)
	}
	for _, e := range p.Exports {
		line("export", "%s", e)
	}
	return b.String()
}
