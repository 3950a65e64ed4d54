package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
	sdk "github.com/tollway/tollway/sdk/c"
)

// c is C with sdk/c, by clang and its linker, without a C library.
func c() Language {
	return Language{
		Name: "c", Title: "C", Sign: "*.c",
		Install:   "apt-get update && apt-get install -y --no-install-recommends clang-19 lld-19",
		recognise: func(folder string) bool { return matches(folder, "*.c") },
		find: func() error {
			_, _, err := findClang()
			return err
		},
		compile: compileC,
	}
}

// findClang returns the compiler and the linker: those of Debian by their version, or what is called clang.
func findClang() (clang, linker string, err error) {
	for _, version := range []string{"-19", ""} {
		clang, clangErr := exec.LookPath("clang" + version)
		linker, linkerErr := exec.LookPath("wasm-ld" + version)
		if clangErr == nil && linkerErr == nil {
			return clang, linker, nil
		}
	}
	return "", "", errors.New("no clang-19 with wasm-ld-19")
}

// builtins is what a product of two __int128 calls, where Debian has it (libclang-rt-19-dev-wasm32). The SDK does
// without.
const builtins = "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"

// compileC compiles all C files of a folder. A folder may have a copy of the header; else it is that of this build.
func compileC(ctx context.Context, folder string) (module []byte, manifest plugins.Manifest, err error) {
	clang, linker, err := findClang()
	if err != nil {
		return nil, plugins.Manifest{}, err
	}
	if manifest, err = readManifest(folder, "tollway-c/"+abi.Version); err != nil {
		return nil, plugins.Manifest{}, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.c"))
	if err != nil {
		return nil, plugins.Manifest{}, err
	}
	slices.Sort(files)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	err = temporarily(func(temporary string) error {
		if err := os.WriteFile(filepath.Join(temporary, sdk.HeaderName), sdk.Header, 0o600); err != nil {
			return err
		}
		out := filepath.Join(temporary, "module.wasm")
		arguments := append([]string{
			"--target=wasm32-unknown-unknown", "-std=c17", "-O2", "-ffreestanding", "-nostdlib", "-mbulk-memory",
			"-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-Werror=unused-result", "-ffile-prefix-map=" + temporary + "=.",
			"-I.", "-I" + temporary, "-fuse-ld=" + linker, "-Wl,--no-entry", "-Wl,-z,stack-size=65536", "-Wl,--strip-all", "-o", out,
		}, files...)
		if _, err := os.Stat(builtins); err == nil {
			arguments = append(arguments, builtins)
		}
		if _, err := run(ctx, folder, nil, clang, arguments...); err != nil {
			return fmt.Errorf("%s does not build for WebAssembly: %w", folder, err)
		}
		module, err = os.ReadFile(out)
		return err
	})
	return module, manifest, err
}
