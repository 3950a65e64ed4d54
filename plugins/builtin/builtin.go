// Package builtin holds the tariffs that come with the engine, as WebAssembly modules inside the
// binary.
//
// The modules are built from examples/tariffs/standard and are not kept in the repository. A
// binary built without them works, but for the built-in tariffs: [Modules] then says what to do.
package builtin

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// files holds the modules, and a placeholder without content that keeps the pattern from matching
// nothing.
//
//go:embed *.wasm
var files embed.FS

// ErrMissing is returned when the binary was built without the built-in tariffs.
var ErrMissing = errors.New("this binary was built without the built-in tariffs: run `make tariffs` and build it again")

// Module is one built-in plugin.
type Module struct {
	// Name is the name of its file without the ending, such as "standard".
	Name string
	// Wasm are its bytes. They must not be changed.
	Wasm []byte
}

// Modules returns the built-in plugins, sorted by name.
//
// # Errors
//
// [ErrMissing] when there are none.
func Modules() ([]Module, error) { return modules(files) }

func modules(fsys fs.ReadDirFS) ([]Module, error) {
	entries, err := fsys.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("builtin: %w", err)
	}
	var found []Module
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".wasm")
		if !ok {
			continue
		}
		wasm, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			return nil, fmt.Errorf("builtin: %w", err)
		}
		if len(wasm) > 0 {
			found = append(found, Module{Name: name, Wasm: wasm})
		}
	}
	if len(found) == 0 {
		return nil, ErrMissing
	}
	return found, nil
}
