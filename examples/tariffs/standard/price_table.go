package main

import (
	"strconv"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// priceTable finds each event's price by one of its dimensions, such as a SKU, among up to
// thousands of rows. Each event's amount is rounded as its row says; the line is their sum.
var priceTable = tariff.Tariff{
	Name:      "price_table",
	Title:     "A price for each value of a dimension",
	Configure: configurePriceTable,
}

// priceRow is a row of the table.
type priceRow struct {
	price    billing.Amount
	rounding billing.Rounding
}

func readPriceRow(p tariff.Params) priceRow {
	return priceRow{
		p.Amount("unit_price", "The price of one unit."),
		p.Rounding("rounding", "Rounding of each event's amount; without it amounts keep 18 decimal places."),
	}
}

func configurePriceTable(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	name := p.Text("dimension", "The dimension of the meter whose values have prices.")
	if !tariff.ValidName(name) {
		p.Fail("dimension", "must be a dimension of the meter")
	}
	t := &priceTableRows{line: c.Line(usageLine, usageText), name: name, dimension: c.Dimension(name)}
	t.rows = tariff.NewTable[priceRow](t.dimension)
	for _, entry := range p.Map("prices", "The rows: value of the dimension to its price.") {
		t.rows.Set(entry.Key, readPriceRow(entry.Params))
	}
	if row, ok := p.OptionalObject("default", "The row for values that have none; without it their events are rejected."); ok {
		found := readPriceRow(row)
		t.rest = &found
	}
	return t
}

type priceTableRows struct {
	line      tariff.Line
	name      string
	dimension tariff.Dimension
	rows      *tariff.Table[priceRow]
	rest      *priceRow // for values without a row; nil = none
}

func (t *priceTableRows) Price(s *tariff.Slot, e *tariff.Event) error {
	row := t.rows.Of(e)
	if row == nil {
		row = t.rest
	}
	if row == nil {
		return tariff.Reject("no_price", t.name+" "+strconv.Quote(e.Value(t.dimension))+" has no price and there is no default")
	}
	amount, err := tariff.Multiply(e.Quantity(), row.price, row.rounding)
	if err != nil {
		return err
	}
	return t.line.Add(s, e.Quantity(), amount)
}
