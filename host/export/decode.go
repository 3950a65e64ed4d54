package export

import (
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// canonical reads documents as Encode writes them: members in their order, no
// blanks. An export reads millions of lines, and a reader that knows what comes
// next takes a tenth of the time of encoding/json.
//
// It reads nothing else. Whatever it does not expect makes it give up, and
// [DecodeInvoice] leaves the document to encoding/json, which decides what it means;
// so the two can only differ in time. Corrections, and lines that adjust, are left
// to it as well: few invoices have them.
type canonical struct {
	text   string
	at     int
	failed bool
	memory
}

// memory is what documents are read into.
type memory struct {
	times  map[string]time.Time // read before: invoices repeat a few
	fields []billing.Field      // of the lines' groups, together
	lines  []Line
}

// timesMax is how many times are remembered.
const timesMax = 256

// Decoder does what [DecodeInvoice] does for many documents, whose lines share memory
// that is used again. It belongs to one goroutine at a time.
type Decoder struct{ memory memory }

// Decode reads a document. The invoice is valid until Reset.
func (d *Decoder) Decode(b []byte) (Invoice, error) {
	c := canonical{text: string(b), memory: d.memory}
	inv, ok := c.invoice()
	d.memory = c.memory
	if ok {
		return inv, nil
	}
	return decodeAny(b)
}

// Reset ends the use of what Decode has returned.
func (d *Decoder) Reset() {
	clear(d.memory.fields)
	clear(d.memory.lines)
	d.memory.fields, d.memory.lines = d.memory.fields[:0], d.memory.lines[:0]
	if len(d.memory.times) > timesMax {
		clear(d.memory.times)
	}
}

// lineBytesLeast is about the length of the shortest line.
const lineBytesLeast = 256

// head reads what the document begins with, up to its lines. ok is false when it is
// not what was expected.
func (c *canonical) head() (inv Invoice, ok bool) {
	c.skip(`{"id":`)
	inv.ID = strings.Clone(c.string()) // a caller that keeps the name keeps no document
	c.skip(`,"account":`)
	inv.Account = billing.AccountID(strings.Clone(c.string()))
	c.skip(`,"period":{"id":`)
	period := c.string()
	c.skip(`,"start":`)
	inv.Period.Start = c.time()
	c.skip(`,"end":`)
	inv.Period.End = c.time()
	c.skip(`},"currency":`)
	inv.Currency = billing.Currency(strings.Clone(c.string()))
	c.skip(`,"lines":[`)
	return inv, !c.failed && inv.ID != "" && inv.Period.ID() == period
}

// invoice reads the document. ok is false when it is not what was expected.
func (c *canonical) invoice() (inv Invoice, ok bool) {
	inv, ok = c.head()
	if !ok {
		return Invoice{}, false
	}
	c.readLines(&inv)
	c.skip(`],"total":`)
	inv.TotalText = strings.Clone(c.string())
	inv.Total = billing.Amount(c.parse(inv.TotalText))
	c.skip(`,"account_details":`)
	inv.AccountDetails = c.object()
	c.skip(`,"seller":`)
	inv.Seller = c.object()
	c.skip(`}`)
	if c.failed || c.at != len(c.text) {
		return Invoice{}, false
	}
	return inv, true
}

// readLines reads the list of lines.
func (c *canonical) readLines(inv *Invoice) {
	if c.failed || c.next("]") {
		return
	}
	if c.lines == nil {
		c.lines = make([]Line, 0, 1+(len(c.text)-c.at)/lineBytesLeast)
	}
	from := len(c.lines)
	for !c.failed {
		c.lines = append(c.lines, Line{})
		c.line(&c.lines[len(c.lines)-1])
		if !c.next(",") {
			break
		}
		c.at++
	}
	inv.Lines = c.lines[from:len(c.lines):len(c.lines)]
}

func (c *canonical) line(l *Line) {
	c.skip("{")
	l.Rule = c.optional(`"rule":`)
	l.Tariff = c.optional(`"tariff":`)
	l.Meter = c.optional(`"meter":`)
	l.Subscription = c.optional(`"subscription":`)
	if c.next(`"version":`) {
		c.skip(`"version":`)
		l.Version = c.time().UTC()
		c.skip(",")
	}
	c.skip(`"id":`)
	l.ID = c.string()
	c.skip(`,"group":{`)
	l.Group = c.group()
	c.skip(`},"description":`)
	l.Description = c.string()
	c.skip(`,"quantity":`)
	l.Quantity = billing.Quantity(c.parse(c.string()))
	c.skip(`,"amount":`)
	l.AmountText = c.string()
	l.Amount = billing.Amount(c.parse(l.AmountText))
	c.skip(`,"unrounded":`)
	l.Unrounded = billing.Amount(c.parse(c.string()))
	c.skip(`,"module":`)
	l.Module = c.string()
	c.skip("}")
}

// group reads the members of a group, which are in order.
func (c *canonical) group() Group {
	if c.failed || c.next("}") {
		return nil
	}
	from := len(c.fields)
	for !c.failed {
		key := c.string()
		c.skip(":")
		if n := len(c.fields); n > from && c.fields[n-1].Key >= key {
			c.failed = true
		}
		c.fields = append(c.fields, billing.Field{Key: key, Text: c.string()})
		if !c.next(",") {
			break
		}
		c.at++
	}
	return Group(c.fields[from:len(c.fields):len(c.fields)])
}

// next reports whether a text comes next.
func (c *canonical) next(text string) bool {
	return !c.failed && strings.HasPrefix(c.text[c.at:], text)
}

// skip passes a text that must come next.
func (c *canonical) skip(text string) {
	if !c.next(text) {
		c.failed = true
		return
	}
	c.at += len(text)
}

// optional reads a member, with the comma behind it, that may be missing.
func (c *canonical) optional(name string) string {
	if !c.next(name) {
		return ""
	}
	c.at += len(name)
	text := c.string()
	c.skip(",")
	return text
}

// string reads a string. Without escapes it is a part of the document.
func (c *canonical) string() string {
	from := c.at + 1
	if !c.next(`"`) {
		c.failed = true
		return ""
	}
	ascii := true
	for i := from; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case b == '"':
			c.at = i + 1
			text := c.text[from:i]
			if !ascii && !utf8.ValidString(text) {
				c.failed = true
			}
			return text
		case b == '\\':
			return c.escaped()
		case b < ' ':
			c.failed = true
			return ""
		case b >= utf8.RuneSelf:
			ascii = false
		}
	}
	c.failed = true
	return ""
}

// escaped reads a string that has escapes.
func (c *canonical) escaped() (text string) {
	for i := c.at + 1; i < len(c.text); i++ {
		switch c.text[i] {
		case '\\':
			i++
		case '"':
			if json.Unmarshal([]byte(c.text[c.at:i+1]), &text) != nil {
				c.failed = true
			}
			c.at = i + 1
			return text
		}
	}
	c.failed = true
	return ""
}

// parse reads a number's text.
func (c *canonical) parse(text string) billing.Decimal {
	d, err := billing.ParseDecimal(text)
	if err != nil {
		c.failed = true
	}
	return d
}

// time reads an instant.
func (c *canonical) time() time.Time {
	text := c.string()
	if t, known := c.times[text]; known {
		return t
	}
	var t time.Time
	if t.UnmarshalText([]byte(text)) != nil {
		c.failed = true
	}
	if c.times == nil {
		c.times = map[string]time.Time{}
	}
	c.times[strings.Clone(text)] = t // what is kept for other documents keeps none
	return t
}

// object reads a JSON object or null, which gives nil.
func (c *canonical) object() json.RawMessage {
	if c.next("null") {
		c.at += len("null")
		return nil
	}
	end := c.objectEnd()
	if c.failed || end < 0 || !json.Valid([]byte(c.text[c.at:end])) {
		c.failed = true
		return nil
	}
	raw := json.RawMessage(c.text[c.at:end])
	c.at = end
	return raw
}

// objectEnd finds where the object that comes next ends, if it is one.
func (c *canonical) objectEnd() int {
	if !c.next("{") {
		return -1
	}
	depth, quoted := 0, false
	for i := c.at; i < len(c.text); i++ {
		switch b := c.text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{':
			depth++
		case b == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}
