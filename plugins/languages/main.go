// Command languages measures what a tariff costs in each language: `make bench` runs it. It builds the example tariff
// graduated with every SDK whose toolchain is there and prices the same batches with each, in turns, through the whole
// call: what the host writes, the restore of the snapshot, the plugin under its fuel, and what the host reads. Beside
// them it prices the same events with a plain Go program without plugins, in the same rounds: on a machine with other
// work the ratio to that says more than the time.
//
//	go run ./plugins/languages [-rounds N] [-markdown] [LANGUAGE ...]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"text/tabwriter"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := compare(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// guest is where a language's tariff is, from the top of the repository, and what an event may cost with it: so many
// nanoseconds, or so many times what it costs in plain Go, whichever is kinder.
type guest struct {
	language, folder string
	goalNS, goalX    int64
}

var guests = []guest{
	{"go", "examples/tariffs/standard", 110, 20},
	{"assemblyscript", "sdk/assemblyscript/examples/graduated", 30, 6},
	{"c", "sdk/c/examples/graduated", 30, 6},
	{"rust", "sdk/rust/examples/graduated", 30, 6},
}

const roundsDefault = 15

// options are those of the command line.
type options struct {
	rounds   int
	markdown bool
	only     []string // languages; empty = all
}

// compare returns the exit code: 0, 1 for a failure, 2 for a wrong command line. A goal that is missed is no failure:
// a busy machine misses them all.
func compare(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("languages", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&o.rounds, "rounds", roundsDefault, "how often each language has its turn")
	flags.BoolVar(&o.markdown, "markdown", false, "print the table as Markdown")
	if err := flags.Parse(arguments); err != nil {
		return 2
	}
	o.only = flags.Args()
	for _, name := range o.only {
		if !slices.ContainsFunc(guests, func(g guest) bool { return g.language == name }) {
			fmt.Fprintf(stderr, "languages: there is no language %s\n", name)
			return 2
		}
	}
	if o.rounds < 1 {
		fmt.Fprintln(stderr, "languages: -rounds must be at least 1")
		return 2
	}
	if err := o.run(ctx, stdout); err != nil {
		fmt.Fprintln(stderr, "languages:", err)
		return 1
	}
	return 0
}

// run builds, measures and prints.
func (o *options) run(ctx context.Context, stdout io.Writer) (err error) {
	runtime, err := plugins.NewRuntime(ctx, plugins.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runtime.Close(context.WithoutCancel(ctx))) }()
	var rows []*row
	for _, g := range guests {
		if len(o.only) > 0 && !slices.Contains(o.only, g.language) {
			continue
		}
		r := &row{guest: g}
		if r.skipped = available(g.language); r.skipped == nil {
			if err := r.build(ctx, runtime); err != nil {
				return fmt.Errorf("%s: %w", g.language, err)
			}
		}
		rows = append(rows, r)
	}
	native, err := measure(ctx, rows, o.rounds)
	if err != nil {
		return err
	}
	return o.print(stdout, rows, native)
}

// available returns why a language cannot be built, nil when it can.
func available(language string) error {
	languages := build.Languages()
	k := slices.IndexFunc(languages, func(l build.Language) bool { return l.Name == language })
	if k < 0 {
		return errors.New("there is no SDK for it yet")
	}
	return languages[k].Available()
}

// print writes the table.
func (o *options) print(w io.Writer, rows []*row, native result) error {
	header := []string{"language", "ns/event, 8 a slot", "x plain Go", "ns/event, 1 a slot", "x plain Go", "goal", "fuel/event", "module"}
	lines := [][]string{{
		"plain Go", tenths(native.shapes[0].picos / 100), "1", tenths(native.shapes[1].picos / 100), "1", "", "", "",
	}}
	var skipped []string
	for _, r := range rows {
		if r.skipped != nil {
			skipped = append(skipped, fmt.Sprintf("%s is skipped: %v", r.language, r.skipped))
			continue
		}
		together, apart := r.shapes[0], r.shapes[1]
		lines = append(lines, []string{
			r.language, tenths(together.picos / 100), tenths(together.percent / 10), tenths(apart.picos / 100), tenths(apart.percent / 10), r.verdict(),
			fmt.Sprint(r.fuel), fmt.Sprintf("%d kB", (r.bytes+999)/1000),
		})
	}
	if err := o.table(w, header, lines); err != nil {
		return err
	}
	for _, s := range skipped {
		fmt.Fprintln(w, s)
	}
	return nil
}

func (o *options) table(w io.Writer, header []string, lines [][]string) error {
	if o.markdown {
		rule := make([]string, len(header))
		for k := range rule {
			rule[k] = "---"
		}
		for _, cells := range append([][]string{header, rule}, lines...) {
			fmt.Fprint(w, "|")
			for _, c := range cells {
				fmt.Fprintf(w, " %s |", c)
			}
			fmt.Fprintln(w)
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{header}, lines...) {
		for _, c := range cells {
			fmt.Fprint(t, c, "\t")
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// tenths writes n/10, with one decimal place where that says something.
func tenths(n int64) string {
	if n < 100 {
		return fmt.Sprintf("%d.%d", n/10, n%10)
	}
	return fmt.Sprint((n + 5) / 10)
}

// verdict says whether the goal is met by the batch with eight events a slot.
func (r *row) verdict() string {
	goal := fmt.Sprintf("%d ns or %d x", r.goalNS, r.goalX)
	if r.shapes[0].picos <= 1000*r.goalNS || r.shapes[0].percent <= 100*r.goalX {
		return goal + ": met"
	}
	return goal + ": missed"
}
