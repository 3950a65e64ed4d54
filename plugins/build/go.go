package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/tollway/tollway/plugins"
)

// golang is Go with sdk/tariff.
func golang() Language {
	return Language{
		Name: "go", Title: "Go", Sign: "*.go",
		recognise: func(folder string) bool { return matches(folder, "*.go") || matches(folder, "go.mod") },
		find: func() error {
			if _, err := exec.LookPath("go"); err != nil {
				return errors.New("needs the Go toolchain, go, on the path: see https://go.dev/doc/install")
			}
			return nil
		},
		compile: compileGo,
	}
}

// matches tells whether a folder has a file of that pattern.
func matches(folder, pattern string) bool {
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	return err == nil && len(found) > 0
}

func compileGo(ctx context.Context, folder string) (module []byte, manifest plugins.Manifest, err error) {
	err = temporarily(func(temporary string) error {
		out := filepath.Join(temporary, "module.wasm")
		_, err := run(ctx, folder, []string{"GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "GOWORK=off", "CGO_ENABLED=0"},
			"go", "build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=", "-o", out, ".")
		if err != nil {
			return fmt.Errorf("%s does not build for WebAssembly: %w", folder, err)
		}
		module, err = os.ReadFile(out)
		return err
	})
	if err != nil {
		return nil, plugins.Manifest{}, err
	}
	printed, err := run(ctx, folder, []string{"GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH, "GOWORK=off"}, "go", "run", ".", "-manifest")
	if err != nil {
		return nil, plugins.Manifest{}, fmt.Errorf("%s does not print its manifest: %w", folder, err)
	}
	manifest, err = plugins.ParseManifest(printed)
	if err != nil {
		return nil, plugins.Manifest{}, fmt.Errorf("%s prints a manifest that is not valid: %w", folder, err)
	}
	return module, manifest, nil
}
