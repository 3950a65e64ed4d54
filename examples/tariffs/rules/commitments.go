package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// minimumCommitment tops the line items up to a minimum when the period ends. A subscription that was active for some
// days of the period owes as many parts of it.
var minimumCommitment = tariff.Tariff{
	Name:  "minimum_commitment",
	Title: "Invoice rule: tops up to a minimum when the period ends",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		m := &minimumRule{sum: total{c.State.Amount()}, line: c.Line("minimum_commitment", "Minimum commitment")}
		amount, short := p.OptionalDecimal("amount", "The minimum; another name of minimum.")
		minimum, long := p.OptionalDecimal("minimum", "What the line items come to at least.")
		switch {
		case long:
			m.minimum = minimum
		case short:
			m.minimum = amount
		}
		if short == long {
			p.Fail("minimum", "must be given, once")
		}
		m.days = int64(p.IntOr("period_days", "Days of the period; with active_days, the minimum is due in part.", 1, 1_000_000, 1))
		m.active = billing.DecimalFromInt(int64(p.IntOr("active_days", "Days of the period on which the subscription was active.", 0, 1_000_000, int(m.days))))
		m.prorated = p.BoolOr("prorated", "Takes both from the subscription, in days of UTC, where they are not given.", false) &&
			!p.Present("period_days") && !p.Present("active_days")
		m.rounding = p.Rounding("rounding", "Rounding of the amount that is added.")
		return m
	},
}

type minimumRule struct {
	sum      total
	line     tariff.Line
	minimum  billing.Decimal
	active   billing.Decimal // days
	days     int64
	prorated bool
	rounding billing.Rounding
}

// Price adds a line item up. One with which nothing could be added any more is rejected: a finish must not fail.
func (m *minimumRule) Price(s *tariff.Slot, e *tariff.Event) error {
	_, err := m.sum.add(s, e)
	if err == nil {
		_, err = m.missing(s)
	}
	return err
}

// Finish adds what is missing.
func (m *minimumRule) Finish(s *tariff.Slot) error {
	amount, err := m.missing(s)
	if err == nil && !amount.IsZero() {
		setAmount(s, m.line, amount)
	}
	return err
}

// missing is (minimum * active - sum * days) / days, rounded once, and 0 below.
func (m *minimumRule) missing(s *tariff.Slot) (billing.Amount, error) {
	active, days := m.active, m.days
	if m.prorated {
		active = billing.DecimalFromInt(tariff.DaysBetween(s.ActiveFrom(), s.ActiveUntil()))
		days = tariff.DaysBetween(s.PeriodStart(), s.PeriodEnd())
	}
	missing, err := billing.SumOf(m.minimum, active).Sub(billing.SumOf(m.sum.cell.Get(s).D(), billing.DecimalFromInt(days)))
	if err != nil || missing.Sign() <= 0 {
		return billing.Amount{}, err
	}
	amount, err := missing.Quo(days, m.rounding)
	return billing.Amount(amount), err
}

// maximumCap takes off what the line items come to above a maximum, together with what was billed before.
var maximumCap = tariff.Tariff{
	Name:  "maximum_cap",
	Title: "Invoice rule: takes off what exceeds a maximum",
	Kind:  tariff.KindRule,
	Configure: func(c *tariff.Config) tariff.Pricer {
		p := c.Params
		return &capRule{
			sum: total{c.State.Amount()}, line: c.Line("maximum_cap", "Above the maximum"),
			maximum:  p.Amount("maximum", "What the line items come to at most."),
			before:   p.AmountOr("already_billed", "What was billed before and counts against the maximum.", billing.Amount{}),
			rounding: p.Rounding("rounding", "Rounding of the amount that is taken off."),
		}
	},
}

type capRule struct {
	sum      total
	line     tariff.Line
	maximum  billing.Amount
	before   billing.Amount
	rounding billing.Rounding
}

func (m *capRule) Price(s *tariff.Slot, e *tariff.Event) error {
	gross, err := m.sum.add(s, e)
	if err != nil {
		return err
	}
	excess, err := m.before.Add(gross)
	if err == nil {
		excess, err = excess.Sub(m.maximum)
	}
	if err == nil {
		excess, err = excess.Round(m.rounding)
	}
	if err != nil {
		return err
	}
	if excess.Cmp(gross) > 0 {
		excess = gross
	}
	if excess.Sign() < 0 {
		excess = billing.Amount{}
	}
	return subtract(s, m.line, excess)
}
