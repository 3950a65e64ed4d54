package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // so that a zone is known on every machine, also without a system's zone files

	"github.com/tollway/tollway/sdk/billing"
)

// fields reads the keys of one mapping. Its methods report what is wrong and
// then return zero values: the object is kept so that everything wrong with it
// is found in one go.
type fields struct {
	d  *decoder
	n  *node
	at *path
}

// fields begins to read a mapping and reports keys that are not among known.
func (d *decoder) fields(n *node, at *path, known ...string) (fields, bool) {
	f := fields{d: d, n: n, at: at}
	if n.kind != kindMapping {
		d.report(n.line, at, "must be a mapping, not "+n.kind.String())
		return f, false
	}
	for _, k := range n.keys {
		if !slices.Contains(known, k.name) {
			d.report(k.line, at.key(k.name), "is not known here"+didYouMean(k.name, known))
		}
	}
	return f, true
}

// bad reports a problem with the value of a key, or with its absence.
func (f fields) bad(name, message string) {
	line := f.n.line
	for i := range f.n.keys {
		if f.n.keys[i].name == name {
			line = f.n.keys[i].line
		}
	}
	f.d.report(line, f.at.key(name), message)
}

// missing reports the absence of a key.
func (f fields) missing(name, example string) {
	f.bad(name, "is missing; write for example "+name+": "+example)
}

// text returns a key's text. Numbers are taken as they are written, so that an
// id need not be quoted; true and false must be.
func (f fields) text(name string) (string, bool) {
	n := f.n.get(name)
	if n == nil {
		return "", false
	}
	if n.kind != kindText && n.kind != kindNumber {
		f.bad(name, "must be text, not "+n.kind.String())
		return "", false
	}
	return n.text, true
}

// dataKey returns a key of events' data.
func (f fields) dataKey(name string) string {
	s, ok := f.text(name)
	if ok {
		f.checkKey(name, s)
	}
	return f.d.intern(s)
}

// checkKey reports a text that cannot be a key of events' data.
func (f fields) checkKey(name, s string) {
	if s == "" || len(s) > KeyMax || !printable(s) {
		f.bad(name, fmt.Sprintf("must be a data key of 1 to %d bytes without control characters", KeyMax))
	}
}

// name returns a required name.
func (f fields) name(key, example string) string {
	s, ok := f.text(key)
	if !ok {
		if f.n.get(key) == nil {
			f.missing(key, example)
		}
		return ""
	}
	if !validName(s) {
		f.bad(key, fmt.Sprintf("%q is no name: a letter a-z, then up to %d of a-z, 0-9 and _", shorten(s), NameMax-1))
	}
	return f.d.intern(s)
}

// validName reports whether s is [a-z][a-z0-9_]{0,62}.
func validName(s string) bool {
	if s == "" || len(s) > NameMax || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// shorten cuts a text for a message.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Times lie in these years, so that they fit in 64-bit nanoseconds with room
// for zones and periods.
const (
	yearMin = 1900
	yearMax = 2200
)

// time returns a point in time.
func (f fields) time(name string) (time.Time, bool) {
	s, ok := f.text(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		f.bad(name, fmt.Sprintf("%q is no time with its zone; write for example 2026-01-01T00:00:00Z", shorten(s)))
		return time.Time{}, false
	}
	t = t.UTC()
	if t.Year() < yearMin || t.Year() >= yearMax {
		f.bad(name, fmt.Sprintf("%q lies outside the years %d to %d", s, yearMin, yearMax-1))
		return time.Time{}, false
	}
	return t, true
}

// whole returns a whole number between two bounds.
func (f fields) whole(name string, least, most int) (int, bool) {
	n := f.n.get(name)
	if n == nil {
		return 0, false
	}
	i, err := strconv.Atoi(n.text)
	if (n.kind != kindNumber && n.kind != kindText) || err != nil || i < least || i > most {
		f.bad(name, fmt.Sprintf("must be a whole number from %d to %d", least, most))
		return 0, false
	}
	return i, true
}

// choice returns a word out of several.
func (f fields) choice(name, otherwise string, words ...string) string {
	s, ok := f.text(name)
	if !ok {
		return otherwise
	}
	if !slices.Contains(words, s) {
		f.bad(name, fmt.Sprintf("%q is not known here%s", shorten(s), didYouMean(s, words)))
		return otherwise
	}
	return s
}

// list returns a key's items.
func (f fields) list(name string, most int) []node {
	n := f.n.get(name)
	if n == nil {
		return nil
	}
	if n.kind != kindList {
		f.bad(name, "must be a list, not "+n.kind.String())
		return nil
	}
	if len(n.items) > most {
		f.bad(name, fmt.Sprintf("has %d entries, at most %d are allowed", len(n.items), most))
		return nil
	}
	return n.items
}

// words returns a list of distinct texts, sorted; check is asked about each.
func (f fields) words(name string, most int, check func(word string) string) []string {
	var words []string
	at := f.at.key(name)
	for i, n := range f.list(name, most) {
		switch {
		case n.kind != kindText && n.kind != kindNumber:
			f.d.report(n.line, at.at(i), "must be text, not "+n.kind.String())
		case slices.Contains(words, n.text):
			f.d.report(n.line, at.at(i), fmt.Sprintf("%q is given twice", shorten(n.text)))
		default:
			if message := check(n.text); message != "" {
				f.d.report(n.line, at.at(i), message)
			}
			words = append(words, f.d.intern(n.text))
		}
	}
	slices.Sort(words)
	return words
}

// object returns a mapping as canonical JSON, nil when it is absent.
func (f fields) object(name string, maxBytes int) ([]byte, *node) {
	n := f.n.get(name)
	if n == nil {
		return nil, nil
	}
	if n.kind != kindMapping {
		f.bad(name, "must be a mapping, not "+n.kind.String())
		return nil, nil
	}
	raw := n.canonical(nil, f.at.key(name), func(n *node, at *path, message string) { f.d.report(n.line, at, message) })
	if len(raw) > maxBytes {
		f.bad(name, fmt.Sprintf("has %d bytes as JSON, at most %d are allowed", len(raw), maxBytes))
	}
	return raw, n
}

// currency returns a currency; ok is false when it is absent or unknown.
func (f fields) currency(name string) (billing.Currency, bool) {
	s, ok := f.text(name)
	if !ok {
		return "", false
	}
	c, err := billing.ParseCurrency(s)
	if err != nil {
		f.bad(name, fmt.Sprintf("%q is no currency of ISO 4217; write for example EUR", shorten(s)))
		return "", false
	}
	return billing.Currency(f.d.intern(string(c))), true
}

// zone returns an IANA time zone, and its location; "" and nil when it is
// absent or unknown.
func (f fields) zone(name string) (string, *time.Location) {
	s, ok := f.text(name)
	if !ok {
		return "", nil
	}
	s = f.d.intern(s)
	location, known := f.d.zones[s]
	if !known {
		// "Local" would be another zone on another machine, and "" is UTC to LoadLocation.
		if loaded, err := time.LoadLocation(s); err == nil && s != "" && s != "Local" {
			location = loaded
		}
		f.d.zones[s] = location
	}
	if location == nil {
		f.bad(name, fmt.Sprintf("%q is no time zone of the IANA list; write for example Europe/Berlin", shorten(s)))
		return "", nil
	}
	return s, location
}
