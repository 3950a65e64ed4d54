package catalog

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonReader reads JSON as nodes. It exists beside encoding/json because nodes
// need lines, keys that are given twice, and numbers as they are written, and
// because a host reads every stored object when it starts.
type jsonReader struct {
	data   []byte
	pos    int
	line   int
	report func(line int, at *path, message string)
}

// What is wrong with a text that is not JSON.
var (
	errDepth     = fmt.Errorf("is nested more than %d deep", depthMax)
	errShort     = errors.New("is not complete JSON: the end comes too early")
	errString    = errors.New("is not JSON: a text has a control character or an unknown escape")
	errSurrogate = errors.New("is not JSON: a text has half of a surrogate pair")
	errAfter     = errors.New("must hold one JSON value and nothing after it")
	errTop       = errors.New("must be one JSON object with the keys meters, tariffs, accounts, default_subscriptions, billing")
)

// readJSON reads a file that holds one JSON object. It reports what is wrong
// with the text and stops there: nothing after a syntax error can be trusted.
func readJSON(data []byte, to sink) {
	r := &jsonReader{data: data, line: 1, report: to.report}
	if err := r.file(to); err != nil {
		to.report(r.line, nil, err.Error())
	}
}

// readJSONNode reads one JSON value.
func readJSONNode(data []byte) (*node, error) {
	if !utf8.Valid(data) {
		return nil, errBinary
	}
	var first error
	r := &jsonReader{data: data, line: 1, report: func(_ int, at *path, message string) {
		if first == nil {
			first = fmt.Errorf("%s: %s", at, message)
		}
	}}
	n, err := r.value(nil, 0)
	if err == nil {
		err = r.end()
	}
	return &n, errors.Join(err, first)
}

// next skips spaces and returns the byte after them; 0 at the end.
func (r *jsonReader) next() byte {
	for ; r.pos < len(r.data); r.pos++ {
		switch c := r.data[r.pos]; c {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// take goes past the byte c, which must be next.
func (r *jsonReader) take(c byte) error {
	switch got := r.next(); got {
	case c:
		r.pos++
		return nil
	case 0:
		return errShort
	default:
		return fmt.Errorf("is not JSON: %q where %q should be", got, c)
	}
}

// end makes sure that nothing is left.
func (r *jsonReader) end() error {
	if r.next() != 0 || r.pos < len(r.data) {
		return errAfter
	}
	return nil
}

// each calls item for the items of a list or mapping, up to the closing byte.
// The opening one has been taken.
func (r *jsonReader) each(closing byte, item func(i int) error) error {
	if r.next() == closing {
		r.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := item(i); err != nil {
			return err
		}
		if r.next() == closing {
			r.pos++
			return nil
		}
		if err := r.take(','); err != nil {
			return err
		}
	}
}

// name reads the name of a member and the colon after it.
func (r *jsonReader) name() (name string, line int, err error) {
	if err := r.take('"'); err != nil {
		return "", 0, err
	}
	line = r.line
	if name, err = r.text(); err == nil {
		err = r.take(':')
	}
	return name, line, err
}

// file walks the top-level object.
func (r *jsonReader) file(to sink) error {
	if r.next() == 0 && r.pos == len(r.data) {
		return nil
	}
	if r.data[r.pos] != '{' {
		return errTop
	}
	r.pos++
	err := r.each('}', func(int) error {
		name, line, err := r.name()
		if err != nil {
			return err
		}
		return r.section(name, line, to)
	})
	if err != nil {
		return err
	}
	return r.end()
}

// section reads the value of one top-level key.
func (r *jsonReader) section(name string, line int, to sink) error {
	list, ok := to.section(name, line)
	at := &path{step: name}
	if !list || !ok || r.next() != '[' {
		n, err := r.value(at, 0)
		if err == nil && ok {
			to.whole(name, &n)
		}
		return err
	}
	r.pos++
	return r.each(']', func(i int) error {
		n, err := r.value(at.at(i), 1)
		if err == nil {
			to.item(name, i, &n)
		}
		return err
	})
}

// value reads a value.
func (r *jsonReader) value(at *path, depth int) (n node, err error) {
	if depth > depthMax {
		return n, errDepth
	}
	c := r.next()
	n.line = r.line
	switch c {
	case '{':
		r.pos++
		return n, r.mapping(&n, at, depth)
	case '[':
		r.pos++
		n.kind = kindList
		return n, r.each(']', func(i int) error {
			item, err := r.value(at.at(i), depth+1)
			n.items = append(n.items, item)
			return err
		})
	case '"':
		r.pos++
		n.kind = kindText
		n.text, err = r.text()
		return n, err
	case 0:
		return n, errShort
	}
	start := r.pos
	for r.pos < len(r.data) && wordByte(r.data[r.pos]) {
		r.pos++
	}
	n.text = string(r.data[start:r.pos])
	switch {
	case n.text == "null":
		n.kind, n.text = kindNull, ""
	case n.text == "true" || n.text == "false":
		n.kind = kindBoolean
	case plainNumber(n.text):
		n.kind = kindNumber
	case n.text == "":
		return n, fmt.Errorf("is not JSON: %q where a value should be", c)
	default:
		return n, fmt.Errorf("is not JSON: %q where a value should be", shorten(n.text))
	}
	return n, nil
}

// wordByte reports whether c may be part of a number or a literal.
func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.'
}

// mapping reads the members of a mapping.
func (r *jsonReader) mapping(n *node, at *path, depth int) error {
	n.kind = kindMapping
	var seen names
	return r.each('}', func(int) error {
		name, line, err := r.name()
		if err != nil {
			return err
		}
		below := at.key(name)
		value, err := r.value(below, depth+1)
		if err != nil {
			return err
		}
		if first, taken := seen.add(name, line); taken {
			r.report(line, below, fmt.Sprintf("is given twice, first on line %d", first))
			return nil
		}
		n.keys = append(n.keys, key{name: name, line: line})
		n.items = append(n.items, value)
		return nil
	})
}

// text reads a text up to its closing quote. The opening one has been taken.
func (r *jsonReader) text() (string, error) {
	start := r.pos
	for r.pos < len(r.data) {
		switch c := r.data[r.pos]; {
		case c == '"':
			r.pos++
			return string(r.data[start : r.pos-1]), nil
		case c == '\\':
			return r.escaped(append([]byte(nil), r.data[start:r.pos]...))
		case c < 0x20:
			return "", errString
		}
		r.pos++
	}
	return "", errShort
}

// escaped goes on with a text from its first escape.
func (r *jsonReader) escaped(text []byte) (string, error) {
	for r.pos < len(r.data) {
		c := r.data[r.pos]
		r.pos++
		switch {
		case c == '"':
			return string(text), nil
		case c < 0x20:
			return "", errString
		case c != '\\':
			text = append(text, c)
			continue
		case r.pos == len(r.data):
			return "", errShort
		}
		c = r.data[r.pos]
		r.pos++
		switch c {
		case '"', '\\', '/':
			text = append(text, c)
		case 'b':
			text = append(text, '\b')
		case 'f':
			text = append(text, '\f')
		case 'n':
			text = append(text, '\n')
		case 'r':
			text = append(text, '\r')
		case 't':
			text = append(text, '\t')
		case 'u':
			unit, err := r.codeUnit()
			if err == nil && utf16.IsSurrogate(unit) {
				unit, err = r.surrogate(unit)
			}
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, unit)
		default:
			return "", errString
		}
	}
	return "", errShort
}

// codeUnit reads the four digits of a \u escape.
func (r *jsonReader) codeUnit() (rune, error) {
	const digits = 4
	if len(r.data)-r.pos < digits {
		return 0, errShort
	}
	unit, err := strconv.ParseUint(string(r.data[r.pos:r.pos+digits]), 16, 16)
	if err != nil {
		return 0, errString
	}
	r.pos += digits
	return rune(unit), nil
}

// surrogate reads the second half of a pair.
func (r *jsonReader) surrogate(first rune) (rune, error) {
	if len(r.data)-r.pos < 2 || r.data[r.pos] != '\\' || r.data[r.pos+1] != 'u' {
		return 0, errSurrogate
	}
	r.pos += 2
	second, err := r.codeUnit()
	if err != nil {
		return 0, err
	}
	pair := utf16.DecodeRune(first, second)
	if pair == utf8.RuneError {
		return 0, errSurrogate
	}
	return pair, nil
}
