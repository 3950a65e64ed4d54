package main

import (
	"math"
	"slices"
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// perUnit gives every unit the same price, or one by what its event's dimensions match.
var perUnit = tariff.Tariff{
	Name:      "per_unit",
	Title:     "The same price for every unit",
	Configure: configurePerUnit,
}

func configurePerUnit(c *tariff.Config) tariff.Pricer {
	p := c.Params
	inAdvance := readBilling(p)
	price := p.Amount("unit_price", "The price of one unit.")
	rounding := p.Rounding("rounding", tariff.AboutRounding)
	negative := p.ChoiceOr("negative_units", "What an event with a quantity below 0 counts: its quantity, or 0.",
		"keep", "keep", "clamp_to_zero")
	start, limited := p.OptionalTime("period_start", "Events before this instant are ignored.")
	if !limited {
		start = math.MinInt64
	}
	filters := p.OptionalList("filters", "Other prices: the first filter that matches an event sets its unit price.")
	net := tariff.NetUnits(c)
	line := func(id, text string, price billing.Amount) tariff.Adder {
		if inAdvance {
			return tariff.NewInAdvance(c, id, text, tariff.PerUnitCost(price), rounding)
		}
		return tariff.NewPerUnit(c, id, text, price, rounding)
	}
	u := &perUnitPrice{clamp: negative == "clamp_to_zero", start: start}
	usage := line(usageLine, usageText, price)
	for i, entry := range filters {
		u.filters = append(u.filters, readFilter(c, entry, i, line))
	}
	u.usage = net(usage)
	if len(filters) > 0 && u.usage != usage {
		p.Fail("filters", "cannot be combined with unit_conversion or discounts.usage")
	}
	if plain, ok := u.usage.(*tariff.PerUnit); ok && len(filters) == 0 && !limited && !u.clamp {
		return plain // as it is, the SDK prices it by runs of events
	}
	return u
}

// filter is a price for events whose dimensions match.
type filter struct {
	matches []match
	usage   tariff.Adder
}

// match is a dimension with the values that it may have.
type match struct {
	dimension tariff.Dimension
	values    []string
}

func readFilter(c *tariff.Config, p tariff.Params, i int, line func(string, string, billing.Amount) tariff.Adder) filter {
	number := strconv.Itoa(i + 1)
	f := filter{usage: line("filter_"+number, "Usage, filter "+number, p.Amount("unit_price", "The price of one unit."))}
	for _, m := range p.TextsMap("match", "Dimension to the values of which an event has to have one; all dimensions must match.") {
		if !tariff.ValidName(m.Key) {
			p.Fail("match", "names "+strconv.Quote(m.Key)+", which is no dimension of the meter")
			continue
		}
		f.matches = append(f.matches, match{c.Dimension(m.Key), m.Values})
	}
	return f
}

func (f *filter) match(e *tariff.Event) bool {
	for _, m := range f.matches {
		if !slices.Contains(m.values, e.Value(m.dimension)) {
			return false
		}
	}
	return true
}

type perUnitPrice struct {
	usage   tariff.Adder // of what no filter matches
	filters []filter
	clamp   bool
	start   int64 // unix nanoseconds
}

func (u *perUnitPrice) Price(s *tariff.Slot, e *tariff.Event) error {
	if e.Time() < u.start {
		return nil
	}
	quantity := e.Quantity()
	if u.clamp && quantity.Sign() < 0 {
		quantity = billing.Quantity{}
	}
	for i := range u.filters {
		if u.filters[i].match(e) {
			return u.filters[i].usage.Add(s, quantity)
		}
	}
	return u.usage.Add(s, quantity)
}
