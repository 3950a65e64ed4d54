package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// computed counts a quantity that is computed from the event's attributes, and prices it.
type computed struct {
	line     tariff.Line
	quantity expression
	price    billing.Decimal
	rounding billing.Rounding
}

func (c *computed) Price(s *tariff.Slot, e *tariff.Event) error {
	quantity, err := c.quantity(e)
	if err != nil {
		return err
	}
	units, err := c.line.Quantity(s).Add(billing.Quantity(quantity))
	if err != nil {
		return err
	}
	amount, err := tariff.Multiply(units, billing.Amount(c.price), c.rounding)
	if err == nil {
		c.line.Set(s, units, amount)
	}
	return err
}

// expression computes a number from an event. Products and quotients keep 18 decimal places.
type expression func(e *tariff.Event) (billing.Decimal, error)

// What an expression may be: how deep it is nested, and how many dimensions it names.
const (
	depthMax      = 64
	dimensionsMax = 15
)

// compile reads an expression: numbers, dimensions by name, + - * / and parentheses, and the functions round, ceil
// and floor (of a number, at a number of places), abs, min and max.
func compile(text string, claim func(string) tariff.Dimension) (expression, error) {
	p := &parser{rest: text, claim: claim}
	e, err := p.sum()
	if err == nil && p.next() != "" {
		err = fmt.Errorf("%q is not expected", p.next())
	}
	return e, err
}

// parser reads an expression by recursive descent.
type parser struct {
	rest  string
	depth int
	names []string // of dimensions
	claim func(string) tariff.Dimension
}

// next returns the token that comes next, "" at the end.
func (p *parser) next() string {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	n := 0
	for n < len(p.rest) && isWord(p.rest[n]) {
		n++
	}
	if n == 0 && len(p.rest) > 0 {
		n = 1
	}
	return p.rest[:n]
}

func isWord(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// take takes the next token if it is the given one.
func (p *parser) take(token string) bool {
	if p.next() != token {
		return false
	}
	p.rest = p.rest[len(token):]
	return true
}

// operation computes a number from two.
type operation func(a, b billing.Decimal) (billing.Decimal, error)

func plus(a, b billing.Decimal) (billing.Decimal, error)  { return a.Add(b) }
func minus(a, b billing.Decimal) (billing.Decimal, error) { return a.Sub(b) }
func times(a, b billing.Decimal) (billing.Decimal, error) { return a.Mul(b, tariff.Exact) }
func over(a, b billing.Decimal) (billing.Decimal, error)  { return a.Quo(b, tariff.Exact) }

func larger(a, b billing.Decimal) (billing.Decimal, error) {
	if a.Cmp(b) < 0 {
		return b, nil
	}
	return a, nil
}

func smaller(a, b billing.Decimal) (billing.Decimal, error) {
	if a.Cmp(b) > 0 {
		return b, nil
	}
	return a, nil
}

// join returns the expression of an operation on two.
func join(a, b expression, op operation) expression {
	return func(e *tariff.Event) (billing.Decimal, error) {
		x, err := a(e)
		if err != nil {
			return x, err
		}
		y, err := b(e)
		if err != nil {
			return y, err
		}
		return op(x, y)
	}
}

func (p *parser) sum() (expression, error) {
	return p.chain(p.product, map[string]operation{"+": plus, "-": minus})
}

func (p *parser) product() (expression, error) {
	return p.chain(p.value, map[string]operation{"*": times, "/": over})
}

// chain reads operands with operators between them, from the left.
func (p *parser) chain(operand func() (expression, error), operators map[string]operation) (expression, error) {
	if p.depth++; p.depth > depthMax {
		return nil, fmt.Errorf("is nested more than %d deep", depthMax)
	}
	defer func() { p.depth-- }()
	left, err := operand()
	for err == nil {
		token := p.next()
		op, ok := operators[token]
		if !ok {
			break
		}
		p.take(token)
		var right expression
		if right, err = operand(); err == nil {
			left = join(left, right, op)
		}
	}
	return left, err
}

// value reads a number, a dimension, a function, or what stands in parentheses.
func (p *parser) value() (expression, error) {
	token := p.next()
	switch {
	case token == "":
		return nil, errors.New("ends where a value is expected")
	case p.take("-"):
		if p.depth++; p.depth > depthMax {
			return nil, fmt.Errorf("is nested more than %d deep", depthMax)
		}
		inner, err := p.value()
		p.depth--
		return join(constant(billing.Decimal{}), inner, minus), err
	case p.take("("):
		inner, err := p.sum()
		if err == nil && !p.take(")") {
			err = errors.New("lacks a )")
		}
		return inner, err
	case !isWord(token[0]):
		return nil, fmt.Errorf("%q is not expected", token)
	}
	p.take(token)
	if token[0] >= '0' && token[0] <= '9' {
		number, err := billing.ParseDecimal(token)
		return constant(number), err
	}
	if p.take("(") {
		return p.function(token)
	}
	return p.dimension(token)
}

func constant(d billing.Decimal) expression {
	return func(*tariff.Event) (billing.Decimal, error) { return d, nil }
}

// dimension reads a number from a dimension. A path, as event.properties.x, names its last part.
func (p *parser) dimension(name string) (expression, error) {
	name = name[strings.LastIndexByte(name, '.')+1:]
	if !tariff.ValidName(name) {
		return nil, fmt.Errorf("%q is no dimension of the meter", name)
	}
	if !slices.Contains(p.names, name) {
		p.names = append(p.names, name)
	}
	if len(p.names) > dimensionsMax {
		return nil, fmt.Errorf("names more than %d dimensions", dimensionsMax)
	}
	d := p.claim(name)
	return func(e *tariff.Event) (billing.Decimal, error) {
		number, err := billing.ParseDecimal(e.Value(d))
		if err != nil {
			return number, tariff.Reject("not_a_number", name+" is not a decimal number")
		}
		return number, nil
	}, nil
}

// function reads the arguments of a function, behind its parenthesis.
func (p *parser) function(name string) (expression, error) {
	var arguments []expression
	for {
		argument, err := p.sum()
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, argument)
		if p.take(")") {
			break
		}
		if !p.take(",") {
			return nil, fmt.Errorf("lacks a ) behind the arguments of %s", name)
		}
	}
	first := arguments[0]
	modes := map[string]billing.RoundingMode{"round": billing.RoundHalfUp, "ceil": billing.RoundCeiling, "floor": billing.RoundFloor}
	mode, rounds := modes[name]
	switch {
	case rounds && len(arguments) <= 2:
		return roundedAt(arguments, mode), nil
	case name == "abs" && len(arguments) == 1:
		return func(e *tariff.Event) (billing.Decimal, error) {
			x, err := first(e)
			if err != nil {
				return x, err
			}
			return x.Abs()
		}, nil
	case name == "min" || name == "max":
		op := larger
		if name == "min" {
			op = smaller
		}
		for _, other := range arguments[1:] {
			first = join(first, other, op)
		}
		return first, nil
	}
	return nil, fmt.Errorf("%s of %d arguments is unknown; there are round, ceil and floor of one or two, abs of one, min and max", name, len(arguments))
}

// roundedAt rounds its first argument at the places of its second, or at none.
func roundedAt(arguments []expression, mode billing.RoundingMode) expression {
	return func(e *tariff.Event) (billing.Decimal, error) {
		x, err := arguments[0](e)
		if err != nil {
			return x, err
		}
		scale := 0
		if len(arguments) == 2 {
			places, err := arguments[1](e)
			if err != nil {
				return x, err
			}
			for scale = billing.RoundingScaleMin; scale <= billing.RoundingScaleMax && billing.DecimalFromInt(int64(scale)) != places; {
				scale++
			}
			if scale > billing.RoundingScaleMax {
				return x, tariff.Reject("bad_places", "a number of decimal places is whole, and -20 to 18")
			}
		}
		return x.Round(billing.Rounding{Scale: scale, Mode: mode})
	}
}
