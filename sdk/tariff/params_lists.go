package tariff

import "github.com/tollway/tollway/sdk/billing"

// Readers of lists and maps of single values.

// OptionalList reads a list of objects that may be absent or empty.
func (p Params) OptionalList(name, about string) []Params {
	n := p.find(field{name: name, about: about, kind: fieldList}, optional, jsonList)
	if p.spec != nil {
		return []Params{p.described(name)}
	}
	var list []Params
	p.eachChild(n, func(child int32) { list = append(list, p.config.entry(child)) })
	return list
}

// TextOr reads a string that may be absent; given, it is not empty.
func (p Params) TextOr(name, about, absent string) string {
	n := p.find(field{name: name, about: about, kind: fieldText}, optional, jsonString)
	if n == none {
		return absent
	}
	if p.config.doc.nodes[n].text == "" {
		p.Fail(name, "must not be empty")
	}
	return p.config.doc.nodes[n].text
}

// OptionalDimension reads the name of a dimension of the meter that may be absent, claims it, and says whether it is
// there.
func (p Params) OptionalDimension(name, about string) (Dimension, bool) {
	dimension := p.TextOr(name, about, "")
	if dimension == "" {
		return Dimension{}, false
	}
	if !ValidName(dimension) {
		p.Fail(name, "must be a dimension of the meter")
		return Dimension{}, false
	}
	return p.config.Dimension(dimension), true
}

// OptionalTexts reads a list of strings that may be absent or empty.
func (p Params) OptionalTexts(name, about string) []string {
	n := p.find(field{name: name, about: about, kind: fieldTexts}, optional, jsonList)
	return p.texts(n)
}

// OptionalDecimals reads a list of numbers that may be absent or empty.
func (p Params) OptionalDecimals(name, about string) []billing.Decimal {
	n := p.find(field{name: name, about: about, kind: fieldDecimals}, optional, jsonList)
	var list []billing.Decimal
	p.eachChild(n, func(child int32) {
		if d, ok := p.decimalAt(child); ok {
			list = append(list, d)
		}
	})
	return list
}

// NamedDecimal is one member of a [Params.DecimalMap].
type NamedDecimal struct {
	Key   string
	Value billing.Decimal
}

// DecimalMap reads an object whose keys are the catalog's own and whose values are numbers. It may be empty.
func (p Params) DecimalMap(name, about string) []NamedDecimal {
	return p.decimalMap(p.find(field{name: name, about: about, kind: fieldDecimalMap}, required, jsonObject))
}

// NamedTexts is one member of a [Params.TextsMap].
type NamedTexts struct {
	Key    string
	Values []string
}

// TextsMap reads an object whose keys are the catalog's own and whose values are lists of strings. It may be empty.
func (p Params) TextsMap(name, about string) []NamedTexts {
	n := p.find(field{name: name, about: about, kind: fieldTextsMap}, required, jsonObject)
	var list []NamedTexts
	p.eachChild(n, func(child int32) {
		doc := p.config.doc
		if doc.nodes[child].kind != jsonList {
			p.failAt(child, "must be a list, not "+kindNames[doc.nodes[child].kind])
			return
		}
		list = append(list, NamedTexts{doc.nodes[child].key, p.texts(child)})
	})
	return list
}

// eachChild calls f with the children of a value; none has none.
func (p Params) eachChild(n int32, f func(child int32)) {
	if n == none {
		return
	}
	doc := p.config.doc
	for c := doc.nodes[n].first; c != none; c = doc.nodes[c].next {
		doc.nodes[c].used = true
		f(c)
	}
}

// failAt notes a problem with a value.
func (p Params) failAt(n int32, message string) {
	if p.config.tooMany() {
		return
	}
	p.config.problem(p.config.doc.appendPath([]byte("params"), n, p.config.root), message)
}

func (p Params) texts(n int32) []string {
	list := []string{}
	p.eachChild(n, func(child int32) {
		if doc := p.config.doc; doc.nodes[child].kind != jsonString {
			p.failAt(child, "must be a string, not "+kindNames[doc.nodes[child].kind])
		} else {
			list = append(list, doc.nodes[child].text)
		}
	})
	return list
}

func (p Params) decimalAt(n int32) (billing.Decimal, bool) {
	node := p.config.doc.nodes[n]
	if node.kind != jsonString && node.kind != jsonNumber {
		p.failAt(n, "must be "+fieldDecimal.String()+", not "+kindNames[node.kind])
		return billing.Decimal{}, false
	}
	d, err := billing.ParseDecimal(node.text)
	if err != nil {
		p.failAt(n, err.Error())
	}
	return d, err == nil
}

// OptionalDecimalMap reads such an object that may be absent.
func (p Params) OptionalDecimalMap(name, about string) []NamedDecimal {
	return p.decimalMap(p.find(field{name: name, about: about, kind: fieldDecimalMap}, optional, jsonObject))
}

func (p Params) decimalMap(n int32) []NamedDecimal {
	var list []NamedDecimal
	p.eachChild(n, func(child int32) {
		if d, ok := p.decimalAt(child); ok {
			list = append(list, NamedDecimal{p.config.doc.nodes[child].key, d})
		}
	})
	return list
}
