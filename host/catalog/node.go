package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// kind is what a node is.
type kind uint8

const (
	kindNull kind = iota
	kindBoolean
	kindNumber // text is as in the source; only canonical decides whether it is a decimal
	kindText
	kindList
	kindMapping
)

// String names the kind for people.
func (k kind) String() string {
	return [...]string{"nothing", "true or false", "a number", "text", "a list", "a mapping"}[k]
}

// depthMax bounds the nesting of lists and mappings in a file.
const depthMax = 64

// node is a value of a file, whether that was YAML or JSON. Numbers stay the
// text that was written: nothing passes through a binary fraction.
type node struct {
	kind  kind
	line  int
	text  string // of a boolean, number or text
	keys  []key  // of a mapping, in source order, distinct
	items []node // of a list, or the values of a mapping
}

// key is a key of a mapping.
type key struct {
	name string
	line int
}

// names finds names that are given twice within a mapping.
type names struct {
	few  []key
	many map[string]int // name → line, once there are more than a few
}

// add notes a name; taken says that it was there already, on line first.
func (s *names) add(name string, line int) (first int, taken bool) {
	const fewMax = 16
	if s.many != nil {
		if first, taken = s.many[name]; !taken {
			s.many[name] = line
		}
		return first, taken
	}
	for _, k := range s.few {
		if k.name == name {
			return k.line, true
		}
	}
	s.few = append(s.few, key{name, line})
	if len(s.few) > fewMax {
		s.many = make(map[string]int, 2*fewMax)
		for _, k := range s.few {
			s.many[k.name] = k.line
		}
	}
	return 0, false
}

// get returns the value of a mapping's key; nil when it is absent or null.
func (n *node) get(name string) *node {
	for i := range n.keys {
		if n.keys[i].name == name {
			if n.items[i].kind == kindNull {
				return nil
			}
			return &n.items[i]
		}
	}
	return nil
}

// errNumber is why a number was refused.
var errNumber = errors.New("write numbers as plain decimals such as 12 or 0.5, or put them in quotes when they are text")

// canonicalNumber brings a number into the one form that equal numbers share.
func canonicalNumber(text string) (string, error) {
	if !plainNumber(text) {
		return "", fmt.Errorf("%s: %w", text, errNumber)
	}
	d, err := billing.ParseDecimal(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", text, errors.Unwrap(err))
	}
	return d.String(), nil
}

// plainNumber reports whether text is a number by the grammar of JSON. YAML
// knows more: 0x1F, 1_000, .5, +1 and 012, which is ten there.
func plainNumber(text string) bool {
	s := strings.TrimPrefix(text, "-")
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if s == "" {
		return true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return false
	}
	s = s[1:]
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s != "" && digits(s) == len(s)
}

// digits counts the digits at the start of s.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// canonical appends the node as JSON: keys sorted by bytes, no spaces, numbers
// as shortest decimals. Equal values have equal bytes. report is called with
// what JSON cannot say or exceeds a limit.
func (n *node) canonical(dst []byte, at *path, report func(*node, *path, string)) []byte {
	switch n.kind {
	case kindNull:
		return append(dst, "null"...)
	case kindBoolean:
		return append(dst, n.text...)
	case kindText:
		return appendText(dst, n.text)
	case kindNumber:
		text, err := canonicalNumber(n.text)
		if err != nil {
			report(n, at, err.Error())
			return append(dst, '0')
		}
		return append(dst, text...)
	default: // a list or a mapping
	}
	if len(n.items) > RowsMax {
		report(n, at, fmt.Sprintf("has %d entries, at most %d are allowed", len(n.items), RowsMax))
		return append(dst, "null"...)
	}
	if n.kind == kindList {
		dst = append(dst, '[')
		for i := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = n.items[i].canonical(dst, at.at(i), report)
		}
		return append(dst, ']')
	}
	order := make([]int, len(n.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(n.keys[a].name, n.keys[b].name) })
	dst = append(dst, '{')
	for i, k := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, n.keys[k].name), ':')
		dst = n.items[k].canonical(dst, at.key(n.keys[k].name), report)
	}
	return append(dst, '}')
}

// appendText appends s as a JSON string, escaping only what must be.
func appendText(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		dst = append(dst, s[done:i]...)
		done = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[done:]...), '"')
}

// printable reports whether s is text without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 })
}

// lineOf finds the line that a message is about which begins with a path into
// the node, "params.tiers[1].up_to: must be …". Where the path ends early, it
// is the line of the last step that exists.
func (n *node) lineOf(message, root string) int {
	rest, found := strings.CutPrefix(message, root)
	if !found {
		return n.line
	}
	line := n.line
	for {
		var next *node
		switch {
		case strings.HasPrefix(rest, "["):
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return line
			}
			next = n.step(strings.Trim(rest[1:end], `"`))
			rest = rest[end+1:]
		case strings.HasPrefix(rest, "."):
			end := strings.IndexAny(rest[1:], ".[: ")
			if end < 0 {
				end = len(rest) - 1
			}
			next = n.step(rest[1 : 1+end])
			rest = rest[1+end:]
		}
		if next == nil {
			return line
		}
		n, line = next, next.line
	}
}

// step returns the value of a key or the item of a number.
func (n *node) step(name string) *node {
	if n.kind == kindMapping {
		for i := range n.keys {
			if n.keys[i].name == name {
				return &n.items[i]
			}
		}
		return nil
	}
	var i int
	if err := json.Unmarshal([]byte(name), &i); err != nil || i < 0 || i >= len(n.items) {
		return nil
	}
	return &n.items[i]
}
