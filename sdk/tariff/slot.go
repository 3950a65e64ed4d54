package tariff

import (
	"errors"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Slot is what is priced together: one subscription, tariff version, billing period and group
// combination. It is valid during the call that it is given to, and never copied.
type Slot struct {
	periodStart, periodEnd   int64
	activeFrom, activeUntil  int64
	handle, flags            uint32
	lines, lineOff           uint32
	stateOff, stateLen       uint32
	stateCap, stateNeed      uint32
	carryInOff, carryInLen   uint32
	carryOutOff, carryOutLen uint32
	carryOutCap              uint32
	_                        [3]uint32
}

// PeriodStart is the first instant of the billing period, in unix nanoseconds.
func (s *Slot) PeriodStart() int64 { return s.periodStart }

// PeriodEnd is the first instant after the billing period, in unix nanoseconds.
func (s *Slot) PeriodEnd() int64 { return s.periodEnd }

// ActiveFrom is when the subscription begins in this period and tariff version, in unix
// nanoseconds.
func (s *Slot) ActiveFrom() int64 { return s.activeFrom }

// ActiveUntil is when it ends, itself excluded, in unix nanoseconds.
func (s *Slot) ActiveUntil() int64 { return s.activeUntil }

// before is a number as it was before the unit of work at hand wrote to it. Writes are noted
// rather than the whole slot copied: a tariff may have hundreds of lines, of which an event
// touches one or two.
type before struct {
	off uint32 // in the arena
	was wide
}

// lineAt returns where a line is.
func (s *Slot) lineAt(i uint32) uint32 {
	if i >= s.lines {
		panic(errForeign)
	}
	return s.lineOff + i*abi.LineSize
}

// cellAt returns where a cell is.
func (s *Slot) cellAt(i uint32) uint32 {
	if (i+1)*cellSize > s.stateCap {
		panic(errForeign)
	}
	return s.stateOff + i*cellSize
}

// line returns a line.
func (s *Slot) line(i uint32) *lineRow { return (*lineRow)(at(s.lineAt(i))) }

// cell returns a cell.
func (s *Slot) cell(i uint32) *wide { return (*wide)(at(s.cellAt(i))) }

// errForeign stops a tariff that uses what it claimed in one Configure for the slot of another,
// most likely because it kept the claim in a package-level variable.
var errForeign = errors.New("tariff: line, cell or dimension of another configuration")

// setCell replaces a cell and notes what it was, so that a rejection can put it back. Fields are
// set one by one, here and in setLine: Go copies larger values by an instruction that takes as
// long as fifty others in WebAssembly. And neither calls anything: a call takes as long as
// twenty.
func (s *Slot) setCell(i uint32, lo uint64, hi int64) {
	off := s.cellAt(i)
	if undone == len(undo) {
		growUndo()
	}
	b, place := &undo[undone], (*wide)(at(off))
	undone++
	b.off = off
	b.was.lo, b.was.hi = place.lo, place.hi
	place.lo, place.hi = lo, hi
}

// setLine replaces a line and notes what it was.
func (s *Slot) setLine(i uint32, quantity billing.Quantity, amount billing.Amount) {
	off := s.lineAt(i)
	if undone+1 >= len(undo) {
		growUndo()
	}
	l := (*lineRow)(at(off))
	noted := undo[undone : undone+2 : undone+2]
	undone += 2
	b := &noted[0]
	b.off = off + abi.LineQuantity
	b.was.lo, b.was.hi = l.quantity.lo, l.quantity.hi
	b = &noted[1]
	b.off = off + abi.LineAmount
	b.was.lo, b.was.hi = l.amount.lo, l.amount.hi
	l.quantity.lo, l.quantity.hi = quantity.Lo, quantity.Hi
	l.amount.lo, l.amount.hi = amount.Lo, amount.Hi
}

// undoRoom is how many writes of one unit of work are noted without allocating.
const undoRoom = 64

//go:noinline
func growUndo() { undo = append(undo, make([]before, undoRoom)...) }

// rollBack undoes what was noted, last first.
func rollBack() {
	rollBackBytes()
	for undone > 0 {
		undone--
		b := &undo[undone]
		*(*wide)(at(b.off)) = b.was
		rollBackBytes()
	}
}

// Event is one usage event. It is valid during the call that it is given to, and never copied.
type Event struct {
	slot, flags      uint32
	time             int64
	quantity, amount wide
	// the ids of the values follow
}

// Time is the event's own, in unix nanoseconds.
func (e *Event) Time() int64 { return e.time }

// Quantity is how many units were used; a correction's is negative.
func (e *Event) Quantity() billing.Quantity { return billing.Quantity(e.quantity.decimal()) }

// Amount returns the money that the event itself carries, and whether it carries any.
func (e *Event) Amount() (billing.Amount, bool) {
	return billing.Amount(e.amount.decimal()), e.flags&abi.EventFlagAmount != 0
}

// Value returns the event's value of a dimension, "" when it has none. The string is valid
// during the call; comparing it and looking it up in a map is free of allocations. Where each
// value has a price of its own, [Table] looks it up once per batch instead of once per event.
func (e *Event) Value(d Dimension) string { return valueText(e.valueID(d)) }
