package paper

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// party is the seller or the buyer.
type party struct {
	Role    string
	Name    string
	Shown   string // the name, or what stands for it
	Address []string
	More    []string // "Tax id: DE1"
}

// newParty reads the details of a party, which may hold anything: a name, an
// address in any of the ways people write one, and further facts.
func newParty(role string, details json.RawMessage, account string) (party, error) {
	p := party{Role: role, Shown: account}
	if p.Shown == "" {
		p.Shown = "—"
	}
	if len(details) == 0 {
		return p, nil
	}
	d := json.NewDecoder(bytes.NewReader(details))
	d.UseNumber()
	var facts map[string]any
	if err := d.Decode(&facts); err != nil {
		return p, fmt.Errorf("details: %w", err)
	}
	if name, ok := facts["name"].(string); ok && name != "" {
		p.Name, p.Shown = name, name
		if account != "" && account != name {
			p.More = append(p.More, "Account: "+account)
		}
	}
	p.Address = address(facts["address"])
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		if text := flat(facts[key]); key != "address" && (key != "name" || p.Name == "") && text != "" {
			p.More = append(p.More, label(key)+": "+text)
		}
	}
	return p, nil
}

// address makes lines of an address: of a text, a list, or an object with the
// usual members in the usual order.
func address(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Split(strings.TrimSpace(v), "\n")
	case []any:
		var lines []string
		for _, part := range v {
			lines = appendText(lines, flat(part))
		}
		return lines
	case map[string]any:
		return addressOf(maps.Clone(v))
	}
	return nil
}

func addressOf(parts map[string]any) []string {
	take := func(keys ...string) string {
		var found []string
		for _, key := range keys {
			found = appendText(found, flat(parts[key]))
			delete(parts, key)
		}
		return strings.Join(found, " ")
	}
	var lines []string
	for _, key := range []string{"company", "attention", "line1", "line2", "line3"} {
		lines = appendText(lines, take(key))
	}
	lines = appendText(lines, take("street", "street_address", "house_number"))
	lines = appendText(lines, take("postal_code", "postcode", "zip", "city", "locality"))
	lines = appendText(lines, take("state", "region", "province"))
	country := take("country", "country_code")
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		lines = appendText(lines, flat(parts[key]))
	}
	return appendText(lines, country)
}

func appendText(list []string, text string) []string {
	if text == "" {
		return list
	}
	return append(list, text)
}

// flat writes a value on one line.
func flat(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strings.Join(strings.Fields(v), " ")
	case json.Number:
		return v.String()
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	case []any:
		var parts []string
		for _, part := range v {
			parts = appendText(parts, flat(part))
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if text := flat(v[key]); text != "" {
				parts = append(parts, label(key)+" "+text)
			}
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

// label makes words of a key: "tax_id" is "Tax ID".
func label(key string) string {
	words := strings.Fields(strings.ReplaceAll(key, "_", " "))
	for i, word := range words {
		switch word {
		case "id", "vat", "iban", "bic", "url":
			words[i] = strings.ToUpper(word)
		}
	}
	text := strings.Join(words, " ")
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
