// Command run holds the corpus of hostile modules against the engine and prints how each ended. It fails when one
// ended otherwise than it must. With arguments it runs only the cases whose names contain one of them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins/hostile"
)

func main() {
	cache := flag.String("cache", "", "folder for compiled code; empty = one that is removed afterwards")
	flag.Parse()
	if err := run(context.Background(), *cache, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(ctx context.Context, cache string, names []string) (err error) {
	if cache == "" {
		dir, err := os.MkdirTemp("", "hostile-")
		if err != nil {
			return err
		}
		defer func() {
			if e := os.RemoveAll(dir); err == nil {
				err = e
			}
		}()
		cache = filepath.Join(dir, "cache")
	}
	cases := hostile.Corpus()
	if len(names) > 0 {
		cases = slices.DeleteFunc(cases, func(c hostile.Case) bool {
			return !slices.ContainsFunc(names, func(name string) bool { return strings.Contains(c.Name, name) || c.Group == name })
		})
	}
	write(fmt.Sprintf(row, "", "case", "must end", "load", "call", "memory") + "ended")
	report, err := hostile.Run(ctx, hostile.Config{CacheDir: cache, Strict: true, Each: func(r *hostile.Result) {
		mark := "ok"
		if len(r.Problems) > 0 {
			mark = "FAIL"
		}
		write(fmt.Sprintf(row, mark, r.Case.Name, r.Case.Want, rounded(r.Load), rounded(r.Call), fmt.Sprintf("%d MiB", r.Memory>>20)) + cut(r.Got))
		for _, p := range r.Problems {
			write("     " + p)
		}
	}}, cases)
	if err != nil {
		return err
	}
	write(fmt.Sprintf("\n%d cases, %d failed", report.Cases, report.Failed))
	write(fmt.Sprintf("calls that only fuel ended, processor time:  %s", report.Calls))
	write(fmt.Sprintf("starts and configurations that only fuel ended: %s", report.Starts))
	write(fmt.Sprintf("the honest tariff alone, a batch:            %s", report.Alone))
	write(fmt.Sprintf("the honest tariff beside them, a batch:      %s", report.Beside))
	if report.Failed > 0 {
		return fmt.Errorf("%d cases ended otherwise than they must", report.Failed)
	}
	return nil
}

const row = "%-4s %-58s %-22s %9s %9s %8s  "

// textMax is how much of a reason stands in a row.
const textMax = 110

func cut(text string) string {
	text = strings.ReplaceAll(text, "\n", " ")
	if len(text) > textMax {
		text = text[:textMax] + "…"
	}
	return text
}

func rounded(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(10 * time.Microsecond).String()
}

func write(line string) { fmt.Fprintln(os.Stdout, line) }
