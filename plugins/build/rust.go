package build

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
	sdk "github.com/tollway/tollway/sdk/rust"
)

// rust is Rust with sdk/rust, by rustc alone: Debian's, or any other that has the target.
func rust() Language {
	return Language{
		Name: "rust", Title: "Rust", Sign: "Cargo.toml or lib.rs",
		Install:   "apt-get update && apt-get install -y --no-install-recommends rustc libstd-rust-dev-wasm32 lld-14",
		recognise: func(folder string) bool { return rustSource(folder) != "" },
		find: func() error {
			_, err := findRustc()
			return err
		},
		compile: compileRust,
	}
}

const rustTarget = "wasm32-unknown-unknown"

// rustSource returns the root of the crate in a folder, "" when there is none.
func rustSource(folder string) string {
	for _, name := range []string{"src/lib.rs", "lib.rs"} {
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			return name
		}
	}
	return ""
}

// findRustc returns a compiler that has the target. One that comes first on the path need not: rustup's mostly hides
// Debian's.
func findRustc() (string, error) {
	var lacking string
	for _, name := range []string{"rustc", "/usr/bin/rustc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		libraries, err := exec.Command(path, "--print", "target-libdir", "--target", rustTarget).Output() //nolint:noctx // it prints a path
		if err != nil {
			continue
		}
		place := strings.TrimSpace(string(libraries))
		if !matches(place, "libcore-*.rlib") {
			lacking = path + " has no target " + rustTarget
			continue
		}
		// Debian's linker is a package of its own; without it this is a link to nowhere.
		if _, err := os.Stat("/usr/bin/rust-lld"); err != nil && strings.HasPrefix(place, "/usr/lib/rustlib/") {
			lacking = path + " has no linker, lld-14"
			continue
		}
		return path, nil
	}
	if lacking != "" {
		return "", errors.New(lacking)
	}
	return "", errors.New("no rustc")
}

// compileRust compiles the crate of a folder with the SDK. A folder may have a copy of the SDK, named as the crate is;
// else it is that of this build.
func compileRust(ctx context.Context, folder string) (module []byte, manifest plugins.Manifest, err error) {
	rustc, err := findRustc()
	if err != nil {
		return nil, plugins.Manifest{}, err
	}
	if err := checkDependencies(folder); err != nil {
		return nil, plugins.Manifest{}, err
	}
	if manifest, err = readManifest(folder, "tollway-rust/"+abi.Version); err != nil {
		return nil, plugins.Manifest{}, err
	}
	err = temporarily(func(temporary string) error {
		crate := filepath.Join(folder, sdk.CrateName)
		if _, err := os.Stat(filepath.Join(crate, "src/lib.rs")); err != nil {
			crate = temporary
			if err := os.CopyFS(crate, sdk.Files); err != nil {
				return err
			}
		}
		common := []string{"--edition", "2021", "--target", rustTarget, "-C", "opt-level=3", "-C", "panic=abort", "-C", "codegen-units=1"}
		library := filepath.Join(temporary, "libtollway_tariff.rlib")
		arguments := append(common, "--crate-type", "rlib", "--crate-name", "tollway_tariff", "--cap-lints", "allow", "-o", library, "src/lib.rs")
		if _, err := run(ctx, crate, nil, rustc, arguments...); err != nil {
			return fmt.Errorf("the SDK in %s does not build for WebAssembly: %w", crate, err)
		}
		out := filepath.Join(temporary, "module.wasm")
		arguments = append(common[:len(common):len(common)], "--crate-type", "cdylib", "--crate-name", "tariff", "-C", "lto=fat", "-C", "strip=symbols",
			"--extern", "tollway_tariff="+library, "-o", out, rustSource(folder))
		if _, err := run(ctx, folder, nil, rustc, arguments...); err != nil {
			return fmt.Errorf("%s does not build for WebAssembly: %w", folder, err)
		}
		module, err = os.ReadFile(out)
		return err
	})
	return module, manifest, err
}

// checkDependencies refuses a crate that needs others than the SDK: this build has no registry, and what a tariff
// consists of is to be seen in its folder.
func checkDependencies(folder string) error {
	name := filepath.Join(folder, "Cargo.toml")
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	inside := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		dependency := ""
		switch {
		case strings.HasPrefix(line, "[dependencies."):
			dependency = strings.Trim(strings.TrimPrefix(line, "[dependencies."), `]" `)
		case strings.HasPrefix(line, "["):
			inside = line == "[dependencies]"
		case inside && line != "" && line[0] != '#':
			key, _, _ := strings.Cut(line, "=")
			dependency, _, _ = strings.Cut(strings.Trim(key, `" `), ".")
		}
		if dependency != "" && dependency != sdk.CrateName {
			return fmt.Errorf("%s: depends on %s: a tariff has no dependency but %s; put what it needs into a module of its own", name, dependency, sdk.CrateName)
		}
	}
	return lines.Err()
}
