package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tollway/tollway/plugins"
)

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
			fmt.Fprintf(&b, "%-8s %s  %s\n", t.Kind, t.Name, t.Title)
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
