package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// proration charges the part of an amount that falls to a part of its period, by seconds or by whole days.
var proration = tariff.Tariff{
	Name:  "proration",
	Title: "Invoice rule: the part of an amount for a part of a period",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		r := &prorationRule{line: c.Line("prorated", "Prorated amount")}
		r.amount = p.Decimal("amount", "What the whole period costs.")
		r.from, r.hasFrom = p.OptionalTime("from", "Where the part begins; without it, where the subscription does.")
		r.to, r.hasTo = p.OptionalTime("to", "Where the part ends, itself excluded; without it, where the subscription does.")
		r.fullFrom, r.hasFullFrom = p.OptionalTime("full_from", "Where the whole begins; without it, the billing period.")
		r.fullTo, r.hasFullTo = p.OptionalTime("full_to", "Where the whole ends, itself excluded; without it, the billing period.")
		r.days = p.ChoiceOr("basis", "What is counted: seconds, or days of UTC, those begun included.", "seconds", "seconds", "days") == "days"
		r.rounding = p.Rounding("rounding", tariff.AboutRounding)
		return r
	},
}

type prorationRule struct {
	line                                   tariff.Line
	amount                                 billing.Decimal
	from, to, fullFrom, fullTo             int64 // unix nanoseconds
	hasFrom, hasTo, hasFullFrom, hasFullTo bool
	days                                   bool
	rounding                               billing.Rounding
}

// Price has nothing to do: line items do not matter.
func (r *prorationRule) Price(*tariff.Slot, *tariff.Event) error { return nil }

func (r *prorationRule) Finish(s *tariff.Slot) error {
	pick := func(given bool, value, other int64) int64 {
		if given {
			return value
		}
		return other
	}
	part := r.length(pick(r.hasFrom, r.from, s.ActiveFrom()), pick(r.hasTo, r.to, s.ActiveUntil()))
	whole := r.length(pick(r.hasFullFrom, r.fullFrom, s.PeriodStart()), pick(r.hasFullTo, r.fullTo, s.PeriodEnd()))
	amount, err := r.amount.MulQuo(billing.DecimalFromInt(max(part, 0)), whole, r.rounding)
	if err == nil {
		setAmount(s, r.line, billing.Amount(amount))
	}
	return err
}

// length is how long a span is, in seconds or days.
func (r *prorationRule) length(from, to int64) int64 {
	if r.days {
		return tariff.DaysBetween(from, to)
	}
	return to/1_000_000_000 - from/1_000_000_000
}

// creditNote gives back the unused days of a fee, with its tax. The tax is that of the unrounded part.
var creditNote = tariff.Tariff{
	Name:  "credit_note",
	Title: "Invoice rule: gives back the unused days of a fee",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		return &creditNoteRule{
			subtotal: c.Line("subtotal", "Unused part of the fee"), tax: c.Line("tax", "Tax"),
			fee:      p.Decimal("fee", "What the period cost, without tax."),
			days:     int64(p.Int("period_days", "Days of the period.", 1, 1_000_000)),
			unused:   int64(p.Int("unused_days", "Days of it that were not used.", 0, 1_000_000)),
			percent:  firstDecimal(p.OptionalDecimal("tax_percent", "The tax that the fee had, in percent.")),
			rounding: p.Rounding("rounding", "Rounding of the part and of its tax, each from the exact value."),
		}
	},
}

func firstDecimal(d billing.Decimal, _ bool) billing.Decimal { return d }

type creditNoteRule struct {
	subtotal, tax tariff.Line
	fee, percent  billing.Decimal
	days, unused  int64
	rounding      billing.Rounding
}

// Price has nothing to do: line items do not matter.
func (r *creditNoteRule) Price(*tariff.Slot, *tariff.Event) error { return nil }

func (r *creditNoteRule) Finish(s *tariff.Slot) error {
	whole, err := r.fee.Mul(billing.DecimalFromInt(r.unused), billing.Rounding{})
	if err != nil {
		return err
	}
	subtotal, err := whole.MulQuo(billing.DecimalFromInt(1), r.days, r.rounding)
	if err != nil {
		return err
	}
	tax, err := whole.MulQuo(r.percent, 100*r.days, r.rounding)
	if err != nil {
		return err
	}
	setAmount(s, r.subtotal, billing.Amount(subtotal))
	setAmount(s, r.tax, billing.Amount(tax))
	return nil
}
