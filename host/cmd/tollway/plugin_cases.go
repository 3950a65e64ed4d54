package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tollway/tollway/plugins/author"
)

// pluginTestCommand prices cases and compares.
type pluginTestCommand struct {
	caseFlags
	Update bool   `help:"Write what the cases come to into their files, in place of what they expect."`
	Output string `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// testedCase is a case in JSON.
type testedCase struct {
	File        string              `json:"file"`
	Line        int                 `json:"line"`
	Name        string              `json:"name"`
	Passed      bool                `json:"passed"`
	Error       string              `json:"error,omitempty"`
	Differences []author.Difference `json:"differences,omitempty"`
}

// Run prices the cases in the engine's own loader. A case that fails is exit 1.
func (c *pluginTestCommand) Run(ctx context.Context, s streams) (err error) {
	t, err := c.open(ctx, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	results, err := t.Test(ctx, t.cases)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if !r.Passed() {
			failed++
		}
	}
	if c.Update {
		return c.update(s, results)
	}
	if c.Output == "json" {
		err = printTested(s, results, failed)
	} else {
		err = showTested(s, results, failed)
	}
	if err == nil && failed > 0 {
		err = errFound
	}
	return err
}

// update writes the expectations anew.
func (c *pluginTestCommand) update(s streams, results []*author.Result) error {
	changed, err := author.Update(results)
	if err != nil {
		return err
	}
	for _, name := range changed {
		if _, err := fmt.Fprintf(s.out, "updated %s\n", name); err != nil {
			return err
		}
	}
	for _, r := range results {
		if r.Err != nil {
			err = errors.Join(err, fmt.Errorf("%s:%d %s: %w", r.Case.File, r.Case.Line, r.Case.Name, r.Err))
		}
	}
	if err == nil && len(changed) == 0 {
		_, err = fmt.Fprintf(s.out, "%s as expected: nothing to update\n", count(len(results), "case"))
	}
	return err
}

func printTested(s streams, results []*author.Result, failed int) error {
	list := make([]testedCase, len(results))
	for k, r := range results {
		list[k] = testedCase{
			File: r.Case.File, Line: r.Case.Line, Name: r.Case.Name, Passed: r.Passed(), Differences: r.Differences,
		}
		if r.Err != nil {
			list[k].Error = r.Err.Error()
		}
	}
	return printIndented(s.out, map[string]any{"cases": list, "passed": len(results) - failed, "failed": failed})
}

// showTested prints each file with what failed in it.
func showTested(s streams, results []*author.Result, failed int) error {
	var b strings.Builder
	p := newPaint(s.out)
	for k := 0; k < len(results); {
		file := results[k].Case.File
		passed, from := 0, k
		for ; k < len(results) && results[k].Case.File == file; k++ {
			if results[k].Passed() {
				passed++
			}
		}
		if passed == k-from {
			fmt.Fprintf(&b, "%s    %s  %s\n", p.good("ok"), file, p.quiet(count(passed, "case")))
			continue
		}
		fmt.Fprintf(&b, "%s  %s  %d of %s\n", p.bad("FAIL"), file, k-from-passed, count(k-from, "case"))
		for _, r := range results[from:k] {
			showCase(&b, p, r)
		}
	}
	verdict := p.good(count(len(results), "case") + " passed")
	if failed > 0 {
		verdict = p.bad(fmt.Sprintf("%d of %s failed", failed, count(len(results), "case")))
	}
	_, err := fmt.Fprintf(s.out, "%s%s\n", b.String(), verdict)
	return err
}

// showCase prints what is not as expected: where it stands, what was wanted, what came.
func showCase(b *strings.Builder, p paint, r *author.Result) {
	if r.Passed() {
		return
	}
	fmt.Fprintf(b, "\n  %s:%d: %s\n", r.Case.File, r.Case.Line, r.Case.Name)
	if r.Err != nil {
		fmt.Fprintf(b, "    %s\n", p.bad(r.Err.Error()))
	}
	for _, d := range r.Differences {
		if d.Path == "want" {
			fmt.Fprintf(b, "    %s:%d: it expects nothing; --update writes what it comes to:\n      %s\n", d.File, d.Line, d.Got)
			continue
		}
		fmt.Fprintf(b, "    %s:%d: %s\n      want  %s\n      got   %s\n", d.File, d.Line, d.Path, p.good(orNothing(d.Want)), p.bad(orNothing(d.Got)))
	}
}

func orNothing(text string) string {
	if text == "" {
		return "(nothing)"
	}
	return text
}

// count writes a number of things.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	if strings.HasSuffix(what, "y") {
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// printIndented writes JSON for people and programs.
func printIndented(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}
