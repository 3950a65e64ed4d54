package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tollway/tollway/plugins"
)

// assemblyscript is AssemblyScript with sdk/assemblyscript.
func assemblyscript() Language {
	return Language{
		Name: "assemblyscript", Title: "AssemblyScript", Sign: "package.json with assembly/index.ts",
		Install: "apt-get update && apt-get install -y --no-install-recommends nodejs npm",
		recognise: func(folder string) bool {
			return matches(folder, "package.json") && matches(folder, assemblyscriptEntry)
		},
		find: func() error {
			for _, name := range []string{"node", "npm"} {
				if _, err := exec.LookPath(name); err != nil {
					return fmt.Errorf("needs Node.js 20 or later with npm, but %s is not on the path: see https://nodejs.org/", name)
				}
			}
			return nil
		},
		compile: compileAssemblyScript,
	}
}

const (
	assemblyscriptEntry = "assembly/index.ts"
	// compilerPath and manifestPath are where npm puts the compiler and the SDK's script, in the project's folder.
	compilerPath = "node_modules/assemblyscript/bin/asc.js"
	manifestPath = "node_modules/@tollway/tariff/bin/manifest.mjs"
)

// assemblyscriptFlags are the compiler's. Nothing is freed (the engine puts memory back before each batch), and what
// fails traps: the file and line of a throw would be text of this machine in the module.
var assemblyscriptFlags = []string{"-O3", "--noAssert", "--runtime", "stub", "--use", "abort=", "--exportStart", "_initialize"}

func compileAssemblyScript(ctx context.Context, folder string) (module []byte, manifest plugins.Manifest, err error) {
	if err := installPackages(ctx, folder); err != nil {
		return nil, plugins.Manifest{}, err
	}
	err = temporarily(func(temporary string) error {
		out := filepath.Join(temporary, "module.wasm")
		if _, err := run(ctx, folder, nil, "node", append([]string{compilerPath, assemblyscriptEntry, "-o", out}, assemblyscriptFlags...)...); err != nil {
			return fmt.Errorf("%s does not build for WebAssembly: %w", folder, err)
		}
		module, err = os.ReadFile(out)
		return err
	})
	if err != nil {
		return nil, plugins.Manifest{}, err
	}
	printed, err := run(ctx, folder, nil, "node", manifestPath)
	if err != nil {
		return nil, plugins.Manifest{}, fmt.Errorf("%s does not print its manifest: %w", folder, err)
	}
	manifest, err = plugins.ParseManifest(printed)
	if err != nil {
		return nil, plugins.Manifest{}, fmt.Errorf("%s prints a manifest that is not valid: %w", folder, err)
	}
	return module, manifest, nil
}

// installPackages has npm install what package-lock.json pins, unless it is there. The version of the compiler is
// part of what decides on the module's bytes, so a project without a lock is refused.
func installPackages(ctx context.Context, folder string) error {
	if matches(folder, compilerPath) && matches(folder, manifestPath) {
		return nil
	}
	if !matches(folder, "package-lock.json") {
		return errors.New("package-lock.json is missing: run `npm install` once and keep the file, it pins the compiler")
	}
	if _, err := run(ctx, folder, nil, "npm", "ci", "--no-audit", "--no-fund"); err != nil {
		return fmt.Errorf("installing the packages of %s: %w", folder, err)
	}
	for _, path := range []string{compilerPath, manifestPath} {
		if !matches(folder, path) {
			return fmt.Errorf("%s is missing: package.json must depend on assemblyscript and @tollway/tariff", path)
		}
	}
	return nil
}
