package author

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/sdk/billing"
)

// source is a file of cases.
type source struct {
	name string
	data []byte
	root *yaml.Node // the document
}

// Problem is something that is wrong with a file of cases.
type Problem struct {
	File string
	Line int // from 1; 0 for none
	Text string
}

// String is "file:line: text", or "file: text" for what concerns no line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// ProblemsError is everything that is wrong with the files of cases.
type ProblemsError []Problem

// Error lists the problems, one a line.
func (e ProblemsError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// FindCases returns the files of cases that belong to a folder: *.yaml and *.yml of its folder cases, sorted. There
// may be none.
func FindCases(folder string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(folder, "cases"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yaml" || ext == ".yml") {
			files = append(files, filepath.Join(folder, "cases", e.Name()))
		}
	}
	return files, nil
}

// ReadCases reads files of cases.
//
// # Errors
//
// A file that cannot be read, or a [ProblemsError] with everything that is wrong in all of them.
func ReadCases(files ...string) ([]*Case, error) {
	var cases []*Case
	var problems ProblemsError
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		read, wrong := ParseCases(name, data)
		cases, problems = append(cases, read...), append(problems, wrong...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return cases, nil
}

// ParseCases reads one file of cases. Name is what problems call it.
func ParseCases(name string, data []byte) ([]*Case, []Problem) {
	r := &reader{source: &source{name: name, data: data}}
	var document yaml.Node
	switch err := yaml.Unmarshal(data, &document); {
	case err != nil:
		r.problem(1, "%s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil, r.problems
	case len(document.Content) == 0:
		r.problem(1, "holds no cases")
		return nil, r.problems
	}
	r.source.root = &document
	r.file(document.Content[0])
	return r.cases, r.problems
}

// reader reads one file.
type reader struct {
	source   *source
	common   Case // what the file says for all its cases
	cases    []*Case
	problems []Problem
	values   int // of the parameters at hand
}

func (r *reader) problem(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{r.source.name, line, fmt.Sprintf(format, args...)})
}

// field reads the value of one key.
type field struct {
	name string
	read func(n *yaml.Node)
}

// mapping reads a mapping, in the order of the fields, and reports keys that are not among them.
func (r *reader) mapping(n *yaml.Node, what string, fields ...field) {
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		r.problem(n.Line, "%s must be a mapping", what)
		return
	}
	values := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if values[key.Value] != nil {
			r.problem(key.Line, "%s is there twice", key.Value)
		}
		values[key.Value] = n.Content[i+1]
		if !slices.ContainsFunc(fields, func(f field) bool { return f.name == key.Value }) {
			names := make([]string, len(fields))
			for k := range fields {
				names[k] = fields[k].name
			}
			r.problem(key.Line, "%s has no key %q; it has %s", what, key.Value, strings.Join(names, ", "))
		}
	}
	for _, f := range fields {
		if v := values[f.name]; v != nil {
			f.read(resolve(v))
		}
	}
}

// list reads each element of a list.
func (r *reader) list(n *yaml.Node, what string, read func(n *yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.problem(n.Line, "%s must be a list", what)
		return
	}
	for _, element := range n.Content {
		read(resolve(element))
	}
}

// resolve follows aliases.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// file reads the top of a file.
func (r *reader) file(n *yaml.Node) {
	top := &r.common
	fields := append(r.heading(top), field{"cases", func(n *yaml.Node) { r.list(n, "cases", r.oneCase) }})
	r.mapping(n, "a file of cases", fields...)
	if len(r.cases) == 0 && len(r.problems) == 0 {
		r.problem(n.Line, "holds no cases")
	}
	seen := map[string]int{}
	for _, c := range r.cases {
		if first := seen[c.Name]; first > 0 {
			r.problem(c.Line, "case %q is there already, in line %d", c.Name, first)
		}
		seen[c.Name] = c.Line
	}
}

// heading are the fields that a file may say for all of its cases.
func (r *reader) heading(c *Case) []field {
	return []field{
		{"tariff", func(n *yaml.Node) { c.Tariff = r.text(n, "tariff") }},
		{"currency", func(n *yaml.Node) { c.Currency = r.currency(n) }},
		{"time_zone", func(n *yaml.Node) { c.Zone = r.zone(n) }},
		{"account", func(n *yaml.Node) { r.text(n, "account") }}, // for readers: a tariff does not see it
		{"rounding", func(n *yaml.Node) { c.Rounding = r.rounding(n) }},
		{"params", func(n *yaml.Node) { c.Params = r.params(n) }},
	}
}

// oneCase reads a case.
func (r *reader) oneCase(n *yaml.Node) {
	c := r.common
	c.File, c.Line, c.node, c.source = r.source.name, n.Line, n, r.source
	first := Period{node: n}
	var then *yaml.Node
	fields := append(
		append([]field{{"name", func(n *yaml.Node) { c.Name = r.text(n, "name") }}}, r.heading(&c)...),
		field{"carry", func(n *yaml.Node) { c.CarryIn = r.bytes(n, "carry") }},
	)
	fields = append(fields, r.period(&c, &first, nil)...)
	fields = append(fields, field{"then", func(n *yaml.Node) { then = n }})
	r.mapping(n, "a case", fields...)
	if c.Name == "" {
		r.problem(n.Line, "the case has no name")
	}
	r.complete(&first, january(c.Zone))
	c.Periods = []Period{first}
	if then != nil {
		r.list(then, "then", func(n *yaml.Node) {
			last := c.Periods[len(c.Periods)-1]
			p := Period{node: n}
			r.mapping(n, "a period of then", r.period(&c, &p, &last)...)
			r.complete(&p, after(last.Period, c.Zone))
			c.Periods = append(c.Periods, p)
		})
	}
	r.cases = append(r.cases, &c)
}

// after is the period that follows one: a month later where that is one of the calendar, else as long again.
func after(p billing.Period, zone *time.Location) billing.Period {
	if zone == nil {
		zone = time.UTC
	}
	calendar := billing.Calendar{Zone: zone, AnchorDay: p.Start.In(zone).Day()}
	if calendar.PeriodOf(p.Start).Equal(p) {
		return calendar.Next(p)
	}
	return billing.Period{Start: p.End, End: p.End.Add(p.End.Sub(p.Start))}
}

// complete fills in what a period does not say.
func (r *reader) complete(p *Period, otherwise billing.Period) {
	if p.Start.IsZero() {
		p.Period = otherwise
	}
	if p.Active.Start.IsZero() {
		p.Active.Start = p.Start
	}
	if p.Active.End.IsZero() {
		p.Active.End = p.End
	}
	for i := range p.Events {
		if e := &p.Events[i]; e.Time.IsZero() {
			e.Time = p.Start
		}
	}
}

// period are the fields of one period, of a case or of its then.
func (r *reader) period(c *Case, p, before *Period) []field {
	return []field{
		{"period", func(n *yaml.Node) { p.Period = r.span(n, c.Zone) }},
		{"active", func(n *yaml.Node) {
			r.mapping(n, "active",
				field{"from", func(n *yaml.Node) { p.Active.Start = r.time(n, c.Zone) }},
				field{"until", func(n *yaml.Node) { p.Active.End = r.time(n, c.Zone) }})
		}},
		{"open", func(n *yaml.Node) { p.Open = r.boolean(n, "open") }},
		{"events", func(n *yaml.Node) {
			start := p.Start
			if start.IsZero() && before == nil {
				start = january(c.Zone).Start
			} else if start.IsZero() {
				start = after(before.Period, c.Zone).Start
			}
			r.list(n, "events", func(n *yaml.Node) { r.event(n, c, p, start) })
		}},
		{"want", func(n *yaml.Node) { r.want(n, p) }},
	}
}

// bytes reads hexadecimal digits.
func (r *reader) bytes(n *yaml.Node, what string) []byte {
	b, err := hex.DecodeString(strings.TrimPrefix(r.text(n, what), "0x"))
	if err != nil {
		r.problem(n.Line, "%s must be hexadecimal digits, as `tollway plugin test` prints them", what)
	}
	return bytes.Clone(b)
}
