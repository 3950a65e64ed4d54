package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// aliasNodesMax bounds how many nodes the aliases of a file may stand for
// together, so that a few lines cannot grow into a flood.
const aliasNodesMax = 1_000_000

// yamlReader turns YAML into nodes.
type yamlReader struct {
	lines   int // lines of the file before the part that is read
	keyAt   int // line of the part's key; 0 when a whole file is read
	aliased int // nodes reached through aliases so far
	inAlias int // aliases that the current node was reached through
	report  func(line int, at *path, message string)
}

// readYAML reads a file of YAML documents.
func readYAML(data []byte, to sink) {
	r := &yamlReader{report: to.report}
	r.documents(data, to)
}

// documents reads every document of data.
func (r *yamlReader) documents(data []byte, to sink) {
	in := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := in.Decode(&document)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			line, message := yamlMessage(err)
			to.report(max(line, yamlErrorLine(data, message)), nil, message)
			return
		}
		if len(document.Content) == 1 {
			r.document(document.Content[0], 0, to)
		}
	}
}

// document walks the top-level mapping of a document. first numbers the first
// item of its lists.
func (r *yamlReader) document(top *yaml.Node, first int, to sink) {
	if top.Kind == yaml.ScalarNode && top.Tag == "!!null" {
		return // nothing but comments
	}
	if top.Kind != yaml.MappingNode {
		to.report(r.lines+top.Line, nil, "must be a mapping with the keys meters, tariffs, accounts, default_subscriptions, billing")
		return
	}
	for i := 0; i+1 < len(top.Content); i += 2 {
		name, value := top.Content[i], top.Content[i+1]
		if name.Kind != yaml.ScalarNode {
			to.report(r.lines+name.Line, nil, "a key must be text")
			continue
		}
		r.section(name, value, first, to)
		top.Content[i+1] = nil // for the garbage collector: the tree is far larger than what is kept
	}
}

// section reads the value of one top-level key.
func (r *yamlReader) section(name, value *yaml.Node, first int, to sink) {
	line := r.lines + name.Line
	if r.keyAt > 0 {
		line = r.keyAt
	}
	list, ok := to.section(name.Value, line)
	if !ok {
		return
	}
	at := &path{step: name.Value}
	if !list || value.Kind != yaml.SequenceNode {
		if n, ok := r.node(value, at, 0); ok {
			to.whole(name.Value, &n)
		}
		return
	}
	for i, item := range value.Content {
		if n, ok := r.node(item, at.at(first+i), 1); ok {
			to.item(name.Value, first+i, &n)
		}
		value.Content[i] = nil
	}
}

// node converts a YAML node and everything below it; ok is false when a
// problem was reported that leaves nothing to go on with.
func (r *yamlReader) node(y *yaml.Node, at *path, depth int) (n node, ok bool) {
	n.line = r.lines + y.Line
	if depth > depthMax {
		r.report(n.line, at, errDepth.Error())
		return n, false
	}
	if r.inAlias > 0 {
		if r.aliased++; r.aliased > aliasNodesMax {
			if r.aliased == aliasNodesMax+1 {
				r.report(n.line, at, fmt.Sprintf("aliases stand for more than %d values", aliasNodesMax))
			}
			return n, false
		}
	}
	if y.Style&yaml.TaggedStyle != 0 && y.ShortTag() != "!!str" {
		r.report(n.line, at, fmt.Sprintf("the tag %s is not understood: leave it out", y.Tag))
	}
	switch y.Kind {
	case yaml.AliasNode:
		r.inAlias++
		n, ok = r.node(y.Alias, at, depth+1)
		r.inAlias--
		return n, ok
	case yaml.ScalarNode:
		n.kind, n.text = scalarKind(y), y.Value
		if n.kind == kindBoolean {
			n.text = strings.ToLower(n.text) // True and TRUE are true
		}
		return n, true
	case yaml.SequenceNode:
		n.kind, n.items = kindList, make([]node, 0, len(y.Content))
		for i, item := range y.Content {
			below, ok := r.node(item, at.at(i), depth+1)
			if !ok {
				return n, false
			}
			n.items = append(n.items, below)
		}
		return n, true
	case yaml.MappingNode:
		return n, r.mapping(&n, y, at, depth)
	default:
		r.report(n.line, at, "is no value")
		return n, false
	}
}

// mapping converts the keys and values of a mapping.
func (r *yamlReader) mapping(n *node, y *yaml.Node, at *path, depth int) bool {
	n.kind = kindMapping
	n.keys, n.items = make([]key, 0, len(y.Content)/2), make([]node, 0, len(y.Content)/2)
	var seen names
	for i := 0; i+1 < len(y.Content); i += 2 {
		name, line := y.Content[i], r.lines+y.Content[i].Line
		if name.Kind == yaml.AliasNode {
			name = name.Alias
		}
		if name.Kind != yaml.ScalarNode {
			r.report(line, at, "a key must be text")
			return false
		}
		below := at.key(name.Value)
		if name.Tag == "!!merge" {
			r.report(line, below, "merge keys are not understood: write the keys out, or use an alias for a whole value")
			return false
		}
		if first, taken := seen.add(name.Value, line); taken {
			r.report(line, below, fmt.Sprintf("is given twice, first on line %d", first))
			continue
		}
		value, ok := r.node(y.Content[i+1], below, depth+1)
		if !ok {
			return false
		}
		n.keys = append(n.keys, key{name: name.Value, line: line})
		n.items = append(n.items, value)
	}
	return true
}

// scalarKind decides what a scalar is. Quoted ones are text; plain ones are
// what YAML says, save that times stay text.
func scalarKind(y *yaml.Node) kind {
	switch y.Tag {
	case "!!null":
		return kindNull
	case "!!bool":
		return kindBoolean
	case "!!int", "!!float":
		return kindNumber
	}
	return kindText
}

// yamlErrorLine finds the line at which a parse fails: the YAML package often
// names the line on which the list or mapping around it begins, which can be
// the first of the file. The parse stops at the fault, so every longer piece of
// the file fails in the same way and no shorter one does. It returns 0 for
// files too large to be parsed a dozen times.
func yamlErrorLine(data []byte, message string) int {
	if len(data) > splitMinBytes {
		return 0
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	return 1 + sort.Search(len(lines), func(n int) bool {
		length := 0
		for _, line := range lines[:n+1] {
			length += len(line)
		}
		in := yaml.NewDecoder(bytes.NewReader(data[:length]))
		for {
			var document yaml.Node
			err := in.Decode(&document)
			if errors.Is(err, io.EOF) {
				return false
			}
			if err != nil {
				_, found := yamlMessage(err)
				return found == message
			}
		}
	})
}

// yamlMessage takes line and text from an error of the YAML package, which
// reads "yaml: line 3: did not find expected key".
func yamlMessage(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, found := strings.CutPrefix(message, "line "); found {
		if number, after, found := strings.Cut(rest, ": "); found {
			if n, err := strconv.Atoi(number); err == nil {
				return n, "is not YAML: " + after
			}
		}
	}
	return 0, "is not YAML: " + message
}
