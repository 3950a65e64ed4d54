package tariff

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Slot is what is priced together: one subscription, tariff version, billing period and group
// combination. It is valid during the call that it is given to.
type Slot struct {
	// Where things are, as offsets: a slot is pointed elsewhere for nearly every event, and
	// storing pointers would cost a write barrier each time.
	arena             unsafe.Pointer
	row, lines, state uint32
	lineCount         uint32
	cellCount         uint32

	undo []before // what the unit of work at hand has overwritten
}

// before is a cell or line as it was before the unit of work at hand wrote to it. Writes are
// noted rather than the whole slot copied: a tariff may have hundreds of lines, of which an
// event touches one or two.
type before struct {
	line  bool // else a cell
	index uint32
	was   lineRow
}

// head returns the slot's row.
func (s *Slot) head() *slotRow { return (*slotRow)(unsafe.Add(s.arena, s.row)) }

// line returns a line by its index.
func (s *Slot) line(i uint32) *lineRow {
	if i >= s.lineCount {
		foreign()
	}
	return (*lineRow)(unsafe.Add(s.arena, s.lines+i*abi.LineSize))
}

// cell returns a cell by its index.
func (s *Slot) cell(i uint32) *wide {
	if i >= s.cellCount {
		foreign()
	}
	return (*wide)(unsafe.Add(s.arena, s.state+i*cellSize))
}

// foreign stops a tariff that uses what it claimed in one Configure for the slot of another,
// most likely because it kept the claim in a package-level variable.
//
//go:noinline
func foreign() { panic("tariff: line, cell or dimension of another configuration") }

// setLine replaces line i and notes what it held.
func (s *Slot) setLine(i uint32, quantity, amount wide) {
	l := s.line(i)
	s.undo = append(s.undo, before{line: true, index: i, was: *l})
	l.quantity, l.amount = quantity, amount
}

// setCell replaces cell i and notes what it held.
func (s *Slot) setCell(i uint32, value wide) {
	c := s.cell(i)
	s.undo = append(s.undo, before{index: i, was: lineRow{quantity: *c}})
	*c = value
}

// rollBack undoes what was noted, last first.
func (s *Slot) rollBack() {
	for i := len(s.undo) - 1; i >= 0; i-- {
		if b := &s.undo[i]; b.line {
			*s.line(b.index) = b.was
		} else {
			*s.cell(b.index) = b.was.quantity
		}
	}
	s.undo = s.undo[:0]
}

// PeriodStart is the first instant of the billing period, in unix nanoseconds.
func (s *Slot) PeriodStart() int64 { return s.head().periodStart }

// PeriodEnd is the first instant after the billing period, in unix nanoseconds.
func (s *Slot) PeriodEnd() int64 { return s.head().periodEnd }

// ActiveFrom is when the subscription begins in this period and tariff version, in unix
// nanoseconds.
func (s *Slot) ActiveFrom() int64 { return s.head().activeFrom }

// ActiveUntil is when it ends, itself excluded, in unix nanoseconds.
func (s *Slot) ActiveUntil() int64 { return s.head().activeUntil }

// Event is one usage event. It is valid during the call that it is given to.
type Event struct {
	// Time is the event's own, in unix nanoseconds.
	Time int64
	// Quantity is how many units were used; a correction's is negative.
	Quantity billing.Quantity

	guest *guest
	off   uint32 // of its row in the arena
}

// Amount returns the money that the event itself carries, and whether it carries any.
func (e *Event) Amount() (billing.Amount, bool) {
	row := (*eventRow)(e.guest.at(e.off))
	return billing.Amount(row.amount.decimal()), row.flags&abi.EventFlagAmount != 0
}

// Dimension is a dimension that a configuration claimed.
type Dimension struct{ index uint32 }

// Value returns the event's value of a dimension, "" when it has none. The string is valid
// during the call; comparing it and looking it up in a map is free of allocations. Where each
// value has a price of its own, [Table] looks it up once per batch instead of once per event.
func (e *Event) Value(d Dimension) string { return e.guest.value(e.valueID(d)) }

// valueID returns the number that a value of a dimension has within the batch.
func (e *Event) valueID(d Dimension) uint32 {
	if d.index >= e.guest.header.Dims {
		foreign()
	}
	return *(*uint32)(e.guest.at(e.off + abi.EventDims + 4*d.index))
}
