package rate

import (
	"errors"
	"math/bits"
	"unsafe"

	"github.com/tollway/tollway/host/internal/memory"
)

// Slab is the memory of a book's accounts and slots, in blocks that stay where they are.
//
// The garbage collector does not look into the blocks: a million slots that point to
// their accounts and back would have it take a processor for a tenth of a second, time
// and again. So the slab keeps what they point to, and who has a slot or an account of a
// book has the slab: each block begins with a pointer to it.
type Slab struct {
	terms  []*Terms
	more   []*liveMore
	blocks [][]Live
	room   []Live // for more blocks
	n      uint32

	accounts    []*accountBlock
	accountRoom []accountBlock // for more
	nextAccount uint32
	ids         []byte // block of long ids; each keeps its own
	kept        []any  // blocks that only accounts lead to

	lists     [listSizes][]listed           // blocks of room for lists, by size
	freeLists [listSizes]memory.Ref[listed] // lists that accounts have outgrown, each leads to the next one
	fars      []farWays                     // block
}

// NewSlab makes a slab without accounts and slots.
func NewSlab() *Slab { return &Slab{} }

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

// Name gives an empty slot its names. The account must be the slab's and the terms kept
// by it, else the error is ErrNotKept.
func (s *Slab) Name(l *Live, a *Account, t *Terms, group string) error {
	if a.slab.Get() != s || !s.keeps(t) {
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
	if a.slab.Get() != s || !s.keeps(t) {
		return ErrNotKept
	}
	a.At(at).terms, a.slots()[at].terms = memory.RefTo(t), t.Number
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

// Accounts are in blocks as slots are. The first place of what is taken together has the
// pointer to the slab and no account.
const (
	accountsBlock = 512
	accountsSmall = 16 // blocks that are taken one at a time
	accountBlocks = 32 // that are taken together
)

type (
	accountBlock [accountsBlock]Account
	accountHead  struct {
		slab *Slab
		_    [accountBytes - unsafe.Sizeof(uintptr(0))]byte
	}
	smallAccounts struct {
		accountHead
		rest [accountsBlock - 1]Account
	}
	largeAccounts struct {
		accountHead
		rest [accountsBlock*accountBlocks - 1]Account
	}
)

// NewAccount makes an account without slots. Its number is not 0; the id is copied.
func (s *Slab) NewAccount(id string) (a *Account, number uint32) {
	if s.nextAccount%accountsBlock == 0 {
		if len(s.accountRoom) == 0 {
			s.accountRoom = s.takeAccounts()
			s.nextAccount++ // the head's place
		}
		s.accounts = append(s.accounts, &s.accountRoom[0])
		s.accountRoom = s.accountRoom[1:]
	}
	number = s.nextAccount
	s.nextAccount++
	a = s.Account(number)
	if len(id) > idNear {
		id = s.keepID(id)
	}
	a.name(id)
	a.slab = memory.RefTo(s)
	return a, number
}

// Account returns an account by its number.
func (s *Slab) Account(number uint32) *Account {
	return &s.accounts[number/accountsBlock][number%accountsBlock]
}

// takeAccounts returns memory for more accounts.
func (s *Slab) takeAccounts() []accountBlock {
	if len(s.accounts) < accountsSmall {
		b := &smallAccounts{accountHead: accountHead{slab: s}}
		return unsafe.Slice((*accountBlock)(unsafe.Pointer(b)), 1)
	}
	b := &largeAccounts{accountHead: accountHead{slab: s}}
	memory.Large(unsafe.Pointer(b), unsafe.Sizeof(*b))
	return unsafe.Slice((*accountBlock)(unsafe.Pointer(b)), accountBlocks)
}

// idsBlock is the size of the blocks that hold long ids.
const idsBlock = 16 << 10

// keepID returns a copy of an id that stays where it is.
func (s *Slab) keepID(id string) string {
	if cap(s.ids)-len(s.ids) < len(id) {
		s.ids = make([]byte, 0, max(idsBlock, len(id)))
		s.kept = append(s.kept, s.ids)
	}
	first := len(s.ids)
	s.ids = append(s.ids, id...)
	return unsafe.String(unsafe.SliceData(s.ids[first:]), len(id))
}

// The sizes of rooms for lists: most accounts have few slots or some, and the list of
// one that outgrows its room is copied into one of twice the size.
const (
	listFew   = 4
	listSome  = 16
	listBlock = 2048 // listed slots; larger rooms are taken alone
	listSizes = 33
)

// listRoom is the room for a list of n slots.
func listRoom(n uint32) uint32 {
	switch {
	case n <= listFew:
		return listFew
	case n <= listSome:
		return listSome
	}
	return 1 << bits.Len32(n-1)
}

// list returns a room of a size.
func (s *Slab) list(room uint32) *listed {
	size := bits.Len32(room)
	if l := s.freeLists[size].Get(); l != nil {
		s.freeLists[size] = *nextFree(l)
		return l
	}
	block := &s.lists[size]
	if len(*block) == 0 {
		*block = make([]listed, max(room, listBlock))
		s.kept = append(s.kept, *block)
	}
	l := &(*block)[0]
	*block = (*block)[room:]
	return l
}

// giveList takes a room back.
func (s *Slab) giveList(l *listed, room uint32) {
	size := bits.Len32(room)
	*nextFree(l) = s.freeLists[size]
	s.freeLists[size] = memory.RefTo(l)
}

// nextFree is where a room that nobody has leads to the next one.
func nextFree(l *listed) *memory.Ref[listed] { return (*memory.Ref[listed])(unsafe.Pointer(l)) }

// farWays returns room for an account's ways.
func (s *Slab) farWays() *farWays {
	const together = 64
	if len(s.fars) == 0 {
		s.fars = make([]farWays, together)
		s.kept = append(s.kept, s.fars)
	}
	w := &s.fars[0]
	s.fars = s.fars[1:]
	return w
}
