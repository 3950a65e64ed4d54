// Command conformance is the tariff that does what a case of the shared file asks for, in Go.
package main

import (
	"errors"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

var module = tariff.Register(tariff.Module{
	Name:    "conformance",
	Version: "1.0.0",
	// Each pass of a loop costs what the longest way through its function does, and the longest texts have eighty digits.
	FuelPerEvent: 5_000_000,
	Tariffs: []tariff.Tariff{{
		Name:      "conformance",
		Title:     "One operation on decimal numbers",
		Configure: configure,
	}},
})

func main() { module.Main() }

// operation does one operation on each event.
type operation struct {
	name     string
	rounding billing.Rounding
	n        int64
	text     tariff.Dimension
	result   tariff.Line
	sum      tariff.SumCell
}

func configure(c *tariff.Config) tariff.Pricer {
	p := c.Params
	name := p.Choice("operation", "What is done.",
		"parse", "format", "compare", "neg", "abs", "add", "sub", "mul", "quo", "round", "mul_quo", "sum")
	o := &operation{
		name: name,
		n:    int64(p.IntOr("n", "What a product or a sum is divided by.", -1<<63, 1<<63-1, 0)),
		text: c.Dimension("text"), result: c.Line("result", "Result"), sum: c.State.Sum(),
	}
	o.rounding.Scale = p.IntOr("scale", "Decimal places.", -100, 100, 0)
	mode, err := billing.ParseRoundingMode(p.ChoiceOr("mode", "How results are rounded.", "none",
		"none", "half_up", "half_even", "floor", "ceiling"))
	if err != nil {
		p.Fail("mode", err.Error())
	}
	o.rounding.Mode = mode
	return o
}

// Price does the operation.
func (o *operation) Price(s *tariff.Slot, e *tariff.Event) error {
	amount, _ := e.Amount()
	result, err := o.do(s, e, e.Quantity().D(), amount.D())
	switch {
	case errors.Is(err, billing.ErrRounding):
		return tariff.Reject("invalid_rounding", err.Error())
	case errors.Is(err, billing.ErrSyntax):
		return tariff.Reject("syntax", err.Error())
	case errors.Is(err, billing.ErrTooPrecise):
		return tariff.Reject("too_precise", err.Error())
	case err != nil:
		return err
	}
	o.result.Set(s, billing.Quantity(result), billing.Amount{})
	return nil
}

func (o *operation) do(s *tariff.Slot, e *tariff.Event, a, b billing.Decimal) (billing.Decimal, error) {
	switch o.name {
	case "parse":
		return billing.ParseDecimal(e.Value(o.text))
	case "format":
		return billing.Decimal{}, tariff.Reject("text", a.Fixed(o.rounding.Scale))
	case "compare":
		return billing.DecimalFromInt(int64(a.Cmp(b))), nil
	case "neg":
		return a.Neg()
	case "abs":
		return a.Abs()
	case "add":
		return a.Add(b)
	case "sub":
		return a.Sub(b)
	case "mul":
		return a.Mul(b, o.rounding)
	case "quo":
		return a.Quo(b, o.rounding)
	case "round":
		return a.Round(o.rounding)
	case "mul_quo":
		return a.MulQuo(b, o.n, o.rounding)
	}
	sum, err := o.sum.Get(s).AddProduct(a, b)
	if err != nil {
		return billing.Decimal{}, err
	}
	o.sum.Set(s, sum)
	return sum.Quo(o.n, o.rounding)
}
