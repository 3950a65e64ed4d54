package main

import (
	"math/bits"

	"github.com/tollway/tollway/sdk/billing"
)

// Nearly all that is spread are amounts in cents, of invoices below twenty million. Their products fit into a machine
// word, and so the shares of hundreds of line items into the fuel of a finish. What does not fit goes the general way.

// unitsMax is the most units of the last place that a total and all weights together may have here.
const unitsMax = 1 << 31

// places is how many units of a scale's last place one unit of a decimal's is: 10^(18-scale), and what undoes a
// multiplication by it.
type places struct {
	factor, odd, inverse uint64 // odd is 5^n; the inverse is its own, modulo 2^64
	twos                 int    // n: the factor is 5^n times 2^n
}

func placesOf(scale int) places {
	n := billing.Scale - scale
	p := places{factor: 1, odd: 1, twos: n}
	for range n {
		p.factor, p.odd = p.factor*10, p.odd*5
	}
	p.inverse = p.odd // right in three bits, and in twice as many with each step (Newton)
	for range 5 {
		p.inverse *= 2 - p.odd*p.inverse
	}
	return p
}

// units returns a decimal counted in units of the last place, if it is a whole number of them from 0 to unitsMax.
func (p *places) units(d billing.Decimal) (n int64, ok bool) {
	quotient := (d.Lo>>p.twos | uint64(d.Hi)<<(64-p.twos)) * p.inverse // right if it is whole and small
	if p.twos == 0 {
		quotient = d.Lo
	}
	return int64(quotient), quotient <= unitsMax && p.decimal(int64(quotient)) == d
}

// decimal is the inverse of units.
func (p *places) decimal(n int64) billing.Decimal {
	hi, lo := bits.Mul64(uint64(n), p.factor)
	return billing.Decimal{Hi: int64(hi), Lo: lo}
}

// allocateUnits is allocate for small amounts and ties in the order given. It says whether they are.
func allocateUnits(total billing.Decimal, weights []billing.Decimal, scale int) (shares []billing.Decimal, ok bool) {
	p := placesOf(scale)
	left, ok := p.units(total)
	if !ok {
		return nil, false
	}
	list := make([]portion, len(weights))
	all := int64(0)
	for i, w := range weights {
		if list[i].weight, ok = p.units(w); !ok {
			return nil, false
		}
		if all += list[i].weight; all > unitsMax {
			return nil, false
		}
	}
	shares = make([]billing.Decimal, len(weights))
	if all == 0 || left == 0 {
		return shares, true
	}
	share(list, left, all)
	for i := range list {
		shares[i] = p.decimal(list[i].share)
	}
	return shares, true
}

// portion is what one of several gets: its share, rounded down, and what the division left.
type portion struct{ weight, share, remainder int64 }

// share gives everyone the floor of a share, and what is left, a unit each, to the largest remainders, the first ones
// of those that are equal.
func share(list []portion, total, all int64) {
	left := total - floors(list, total, all)
	if left == 0 {
		return
	}
	// The least remainder that gets a unit: so many have one above it that there are fewer than units.
	low, high := int64(-1), all
	for high-low > 1 {
		middle := low + (high-low)/2
		if above(list, middle) < left {
			high = middle
		} else {
			low = middle
		}
	}
	left -= above(list, high)
	for i := range list {
		switch r := list[i].remainder; {
		case r > high:
			list[i].share++
		case r == high && left > 0:
			list[i].share++
			left--
		}
	}
}

// floors gives everyone the floor of a share and returns their sum. It is a function of its own, without calls, as
// above is: see the loops of tariff.Nth.
//
//go:noinline
func floors(list []portion, total, all int64) (sum int64) {
	for i := range list {
		p := &list[i]
		product := total * p.weight
		quotient := product / all
		p.share, p.remainder = quotient, product-quotient*all
		sum += quotient
	}
	return sum
}

// above counts the remainders above one.
//
//go:noinline
func above(list []portion, remainder int64) (n int64) {
	for i := range list {
		n += int64(uint64(remainder-list[i].remainder) >> 63)
	}
	return n
}
