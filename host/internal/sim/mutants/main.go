// Mutants proves that the simulator finds bugs: it plants one after the other,
// runs seeds until one fails, and prints how many that took and which assertion
// it was.
//
//	go run ./host/internal/sim/mutants [-seeds N] [part of a name]
//
// It fails when a mutant is not found, and when the code has moved on so that one
// cannot be planted any more.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	seeds := flag.Int("seeds", 200, "how many seeds a mutant may survive at most, but for a few rare ones")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *seeds, strings.Join(flag.Args(), " ")); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// found says what became of a mutant.
type found struct{ seeds, by string }

// rare are the bugs for which more has to come together than most worlds have, with how
// many seeds they may survive where that is more than others may. All are as many as the
// tests run, or fewer.
var rare = map[string]int{
	"late usage has all of its period folded by the catalog of then": 500,
	"catalog that reaches back leaves closed periods as they are":    500,
	"adjustment forgets the one before it":                           1000,
	"void not restored after a crash":                                1000,
}

// run plants the mutants whose names have a text.
func run(ctx context.Context, out io.Writer, seeds int, name string) error {
	dir, err := os.MkdirTemp("", "tollway-mutants-")
	if err != nil {
		return err
	}
	const row = "%-62s %5s  %s\n"
	fmt.Fprintf(out, row, "mutant", "seeds", "found by")
	var problems []error
	number, dead := 0, 0
	for _, m := range mutants {
		if !strings.Contains(m.name, name) {
			continue
		}
		number++
		f, err := try(ctx, dir, m, max(seeds, rare[m.name]))
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", m.name, err))
			f = found{"-", "NOT FOUND"}
		} else {
			dead++
		}
		fmt.Fprintf(out, row, m.name, f.seeds, f.by)
	}
	fmt.Fprintf(out, "%d of %d mutants found\n", dead, number)
	if number == 0 {
		problems = append(problems, fmt.Errorf("no mutant has %q in its name", name))
	}
	return errors.Join(append(problems, os.RemoveAll(dir))...)
}

// try builds the simulation with a mutant in the program and runs it.
func try(ctx context.Context, dir string, m mutant, seeds int) (found, error) {
	overlay, err := plant(dir, m)
	if err != nil {
		return found{}, err
	}
	program := filepath.Join(dir, "simulation")
	build := exec.CommandContext(ctx, "go", "test", "-vet=off", "-overlay", overlay, "-c", "-o", program, "./host/internal/sim")
	if text, err := build.CombinedOutput(); err != nil {
		return found{}, fmt.Errorf("it does not compile: %w\n%s", err, text)
	}
	cmd := exec.CommandContext(ctx, program, "-test.run", "^TestSimulation$", "-test.timeout", "20m", "-onebyone", "-seeds", fmt.Sprint(seeds))
	cmd.Dir = filepath.Join("host", "internal", "sim")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if cmd.Run() == nil {
		return found{}, fmt.Errorf("%d seeds have not found it", seeds)
	}
	return read(text.Bytes())
}

// read finds in the output of a simulation which seed has failed, and how.
func read(text []byte) (found, error) {
	f := found{by: "the program ends"}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		if _, rest, ok := strings.Cut(line, "sim: seed "); ok {
			number, what, _ := strings.Cut(rest, " ")
			f.seeds = number
			if what != "" {
				f.by = what
			}
		}
		if strings.HasPrefix(line, "panic:") {
			f.by = line
		}
	}
	if f.seeds == "" {
		return f, fmt.Errorf("it has not run:\n%s", text)
	}
	return f, nil
}

// plant writes the changed files and the map of them that the compiler takes.
func plant(dir string, m mutant) (overlay string, err error) {
	replace, changed := map[string]string{}, map[string]string{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			b, err := os.ReadFile(e.file)
			if err != nil {
				return "", err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return "", fmt.Errorf("it cannot be planted any more: %s has %q %d times; bring list.go up to date", e.file, e.old, n)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	for file, text := range changed {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", err
		}
		whole, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		replace[whole] = path
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, data, 0o600)
}
