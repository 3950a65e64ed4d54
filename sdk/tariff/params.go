package tariff

import (
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Exact is the rounding of results that no parameter rounds: a product that needs more than the
// 18 decimal places of the engine's numbers is rounded to them, ties away from zero.
var Exact = billing.Rounding{Scale: billing.Scale, Mode: billing.RoundHalfUp}

// Params reads one object of parameters. A reader is named for the type it gives, takes the
// parameter's name and one sentence about it, and gives a usable value in any case: what is
// missing, malformed or unknown is noted with its path, and after the tariff's Configure the
// engine gets all problems at once. So a Configure needs no error handling of its own.
//
// The same calls make the JSON Schema of the manifest, so that it cannot differ from what is
// read. They should therefore be made whatever the values are: read first, decide afterwards.
//
// Numbers are decimal strings ("0.002"); JSON numbers are taken too, by their text, never
// through binary floating point. An optional parameter may be absent or null.
type Params struct {
	config *Config
	node   int32 // the object; none when it is missing, which has been noted
	spec   *spec // what is learnt about the object while describing; nil otherwise
}

// need says whether a parameter may be absent.
type need bool

const (
	required need = true
	optional need = false
)

// find returns the value of a parameter, or none when it is absent, null or of another kind
// than one of kinds; unless it is optional, that has then been noted.
func (p Params) find(f field, need need, kinds ...jsonKind) int32 {
	if p.config == nil {
		return none
	}
	f.required = need == required
	if p.spec != nil {
		p.spec.add(f)
		return none
	}
	if p.node == none {
		return none
	}
	doc := p.config.doc
	n := doc.child(p.node, f.name)
	if n == none {
		if need == required {
			p.Fail(f.name, "is missing")
		}
		return none
	}
	doc.nodes[n].used = true
	kind := doc.nodes[n].kind
	if kind == jsonNull && need == optional {
		return none
	}
	for _, k := range kinds {
		if k == kind {
			return n
		}
	}
	p.Fail(f.name, "must be "+f.kind.String()+", not "+kindNames[kind])
	return none
}

// Fail notes a problem with the named parameter of this object. The path stands before the
// message, which should say what would be right: "must be greater than 1000".
func (p Params) Fail(name, message string) {
	if p.config == nil || p.spec != nil || p.node == none {
		return
	}
	if p.config.tooMany() {
		return
	}
	p.config.problem(p.path(name), message)
}

// path is where the named parameter of this object stands.
func (p Params) path(name string) []byte {
	b := p.config.doc.appendPath([]byte("params"), p.node, p.config.root)
	if name != "" {
		b = appendKey(b, name)
	}
	return b
}

// Present says whether a parameter is there and not null, without reading it.
func (p Params) Present(name string) bool {
	if p.config == nil || p.spec != nil || p.node == none {
		return false
	}
	n := p.config.doc.child(p.node, name)
	return n != none && p.config.doc.nodes[n].kind != jsonNull
}

func (p Params) decimal(name, about string, need need) (billing.Decimal, bool) {
	n := p.find(field{name: name, about: about, kind: fieldDecimal}, need, jsonString, jsonNumber)
	if n == none {
		return billing.Decimal{}, false
	}
	d, err := billing.ParseDecimal(p.config.doc.nodes[n].text)
	if err != nil {
		p.Fail(name, err.Error())
		return billing.Decimal{}, false
	}
	return d, true
}

// Amount reads money in the tariff's currency, such as the price of one unit.
func (p Params) Amount(name, about string) billing.Amount {
	d, _ := p.decimal(name, about, required)
	return billing.Amount(d)
}

// AmountOr reads money that may be absent.
func (p Params) AmountOr(name, about string, absent billing.Amount) billing.Amount {
	if d, ok := p.decimal(name, about, optional); ok {
		return billing.Amount(d)
	}
	return absent
}

// Quantity reads a number of units.
func (p Params) Quantity(name, about string) billing.Quantity {
	d, _ := p.decimal(name, about, required)
	return billing.Quantity(d)
}

// OptionalQuantity reads a number of units that may be absent, and says whether it is there.
func (p Params) OptionalQuantity(name, about string) (billing.Quantity, bool) {
	d, ok := p.decimal(name, about, optional)
	return billing.Quantity(d), ok
}

// Decimal reads a number that is neither money nor usage, such as a factor.
func (p Params) Decimal(name, about string) billing.Decimal {
	d, _ := p.decimal(name, about, required)
	return d
}

// OptionalDecimal reads such a number that may be absent, and says whether it is there.
func (p Params) OptionalDecimal(name, about string) (billing.Decimal, bool) {
	return p.decimal(name, about, optional)
}

// Int reads a whole number of at least least and at most most.
func (p Params) Int(name, about string, least, most int) int {
	n, _ := p.int(name, about, least, most, required)
	return n
}

// IntOr reads such a number that may be absent.
func (p Params) IntOr(name, about string, least, most, absent int) int {
	if n, ok := p.int(name, about, least, most, optional); ok {
		return n
	}
	return absent
}

func (p Params) int(name, about string, least, most int, need need) (int, bool) {
	n := p.find(field{name: name, about: about, kind: fieldInt, least: least, most: most}, need, jsonNumber)
	if n == none {
		return least, false
	}
	value, err := strconv.Atoi(p.config.doc.nodes[n].text)
	if err != nil || value < least || value > most {
		p.Fail(name, "must be a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return least, false
	}
	return value, true
}

// BoolOr reads true or false that may be absent.
func (p Params) BoolOr(name, about string, absent bool) bool {
	n := p.find(field{name: name, about: about, kind: fieldBool}, optional, jsonBool)
	if n == none {
		return absent
	}
	return p.config.doc.nodes[n].text == "true"
}

// Text reads a string that is not empty.
func (p Params) Text(name, about string) string {
	n := p.find(field{name: name, about: about, kind: fieldText}, required, jsonString)
	if n == none {
		return ""
	}
	if p.config.doc.nodes[n].text == "" {
		p.Fail(name, "must not be empty")
	}
	return p.config.doc.nodes[n].text
}

// Choice reads one of several words.
func (p Params) Choice(name, about string, choices ...string) string {
	return p.choice(field{name: name, about: about, choices: choices}, "", required)
}

// ChoiceOr reads one of several words that may be absent; absent need not be among them.
func (p Params) ChoiceOr(name, about, absent string, choices ...string) string {
	return p.choice(field{name: name, about: about, choices: choices}, absent, optional)
}

func (p Params) choice(f field, absent string, need need) string {
	f.kind = fieldChoice
	n := p.find(f, need, jsonString)
	if n == none {
		return absent
	}
	text := p.config.doc.nodes[n].text
	list := ""
	for i, choice := range f.choices {
		if text == choice {
			return choice
		}
		if i > 0 {
			list += ", "
		}
		list += choice
	}
	if len(f.choices) == 1 {
		p.Fail(f.name, "must be "+list+", not "+strconv.Quote(text))
	} else {
		p.Fail(f.name, "must be one of "+list+", not "+strconv.Quote(text))
	}
	return absent
}

// OptionalTime reads an instant (RFC 3339) that may be absent, as unix nanoseconds, and says
// whether it is there.
func (p Params) OptionalTime(name, about string) (int64, bool) {
	n := p.find(field{name: name, about: about, kind: fieldTime}, optional, jsonString)
	if n == none {
		return 0, false
	}
	t, err := time.Parse(time.RFC3339Nano, p.config.doc.nodes[n].text)
	if err != nil || t.Year() < 1700 || t.Year() > 2200 { // beyond, nanoseconds leave 64 bits
		p.Fail(name, "must be an instant such as 2026-01-01T00:00:00Z, not "+strconv.Quote(p.config.doc.nodes[n].text))
		return 0, false
	}
	return t.UnixNano(), true
}

// Rounding reads {"scale": 2, "mode": "half_up"}. Absent, null and mode none give [Exact].
func (p Params) Rounding(name, about string) billing.Rounding {
	f := field{name: name, about: about, kind: fieldRounding}
	if p.spec != nil {
		f.inner = roundingSpec()
	}
	n := p.find(f, optional, jsonObject)
	if n == none {
		return Exact
	}
	r := p.config.open(n)
	modeName := r.Choice("mode", "", "none", "half_up", "half_even", "floor", "ceiling")
	if modeName == "none" || modeName == "" {
		r.IntOr("scale", "", billing.RoundingScaleMin, billing.RoundingScaleMax, 0)
		return Exact
	}
	mode, err := billing.ParseRoundingMode(modeName)
	if err != nil {
		r.Fail("mode", err.Error())
		return Exact
	}
	return billing.Rounding{
		Scale: r.Int("scale", "", billing.RoundingScaleMin, billing.RoundingScaleMax),
		Mode:  mode,
	}
}

// described gives the parameters inside the named one while the schema is made.
func (p Params) described(name string) Params {
	return Params{config: p.config, node: none, spec: p.spec.of(name).within()}
}

// Object reads parameters of their own.
func (p Params) Object(name, about string) Params {
	inner, _ := p.object(name, about, required)
	return inner
}

// OptionalObject reads parameters of their own that may be absent, and says whether they are
// there. While the schema is made it says that they are.
func (p Params) OptionalObject(name, about string) (Params, bool) {
	return p.object(name, about, optional)
}

func (p Params) object(name, about string, need need) (Params, bool) {
	n := p.find(field{name: name, about: about, kind: fieldObject}, need, jsonObject)
	if p.spec != nil {
		return p.described(name), true
	}
	if n == none {
		return Params{config: p.config, node: none}, false
	}
	return p.config.open(n), true
}

// List reads a list of objects that has at least one.
func (p Params) List(name, about string) []Params {
	n := p.find(field{name: name, about: about, kind: fieldList}, required, jsonList)
	if p.spec != nil {
		return []Params{p.described(name)}
	}
	if n == none {
		return nil
	}
	nodes := p.config.doc.nodes
	list := make([]Params, 0, nodes[n].index)
	for c := nodes[n].first; c != none; c = nodes[c].next {
		list = append(list, p.config.entry(c))
	}
	if len(list) == 0 {
		p.Fail(name, "must not be empty")
	}
	return list
}

// Entry is one member of a [Params.Map].
type Entry struct {
	Key    string
	Params Params
}

// Map reads an object whose keys are the catalog's own and whose values are all objects of one
// kind, such as prices by SKU. It may be empty.
func (p Params) Map(name, about string) []Entry {
	n := p.find(field{name: name, about: about, kind: fieldMap}, required, jsonObject)
	if p.spec != nil {
		return []Entry{{Params: p.described(name)}}
	}
	if n == none {
		return nil
	}
	nodes := p.config.doc.nodes
	entries := make([]Entry, 0, nodes[n].index)
	for c := nodes[n].first; c != none; c = nodes[c].next {
		entries = append(entries, Entry{Key: nodes[c].key, Params: p.config.entry(c)})
	}
	return entries
}
