package tariff

import (
	"strconv"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// configure answers the request in the arena and returns an abi.RC*.
func (g *guest) configure(handle, length uint32) (rc int32) {
	defer func() {
		if p := recover(); p != nil {
			rc = g.fault("configure: panic: " + panicText(p))
		}
	}()
	if uint64(length) > uint64(len(g.arena)-abi.HeaderSize) {
		return g.fault("configure: request is longer than the arena")
	}
	if handle > uint32(len(g.configs)) {
		return g.fault("configure: handle " + decimal(handle) + " comes after " + decimal(uint32(len(g.configs))))
	}
	// A copy: the tariff keeps parts of it, and the reply is written over the request.
	doc, err := readJSON(string(g.arena[abi.HeaderSize : abi.HeaderSize+length]))
	if err != nil {
		return g.fault("configure: request: " + err.Error())
	}
	t, refusal := g.requested(doc)
	if t == nil {
		return g.reply(appendError(nil, refusal))
	}
	c := newConfig(doc, params(doc), billing.Currency(text(doc, "currency")))
	c.Params = c.open(c.root)
	pricer := t.Configure(c)
	c.closed = true
	c.refuseUnknown(t)
	if c.count > 0 {
		return g.reply(appendError(nil, c.refusal()))
	}
	if pricer == nil {
		return g.fault("tariff " + t.Name + ": Configure returned nil without noting a problem")
	}
	made := configurationOf(c, pricer)
	if handle == uint32(len(g.configs)) {
		g.configs = append(g.configs, made)
	} else {
		g.configs[handle] = made
	}
	return g.reply(c.appendReply(nil))
}

// requested returns the tariff that a request names, or why there is none.
func (g *guest) requested(doc *document) (t *Tariff, refusal string) {
	if doc.nodes[0].kind != jsonObject {
		return nil, "request must be an object"
	}
	name := text(doc, "tariff")
	if t = g.module.tariff(name); t == nil {
		return nil, "tariff " + strconv.Quote(name) + " is not in module " + g.module.Name + "; it has " + g.module.names()
	}
	if kind := text(doc, "kind"); kind != "" && kind != t.Kind.String() {
		return nil, strconv.Quote(name) + " is of kind " + t.Kind.String() + ", not " + strconv.Quote(kind)
	}
	return t, ""
}

// text returns a string member of the request, "" when there is none.
func text(doc *document, key string) string {
	if n := doc.child(0, key); n != none && doc.nodes[n].kind == jsonString {
		return doc.nodes[n].text
	}
	return ""
}

// params returns the node of the parameters. None at all are an empty object.
func params(doc *document) int32 {
	n := doc.child(0, "params")
	if n == none || doc.nodes[n].kind == jsonNull {
		n = int32(len(doc.nodes))
		doc.nodes = append(doc.nodes, node{kind: jsonObject, parent: none, first: none, next: none})
	}
	return n
}

func configurationOf(c *Config, pricer Pricer) *configuration {
	made := &configuration{
		pricer:    pricer,
		lines:     uint32(len(c.lines)),
		lineBytes: uint32(len(c.lines) * abi.LineSize),
		stateSize: c.cells * cellSize,
		dims:      uint32(len(c.dimensions)),
		carried:   c.carried,
		carrySize: uint32(len(c.carried) * cellSize),
	}
	made.finisher, _ = pricer.(Finisher)
	if len(c.carried) == 0 && c.keyed == nil {
		made.rungs = rungsOf(pricer, c.cells)
	}
	if k := c.keyed; k != nil {
		k.place(c.cells, uint32(len(c.carried)))
		made.keyed = k
		made.carrySize += k.carryMax()
	}
	return made
}

// refusal is the text of all problems.
func (c *Config) refusal() string {
	if c.count <= problemsShown {
		return string(c.problems)
	}
	return string(c.problems) + "; and " + strconv.Itoa(c.count-problemsShown) + " more"
}

// reply writes the answer to a request.
func (g *guest) reply(answer []byte) int32 {
	if len(answer) > len(g.arena)-abi.HeaderSize {
		return g.fault("configure: reply of " + strconv.Itoa(len(answer)) + " bytes is longer than the arena")
	}
	copy(g.arena[abi.HeaderSize:], answer)
	le.PutUint32(g.arena[abi.HeaderReplyLen:], uint32(len(answer)))
	return abi.RCOK
}

func appendError(b []byte, text string) []byte {
	b = append(b, `{"error":`...)
	b = appendJSONString(b, abi.Cut(valid(text), abi.TextMax))
	return append(b, '}')
}

// appendReply appends what the engine is to know of the configuration.
func (c *Config) appendReply(b []byte) []byte {
	b = append(b, `{"lines":[`...)
	for i, l := range c.lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = appendJSONString(b, l.id)
		b = append(b, `,"description":`...)
		b = appendJSONString(b, l.description)
		b = append(b, '}')
	}
	b = append(b, `],"state_size":`...)
	b = strconv.AppendInt(b, int64(c.cells*cellSize), 10)
	b = append(b, `,"state_max":`...)
	size, most := len(c.carried)*cellSize, c.cells*cellSize
	if c.keyed != nil {
		size, most = size+int(c.keyed.carryMax()), c.keyed.stateMax()
	}
	b = strconv.AppendInt(b, int64(most), 10)
	if size > 0 {
		b = append(b, `,"carry_size":`...)
		b = strconv.AppendInt(b, int64(size), 10)
	}
	b = append(b, `,"dimensions":[`...)
	for i, d := range c.dimensions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendJSONString(b, d)
	}
	return append(b, "]}"...)
}

// valid returns text as UTF-8: what a tariff says may be cut out of anything.
func valid(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	b := make([]byte, 0, len(text))
	for _, char := range text {
		b = utf8.AppendRune(b, char)
	}
	return string(b)
}
