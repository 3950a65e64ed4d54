package tariff

// A description of the parameters, learnt by calling Configure once with readers that note what
// is asked for. It names the known parameters to someone who wrote an unknown one, and natively
// becomes the JSON Schema of the manifest.

type fieldKind uint8

const (
	fieldDecimal fieldKind = iota
	fieldInt
	fieldBool
	fieldText
	fieldChoice
	fieldTime
	fieldRounding
	fieldObject
	fieldList
	fieldMap
	fieldTexts
	fieldDecimals
	fieldDecimalMap
	fieldTextsMap
)

// String says what a value of the kind is, as problems put it.
func (k fieldKind) String() string {
	return [...]string{
		"a decimal number", "a whole number", "true or false", "a string", "a string", "an instant",
		"an object with scale and mode", "an object", "a list", "an object",
		"a list of strings", "a list of decimal numbers", "an object of decimal numbers", "an object of lists of strings",
	}[k]
}

// field is one parameter.
type field struct {
	name, about string
	kind        fieldKind
	required    bool
	least, most int      // of fieldInt
	choices     []string // of fieldChoice
	inner       *spec    // of fieldObject and fieldRounding, and of each element of fieldList and fieldMap
}

// spec is the parameters of one object, in the order in which they were first asked for.
type spec struct{ fields []field }

// add notes a field. Asked for twice, the first stands, and is required if either is.
func (s *spec) add(f field) {
	if have := s.of(f.name); have != nil {
		have.required = have.required || f.required
		return
	}
	s.fields = append(s.fields, f)
}

// within returns what is learnt of the parameters inside a field.
func (f *field) within() *spec {
	if f.inner == nil {
		f.inner = &spec{}
	}
	return f.inner
}

// roundingSpec is what stands inside a rounding.
func roundingSpec() *spec {
	return &spec{fields: []field{{name: "scale"}, {name: "mode"}}}
}

// of returns the field of that name, or nil.
func (s *spec) of(name string) *field {
	if s == nil {
		return nil
	}
	for i := range s.fields {
		if s.fields[i].name == name {
			return &s.fields[i]
		}
	}
	return nil
}

// names lists the known parameters.
func (s *spec) names() string {
	list := ""
	if s != nil {
		for i, f := range s.fields {
			if i > 0 {
				list += ", "
			}
			list += f.name
		}
	}
	if list == "" {
		return "none"
	}
	return list
}

// describe calls a tariff's Configure to learn its parameters. A tariff that cannot bear the
// zero values it is given here panics; what it asked for until then is what is known.
func describe(t *Tariff) (s *spec, panicked any) {
	s = &spec{}
	defer func() { panicked = recover() }()
	c := newConfig(&document{}, none, "")
	c.Params = Params{config: c, node: none, spec: s}
	t.Configure(c)
	return s, nil
}
