// Command pack builds the plugin in a folder and writes it to a file: what `make tariffs` runs. It is a command of its
// own because the binary that could do it, tollway, wants the result inside.
//
//	go run ./plugins/builtin/pack -o plugins/builtin/standard.wasm ./examples/tariffs/standard
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := pack(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// pack returns the exit code: 0, 1 for a failure, 2 for a wrong command line.
func pack(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.SetOutput(stderr)
	out := flags.String("o", "", "the `file` to write the plugin to")
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	if *out == "" || flags.NArg() != 1 {
		fmt.Fprintln(stderr, "usage: pack -o FILE FOLDER")
		return 2
	}
	wasm, err := build.Folder(ctx, flags.Arg(0))
	if err == nil {
		err = replace(*out, wasm)
	}
	if err != nil {
		fmt.Fprintln(stderr, "pack:", err)
		return 1
	}
	fmt.Fprintf(stdout, "%s %d bytes %s\n", *out, len(wasm), plugins.Digest(wasm))
	return 0
}

// replace writes the file beside its place and moves it there, so that nobody embeds half a module.
func replace(name string, data []byte) error {
	beside := name + ".new"
	if err := os.WriteFile(beside, data, 0o644); err != nil {
		return err
	}
	return os.Rename(beside, name)
}
