package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// progressiveThreshold invoices what is due so far each time that it reaches a further threshold. What it leaves for
// the period's end is the fee and the usage less what was invoiced on the way.
var progressiveThreshold = tariff.Tariff{
	Name:  "progressive_threshold",
	Title: "Invoice rule: invoices on the way when a threshold is reached",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		t := &thresholdRule{
			usage: c.Line("usage", "Usage"), fee: c.Line("subscription_fee", "Subscription fee"),
			invoiced: c.Line("invoiced_before", "Invoiced before"), reached: c.State.Int(), sum: total{c.State.Amount()},
		}
		t.price, t.priced = p.OptionalDecimal("unit_price", "The price of one unit; without it events are taken at the amount they carry.")
		for _, d := range p.OptionalDecimals("thresholds", "Amounts of usage, ascending: reaching one invoices everything not yet invoiced.") {
			if n := len(t.thresholds); n > 0 && d.Cmp(t.thresholds[n-1].D()) <= 0 {
				p.Fail("thresholds", "must ascend")
			}
			t.thresholds = append(t.thresholds, billing.Amount(d))
		}
		fee, err := p.AmountOr("subscription_fee", "Due when the period ends.", billing.Amount{}).Round(p.Rounding("rounding", tariff.AboutRounding))
		if err != nil {
			p.Fail("subscription_fee", err.Error())
		}
		t.due, t.rounding = fee, p.Rounding("rounding", tariff.AboutRounding)
		return t
	},
}

type thresholdRule struct {
	usage, fee, invoiced tariff.Line
	reached              tariff.IntCell // thresholds
	sum                  total
	price                billing.Decimal
	priced               bool
	thresholds           []billing.Amount
	due                  billing.Amount
	rounding             billing.Rounding
}

func (t *thresholdRule) Price(s *tariff.Slot, e *tariff.Event) error {
	units, err := t.usage.Quantity(s).Add(e.Quantity())
	if err != nil {
		return err
	}
	sum, err := t.sum.add(s, e)
	if err != nil {
		return err
	}
	if t.priced {
		sum, err = tariff.Multiply(units, billing.Amount(t.price), t.rounding)
	} else {
		sum, err = sum.Round(t.rounding)
	}
	if err != nil {
		return err
	}
	t.usage.Set(s, units, sum)
	reached := t.reached.Get(s)
	before := reached
	for reached < int64(len(t.thresholds)) && sum.Cmp(t.thresholds[reached]) >= 0 {
		reached++
	}
	if reached == before {
		return nil
	}
	t.reached.Set(s, reached)
	return subtract(s, t.invoiced, sum)
}

func (t *thresholdRule) Finish(s *tariff.Slot) error {
	setAmount(s, t.fee, t.due)
	return nil
}
