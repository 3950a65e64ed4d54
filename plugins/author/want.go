package author

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/sdk/billing"
)

// Difference is one thing that a case expects and that is not so, or the other way round.
type Difference struct {
	File string `json:"file"`
	Line int    `json:"line"`
	// Path names what differs, such as lines.usage.amount.
	Path string `json:"path"`
	// Want and Got are empty where there is nothing.
	Want string `json:"want"`
	Got  string `json:"got"`
}

// want holds that what is expected has the form that it must have.
func (r *reader) want(n *yaml.Node, p *Period) {
	p.want = n
	number := func(what string) func(*yaml.Node) { return func(n *yaml.Node) { r.decimal(n, what) } }
	each := func(what string, read func(key string, n *yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			if n.Kind != yaml.MappingNode {
				r.problem(n.Line, "%s must be a mapping", what)
				return
			}
			for i := 0; i+1 < len(n.Content); i += 2 {
				read(n.Content[i].Value, resolve(n.Content[i+1]))
			}
		}
	}
	r.mapping(n, "want",
		field{"refused", func(n *yaml.Node) { r.text(n, "refused") }},
		field{"lines", each("lines", func(id string, n *yaml.Node) {
			if n.Kind == yaml.ScalarNode {
				r.decimal(n, id)
				return
			}
			r.mapping(n, "line "+id, field{"quantity", number("quantity")}, field{"amount", number("amount")})
		})},
		field{"rejects", each("rejects", func(id string, n *yaml.Node) {
			r.text(n, id)
			if !slices.ContainsFunc(p.Events, func(e Event) bool { return e.ID == id }) {
				r.problem(n.Line, "there is no event %q: an event without an id is named by its number, from 1", id)
			}
		})},
		field{"carry", func(n *yaml.Node) { r.bytes(n, "carry") }},
		field{"invoice", each("invoice", func(id string, n *yaml.Node) { r.decimal(n, id) })},
		field{"total", number("total")})
}

// child returns the key and the value of a member of a mapping, nil when it has none.
func child(mapping *yaml.Node, name string) (key, value *yaml.Node) {
	if mapping == nil {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i], resolve(mapping.Content[i+1])
		}
	}
	return nil, nil
}

// comparison collects differences.
type comparison struct {
	file  string
	line  int // of the section at hand
	found []Difference
}

func (c *comparison) add(line int, path, want, got string) {
	c.found = append(c.found, Difference{c.file, line, path, want, got})
}

// compare holds facts against what a period expects. Lines and rejects that are not expected are differences; a
// carry, an invoice or a total counts where it is named.
func (p *Period) compare(file string, f *facts) []Difference {
	c := &comparison{file: file, line: p.want.Line}
	if _, n := child(p.want, "refused"); n != nil || f.refused != "" {
		c.scalar(n, "refused", f.refused, same)
		return c.found
	}
	c.lines(p.want, f.lines)
	c.members(p.want, "rejects", f.rejects, sameReject)
	if _, n := child(p.want, "carry"); n != nil {
		c.scalar(n, "carry", f.carry, func(want, got string) bool { return strings.TrimPrefix(want, "0x") == got })
	}
	if _, n := child(p.want, "invoice"); n != nil {
		c.members(p.want, "invoice", f.invoice, equal)
	}
	if _, n := child(p.want, "total"); n != nil {
		c.scalar(n, "total", f.total, equal)
	}
	return c.found
}

// same, equal and sameReject tell whether what is wanted is what was got: text, a number, a reject, of which the
// reason alone may be named.
func same(want, got string) bool { return want == got }

func equal(want, got string) bool {
	a, errA := billing.ParseDecimal(want)
	b, errB := billing.ParseDecimal(got)
	return errA == nil && errB == nil && a == b
}

func sameReject(want, got string) bool {
	reason, _, _ := strings.Cut(got, ":")
	return want == got || want == reason
}

// scalar compares one value; n is nil where none is expected.
func (c *comparison) scalar(n *yaml.Node, path, got string, same func(want, got string) bool) {
	switch {
	case n == nil:
		c.add(c.line, path, "", got)
	case !same(n.Value, got):
		c.add(n.Line, path, n.Value, got)
	}
}

// members compares a mapping of names to values.
func (c *comparison) members(want *yaml.Node, section string, got []fact, same func(want, got string) bool) {
	key, n := child(want, section)
	line := c.line
	if key != nil {
		line = key.Line
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i].Value, resolve(n.Content[i+1])
			k := slices.IndexFunc(got, func(f fact) bool { return f.key == name })
			switch {
			case k < 0:
				c.add(value.Line, section+"."+name, value.Value, "")
			case !same(value.Value, got[k].value):
				c.add(value.Line, section+"."+name, value.Value, got[k].value)
			}
		}
	}
	for _, f := range got {
		if _, value := child(n, f.key); value == nil {
			c.add(line, section+"."+f.key, "", f.value)
		}
	}
}

// lines compares line items. One that is not expected must be zero.
func (c *comparison) lines(want *yaml.Node, got []lineFact) {
	key, n := child(want, "lines")
	line := c.line
	if key != nil {
		line = key.Line
		for i := 0; i+1 < len(n.Content); i += 2 {
			id, value := n.Content[i].Value, resolve(n.Content[i+1])
			have := lineFact{id, "0", "0"}
			if k := slices.IndexFunc(got, func(l lineFact) bool { return l.id == id }); k >= 0 {
				have = got[k]
			}
			c.oneLine(value, have)
		}
	}
	for _, l := range got {
		if _, value := child(n, l.id); value == nil {
			c.add(line, "lines."+l.id, "", "quantity "+l.quantity+", amount "+l.amount)
		}
	}
}

// oneLine compares a line item: by its amount, or by what is named of it.
func (c *comparison) oneLine(n *yaml.Node, got lineFact) {
	if n.Kind == yaml.ScalarNode {
		c.scalar(n, "lines."+got.id, got.amount, equal)
		return
	}
	if _, value := child(n, "quantity"); value != nil {
		c.scalar(value, "lines."+got.id+".quantity", got.quantity, equal)
	}
	if _, value := child(n, "amount"); value != nil {
		c.scalar(value, "lines."+got.id+".amount", got.amount, equal)
	}
}
