package tariff

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Most usage is a whole number of units, priced at a plain price, in the tier where the units of the slot
// already are. The SDK's own prices do such events in one loop, a run, for many slots and events at
// a time. It does what Price does and no more; a test holds the two against each other.
//
// The loops are written for what the Go compiler makes of them in WebAssembly. Every taken branch
// goes through a table at the head of the function, past the place where fuel is charged, and every
// call costs as much as twenty additions. So a pass neither calls nor branches: what could be a
// branch is computed as a bit, and one test at the end says whether the event belongs to the run.

// rungs is a price as a run uses it: a ladder of tiers, of which the units of the slot choose one.
type rungs struct {
	cell   uint32 // offset of the units in the state, or
	inLine uint32 // all bits set: in the lines
	base   uint64 // the lowest tier
	feeDue uint64 // 1 if the first event brings a flat fee
	splits uint64 // how many rungs there are, if an event is split at their ends; 0 if it is not
	rungs  [tiersInRun]rung
}

// tiersInRun is the most tiers that a run looks at: a power of two. Longer ladders are for Price.
const tiersInRun = 4

type rung struct {
	upTo  billing.Quantity // the largest decimal for an open tier
	price billing.Amount
	line  uint32 // offset in the lines
	fee   bool   // entering the tier brings a flat fee
}

// endless is the largest number of units.
var endless = billing.Quantity{Hi: 1<<63 - 1, Lo: 1<<64 - 1}

// rungsOf returns a pricer as runs use it, nil if it is none for them: also one of a configuration that has
// claimed other cells than its own.
func rungsOf(p Pricer, cells uint32) *rungs {
	switch p := p.(type) {
	case *Graduated:
		if cells == 1 {
			r := p.ladder.rungs(p.units, -1)
			if r != nil {
				r.splits = uint64(len(p.ladder.steps))
			}
			return r
		}
	case *Volume:
		if cells == 1 {
			return p.ladder.rungs(p.units, p.fixed)
		}
	case *PerUnit:
		if cells > 0 || !plain(p.price, p.rounding) {
			return nil
		}
		line := p.line.index * abi.LineSize
		top := rung{upTo: endless, price: p.price, line: line}
		return &rungs{cell: line + abi.LineQuantity, inLine: 1<<32 - 1, rungs: [tiersInRun]rung{top, top, top, top}}
	}
	return nil
}

// rungs returns a ladder for runs, nil if it is none for them. With a fixed tier, 0 or above, the
// units do not decide on it.
func (l *ladder) rungs(units QuantityCell, fixed int) *rungs {
	if len(l.steps) > tiersInRun {
		return nil
	}
	r := &rungs{cell: units.index * cellSize}
	for i := range r.rungs {
		r.rungs[i].upTo = endless
	}
	for i := range l.steps {
		st := &l.steps[i]
		if !plain(st.price, l.rounding) {
			return nil
		}
		upTo := st.upTo
		if st.open || fixed >= 0 {
			upTo = endless
		}
		r.rungs[i] = rung{upTo: upTo, price: st.price, line: st.usage.index * abi.LineSize, fee: st.hasFlat}
	}
	r.base = uint64(max(fixed, 0))
	r.feeDue = bit(l.steps[r.base].hasFlat)
	return r
}

// plain says whether a run can price units at a price: products with whole numbers of units need
// no rounding, and do not leave the range.
func plain(price billing.Amount, r billing.Rounding) bool {
	return r == Exact && uint64(price.Hi) < 1<<26
}

// bit is 1 for true.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// high returns the upper half of x*y. It is short enough to be put in place; the one of math/bits
// is called.
func high(x, y uint64) uint64 {
	x0, x1 := x&(1<<32-1), x>>32
	y0, y1 := y&(1<<32-1), y>>32
	middle := x1*y0 + x0*y0>>32
	return x1*y1 + middle>>32 + (middle&(1<<32-1)+x0*y1)>>32
}

// count returns q as a whole number of units. Unless q is one, from 0 to some 3.9e10, not is other
// than 0 and n means nothing.
//
// It divides the upper 64 of q's lower 96 bits by 10^18/2^32, by a multiplication with the reciprocal, rounded up
// both times: the quotient of a whole number is then exact. Of anything else it is off by less than 2^64, so the
// lower half of the product says whether q is one.
func count(lo, hi uint64) (n, not uint64) {
	n = high(hi<<32|lo>>32+1, reciprocal) >> 27
	return n, hi>>31 | n*whole ^ lo
}

const reciprocal = 10_633_823_966_279_326_984 // 2^(64+27+32) / 10^18, rounded up

// run prices the events from first on, up to end, and returns the first that it left untouched.
func run(first, end uint32) uint32 {
	row := unsafe.Add(arena, header.EventOff+first*header.EventStride)
	for first < end {
		slot := (*Event)(row).slot
		if slot >= header.Slots {
			break
		}
		s := slotAt(slot)
		if s.handle >= uint32(len(configs)) {
			break
		}
		c := configs[s.handle]
		r := c.rungs
		if r == nil {
			break
		}
		cell := (*wide)(at(s.stateOff + r.cell + r.inLine&(s.lineOff-s.stateOff)))
		odd := s.misfit(c)
		if s.stateLen != c.stateSize {
			if s.stateLen|uint32(odd) != 0 {
				break
			}
			cell.lo, cell.hi = 0, 0 // the whole state, see rungsOf
		}
		lo, hi := cell.lo, uint64(cell.hi)
		b := &r.rungs
		k := (r.base + above(&b[0].upTo, hi, lo) + above(&b[1].upTo, hi, lo) + above(&b[2].upTo, hi, lo)) & (tiersInRun - 1)
		t := &b[k]
		line := (*lineRow)(at(s.lineOff + t.line))
		odd |= (hi|uint64(line.amount.hi))>>63 | bit(lo|hi == 0)&r.feeDue
		if odd != 0 {
			break
		}
		for { // the events of the slot that stand together
			e := (*Event)(row)
			addLo, addHi := e.quantity.lo, uint64(e.quantity.hi)
			n := high(addHi<<32|addLo>>32+1, reciprocal) >> 27 // what count does, in place
			not := addHi>>31 | n*whole ^ addLo

			sumLo := cell.lo + addLo
			sumHi := uint64(cell.hi) + addHi + bit(sumLo < addLo)
			not |= above(&t.upTo, sumHi, sumLo) // into another tier
			price := t.price.Lo
			delta := n * price
			costLo := line.amount.lo + delta
			costHi := uint64(line.amount.hi) + n*uint64(t.price.Hi) + high(n, price) + bit(costLo < delta)
			partLo := line.quantity.lo + addLo
			partHi := uint64(line.quantity.hi) + addHi + bit(partLo < addLo)
			if not|costHi>>63 != 0 {
				if !r.cross(k, e, cell, s.lineOff) {
					return first
				}
				s.stateLen = c.stateSize
				first++
				row = unsafe.Add(row, header.EventStride)
				break // the slot is in another tier now
			}
			line.quantity.lo, line.quantity.hi = partLo, int64(partHi)
			line.amount.lo, line.amount.hi = costLo, int64(costHi)
			cell.lo, cell.hi = sumLo, int64(sumHi)
			s.stateLen = c.stateSize
			first++
			row = unsafe.Add(row, header.EventStride)
			if first == end || (*Event)(row).slot != slot {
				break
			}
		}
	}
	return first
}

// cross prices an event with which the units of a slot leave tier k for the next, each part at its tier's
// price. It reports false, and has done nothing, where that is not the whole of it.
func (r *rungs) cross(k uint64, e *Event, cell *wide, lines uint32) bool {
	if k+1 >= r.splits || e.quantity.hi < 0 {
		return false
	}
	t, next := &r.rungs[k], &r.rungs[k+1]
	addLo, addHi := e.quantity.lo, uint64(e.quantity.hi)
	sumLo := cell.lo + addLo
	sumHi := uint64(cell.hi) + addHi + bit(sumLo < addLo)
	if sumHi>>63|above(&next.upTo, sumHi, sumLo) != 0 || above(&t.upTo, sumHi, sumLo) == 0 || next.fee {
		return false
	}
	fillLo := t.upTo.Lo - cell.lo
	fillHi := uint64(t.upTo.Hi) - uint64(cell.hi) - bit(t.upTo.Lo < cell.lo)
	restLo := addLo - fillLo
	restHi := addHi - fillHi - bit(addLo < fillLo)
	a, b := (*lineRow)(at(lines+t.line)), (*lineRow)(at(lines+next.line))
	sumA, okA := a.with(fillLo, fillHi, t.price)
	sumB, okB := b.with(restLo, restHi, next.price)
	if !okA || !okB {
		return false
	}
	*a, *b = sumA, sumB
	cell.lo, cell.hi = sumLo, int64(sumHi)
	return true
}

// with returns the line with some units more, at a price. It is not ok if those are no whole number, or
// the amount leaves the range.
func (l *lineRow) with(lo, hi uint64, price billing.Amount) (sum lineRow, ok bool) {
	n, not := count(lo, hi)
	delta := n * price.Lo
	sum.amount.lo = l.amount.lo + delta
	amount := uint64(l.amount.hi) + n*uint64(price.Hi) + high(n, price.Lo) + bit(sum.amount.lo < delta)
	sum.quantity.lo = l.quantity.lo + lo
	sum.quantity.hi = int64(uint64(l.quantity.hi) + hi + bit(sum.quantity.lo < lo))
	sum.amount.hi = int64(amount)
	return sum, not|amount>>63|uint64(l.amount.hi)>>63|uint64(l.quantity.hi|sum.quantity.hi)>>63 == 0
}

// above is 1 if the units in hi and lo are above the end of a tier. Both are taken for unsigned.
func above(upTo *billing.Quantity, hi, lo uint64) uint64 {
	return bit(uint64(upTo.Hi) < hi) | bit(uint64(upTo.Hi) == hi)&bit(upTo.Lo < lo)
}
