package main

import "github.com/tollway/tollway/sdk/billing"

// nativeSlot is a slot of the graduated tariff as a Go program without plugins would keep it.
type nativeSlot struct {
	units billing.Quantity
	lines [3]struct {
		quantity billing.Quantity
		amount   billing.Amount
	}
}

// native prices what a bench does, by the plain way in Go.
type native struct {
	upTo, above [3]billing.Quantity
	prices      [3]billing.Decimal
	before, now []nativeSlot
	events      []billing.Quantity
}

func newNative(slots int) *native {
	whole := func(n int64) billing.Quantity { return billing.Quantity(billing.DecimalFromInt(n)) }
	p := &native{
		upTo: [3]billing.Quantity{whole(10), whole(50)}, above: [3]billing.Quantity{{}, whole(10), whole(50)},
		prices: [3]billing.Decimal{billing.MustDecimal("0.05"), billing.MustDecimal("0.03"), billing.MustDecimal("0.0125")},
		before: make([]nativeSlot, slots), now: make([]nativeSlot, slots),
	}
	for k := range p.before {
		if err := p.add(&p.before[k], whole(firstQuantity(k))); err != nil {
			panic(err) //nolint:forbidigo // a hundred units do not overflow
		}
	}
	for k := range batchEvents {
		p.events = append(p.events, whole(quantity(k)))
	}
	return p
}

// price prices the batch from where its slots stood before.
func (p *native) price() error {
	copy(p.now, p.before)
	perSlot := batchEvents / len(p.now)
	for k, q := range p.events {
		if err := p.add(&p.now[k/perSlot], q); err != nil {
			return err
		}
	}
	return nil
}

// add adds units to a slot.
func (p *native) add(s *nativeSlot, q billing.Quantity) error {
	units, err := s.units.Add(q)
	if err != nil {
		return err
	}
	s.units = units
	last := len(p.prices) - 1
	for t := range p.prices {
		if units.Cmp(p.above[t]) <= 0 {
			break
		}
		part := units
		if t < last && part.Cmp(p.upTo[t]) > 0 {
			part = p.upTo[t]
		}
		if part, err = part.Sub(p.above[t]); err != nil {
			return err
		}
		l := &s.lines[t]
		if l.quantity == part {
			continue
		}
		amount, err := part.D().Mul(p.prices[t], billing.Rounding{})
		if err != nil {
			return err
		}
		l.quantity, l.amount = part, billing.Amount(amount)
	}
	return nil
}

// total is what all slots come to.
func (p *native) total() (sum billing.Decimal, err error) {
	for k := range p.now {
		for _, l := range p.now[k].lines {
			if sum, err = sum.Add(billing.Decimal(l.amount)); err != nil {
				return sum, err
			}
		}
	}
	return sum, nil
}
