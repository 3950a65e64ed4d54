package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// flat charges an amount once per period, whatever the usage. One that is due in advance shows
// from the first event, one in arrears when the period ends.
var flat = tariff.Tariff{
	Name:      "flat",
	Title:     "An amount once per period",
	Configure: configureFlat,
}

func configureFlat(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	rounding := p.Rounding("rounding", tariff.AboutRounding)
	amount, err := p.Amount("amount", "What is due per period.").Round(rounding)
	if err != nil {
		p.Fail("amount", err.Error())
	}
	term := p.ChoiceOr("payment_term", "Whether the amount is due at the start or at the end of the period.",
		"in_advance", "in_advance", "in_arrears")
	position := p.ChoiceOr("position", "Which slice of a split period this is; the amount is due in one of them.",
		"only", "only", "first", "middle", "last")
	inAdvance := term == "in_advance"
	if position == "middle" || inAdvance && position == "last" || !inAdvance && position == "first" {
		amount = billing.Amount{} // due in another slice
	}
	return &flatFee{tariff.NewFlat(c, "fee", "Flat fee", amount), inAdvance, !amount.IsZero()}
}

type flatFee struct {
	fee       *tariff.Flat
	inAdvance bool
	due       bool // in this slice
}

func (f *flatFee) Price(s *tariff.Slot, _ *tariff.Event) error {
	if f.due && f.inAdvance {
		f.fee.Charge(s)
	}
	return nil
}

func (f *flatFee) Finish(s *tariff.Slot) error {
	if f.due {
		f.fee.Charge(s)
	}
	return nil
}
