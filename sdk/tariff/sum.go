package tariff

import "github.com/tollway/tollway/sdk/billing"

// SumCell is an exact sum of products that a slot keeps. It takes the room of two cells.
type SumCell struct{ low, high uint32 }

// Sum claims an exact sum of products.
func (k *Cells) Sum() SumCell { return SumCell{k.claim(), k.claim()} }

// Get returns what the slot keeps.
func (c SumCell) Get(s *Slot) billing.Sum {
	return billing.SumOfHalves(s.cell(c.low).decimal(), s.cell(c.high).decimal())
}

// Set replaces what the slot keeps.
func (c SumCell) Set(s *Slot, v billing.Sum) {
	low, high := v.Halves()
	s.setCell(c.low, low.Lo, low.Hi)
	s.setCell(c.high, high.Lo, high.Hi)
}
