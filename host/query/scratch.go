package query

import (
	"sync"

	"github.com/tollway/tollway/host/accumulate"
)

// scratch is the memory in which an account's answer is made. Thousands of them a
// second, ten kilobytes each, would be a third of all that the collector has to do.
type scratch struct {
	home      *sync.Pool
	rows      accumulate.RowMemory
	subtotals []Subtotal
	lines     []Line
}

// newScratch takes memory that an answer has left, or new.
func (e *Engine) newScratch() *scratch {
	if s, ok := e.scratch.Get().(*scratch); ok {
		return s
	}
	return &scratch{home: &e.scratch}
}

// leave gives the memory to the next answer, unless it is more than most need.
func (s *scratch) leave() {
	if !s.rows.Large() {
		s.home.Put(s)
	}
}

// Release gives the memory of the answer to one that is made later: nothing of it may
// be looked at from then on, but for its texts. Who keeps an answer does not call it.
func (q *Subtotals) Release() {
	s := q.scratch
	*q = Subtotals{}
	if s != nil {
		s.leave()
	}
}
