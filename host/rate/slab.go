package rate

import (
	"errors"
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
)

// Slab is the memory of a book's slots, in blocks that stay where they are.
//
// The garbage collector does not look into the blocks, nor at what accounts know of
// their slots: a million slots that point to their accounts and back would have it
// take a processor for a tenth of a second, time and again. So the slab keeps what they
// point to, and who has a slot, or an account that is in the book, has the slab: each
// block and each such account begins with, or has, a pointer to it.
type Slab struct {
	accounts any // keeps those that slots have
	terms    []*Terms
	more     []*liveMore
	blocks   [][]Live
	room     []Live // for more blocks
	n        uint32
}

// NewSlab makes a slab without slots. accounts is what keeps the accounts that its
// slots will have.
func NewSlab(accounts any) *Slab { return &Slab{accounts: accounts} }

// A slab takes memory for one block at a time while it is small, and for as many
// that large pages pay when it is not.
const (
	slabSlots  = 1024
	slabSmall  = 16 // blocks
	slabBlocks = 32 // that are taken together
)

// slabHead stands before slots. It fills a line of memory, so that each slot begins
// with one.
type slabHead struct {
	slab *Slab
	_    [lineBytes - unsafe.Sizeof(uintptr(0))]byte
}

type (
	smallBlock struct {
		slabHead
		slots [slabSlots]Live
	}
	largeBlock struct {
		slabHead
		slots [slabSlots * slabBlocks]Live
	}
)

// Len is how many slots there are.
func (s *Slab) Len() uint32 { return s.n }

// At returns a slot by its number, from 0.
func (s *Slab) At(n uint32) *Live { return &s.blocks[n/slabSlots][n%slabSlots] }

// Add returns the next slot, which is empty but for its number.
func (s *Slab) Add() *Live {
	if s.n%slabSlots == 0 {
		s.blocks = append(s.blocks, s.block())
	}
	l := s.At(s.n)
	l.Number = s.n
	s.n++
	return l
}

// block returns an empty block.
func (s *Slab) block() []Live {
	if len(s.room) == 0 {
		s.room = s.take()
	}
	b := s.room[:slabSlots:slabSlots]
	s.room = s.room[slabSlots:]
	return b
}

// take returns memory for more slots.
func (s *Slab) take() []Live {
	if len(s.blocks) < slabSmall {
		b := &smallBlock{slabHead: slabHead{slab: s}}
		return b.slots[:]
	}
	b := &largeBlock{}
	b.slab = s
	memory.Large(unsafe.Pointer(b), unsafe.Sizeof(*b))
	return b.slots[:]
}

// Keep numbers terms, from 1, and keeps them: those of a slot must be kept.
func (s *Slab) Keep(t *Terms) (number uint32) {
	s.terms = append(s.terms, t)
	t.Number = uint32(len(s.terms))
	return t.Number
}

// Terms returns those with a number, from 1.
func (s *Slab) Terms(number uint32) *Terms { return s.terms[number-1] }

// Kept is how many terms are kept.
func (s *Slab) Kept() int { return len(s.terms) }

// keeps reports whether terms will be there when the collector has run.
func (s *Slab) keeps(t *Terms) bool {
	return t.Number != 0 && int(t.Number) <= len(s.terms) && s.terms[t.Number-1] == t
}

// ErrNotKept reports that a slot would have referred to what its slab does not keep: a
// fault of the book.
var ErrNotKept = errors.New("rate: a slot's account and terms must be its slab's")

// Take has an account have slots of the slab. Whatever keeps the slab's accounts must
// have it.
func (s *Slab) Take(a *Account) { a.slab = s }

// Name gives an empty slot its names. The slab must have taken the account and keep the
// terms, else the error is ErrNotKept.
func (s *Slab) Name(l *Live, a *Account, t *Terms, group string) error {
	if a.slab != s || !s.keeps(t) {
		return ErrNotKept
	}
	l.account, l.terms = memory.RefTo(a), memory.RefTo(t)
	if group != "" {
		s.beyond(l).group = group
	}
	return nil
}

// Reterm gives an account's slot at a place other terms under the same key. The slab
// must keep them, else the error is ErrNotKept.
func (s *Slab) Reterm(a *Account, at int, t *Terms) error {
	if a.slab != s || !s.keeps(t) {
		return ErrNotKept
	}
	a.At(at).terms, a.by[at] = memory.RefTo(t), memory.RefTo(t)
	return nil
}

// SetData puts lines and state in place of a slot's data. They are copied.
func (s *Slab) SetData(l *Live, lines, state []byte) {
	n := len(lines) + len(state)
	if l.size != sizeFar && n <= nearBytes {
		l.size = uint16(n)
		copy(l.near[:], lines)
		copy(l.near[len(lines):], state)
		return
	}
	m := s.beyond(l)
	if cap(m.far) < n {
		m.far = make([]byte, n, n+n/4) // what grows grows on
	}
	l.size, m.far = sizeFar, m.far[:n]
	copy(m.far, lines)
	copy(m.far[len(lines):], state)
}

// beyond makes room for what few slots have.
func (s *Slab) beyond(l *Live) *liveMore {
	m := l.more.Get()
	if m == nil {
		m = &liveMore{}
		s.more = append(s.more, m)
		l.more = memory.RefTo(m)
	}
	return m
}
