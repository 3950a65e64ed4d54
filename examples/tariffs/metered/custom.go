package main

import (
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// custom shows what no fixed model covers: tiers whose price depends on an attribute of the event, fees and rates by
// the event's number, and a quantity that is computed from attributes.
var custom = tariff.Tariff{
	Name:      "custom",
	Title:     "Prices by attribute or by the event's number, or a computed quantity",
	Configure: configureCustom,
}

func configureCustom(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	kind := p.Choice("kind", "Which of them.", "attribute_tiers", "ordinal_fee", "ordinal_rate", "expression")
	line := c.Line(usageLine, usageText)
	rounding := p.Rounding("rounding", tariff.AboutRounding)
	attribute, hasAttribute := p.OptionalDimension("attribute", "attribute_tiers: the dimension that chooses the price in a tier.")
	tiers := readCustomTiers(p)
	initial, _ := p.OptionalQuantity("initial_count", "ordinal_fee and ordinal_rate: events that were counted before the first.")
	if whole, err := initial.D().Round(billing.Rounding{Mode: billing.RoundFloor}); err != nil || initial.Sign() < 0 || whole != initial.D() {
		p.Fail("initial_count", "must be a whole number, and not below 0")
	}
	fx, hasRate := p.OptionalDecimal("fx_rate", "ordinal_rate: what the rate is multiplied with.")
	if !hasRate {
		fx = one
	}
	fxOf, fxByEvent := p.OptionalDimension("fx_rate_dimension", "ordinal_rate: the dimension that brings the event's own fx_rate.")
	text := p.TextOr("expression", "expression: the quantity, made of dimensions, numbers, + - * / and round, ceil, floor, abs, min and max.", "")
	price, _ := p.OptionalDecimal("unit_price", "expression: the price of one computed unit.")
	switch kind {
	case "attribute_tiers":
		if !hasAttribute {
			p.Fail("attribute", "is missing")
		}
		return newAttributeTiers(c, line, attribute, tiers, rounding)
	case "ordinal_fee", "ordinal_rate":
		if len(tiers) == 0 {
			p.Fail("tiers", "is missing")
		}
		return &ordinal{
			line: line, tiers: tiers, initial: initial, fx: fx, fxOf: fxOf, fxByEvent: fxByEvent, isRate: kind == "ordinal_rate", rounding: rounding,
			count: c.State.Int(), sum: c.State.Sum(),
		}
	case "expression":
		compiled, err := compile(text, c.Dimension)
		if err != nil {
			p.Fail("expression", err.Error())
		}
		return &computed{line, compiled, price, rounding}
	}
	return nil
}

// customTier is a tier of one of the kinds.
type customTier struct {
	upTo   billing.Quantity
	prices []tariff.NamedDecimal
	fee    billing.Decimal
	rate   billing.Decimal // a fraction
}

func readCustomTiers(p tariff.Params) []customTier {
	list := p.OptionalList("tiers", "The price steps, from the lowest up: of units, or for ordinals of events.")
	tiers := make([]customTier, len(list))
	var previous billing.Quantity
	for i, entry := range list {
		upTo, closed := entry.OptionalQuantity("up_to", "The last unit or event of the tier, itself included; null in the last tier.")
		if last := i == len(list)-1; closed == last || closed && upTo.Cmp(previous) <= 0 {
			entry.Fail("up_to", "must be greater than "+previous.String()+", and null in the last tier only")
		}
		t := customTier{upTo: upTo}
		t.prices = entry.OptionalDecimalMap("prices", "attribute_tiers: the price of a unit by the attribute's value.")
		fee, short := entry.OptionalDecimal("fee", "ordinal_fee: what an event costs.")
		flat, long := entry.OptionalDecimal("flat_fee", "ordinal_fee: another name of fee.")
		if t.fee = fee; !short {
			t.fee = flat
		}
		if short && long {
			entry.Fail("fee", "and flat_fee are the same: only one may be given")
		}
		percent, _ := entry.OptionalDecimal("rate_percent", "ordinal_rate: what an event costs, in percent of its quantity.")
		rate, given := entry.OptionalDecimal("rate", "ordinal_rate: the same as a fraction of it.")
		if t.rate = rate; !given {
			var err error
			if t.rate, err = percent.MulQuo(one, 100, billing.Rounding{}); err != nil {
				entry.Fail("rate_percent", "must have at most 16 decimal places")
			}
		}
		tiers[i], previous = t, upTo
	}
	return tiers
}

// attributeTiers has one position for all units; what a unit there costs depends on the attribute of its event.
type attributeTiers struct {
	line     tariff.Line
	sum      tariff.SumCell
	bounds   []billing.Quantity
	prices   *tariff.Table[[]billing.Decimal] // by tier
	name     tariff.Dimension
	rounding billing.Rounding
}

func newAttributeTiers(c *tariff.Config, line tariff.Line, attribute tariff.Dimension, tiers []customTier, r billing.Rounding) tariff.Pricer {
	a := &attributeTiers{line: line, sum: c.State.Sum(), name: attribute, prices: tariff.NewTable[[]billing.Decimal](attribute), rounding: r}
	byValue := map[string][]billing.Decimal{}
	if len(tiers) == 0 {
		c.Params.Fail("tiers", "is missing")
	}
	for i, t := range tiers {
		a.bounds = append(a.bounds, t.upTo)
		for _, p := range t.prices {
			if len(byValue[p.Key]) == i {
				byValue[p.Key] = append(byValue[p.Key], p.Value)
			}
		}
	}
	if len(tiers) > 0 {
		for _, p := range tiers[0].prices {
			a.prices.Set(p.Key, byValue[p.Key])
		}
	}
	for i, t := range tiers {
		for _, p := range t.prices {
			if len(byValue[p.Key]) != len(tiers) {
				c.Params.Fail("tiers", "tier "+strconv.Itoa(i+1)+" has a price for "+strconv.Quote(p.Key)+" and another has none")
			}
		}
	}
	return a
}

func (a *attributeTiers) Price(s *tariff.Slot, e *tariff.Event) error {
	prices := a.prices.Of(e)
	if prices == nil {
		return tariff.Reject("no_price", strconv.Quote(e.Value(a.name))+" has no price")
	}
	from := a.line.Quantity(s)
	to, err := from.Add(e.Quantity())
	if err != nil {
		return err
	}
	sum, low, high := a.sum.Get(s), from, to
	if to.Cmp(from) < 0 {
		low, high = to, from
	}
	for i := range a.bounds {
		begin, end := low, high
		if i > 0 && a.bounds[i-1].Cmp(begin) > 0 {
			begin = a.bounds[i-1]
		}
		if i < len(a.bounds)-1 && a.bounds[i].Cmp(end) < 0 {
			end = a.bounds[i]
		}
		if begin.Cmp(end) >= 0 {
			continue
		}
		units, err := end.Sub(begin)
		if err == nil && to.Cmp(from) < 0 {
			units, err = units.Neg()
		}
		if err == nil {
			sum, err = sum.AddProduct(units.D(), (*prices)[i])
		}
		if err != nil {
			return err
		}
	}
	amount, err := sum.Round(a.rounding)
	if err != nil {
		return err
	}
	a.sum.Set(s, sum)
	a.line.Set(s, to, billing.Amount(amount))
	return nil
}

// ordinal prices an event by its number: initial_count plus 1 for the first.
type ordinal struct {
	line      tariff.Line
	tiers     []customTier
	initial   billing.Quantity
	fx        billing.Decimal
	fxOf      tariff.Dimension // an event without it has fx
	fxByEvent bool
	isRate    bool
	rounding  billing.Rounding
	count     tariff.IntCell
	sum       tariff.SumCell
}

// exchange is what the rate of an event is multiplied with.
func (o *ordinal) exchange(e *tariff.Event) (billing.Decimal, error) {
	if !o.fxByEvent || e.Value(o.fxOf) == "" {
		return o.fx, nil
	}
	fx, err := billing.ParseDecimal(e.Value(o.fxOf))
	if err != nil {
		return fx, tariff.Reject("bad_fx_rate", "the fx_rate is not a decimal number")
	}
	return fx, nil
}

func (o *ordinal) Price(s *tariff.Slot, e *tariff.Event) error {
	count := o.count.Get(s) + 1
	o.count.Set(s, count)
	number, err := o.initial.Add(billing.Quantity(billing.DecimalFromInt(count)))
	if err != nil {
		return err
	}
	t := &o.tiers[len(o.tiers)-1]
	for i := range o.tiers[:len(o.tiers)-1] {
		if number.Cmp(o.tiers[i].upTo) <= 0 {
			t = &o.tiers[i]
			break
		}
	}
	sum := o.sum.Get(s)
	if o.isRate {
		var rate billing.Decimal
		if rate, err = o.exchange(e); err == nil {
			rate, err = t.rate.Mul(rate, tariff.Exact)
		}
		if err == nil {
			sum, err = sum.AddProduct(e.Quantity().D(), rate)
		}
	} else {
		sum, err = sum.AddProduct(one, t.fee)
	}
	if err != nil {
		return err
	}
	o.sum.Set(s, sum)
	amount, err := sum.Round(o.rounding)
	if err != nil {
		return err
	}
	units, err := o.line.Quantity(s).Add(e.Quantity())
	if err == nil {
		o.line.Set(s, units, billing.Amount(amount))
	}
	return err
}
