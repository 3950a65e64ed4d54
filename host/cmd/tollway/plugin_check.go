package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/tollway/tollway/plugins/author"
)

// pluginCheckCommand looks for the properties that every tariff must have.
type pluginCheckCommand struct {
	caseFlags
	Seed     uint64   `default:"1" help:"Chooses the events that are made up."`
	Samples  int      `default:"25" help:"How often each property is tried with made-up events, for each case."`
	Only     []string `placeholder:"PROPERTY" help:"Only these properties."`
	Headroom int      `default:"25" help:"Per cent of fuel and memory that must be left over."`
	Output   string   `short:"o" enum:"table,json" default:"table" help:"How to print: table or json."`
}

// checkedProperty is a property in JSON.
type checkedProperty struct {
	Name      string          `json:"name"`
	About     string          `json:"about"`
	Skipped   string          `json:"skipped,omitempty"`
	Cases     int             `json:"cases"`
	Generated int             `json:"generated"`
	Failures  []checkedFailed `json:"failures,omitempty"`
}

type checkedFailed struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Case      string `json:"case"`
	Generated bool   `json:"generated"`
	Text      string `json:"text"`
	Example   string `json:"example,omitempty"`
	Reproduce string `json:"reproduce"`
}

// Run checks the tariff. A property that does not hold, or a limit that is near, is exit 1.
func (c *pluginCheckCommand) Run(ctx context.Context, s streams) (err error) {
	if c.Samples < 0 || c.Headroom < 0 || c.Headroom > 99 {
		return usageError{errors.New("--samples must not be negative, --headroom must be 0 to 99")}
	}
	t, err := c.open(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close(ctx)) }()
	found, err := t.look(c.Plugin)
	if err != nil {
		return err
	}
	checked, err := t.Check(ctx, t.cases, author.CheckOptions{
		Seed: c.Seed, Samples: c.Samples, Only: c.Only, HeadroomPercent: c.Headroom,
	})
	if err != nil {
		return err
	}
	if c.Output == "json" {
		err = c.print(s, checked, found)
	} else {
		err = c.show(s, checked, found)
	}
	if err == nil && (!checked.Passed() || len(found) > 0) {
		err = errFound
	}
	return err
}

// look looks for what no run can show: in the sources, and in the module.
func (t *target) look(name string) ([]author.Problem, error) {
	found, err := author.CheckSources(t.folder)
	if err != nil {
		return nil, err
	}
	inModule, err := author.CheckModule(name, t.wasm)
	return append(found, inModule...), err
}

// reproduce is the command line that finds a failure again.
func (c *pluginCheckCommand) reproduce(property, name string) string {
	parts := []string{"tollway plugin check", shellWord(c.Plugin)}
	for _, place := range c.Cases {
		parts = append(parts, "--cases "+shellWord(place))
	}
	return strings.Join(append(parts, "--only "+property, "--run "+shellWord("^"+regexp.QuoteMeta(name)+"$"), fmt.Sprintf("--seed %d", c.Seed)), " ")
}

// shellWord quotes a word for a shell where it must be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-/+:@%,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (c *pluginCheckCommand) print(s streams, checked *author.Checked, sources []author.Problem) error {
	list := make([]checkedProperty, len(checked.Properties))
	for k, f := range checked.Properties {
		list[k] = checkedProperty{
			Name: f.Property.Name, About: f.Property.About, Skipped: f.Skipped, Cases: f.Cases, Generated: f.Generated,
		}
		for _, failure := range f.Failures {
			list[k].Failures = append(list[k].Failures, checkedFailed{
				File: failure.Case.File, Line: failure.Case.Line, Case: failure.Case.Name, Generated: failure.Generated,
				Text: failure.Text, Example: failure.Example, Reproduce: c.reproduce(f.Property.Name, failure.Case.Name),
			})
		}
	}
	problems := make([]string, len(sources))
	for k, p := range sources {
		problems[k] = p.String()
	}
	return printIndented(s.out, map[string]any{
		"properties": list, "limits": checked.Limits, "sources": problems, "seed": c.Seed,
		"passed": checked.Passed() && len(sources) == 0,
	})
}

func (c *pluginCheckCommand) show(s streams, checked *author.Checked, sources []author.Problem) error {
	var b strings.Builder
	p := newPaint(s.out)
	for _, problem := range sources {
		fmt.Fprintf(&b, "%s  sources   %s\n", p.bad("FAIL"), problem)
	}
	failed := 0
	for _, f := range checked.Properties {
		switch {
		case f.Skipped != "":
			fmt.Fprintf(&b, "%s  %-8s  %s\n", p.quiet("skip"), f.Property.Name, p.quiet(f.Skipped))
		case len(f.Failures) == 0:
			tried := count(f.Cases, "case")
			if f.Generated > 0 {
				tried += fmt.Sprintf(", %d made up", f.Generated)
			}
			fmt.Fprintf(&b, "%s    %-8s  %s  %s\n", p.good("ok"), f.Property.Name, f.Property.About, p.quiet("("+tried+")"))
		default:
			failed++
			fmt.Fprintf(&b, "%s  %-8s  %s\n", p.bad("FAIL"), f.Property.Name, f.Property.About)
			c.showFailures(&b, p, f)
		}
	}
	near := c.showLimits(&b, p, checked.Limits)
	verdict := p.good(count(len(checked.Properties), "property") + " checked")
	if failed+near+len(sources) > 0 {
		verdict = p.bad(fmt.Sprintf("%d of %s failed", failed, count(len(checked.Properties), "property")))
		if near > 0 {
			verdict += p.bad(", " + count(near, "limit") + " near")
		}
	}
	_, err := fmt.Fprintf(s.out, "%s%s; seed %d\n", b.String(), verdict, c.Seed)
	return err
}

func (c *pluginCheckCommand) showFailures(b *strings.Builder, p paint, f author.Finding) {
	for k, failure := range f.Failures {
		place := fmt.Sprintf("%s:%d: %s", failure.Case.File, failure.Case.Line, failure.Case.Name)
		if k > 0 {
			fmt.Fprintf(b, "      also %s\n", place)
			continue
		}
		how := ""
		if failure.Generated {
			how = ", with events made up"
		}
		fmt.Fprintf(b, "      %s%s\n      %s\n", place, how, p.bad(failure.Text))
		if failure.Example != "" {
			fmt.Fprintf(b, "      as a case:\n")
			for line := range strings.Lines(failure.Example) {
				fmt.Fprintf(b, "      %s", line)
			}
		}
		fmt.Fprintf(b, "      again: %s\n", c.reproduce(f.Property.Name, failure.Case.Name))
	}
}

// showLimits prints how near the limits are, and returns how many are too near.
func (c *pluginCheckCommand) showLimits(b *strings.Builder, p paint, limits []author.Limit) (near int) {
	for _, l := range limits {
		mark := p.good("ok") + "  "
		if l.Exceeded {
			mark, near = p.bad("FAIL"), near+1
		}
		share := ""
		if l.Most > 0 {
			tenths := l.Used * 1_000 / l.Most
			share = fmt.Sprintf("%d.%d %%", tenths/10, tenths%10)
		}
		fmt.Fprintf(b, "%s  %-8s  %s: %s of %s at most  %s\n", mark, "limits", l.What, thousands(l.Used), thousands(l.Most), p.quiet("("+share+", "+l.By+")"))
		if l.Exceeded {
			fmt.Fprintf(b, "      less than %d %% are left over\n", c.Headroom)
		}
	}
	return near
}

// thousands writes a number with its thousands apart.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for k, d := range digits {
		if k > 0 && (len(digits)-k)%3 == 0 && digits[k-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
