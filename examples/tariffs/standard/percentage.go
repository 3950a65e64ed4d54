package main

import (
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// percentage charges a rate of each event's value and a fee per event, after a window of free events and value.
var percentage = tariff.Tariff{
	Name:      "percentage",
	Title:     "A rate of each event's value and a fee per event",
	Configure: configurePercentage,
}

func configurePercentage(c *tariff.Config) tariff.Pricer {
	p := c.Params
	f := &fees{inAdvance: readBilling(p)}
	f.rate = p.Decimal("rate_percent", "The rate, in percent of the event's value.")
	f.fee = p.AmountOr("fixed_fee", "Due for each event that is not free.", billing.Amount{})
	f.freeEvents = int64(p.IntOr("free_events", "Events at the start of the period that are free; 0 or absent: no limit by number.", 0, 1_000_000_000, 0))
	f.freeValue, _ = p.OptionalQuantity("free_amount", "Value at the start of the period that is free; 0 or absent: no limit by value. The window ends with whichever limit is met first.")
	f.least, f.hasLeast = p.OptionalDecimal("min_per_event", "The least that an event costs which is not free, its fee included.")
	f.most, f.hasMost = p.OptionalDecimal("max_per_event", "The most that an event costs.")
	f.chargeZero = p.ChoiceOr("zero_event", "What usage costs that sums up to 0: nothing, or what its events cost.", "free", "free", "charged") == "charged"
	f.rounding = p.Rounding("rounding", tariff.AboutRounding)
	f.used, f.usedValue = c.State.Int(), c.State.Quantity()
	if f.inAdvance || f.hasLeast || f.hasMost {
		f.line, f.sum = c.Line(usageLine, usageText), c.State.Sum()
		return &feesByEvent{f}
	}
	return &feesInSum{
		fees: f, rateLine: c.Line("rate", "Rate of the value"), feeLine: c.Line("fixed_fee", "Fee per event"),
		paid: c.State.Quantity(), events: c.State.Int(),
	}
}

// fees is what both ways of charging share.
type fees struct {
	inAdvance         bool
	rate              billing.Decimal // percent
	fee               billing.Amount
	freeEvents        int64            // 0 = no limit
	freeValue         billing.Quantity // 0 = no limit
	least, most       billing.Decimal
	hasLeast, hasMost bool
	chargeZero        bool
	rounding          billing.Rounding
	used              tariff.IntCell      // events in the free window
	usedValue         tariff.QuantityCell // and their value
	line              tariff.Line         // where each event is charged by itself
	sum               tariff.SumCell      // what events cost, times 100
}

// paid returns the part of an event's value that is paid for, and whether the event pays a fee.
func (f *fees) paid(s *tariff.Slot, value billing.Quantity) (billing.Quantity, bool, error) {
	used, usedValue := f.used.Get(s), f.usedValue.Get(s)
	limited, valueLimited := f.freeEvents > 0, f.freeValue.Sign() > 0
	if !limited && !valueLimited || limited && used >= f.freeEvents || valueLimited && usedValue.Cmp(f.freeValue) >= 0 {
		return value, true, nil
	}
	f.used.Set(s, used+1)
	after, err := usedValue.Add(value)
	if err != nil {
		return value, false, err
	}
	if valueLimited && after.Cmp(f.freeValue) > 0 {
		f.usedValue.Set(s, f.freeValue)
		excess, err := after.Sub(f.freeValue)
		return excess, true, err
	}
	f.usedValue.Set(s, after)
	return billing.Quantity{}, false, nil
}

// feesInSum rounds the rate of all value and all fees, each once.
type feesInSum struct {
	*fees
	rateLine, feeLine tariff.Line
	paid              tariff.QuantityCell // value that is paid for
	events            tariff.IntCell      // events that pay a fee
}

func (f *feesInSum) Price(s *tariff.Slot, e *tariff.Event) error {
	value, pays, err := f.fees.paid(s, e.Quantity())
	if err != nil {
		return err
	}
	total, err := f.paid.Add(s, value)
	if err != nil {
		return err
	}
	events := f.events.Get(s)
	if pays {
		events++
		f.events.Set(s, events)
	}
	units, err := f.rateLine.Quantity(s).Add(e.Quantity())
	if err != nil {
		return err
	}
	count := billing.DecimalFromInt(events)
	if units.IsZero() && !f.chargeZero {
		f.rateLine.Set(s, units, billing.Amount{})
		f.feeLine.Set(s, billing.Quantity(count), billing.Amount{})
		return nil
	}
	rated, err := total.D().MulQuo(f.rate, 100, f.rounding)
	if err != nil {
		return err
	}
	due, err := tariff.Multiply(billing.Quantity(count), f.fee, f.rounding)
	if err != nil {
		return err
	}
	f.rateLine.Set(s, units, billing.Amount(rated))
	f.feeLine.Set(s, billing.Quantity(count), due)
	return nil
}

// feesByEvent charges each event by itself, for limits per event and for billing in advance. The sum is rounded once,
// or in advance each event.
type feesByEvent struct{ *fees }

var hundred = billing.DecimalFromInt(100)

func (f *feesByEvent) Price(s *tariff.Slot, e *tariff.Event) error {
	value, pays, err := f.paid(s, e.Quantity())
	if err != nil {
		return err
	}
	units, err := f.line.Quantity(s).Add(e.Quantity())
	if err != nil {
		return err
	}
	var cost billing.Sum
	if pays && (!f.inAdvance || f.chargeZero || !e.Quantity().IsZero()) {
		if cost, err = f.cost(value); err != nil {
			return err
		}
	}
	if f.inAdvance {
		charge, err := cost.Quo(100, f.rounding)
		if err != nil {
			return err
		}
		return f.line.Add(s, e.Quantity(), billing.Amount(charge))
	}
	total, err := f.sum.Get(s).Add(cost)
	if err != nil {
		return err
	}
	f.sum.Set(s, total)
	var amount billing.Decimal
	if !units.IsZero() || f.chargeZero {
		if amount, err = total.Quo(100, f.rounding); err != nil {
			return err
		}
	}
	f.line.Set(s, units, billing.Amount(amount))
	return nil
}

// cost is what an event costs, times 100.
func (f *fees) cost(value billing.Quantity) (billing.Sum, error) {
	cost, err := billing.SumOf(value.D(), f.rate).AddProduct(f.fee.D(), hundred)
	if least := billing.SumOf(f.least, hundred); err == nil && f.hasLeast && cost.Cmp(least) < 0 {
		cost = least
	}
	if most := billing.SumOf(f.most, hundred); err == nil && f.hasMost && cost.Cmp(most) > 0 {
		cost = most
	}
	return cost, err
}
