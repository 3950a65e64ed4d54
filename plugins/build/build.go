// Package build makes plugins out of tariffs that are written in Go with sdk/tariff. It runs the Go toolchain, twice:
// once for WebAssembly, for the module; once for this machine, to ask the tariff for its manifest, which is then
// appended to the module. `make tariffs` and `tollway plugin build` both do this and nothing else.
package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// Folder builds the package main in the folder and returns the plugin's bytes. They depend on the sources and the
// version of Go alone, not on the machine, the folder's place or the time, so neither does the plugin's digest.
//
// # Errors
//
// The toolchain is missing, the package does not compile (the error holds the compiler's words), it is no tariff, or
// its manifest is not valid.
func Folder(ctx context.Context, folder string) (wasm []byte, err error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("building a tariff needs the Go toolchain: %w", err)
	}
	temporary, err := os.MkdirTemp("", "tollway-build-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temporary)) }()

	out := filepath.Join(temporary, "module.wasm")
	_, err = run(ctx, folder, []string{"GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0"},
		"build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=", "-o", out, ".")
	if err != nil {
		return nil, fmt.Errorf("%s does not build for WebAssembly: %w", folder, err)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	printed, err := run(ctx, folder, []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}, "run", ".", "-manifest")
	if err != nil {
		return nil, fmt.Errorf("%s does not print its manifest: %w", folder, err)
	}
	manifest, err := plugins.ParseManifest(printed)
	if err != nil {
		return nil, fmt.Errorf("%s prints a manifest that is not valid: %w", folder, err)
	}
	return plugins.AppendManifest(module, manifest)
}

// run runs the go command in the folder and returns what it printed; what it complained of is the error.
func run(ctx context.Context, folder string, environment []string, arguments ...string) ([]byte, error) {
	var out, complaints bytes.Buffer
	command := exec.CommandContext(ctx, "go", arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), environment...)
	command.Stdout, command.Stderr = &out, &complaints
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", arguments[0], err, strings.TrimSpace(complaints.String()))
	}
	return out.Bytes(), nil
}
