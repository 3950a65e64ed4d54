package tariff

import (
	"errors"
	"strconv"
	"unicode/utf8"
)

// A strict reader of JSON into a flat list of nodes. encoding/json would do, but it brings
// reflect and fmt into every module: 1.1 MB and tens of milliseconds of compilation each. It
// accepts what RFC 8259 calls JSON, and refuses more than encoding/json does: text that is not
// UTF-8, halves of surrogate pairs, a key twice in one object, and nesting beyond depthMax. A
// fuzz test holds it against encoding/json.

// depthMax bounds the nesting of objects and lists, and so the recursion of the reader.
const depthMax = 32

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonList
	jsonObject
)

// kindNames is how problems call a value of each kind.
var kindNames = [...]string{"null", "true or false", "a number", "a string", "a list", "an object"}

// none is the index of no node.
const none = int32(-1)

// node is one value. Members of an object and elements of a list are chained by next.
type node struct {
	kind        jsonKind
	used        bool   // a parameter reader asked for it
	opened      bool   // an object whose members are parameters
	key         string // in an object
	text        string // of a string its content; of a number or literal what was written
	parent      int32
	first, next int32
	index       int32 // in a list; number of children so far for a parent being read
}

// document is a JSON text that has been read. nodes[0] is the whole.
type document struct {
	nodes []node
}

var errJSON = errors.New("JSON")

// jsonError says what is wrong with a JSON text, and at which byte.
type jsonError struct {
	at   int
	what string
}

func (e *jsonError) Error() string { return "at byte " + strconv.Itoa(e.at) + ": " + e.what }

func (e *jsonError) Unwrap() error { return errJSON }

// readJSON reads text as one JSON value. Strings of the document alias text.
func readJSON(text string) (*document, error) {
	if !utf8.ValidString(text) {
		return nil, &jsonError{0, "not UTF-8"}
	}
	// A guess at the number of values keeps the list from growing in steps.
	r := jsonReader{text: text, doc: &document{nodes: make([]node, 0, 8+len(text)/16)}}
	if err := r.value(none, "", 0); err != nil {
		return nil, err
	}
	r.space()
	if r.at < len(text) {
		return nil, r.fail("text behind the value")
	}
	return r.doc, nil
}

type jsonReader struct {
	text string
	at   int
	doc  *document
}

func (r *jsonReader) fail(what string) error { return &jsonError{r.at, what} }

func (r *jsonReader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take moves past c, and says whether it was there.
func (r *jsonReader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// value reads one value and appends it, with what it holds, to the document.
func (r *jsonReader) value(parent int32, key string, depth int) error {
	r.space()
	if r.at == len(r.text) {
		return r.fail("a value is missing")
	}
	self := int32(len(r.doc.nodes))
	r.doc.nodes = append(r.doc.nodes, node{key: key, parent: parent, first: none, next: none})
	start := r.at
	switch c := r.text[r.at]; {
	case c == '{' || c == '[':
		if depth == depthMax {
			return r.fail("nested too deep")
		}
		r.at++
		if c == '{' {
			return r.object(self, depth+1)
		}
		return r.list(self, depth+1)
	case c == '"':
		text, err := r.str()
		r.set(self, jsonString, text)
		return err
	case c == '-' || c >= '0' && c <= '9':
		if err := r.number(); err != nil {
			return err
		}
		r.set(self, jsonNumber, r.text[start:r.at])
		return nil
	default:
		return r.literal(self)
	}
}

func (r *jsonReader) set(n int32, kind jsonKind, text string) {
	r.doc.nodes[n].kind, r.doc.nodes[n].text = kind, text
}

func (r *jsonReader) literal(self int32) error {
	for _, l := range [...]struct {
		text string
		kind jsonKind
	}{{"null", jsonNull}, {"true", jsonBool}, {"false", jsonBool}} {
		end := r.at + len(l.text)
		if end <= len(r.text) && r.text[r.at:end] == l.text {
			r.at = end
			r.set(self, l.kind, l.text)
			return nil
		}
	}
	return r.fail("not a value")
}

// link appends the value read last below parent: it is the child after last.
func (r *jsonReader) link(parent, last, child int32) {
	nodes := r.doc.nodes
	nodes[child].index = nodes[parent].index
	nodes[parent].index++
	if last == none {
		nodes[parent].first = child
		return
	}
	nodes[last].next = child
}

func (r *jsonReader) list(self int32, depth int) error {
	r.set(self, jsonList, "")
	r.space()
	if r.take(']') {
		return nil
	}
	last := none
	for {
		child := int32(len(r.doc.nodes))
		if err := r.value(self, "", depth); err != nil {
			return err
		}
		r.link(self, last, child)
		last = child
		r.space()
		if r.take(']') {
			return nil
		}
		if !r.take(',') {
			return r.fail("a comma or ] is missing")
		}
	}
}

func (r *jsonReader) object(self int32, depth int) error {
	r.set(self, jsonObject, "")
	r.space()
	if r.take('}') {
		return nil
	}
	last := none
	for {
		r.space()
		if r.at == len(r.text) || r.text[r.at] != '"' {
			return r.fail("a key is missing")
		}
		key, err := r.str()
		if err != nil {
			return err
		}
		r.space()
		if !r.take(':') {
			return r.fail("a colon is missing")
		}
		child := int32(len(r.doc.nodes))
		if err := r.value(self, key, depth); err != nil {
			return err
		}
		r.link(self, last, child)
		last = child
		r.space()
		if r.take('}') {
			return r.unique(self)
		}
		if !r.take(',') {
			return r.fail("a comma or } is missing")
		}
	}
}

// unique refuses an object that has a key twice: which of the two is meant, nobody can say.
func (r *jsonReader) unique(object int32) error {
	const few = 8 // below this comparing all pairs is faster than a map
	nodes := r.doc.nodes
	if nodes[object].index > few {
		seen := make(map[string]struct{}, nodes[object].index)
		for n := nodes[object].first; n != none; n = nodes[n].next {
			if _, twice := seen[nodes[n].key]; twice {
				return r.fail("key " + strconv.Quote(nodes[n].key) + " is there twice")
			}
			seen[nodes[n].key] = struct{}{}
		}
		return nil
	}
	for n := nodes[object].first; n != none; n = nodes[n].next {
		for m := nodes[n].next; m != none; m = nodes[m].next {
			if nodes[n].key == nodes[m].key {
				return r.fail("key " + strconv.Quote(nodes[n].key) + " is there twice")
			}
		}
	}
	return nil
}

func (r *jsonReader) digits() bool {
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

func (r *jsonReader) number() error {
	r.take('-')
	if !r.take('0') && !r.digits() {
		return r.fail("a digit is missing")
	}
	if r.take('.') && !r.digits() {
		return r.fail("a digit is missing")
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		if !r.digits() {
			return r.fail("a digit is missing")
		}
	}
	return nil
}

// str reads a string. Without escapes, which is nearly always, the result aliases the text.
func (r *jsonReader) str() (string, error) {
	r.at++ // the opening quote
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[start : r.at-1], nil
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return "", r.fail("control character in a string")
		}
		r.at++
	}
	return "", r.fail("a string does not end")
}

// escaped reads the rest of a string that began at start and has a backslash at r.at.
func (r *jsonReader) escaped(start int) (string, error) {
	text := []byte(r.text[start:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return string(text), nil
		case c < ' ':
			return "", r.fail("control character in a string")
		case c != '\\':
			text = append(text, c)
		default:
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			text = utf8.AppendRune(text, char)
		}
	}
	return "", r.fail("a string does not end")
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (rune, error) {
	if r.at == len(r.text) {
		return 0, r.fail("a string does not end")
	}
	c := r.text[r.at]
	r.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return r.unicode()
	}
	return 0, r.fail("unknown escape")
}

// unicode reads the four digits of \u, and a second \u when the first is half of a pair.
func (r *jsonReader) unicode() (rune, error) {
	const highFirst, lowFirst, lowLast = 0xD800, 0xDC00, 0xDFFF
	char, err := r.hex4()
	if err != nil || char < highFirst || char > lowLast {
		return char, err
	}
	if char >= lowFirst || !r.take('\\') || !r.take('u') {
		return 0, r.fail("half of a surrogate pair")
	}
	low, err := r.hex4()
	if err != nil {
		return 0, err
	}
	if low < lowFirst || low > lowLast {
		return 0, r.fail("half of a surrogate pair")
	}
	return 0x10000 + (char-highFirst)<<10 + (low - lowFirst), nil
}

func (r *jsonReader) hex4() (rune, error) {
	const digits = 4
	if r.at+digits > len(r.text) {
		return 0, r.fail("four hexadecimal digits are missing")
	}
	n, err := strconv.ParseUint(r.text[r.at:r.at+digits], 16, 16)
	if err != nil {
		return 0, r.fail("four hexadecimal digits are missing")
	}
	r.at += digits
	return rune(n), nil
}

// child returns the member of an object by its key, or none.
func (d *document) child(object int32, key string) int32 {
	for n := d.nodes[object].first; n != none; n = d.nodes[n].next {
		if d.nodes[n].key == key {
			return n
		}
	}
	return none
}

// appendPath appends where a node stands, from the whole: tiers[1].up_to.
func (d *document) appendPath(b []byte, n, from int32) []byte {
	if n == from || n == none {
		return b
	}
	parent := d.nodes[n].parent
	b = d.appendPath(b, parent, from)
	if parent != none && d.nodes[parent].kind == jsonList {
		b = append(b, '[')
		b = strconv.AppendInt(b, int64(d.nodes[n].index), 10)
		return append(b, ']')
	}
	return appendKey(b, d.nodes[n].key)
}

// appendKey appends a key to a path: .key, or ["key"] when it is not a plain word.
func appendKey(b []byte, key string) []byte {
	plain := key != ""
	for i := range len(key) {
		c := key[i] | 0x20
		plain = plain && (c >= 'a' && c <= 'z' || key[i] >= '0' && key[i] <= '9' || key[i] == '_')
	}
	if plain {
		return append(append(b, '.'), key...)
	}
	b = append(b, '[')
	b = strconv.AppendQuote(b, key)
	return append(b, ']')
}

// appendJSONString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, char := range s {
		switch {
		case char == '"' || char == '\\':
			b = append(b, '\\', byte(char))
		case char < ' ':
			b = append(b, '\\', 'u', '0', '0', hex[char>>4], hex[char&0xF])
		default:
			b = utf8.AppendRune(b, char)
		}
	}
	return append(b, '"')
}
