// Command conformance holds the SDKs of all languages against each other: `make conformance`. In each language whose
// toolchain is there it builds two plugins and runs them in the engine's own loader: the tariff conformance, which
// must answer every case of sdk/conformance as that file says, and the example tariff graduated, which must answer
// as its twin in Go does.
//
//	go run ./plugins/conformance [-install] [-v] [LANGUAGE ...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/tollway/tollway/plugins/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := conform(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errDiffer is the error of a run that found differences.
var errDiffer = errors.New("the SDKs differ")

// options are those of the command line.
type options struct {
	install, verbose bool
	only             []string // languages; empty = all
}

// conform returns the exit code: 0, 1 for a difference or a failure, 2 for a wrong command line.
func conform(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("conformance", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.install, "install", false, "install toolchains that are missing, where Debian has them")
	flags.BoolVar(&o.verbose, "v", false, "show all differences, not the first few")
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	o.only = flags.Args()
	for _, name := range o.only {
		if !slices.ContainsFunc(guests, func(g guest) bool { return g.language == name }) {
			fmt.Fprintf(stderr, "conformance: there is no language %s\n", name)
			return 2
		}
	}
	if err := o.run(ctx, stdout, stderr); err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return 1
	}
	return 0
}

// guest is where a language's plugins are, from the top of the repository.
type guest struct{ language, conformance, graduated string }

var guests = []guest{
	{"go", "sdk/conformance/guests/go", "examples/tariffs/standard"},
	{"assemblyscript", "sdk/conformance/guests/assemblyscript", "sdk/assemblyscript/examples/graduated"},
	{"c", "sdk/conformance/guests/c", "sdk/c/examples/graduated"},
	{"rust", "sdk/conformance/guests/rust", "sdk/rust/examples/graduated"},
}

// run builds, runs and compares, and prints a table.
func (o *options) run(ctx context.Context, stdout, stderr io.Writer) error {
	bench, err := newBench(ctx)
	if err != nil {
		return err
	}
	var reports []report
	for _, g := range guests {
		// Go is what the others are compared with, so it is always run.
		if g.language != "go" && len(o.only) > 0 && !slices.Contains(o.only, g.language) {
			continue
		}
		r := report{language: g.language}
		if r.skipped = o.prepare(ctx, g, stderr); r.skipped == nil {
			if err := bench.run(ctx, g, &r); err != nil {
				return errors.Join(fmt.Errorf("%s: %w", g.language, err), bench.close(ctx))
			}
		}
		reports = append(reports, r)
	}
	if err := bench.close(ctx); err != nil {
		return err
	}
	return o.print(stdout, reports)
}

// prepare sees to the toolchain of a language, and returns why it cannot be built.
func (o *options) prepare(ctx context.Context, g guest, stderr io.Writer) error {
	languages := build.Languages()
	k := slices.IndexFunc(languages, func(l build.Language) bool { return l.Name == g.language })
	if k < 0 {
		return errors.New("plugins/build does not know the language")
	}
	l := languages[k]
	missing := l.Available()
	if missing == nil || !o.install || l.Install == "" {
		return missing
	}
	fmt.Fprintf(stderr, "conformance: %s\n", l.Install)
	command := exec.CommandContext(ctx, "sh", "-c", l.Install)
	command.Stderr = stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%w; installing it failed: %w", missing, err)
	}
	return l.Available()
}

// report is what became of a language.
type report struct {
	language    string
	skipped     error
	decimals    result
	graduated   result
	bytes       int           // of the graduated plugin
	buildTime   time.Duration // of both plugins
	fuel        int64         // for an event of graduated
	differences []string
}

// result counts cases.
type result struct{ passed, total int }

func (r result) String() string { return fmt.Sprintf("%d/%d", r.passed, r.total) }

// differencesShown is how many differences of a language are shown.
const differencesShown = 10

// print writes the table, and then what differs.
func (o *options) print(w io.Writer, reports []report) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "language\tdecimals\tgraduated\tmodule\tfuel/event\tbuilt in")
	failed := false
	for i := range reports {
		r := &reports[i]
		if r.skipped != nil {
			fmt.Fprintf(table, "%s\tskipped: %v\n", r.language, r.skipped)
			continue
		}
		fmt.Fprintf(table, "%s\t%v\t%v\t%d bytes\t%d\t%v\n",
			r.language, r.decimals, r.graduated, r.bytes, r.fuel, r.buildTime.Round(10*time.Millisecond))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range reports {
		r := &reports[i]
		failed = failed || len(r.differences) > 0
		for k, d := range r.differences {
			if k == differencesShown && !o.verbose {
				fmt.Fprintf(w, "%s: and %d more (-v shows them)\n", r.language, len(r.differences)-k)
				break
			}
			fmt.Fprintf(w, "%s: %s\n", r.language, d)
		}
	}
	if failed {
		return errDiffer
	}
	return nil
}
