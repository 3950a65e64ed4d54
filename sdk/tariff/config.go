package tariff

import (
	"strconv"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Config is what a tariff gets once per set of parameters: it reads the parameters and claims
// what it needs, above all its lines. Claims last as long as the configuration; they are made in
// Configure only.
type Config struct {
	// Params are the parameters as the catalog gives them for this account.
	Params Params
	// Currency is that of all amounts.
	Currency billing.Currency
	// State are numbers of a slot that begin at 0 with each billing period.
	State *Cells
	// Carry are numbers of a slot that begin with what the period before ended with.
	Carry *Cells

	doc        *document
	root       int32 // node of the parameters
	lines      []lineSpec
	dimensions []string
	cells      uint32
	carried    []uint32 // cells that go into the next period
	keyed      *Keyed   // the table of the state, nil without one
	problems   []byte
	count      int // of problems
	closed     bool
}

type lineSpec struct{ id, description string }

// problemsShown bounds the text of a refusal; the rest is counted.
const problemsShown = 20

// problem notes one problem with the parameters.
func (c *Config) problem(path []byte, message string) {
	if c.tooMany() {
		return
	}
	c.count++
	if len(c.problems) > 0 {
		c.problems = append(c.problems, "; "...)
	}
	c.problems = append(c.problems, path...)
	c.problems = append(c.problems, ": "...)
	c.problems = append(c.problems, message...)
}

// tooMany tells whether a problem is one too many to be shown, and counts it then: its path need not be made.
func (c *Config) tooMany() bool {
	if c.count < problemsShown {
		return false
	}
	c.count++
	return true
}

// claim stops a tariff that asks for lines or state while it prices.
func (c *Config) claim(what string) {
	if c.closed {
		panic("tariff: " + what + " is claimed after Configure")
	}
}

// Line claims a line item. The id is its name in subtotals and exports,
// [a-z][a-z0-9_]{0,62} and unique within the tariff; the description, at most 200 bytes, is what
// an invoice prints. Lines appear in the order in which they are claimed.
func (c *Config) Line(id, description string) Line {
	c.claim("line " + id)
	if !abi.ValidName(id) {
		panic("tariff: line " + strconv.Quote(id) + " is not of the form [a-z][a-z0-9_]{0,62}")
	}
	for _, l := range c.lines {
		if l.id == id {
			panic("tariff: line " + id + " is claimed twice")
		}
	}
	if len(c.lines) == abi.LinesMax {
		panic("tariff: more than " + strconv.Itoa(abi.LinesMax) + " lines")
	}
	c.lines = append(c.lines, lineSpec{id, abi.Cut(description, abi.DescriptionMax)})
	return Line{uint32(len(c.lines) - 1)}
}

// Dimension claims a dimension of the meter: events then bring its value. Claiming one twice
// gives the same dimension. A name that no meter can have is a problem of the parameters that
// name it, so check with [ValidName] what a parameter brings.
func (c *Config) Dimension(name string) Dimension {
	c.claim("dimension " + name)
	for i, have := range c.dimensions {
		if have == name {
			return Dimension{uint32(i)}
		}
	}
	if len(c.dimensions) == abi.DimsMax {
		panic("tariff: more than " + strconv.Itoa(abi.DimsMax) + " dimensions")
	}
	c.dimensions = append(c.dimensions, name)
	return Dimension{uint32(len(c.dimensions) - 1)}
}

// ValidName says whether s has the form [a-z][a-z0-9_]{0,62}.
func ValidName(s string) bool { return abi.ValidName(s) }

// newConfig gives the configuration of the parameters at root of doc.
func newConfig(doc *document, root int32, currency billing.Currency) *Config {
	c := &Config{Currency: currency, doc: doc, root: root}
	c.State, c.Carry = &Cells{config: c}, &Cells{config: c, carried: true}
	return c
}

// open gives an object as parameters: from now on a member that nothing asks for is unknown.
func (c *Config) open(object int32) Params {
	c.doc.nodes[object].opened = true
	return Params{config: c, node: object}
}

// entry gives a child of a list or map as parameters.
func (c *Config) entry(child int32) Params {
	c.doc.nodes[child].used = true
	if kind := c.doc.nodes[child].kind; kind != jsonObject {
		if c.tooMany() {
			return Params{config: c, node: none}
		}
		path := c.doc.appendPath([]byte("params"), child, c.root)
		c.problem(path, "must be an object, not "+kindNames[kind])
		return Params{config: c, node: none}
	}
	return c.open(child)
}

// refuseUnknown notes every parameter that nothing asked for. What stands inside one is not
// looked at: the readers of its members were never called. One that is known, but was not asked
// for this time, has no effect beside the others; after another problem that means nothing, since
// Configure may have ended early.
func (c *Config) refuseUnknown(t *Tariff) {
	var known *spec
	nodes, sound := c.doc.nodes, c.count == 0
	for i := range nodes {
		parent := nodes[i].parent
		if nodes[i].used || parent == none || !nodes[parent].opened {
			continue
		}
		if known == nil {
			known, _ = describe(t)
		}
		beside := c.specOf(parent, known)
		unknown := beside.of(nodes[i].key) == nil
		if !unknown && !sound || c.tooMany() {
			continue
		}
		path := c.doc.appendPath([]byte("params"), int32(i), c.root)
		if unknown {
			c.problem(path, "unknown parameter; known here: "+beside.names())
		} else {
			c.problem(path, "has no effect with the other parameters")
		}
	}
}

// specOf returns what is known of an opened object's members, nil when nothing is.
func (c *Config) specOf(object int32, known *spec) *spec {
	if object == c.root {
		return known
	}
	nodes := c.doc.nodes
	holder := object // the value that the parameter's name stands before
	if parent := nodes[object].parent; !nodes[parent].opened {
		holder = parent // an element of a list or map
	}
	if f := c.specOf(nodes[holder].parent, known).of(nodes[holder].key); f != nil {
		return f.inner
	}
	return nil
}
