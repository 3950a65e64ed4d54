package ingest

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/tollway/tollway/sdk/billing"
)

// readData reads a JSON object into d.fields. The error is one of JSON; the problem is one of what the object says, and the
// object is read to its end all the same, so that reading can go on behind it.
func (d *Decoder) readData(dec *jsontext.Decoder) (first *Problem, err error) {
	d.fields = d.fields[:0]
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	count := 0
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		if value.Kind() == 'n' {
			continue // null means absent
		}
		if count++; count > DataFieldsMax || first != nil {
			continue
		}
		key := d.arena.copy(d.unquote(name))
		text, p := d.fieldText(key, value)
		if p != nil {
			first = p
			continue
		}
		d.fields = append(d.fields, billing.Field{Key: key, Text: text})
	}
	if p := checkFieldCount(count); p != nil {
		first = p
	}
	_, err = dec.ReadToken()
	return first, err
}

// fieldText returns the text of a data field's value.
func (d *Decoder) fieldText(key string, value jsontext.Value) (string, *Problem) {
	switch value.Kind() {
	case '"':
		return d.arena.copy(d.unquote(value)), nil
	case 't':
		return "true", nil
	case 'f':
		return "false", nil
	case '0':
		var ok bool
		if d.scratch, ok = appendNumber(d.scratch[:0], value); !ok {
			return "", numberProblem(key, string(value))
		}
		return d.arena.copy(d.scratch), nil
	default:
		c := canonicalizer{dec: jsontext.NewDecoder(bytes.NewBuffer(value)), key: key}
		text := c.append(nil, 2)
		if c.problem != nil {
			return "", c.problem
		}
		return d.arena.copy(text), nil
	}
}

func numberProblem(key, literal string) *Problem {
	return problem(ReasonBadData, "data: field %s: the number %s has an exponent beyond %d",
		shown(key), shown(literal), exponentMax)
}

// canonicalizer writes well-formed JSON in the one form in which equal values have equal bytes: no white space, members
// sorted by name (bytes of UTF-8), strings with the fewest escapes, numbers as appendNumber writes them. RFC 8785 is not
// used, because it squeezes numbers through binary floating point.
type canonicalizer struct {
	dec     *jsontext.Decoder
	key     string   // of the data field, for details
	problem *Problem // the first met; the text is then worthless
}

// append appends the next value, which stands within depth-1 objects and arrays.
func (c *canonicalizer) append(dst []byte, depth int) []byte {
	switch kind := c.dec.PeekKind(); kind {
	case '{', '[':
		if depth > DataNestingMax {
			c.fail(problem(ReasonBadData, "data: field %s is nested more than %d deep", shown(c.key), DataNestingMax))
		}
		if c.problem != nil {
			return dst
		}
		if kind == '[' {
			return c.appendArray(dst, depth)
		}
		return c.appendObject(dst, depth)
	case '0':
		value := c.read()
		dst, ok := appendNumber(dst, value)
		if !ok {
			c.fail(numberProblem(c.key, string(value)))
		}
		return dst
	case '"':
		return c.quote(dst, c.unquote(c.read()))
	default:
		return append(dst, c.read()...)
	}
}

func (c *canonicalizer) appendArray(dst []byte, depth int) []byte {
	c.token()
	dst = append(dst, '[')
	for first := true; c.problem == nil && c.dec.PeekKind() != ']'; first = false {
		if !first {
			dst = append(dst, ',')
		}
		dst = c.append(dst, depth+1)
	}
	c.token()
	return append(dst, ']')
}

func (c *canonicalizer) appendObject(dst []byte, depth int) []byte {
	type member struct{ name, value []byte }
	var members []member
	c.token()
	for c.problem == nil && c.dec.PeekKind() != '}' {
		name := c.unquote(c.read())
		members = append(members, member{name: name, value: c.append(nil, depth+1)})
	}
	c.token()
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.name, b.name) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(c.quote(dst, m.name), ':'), m.value...)
	}
	return append(dst, '}')
}

// read returns the next value and token passes the next delimiter. An error of theirs, or of the two functions below, can
// only be a fault of ours, since the text has been read before; it becomes a problem like any other and never a wrong text.
func (c *canonicalizer) read() jsontext.Value {
	value, err := c.dec.ReadValue()
	c.check(err)
	return value
}

func (c *canonicalizer) token() {
	if c.problem == nil {
		_, err := c.dec.ReadToken()
		c.check(err)
	}
}

// unquote returns the text of a JSON string in memory of its own.
func (c *canonicalizer) unquote(quoted jsontext.Value) []byte {
	text, err := jsontext.AppendUnquote(nil, quoted)
	c.check(err)
	return text
}

// quote appends text as a JSON string.
func (c *canonicalizer) quote(dst, text []byte) []byte {
	dst, err := jsontext.AppendQuote(dst, text)
	c.check(err)
	return dst
}

func (c *canonicalizer) check(err error) {
	if err != nil {
		c.fail(problem(ReasonBadData, "data: field %s: %s", shown(c.key), syntaxDetail(err)))
	}
}

func (c *canonicalizer) fail(p *Problem) {
	if c.problem == nil {
		c.problem = p
	}
}
