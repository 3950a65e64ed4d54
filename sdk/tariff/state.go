package tariff

import (
	"strconv"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Cells claims numbers that a slot keeps from one event to the next. What a slot keeps is the
// sum of its cells: of fixed size, without pointers, the same bytes on every machine. A cell is
// claimed in Configure and read and written with the slot in hand, so one tariff value serves
// all slots.
type Cells struct {
	config  *Config
	carried bool
}

// cellSize is what every cell takes, so that a state is a list of them.
const cellSize = 16

// claim takes a cell of the state and returns its index.
func (k *Cells) claim() uint32 {
	c := k.config
	c.claim("state")
	if (c.cells+1)*cellSize > abi.StateFixedMax {
		panic("tariff: more than " + strconv.Itoa(abi.StateFixedMax/cellSize) + " cells of state")
	}
	if k.carried {
		c.carried = append(c.carried, c.cells)
	}
	c.cells++
	return c.cells - 1
}

// Quantity claims a number of units.
func (k *Cells) Quantity() QuantityCell { return QuantityCell{k.claim()} }

// Amount claims money.
func (k *Cells) Amount() AmountCell { return AmountCell{k.claim()} }

// Int claims a whole number, such as a count or an instant.
func (k *Cells) Int() IntCell { return IntCell{k.claim()} }

// QuantityCell is a number of units that a slot keeps.
type QuantityCell struct{ index uint32 }

// Get returns what the slot keeps.
func (q QuantityCell) Get(s *Slot) billing.Quantity {
	return billing.Quantity(s.cell(q.index).decimal())
}

// Set replaces what the slot keeps.
func (q QuantityCell) Set(s *Slot, v billing.Quantity) { s.setCell(q.index, v.Lo, v.Hi) }

// Add adds to what the slot keeps and returns the sum.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (q QuantityCell) Add(s *Slot, v billing.Quantity) (billing.Quantity, error) {
	sum, err := q.Get(s).Add(v)
	if err == nil {
		q.Set(s, sum)
	}
	return sum, err
}

// AmountCell is money that a slot keeps.
type AmountCell struct{ index uint32 }

// Get returns what the slot keeps.
func (a AmountCell) Get(s *Slot) billing.Amount {
	return billing.Amount(s.cell(a.index).decimal())
}

// Set replaces what the slot keeps.
func (a AmountCell) Set(s *Slot, v billing.Amount) { s.setCell(a.index, v.Lo, v.Hi) }

// Add adds to what the slot keeps and returns the sum.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (a AmountCell) Add(s *Slot, v billing.Amount) (billing.Amount, error) {
	sum, err := a.Get(s).Add(v)
	if err == nil {
		a.Set(s, sum)
	}
	return sum, err
}

// IntCell is a whole number that a slot keeps.
type IntCell struct{ index uint32 }

// Get returns what the slot keeps.
func (i IntCell) Get(s *Slot) int64 { return int64(s.cell(i.index).lo) }

// Set replaces what the slot keeps.
func (i IntCell) Set(s *Slot, v int64) { s.setCell(i.index, uint64(v), 0) }

// Line is a line item that a configuration claimed. Its quantity and amount are complete: what
// the slot's period comes to so far, not what one event adds.
type Line struct{ index uint32 }

// Get returns the line item so far.
func (l Line) Get(s *Slot) (billing.Quantity, billing.Amount) {
	row := s.line(l.index)
	return billing.Quantity(row.quantity.decimal()), billing.Amount(row.amount.decimal())
}

// Quantity returns the units of the line item so far.
func (l Line) Quantity(s *Slot) billing.Quantity {
	return billing.Quantity(s.line(l.index).quantity.decimal())
}

// Set replaces the line item.
func (l Line) Set(s *Slot, q billing.Quantity, a billing.Amount) {
	s.setLine(l.index, q, a)
}

// Add adds to the line item.
//
// # Errors
//
// [billing.ErrOverflow], to be returned from Price as it is.
func (l Line) Add(s *Slot, q billing.Quantity, a billing.Amount) error {
	quantity, amount := l.Get(s)
	quantity, err := quantity.Add(q)
	if err != nil {
		return err
	}
	if amount, err = amount.Add(a); err != nil {
		return err
	}
	l.Set(s, quantity, amount)
	return nil
}
