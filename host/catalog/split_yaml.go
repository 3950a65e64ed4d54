package catalog

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// A tree of YAML nodes is some thirty times as large as its text. A file of
// 100,000 accounts is therefore read in parts: the items of the lists at its
// top are grouped, and each group is parsed as a small file with the list's key
// above it. Where a file is not written in the plain way that allows this, it
// is parsed as a whole; the outcome is the same.

// Sizes in bytes from which a file is split, and that a part has at least.
const (
	splitMinBytes = 1 << 20
	partMinBytes  = 1 << 18
)

// yamlPart is a piece of a file that can be parsed by itself.
type yamlPart struct {
	header []byte // line with the key of the list that the items belong to; nil for a part with its own
	body   []byte
	lines  int // lines of the file before the body
	first  int // number of the body's first item in its list
	keyAt  int // line of the key
}

// splitter goes through the lines of a file.
type splitter struct {
	least  int // bytes of a part
	parts  []yamlPart
	part   yamlPart
	start  int // offset of the part's body
	header []byte
	keyAt  int // line of the current key
	indent int // of the current list's dashes; unknownIndent before its first item; noList in other values
	items  int // of the current list so far
}

const (
	unknownIndent = -1
	noList        = -2
)

// splitYAML divides a file of one document in block style into parts of some
// bytes or more. ok is false when the file is not plainly written.
func splitYAML(data []byte, partMinBytes int) (parts []yamlPart, ok bool) {
	s := splitter{least: partMinBytes, indent: noList}
	offset := 0
	for line := 1; offset < len(data); line++ {
		end := bytes.IndexByte(data[offset:], '\n') + 1
		if end == 0 {
			end = len(data) - offset
		}
		if !s.line(data, offset, data[offset:offset+end], line) {
			return nil, false
		}
		offset += end
	}
	s.cut(data, offset)
	return s.parts, true
}

// line takes one line; false means that the file is not plainly written.
func (s *splitter) line(data []byte, offset int, line []byte, number int) bool {
	content := bytes.TrimLeft(line, " ")
	indent := len(line) - len(content)
	content = bytes.TrimRight(content, "\r\n")
	dash := len(content) > 0 && content[0] == '-' && (len(content) == 1 || content[1] == ' ')
	switch {
	case len(content) == 0 || content[0] == '#':
		return true
	case content[0] == '\t':
		return false
	case indent == 0 && !dash:
		return s.key(data, offset, content, number)
	case s.indent == unknownIndent && dash:
		s.indent = indent
	case s.indent == unknownIndent:
		s.indent = noList // the key has a mapping or a text
	}
	if s.indent == noList {
		return indent > 0
	}
	if indent < s.indent || indent == s.indent && !dash {
		return false
	}
	if indent == s.indent {
		s.item(data, offset, number)
	}
	return true
}

// key begins the part of a top-level key, "accounts:" or "billing: {…}".
func (s *splitter) key(data []byte, offset int, content []byte, number int) bool {
	name, value, found := bytes.Cut(content, []byte(":"))
	if !found || !validName(string(name)) {
		return false
	}
	s.cut(data, offset)
	s.part = yamlPart{lines: number - 1, keyAt: number}
	s.start, s.keyAt, s.items, s.indent = offset, number, 0, noList
	s.header = append(append([]byte(nil), name...), ':', '\n')
	value = bytes.TrimLeft(value, " ")
	if len(value) == 0 || value[0] == '#' {
		s.indent = unknownIndent
	}
	return true
}

// item begins an item of a list, in a part of its own when the one before is
// large enough.
func (s *splitter) item(data []byte, offset, number int) {
	if s.items > s.part.first && offset-s.start >= s.least {
		s.cut(data, offset)
		s.part = yamlPart{header: s.header, lines: number - 1, first: s.items, keyAt: s.keyAt}
		s.start = offset
	}
	s.items++
}

// cut ends the current part.
func (s *splitter) cut(data []byte, offset int) {
	s.part.body = data[s.start:offset]
	if len(s.part.body) > 0 {
		s.parts = append(s.parts, s.part)
	}
	s.start = offset
}

// errNotPlain is why a part cannot be read by itself.
var errNotPlain = errors.New("not one document of the expected list")

// readYAMLParts reads the parts of a file one after the other. An error means
// that the file has to be read as a whole.
func readYAMLParts(parts []yamlPart, to sink) error {
	r := &yamlReader{report: to.report}
	for _, part := range parts {
		r.lines, r.keyAt = part.lines, part.keyAt
		text := part.body
		if part.header != nil {
			text = append(append(make([]byte, 0, len(part.header)+len(part.body)), part.header...), part.body...)
			r.lines-- // the header is a line of the part, not of the file
		}
		in := yaml.NewDecoder(bytes.NewReader(text))
		var document, second yaml.Node
		if err := in.Decode(&document); errors.Is(err, io.EOF) {
			continue // comments
		} else if err != nil {
			return err
		}
		if err := in.Decode(&second); !errors.Is(err, io.EOF) || len(document.Content) != 1 {
			return errNotPlain
		}
		top := document.Content[0]
		if top.Kind == yaml.MappingNode && len(top.Content) != 2 {
			return errNotPlain
		}
		r.document(top, part.first, to)
	}
	return nil
}
