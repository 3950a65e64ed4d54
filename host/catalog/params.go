package catalog

import (
	"encoding/json"
	"strings"
)

// EffectiveParams are the parameters that price a subscription's usage under a
// tariff version: the version's, where the subscription's replace top-level
// keys. Both are canonical JSON, and so is the result. It allocates only when
// the subscription has parameters of its own; the result must not be changed.
func EffectiveParams(v *TariffVersion, s *Subscription) json.RawMessage {
	if len(s.Params) == 0 {
		return v.Params
	}
	base, over := members(v.Params), members(s.Params)
	merged := make([]byte, 0, len(v.Params)+len(s.Params))
	merged = append(merged, '{')
	for len(base) > 0 || len(over) > 0 {
		if len(merged) > 1 {
			merged = append(merged, ',')
		}
		order := -1
		switch {
		case len(base) == 0:
			order = 1
		case len(over) > 0:
			order = strings.Compare(base[0].name, over[0].name)
		}
		if order < 0 {
			merged = append(merged, base[0].raw...)
			base = base[1:]
			continue
		}
		merged = append(merged, over[0].raw...)
		over = over[1:]
		if order == 0 {
			base = base[1:]
		}
	}
	return append(merged, '}')
}

// member is one member of a canonical JSON object.
type member struct {
	name string // unquoted
	raw  string // name, colon and value as they stand
}

// members takes a canonical JSON object apart: no spaces outside of strings,
// keys sorted. Anything else would be a fault of this package.
func members(object json.RawMessage) []member {
	var list []member
	rest := strings.TrimSuffix(strings.TrimPrefix(string(object), "{"), "}")
	for rest != "" {
		nameEnd := valueEnd(rest, 0)
		end := valueEnd(rest, nameEnd+1)
		list = append(list, member{name: unquote(rest[:nameEnd]), raw: rest[:end]})
		rest = strings.TrimPrefix(rest[end:], ",")
	}
	return list
}

// valueEnd returns the end of the JSON value, or of the name, that starts at i.
func valueEnd(s string, i int) int {
	depth := 0
	for quoted := false; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case depth == 0 && (c == ',' || c == ':'):
			return i
		}
	}
	return len(s)
}

// unquote returns the text of a JSON string that appendText wrote.
func unquote(quoted string) string {
	inner := quoted[1 : len(quoted)-1]
	if !strings.Contains(inner, `\`) {
		return inner
	}
	var text string
	if err := json.Unmarshal([]byte(quoted), &text); err != nil {
		return inner // cannot be: canonical objects have well-formed names
	}
	return text
}
