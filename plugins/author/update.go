package author

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Update writes what the cases came to into their files, in place of what they expected. Text that is right, comments
// and order stay; of a file only the lines of the expectations that differ are written anew. It returns the names of
// the files that were changed.
//
// # Errors
//
// A file cannot be written. Cases that could not be priced are left as they are.
func Update(results []*Result) ([]string, error) {
	var sources []*source
	edits := map[*source][]edit{}
	for _, r := range results {
		for _, u := range r.updates {
			from := r.Case.source
			if from == nil {
				continue
			}
			if !slices.Contains(sources, from) {
				sources = append(sources, from)
			}
			edits[from] = append(edits[from], u.edit())
		}
	}
	var changed []string
	for _, s := range sources {
		text, err := s.apply(edits[s])
		if err != nil {
			return changed, fmt.Errorf("%s: %w", s.name, err)
		}
		if err := os.WriteFile(s.name, text, 0o644); err != nil {
			return changed, err
		}
		changed = append(changed, s.name)
	}
	return changed, nil
}

// edit is a mapping whose want is to be written: in place of the one there is, or behind what there is.
type edit struct {
	parent, want *yaml.Node
	isNew        bool
}

// edit changes the nodes of what is expected.
func (u update) edit() edit {
	e := edit{parent: u.period.node, want: u.period.want}
	if e.want == nil {
		e.isNew = true
		e.want = &yaml.Node{Kind: yaml.MappingNode}
		u.period.want = e.want
	}
	u.facts.writeTo(e.want, e.isNew)
	if e.isNew {
		insertWant(e.parent, e.want)
	}
	return e
}

// insertWant adds want to a mapping, in front of then.
func insertWant(parent, want *yaml.Node) {
	at := len(parent.Content)
	for i := 0; i+1 < len(parent.Content); i += 2 {
		if parent.Content[i].Value == "then" {
			at = i
		}
	}
	parent.Content = slices.Insert(parent.Content, at, &yaml.Node{Kind: yaml.ScalarNode, Value: "want"}, want)
}

// writeTo makes the nodes say what the facts are. An invoice and a total are written where they were, or with all
// that is new.
func (f *facts) writeTo(want *yaml.Node, all bool) {
	if f.refused != "" {
		want.Content = nil
		set(want, "refused", f.refused)
		return
	}
	remove(want, "refused")
	all = all || len(want.Content) == 0
	f.writeLines(want)
	writeMembers(want, "rejects", f.rejects, len(f.rejects) > 0, sameReject)
	if _, n := child(want, "carry"); n != nil || all && f.carry != "" {
		set(want, "carry", f.carry)
	}
	if _, n := child(want, "invoice"); n != nil || all && len(f.invoice) > 0 {
		writeMembers(want, "invoice", f.invoice, true, equal)
	}
	if _, n := child(want, "total"); n != nil && !equal(n.Value, f.total) || n == nil && all {
		set(want, "total", f.total)
	}
}

// section returns a mapping inside a mapping, which is made when it is not there.
func section(mapping *yaml.Node, name string) *yaml.Node {
	if _, n := child(mapping, name); n != nil {
		return n
	}
	n := &yaml.Node{Kind: yaml.MappingNode}
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, n)
	return n
}

// set makes a member of a mapping say something, quoted as it was.
func set(mapping *yaml.Node, name, value string) {
	_, n := child(mapping, name)
	if n == nil {
		n = &yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle}
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, n)
	}
	*n = yaml.Node{
		Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: n.Style & (yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle),
		HeadComment: n.HeadComment, LineComment: n.LineComment, FootComment: n.FootComment,
	}
	if n.Style == 0 && isNumber(value) {
		n.Tag = ""
	}
}

func isNumber(s string) bool { return equal(s, s) }

// remove takes a member out of a mapping.
func remove(mapping *yaml.Node, name string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// keep takes out the members of a mapping that are not among the names.
func keep(mapping *yaml.Node, has func(name string) bool) {
	for i := len(mapping.Content) - 2; i >= 0; i -= 2 {
		if !has(mapping.Content[i].Value) {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
		}
	}
}

func (f *facts) writeLines(want *yaml.Node) {
	lines := section(want, "lines")
	keep(lines, func(name string) bool {
		return slices.ContainsFunc(f.lines, func(l lineFact) bool { return l.id == name })
	})
	for _, l := range f.lines {
		_, n := child(lines, l.id)
		switch {
		case n == nil:
			n = section(lines, l.id)
			n.Style = yaml.FlowStyle
			set(n, "quantity", l.quantity)
			set(n, "amount", l.amount)
		case n.Kind == yaml.ScalarNode:
			replace(lines, l.id, l.amount, equal)
		default:
			replace(n, "quantity", l.quantity, equal)
			replace(n, "amount", l.amount, equal)
		}
	}
	if len(lines.Content) == 0 {
		lines.Style |= yaml.FlowStyle // only so can a mapping of nothing be written
	}
}

// replace sets a member that is there and not right.
func replace(mapping *yaml.Node, name, value string, same func(want, got string) bool) {
	if _, n := child(mapping, name); n != nil && !same(n.Value, value) {
		set(mapping, name, value)
	}
}

// writeMembers makes a mapping hold the facts; with none of them it goes, unless it is to stay.
func writeMembers(want *yaml.Node, name string, list []fact, stay bool, same func(want, got string) bool) {
	if _, n := child(want, name); n == nil && !stay {
		return
	}
	if len(list) == 0 {
		remove(want, name)
		return
	}
	n := section(want, name)
	keep(n, func(name string) bool {
		return slices.ContainsFunc(list, func(f fact) bool { return f.key == name })
	})
	for _, f := range list {
		if _, have := child(n, f.key); have == nil {
			set(n, f.key, f.value)
			continue
		}
		replace(n, f.key, f.value, same)
	}
}

// apply returns the text of the file with the edits.
func (s *source) apply(edits []edit) ([]byte, error) {
	if slices.ContainsFunc(edits, func(e edit) bool { return e.parent.Style&yaml.FlowStyle != 0 }) {
		return s.rewritten()
	}
	lines := strings.SplitAfter(string(s.data), "\n")
	// From the end, so that the lines in front keep their numbers.
	slices.SortFunc(edits, func(a, b edit) int { return b.line() - a.line() })
	for _, e := range edits {
		var err error
		if lines, err = e.splice(lines); err != nil {
			return nil, err
		}
	}
	text := []byte(strings.Join(lines, ""))
	var check yaml.Node
	if err := yaml.Unmarshal(text, &check); err != nil {
		return s.rewritten()
	}
	return text, nil
}

// rewritten is the whole file as the YAML library writes it.
func (s *source) rewritten() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(s.root); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// line is that of the key want, or of the key behind which it will stand.
func (e edit) line() int {
	line := e.parent.Line
	for i := 0; i+1 < len(e.parent.Content); i += 2 {
		switch k := e.parent.Content[i]; {
		case k.Value == "want" && !e.isNew:
			return k.Line
		case k.Value == "want":
			return line
		default:
			line = k.Line
		}
	}
	return line
}

// splice writes want into the lines of the file.
func (e edit) splice(lines []string) ([]string, error) {
	column := e.parent.Content[0].Column
	text, err := e.text(column - 1)
	if err != nil {
		return nil, err
	}
	var from, to int
	switch {
	case !e.isNew:
		from = e.line() - 1
		to = blockEnd(lines, from, column-1)
		// What stands in front of the key in its line, such as the dash of a list, stays.
		text = lines[from][:column-1] + strings.TrimLeft(text, " ")
	default:
		from = blockEnd(lines, e.line()-1, column-1)
		to = from
		if from > 0 && !strings.HasSuffix(lines[from-1], "\n") {
			text = "\n" + text
		}
	}
	return slices.Concat(lines[:from], []string{text}, lines[to:]), nil
}

// text is want as YAML, indented by so many columns.
func (e edit) text(indent int) (string, error) {
	for last := e.want; ; {
		last.FootComment = "" // the lines behind the block are not touched
		if len(last.Content) == 0 {
			break
		}
		if len(last.Content) > 1 {
			last.Content[len(last.Content)-2].FootComment = ""
		}
		last = last.Content[len(last.Content)-1]
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	key := &yaml.Node{Kind: yaml.ScalarNode, Value: "want"}
	if err := encoder.Encode(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{key, e.want}}); err != nil {
		return "", err
	}
	var out strings.Builder
	for line := range strings.Lines(b.String()) {
		if strings.TrimSpace(line) != "" {
			out.WriteString(strings.Repeat(" ", indent))
		}
		out.WriteString(line)
	}
	return out.String(), nil
}

// blockEnd returns the line behind the block of a key that stands in line from at the given indentation. Blank lines
// and comments behind the last value belong to what follows.
func blockEnd(lines []string, from, indent int) int {
	end := from + 1
	for i := from + 1; i < len(lines); i++ {
		trimmed := strings.TrimLeft(lines[i], " ")
		switch depth := len(lines[i]) - len(trimmed); {
		case strings.TrimSpace(trimmed) == "" || strings.HasPrefix(trimmed, "#"):
			continue
		case depth < indent, depth == indent && !strings.HasPrefix(trimmed, "- "): // a list may stand as far left as its key
			return end
		}
		end = i + 1
	}
	return end
}
