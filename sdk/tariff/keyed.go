package tariff

import (
	"errors"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Key names an entry of a [Keyed].
type Key struct {
	high uint64 // never 0
	low  uint32
}

// KeyOfText returns the key of a text: 96 bits of its SHA-256, so that texts of any length take the same room and no
// customer can choose two that count as one.
func KeyOfText(text string) Key {
	digest := sha256(text)
	return Key{max(uint64(digest[0])<<32|uint64(digest[1]), 1), digest[2]}
}

// KeyOfInt returns the key of a number. Keys of different numbers are different.
func KeyOfInt(n int64) Key {
	// An odd factor permutes the numbers of 64 bits; this one, 2^64 divided by the golden ratio, spreads neighbours
	// (Knuth, The Art of Computer Programming, volume 3, 6.4). What it maps to 0 gets the one key with another low.
	if spread := uint64(n) * 0x9e3779b97f4a7c15; spread != 0 {
		return Key{high: spread}
	}
	return Key{1, 1}
}

// Keyed is a table in the state of a slot, for what is counted by key: active users, buckets of time. An entry has a
// mark and, if asked for, a number. The table grows with its entries; an entry, once made, stays to the period's end.
//
// The table is open addressing with linear probing, laid out by the order in which keys came, so the same events make
// the same bytes.
type Keyed struct {
	config *Config
	head   uint32 // cell: lo = capacity in entries, hi = entries in use
	base   uint32 // where the table begins in the state
	stride uint32 // bytes of an entry: key and mark, 16, and the number
	most   uint32 // entries

	carried  bool
	carryOff uint32 // where the table's part of a carry begins
}

// ErrTooManyKeys is returned when a [Keyed] is full: it rejects the event.
var ErrTooManyKeys = Reject("too_many_keys", "the table of keys is full")

// MarkCarried is the bit of a mark with which an entry goes on into the next period.
const MarkCarried uint32 = 1 << 31

// Room of an entry in bytes.
const (
	markStride   = 16
	numberStride = 32
)

// KeyedMax is the most entries that a table may hold, with numbers half of them.
const KeyedMax = 56_000

// CarriedMax is the most entries that a table may hold which goes on into the next period: they are put in all at once,
// within the fuel of one event.
const CarriedMax = 1_500

// capacityLast is the capacity up to which a table doubles. Then it gets all the room that it may have, since moving
// more entries than these at once would cost more than an event may.
const capacityLast = 2_048

// Marks claims a table of up to most keys with a mark each. A tariff has at most one table. Claimed from [Config].Carry,
// the entries whose mark has [MarkCarried] go on into the next period, with that mark.
func (k *Cells) Marks(most int) *Keyed { return k.keyed(markStride, most) }

// Numbers claims a table of up to most keys with a mark and a number each.
func (k *Cells) Numbers(most int) *Keyed { return k.keyed(numberStride, most) }

func (k *Cells) keyed(stride uint32, most int) *Keyed {
	c := k.config
	c.claim("table")
	if most < 1 || most > KeyedMax*markStride/int(stride) {
		panic("tariff: a table of " + strconv.Itoa(most) + " keys, the limit is " + strconv.Itoa(KeyedMax*markStride/int(stride)))
	}
	if c.keyed != nil {
		panic("tariff: a second table is claimed")
	}
	if k.carried && (stride != markStride || most > CarriedMax) {
		panic("tariff: a table of numbers is carried, or one of more than " + strconv.Itoa(CarriedMax) + " keys")
	}
	cell := Cells{config: c}
	c.keyed = &Keyed{config: c, head: cell.claim(), stride: stride, most: uint32(most), carried: k.carried}
	return c.keyed
}

// place finishes the claim when all cells are known.
func (k *Keyed) place(cells, carriedCells uint32) {
	k.base, k.carryOff = cells*cellSize, carriedCells*cellSize
}

// capacityMax is the capacity at which the table stops growing: one eighth stays free.
func (k *Keyed) capacityMax() uint32 { return k.most + k.most/7 + 1 }

// stateMax is the most bytes of state.
func (k *Keyed) stateMax() uint32 { return k.base + k.capacityMax()*k.stride }

// carryMax is the most bytes of the table's part of a carry.
func (k *Keyed) carryMax() uint32 {
	if !k.carried {
		return 0
	}
	return k.most * markStride
}

// stateLen is how many bytes of state the slot has.
func (k *Keyed) stateLen(s *Slot) uint32 { return k.base + uint32(s.cell(k.head).lo)*k.stride }

// sound says whether the table of a slot that has a state is one.
func (k *Keyed) sound(s *Slot) bool {
	if s.stateLen < k.base || uint64(s.stateOff)+uint64(s.stateLen) > uint64(header.ArenaSize) {
		return false
	}
	head := s.cell(k.head)
	return head.lo <= uint64(k.capacityMax()) && head.hi >= 0 && uint64(head.hi) <= head.lo && k.stateLen(s) == s.stateLen
}

// Len returns the number of entries.
func (k *Keyed) Len(s *Slot) int {
	k.open(s)
	return int(s.cell(k.head).hi)
}

// Mark returns the mark of a key, and whether the table has the key.
func (k *Keyed) Mark(s *Slot, key Key) (uint32, bool) {
	if !k.open(s) {
		return 0, false
	}
	off, found := k.seek(s, key)
	if !found {
		return 0, false
	}
	return uint32((*wide)(at(off)).hi), true
}

// SetMark gives a key a mark, and the key an entry if it has none.
//
// # Errors
//
// [ErrTooManyKeys], to be returned from Price as it is.
func (k *Keyed) SetMark(s *Slot, key Key, mark uint32) error {
	off, err := k.entry(s, key)
	if err != nil {
		return err
	}
	s.setAt(off, key.high, int64(uint64(key.low)<<32|uint64(mark)))
	return nil
}

// Number returns the number of a key, 0 when the table does not have the key. The table must be one of numbers.
func (k *Keyed) Number(s *Slot, key Key) billing.Decimal {
	if k.stride != numberStride {
		panic(errForeign)
	}
	if k.open(s) {
		if off, found := k.seek(s, key); found {
			return (*wide)(at(off + markStride)).decimal()
		}
	}
	return billing.Decimal{}
}

// SetNumber gives a key a mark and a number, and the key an entry if it has none.
//
// # Errors
//
// [ErrTooManyKeys], to be returned from Price as it is.
func (k *Keyed) SetNumber(s *Slot, key Key, mark uint32, number billing.Decimal) error {
	if k.stride != numberStride {
		panic(errForeign)
	}
	off, err := k.entry(s, key)
	if err != nil {
		return err
	}
	s.setAt(off, key.high, int64(uint64(key.low)<<32|uint64(mark)))
	s.setAt(off+markStride, number.Lo, number.Hi)
	return nil
}

// AppendNumbers appends the numbers of all entries. Their order means nothing: sort them.
func (k *Keyed) AppendNumbers(s *Slot, numbers []billing.Decimal) []billing.Decimal {
	if k.stride != numberStride {
		panic(errForeign)
	}
	k.open(s)
	head, n := s.cell(k.head), len(numbers)
	numbers = append(numbers, make([]billing.Decimal, head.hi)...)
	takeNumbers(numbers[n:], at(s.stateOff+k.base), uint32(head.lo))
	return numbers
}

// takeNumbers takes the numbers out of a table, for the reason given at put in a function of its own.
//
//go:noinline
func takeNumbers(numbers []billing.Decimal, table unsafe.Pointer, capacity uint32) {
	for n := 0; capacity > 0 && n < len(numbers); capacity-- {
		if e := (*[4]uint64)(table); e[0] != 0 {
			numbers[n] = billing.Decimal{Lo: e[2], Hi: int64(e[3])}
			n++
		}
		table = unsafe.Add(table, numberStride)
	}
}

// EachMark calls f with the mark of every entry, in an order that means nothing.
func (k *Keyed) EachMark(s *Slot, f func(mark uint32)) {
	k.open(s)
	start := s.stateOff + k.base
	for off := start; off < start+uint32(s.cell(k.head).lo)*k.stride; off += k.stride {
		if e := (*wide)(at(off)); e.lo != 0 {
			f(uint32(e.hi))
		}
	}
}

// seek returns where an entry is, or where it would be. The table has a free entry.
func (k *Keyed) seek(s *Slot, key Key) (off uint32, found bool) {
	capacity := uint32(s.cell(k.head).lo)
	start := s.stateOff + k.base
	i, _ := bits.Mul64(key.high, uint64(capacity))
	for {
		off = start + uint32(i)*k.stride
		switch e := (*wide)(at(off)); {
		case e.lo == 0:
			return off, false
		case e.lo == key.high && uint32(uint64(e.hi)>>32) == key.low:
			return off, true
		}
		if i++; i == uint64(capacity) {
			i = 0
		}
	}
}

// entry returns where the entry of a key is, a new one with key and mark 0 if there was none.
func (k *Keyed) entry(s *Slot, key Key) (uint32, error) {
	if !k.open(s) {
		k.grow(s)
	}
	off, found := k.seek(s, key)
	if found {
		return off, nil
	}
	head := s.cell(k.head)
	used, capacity := uint32(head.hi)+1, uint32(head.lo)
	if used > k.most {
		return 0, ErrTooManyKeys
	}
	if used > capacity-capacity/8 {
		k.grow(s)
		off, _ = k.seek(s, key)
	}
	s.setCell(k.head, s.cell(k.head).lo, int64(used))
	s.setAt(off, key.high, int64(uint64(key.low)<<32))
	if k.stride == numberStride {
		s.setAt(off+markStride, 0, 0)
	}
	return off, nil
}

// open says whether the table has room for any entry. The first time, what was carried is put in.
func (k *Keyed) open(s *Slot) bool {
	if s.cell(k.head).lo != 0 {
		return true
	}
	if !k.carried || s.carryInLen <= k.carryOff {
		return false
	}
	count := (s.carryInLen - k.carryOff) / markStride
	k.resize(s, min(max(capacityFirst, count+count/4), k.capacityMax()))
	// Not noted: undone, there is no table.
	used := put(at(s.stateOff+k.base), uint32(s.cell(k.head).lo), markStride, at(s.carryInOff+k.carryOff), count)
	s.setCell(k.head, s.cell(k.head).lo, int64(used))
	return true
}

// capacityFirst is the capacity of a table with its first entries.
const capacityFirst = 8

// grow makes room for more entries.
func (k *Keyed) grow(s *Slot) {
	capacity := max(capacityFirst, 2*uint32(s.cell(k.head).lo))
	if capacity > capacityLast {
		capacity = k.capacityMax()
	}
	k.resize(s, min(capacity, k.capacityMax()))
}

// resize gives the table another capacity, with the same entries.
func (k *Keyed) resize(s *Slot, capacity uint32) {
	if need := k.base + capacity*k.stride; need > s.stateCap {
		s.stateNeed = need
		panic(errStateNeed)
	}
	start := s.stateOff + k.base
	before := uint32(s.cell(k.head).lo)
	// Noted as a whole: one by one, the entries of a large table would cost more than an event may.
	noteBytes(start, before*k.stride)
	old := undoneBytes[len(undoneBytes)-1].was
	table := unsafe.Slice((*byte)(at(start)), capacity*k.stride)
	clear(table)
	s.setCell(k.head, uint64(capacity), s.cell(k.head).hi)
	if before > 0 {
		put(unsafe.Pointer(&table[0]), capacity, k.stride, unsafe.Pointer(&old[0]), before)
	}
}

// put puts the entries of a list into an empty table and returns how many there were. The keys must differ. It is a
// function of its own, without calls, because the fuel of a loop in Go is that of the longest way through its
// function, and it runs for every entry of a table that grows.
//
//go:noinline
func put(table unsafe.Pointer, capacity, stride uint32, list unsafe.Pointer, count uint32) (used uint32) {
	for ; count > 0; count-- {
		e, number := (*wide)(list), unsafe.Add(list, markStride)
		list = unsafe.Add(list, stride)
		if e.lo == 0 {
			continue
		}
		used++
		i := uint32(high(e.lo, uint64(capacity)))
		place := (*wide)(unsafe.Add(table, i*stride))
		for place.lo != 0 {
			if i++; i == capacity {
				i = 0
			}
			place = (*wide)(unsafe.Add(table, i*stride))
		}
		place.lo, place.hi = e.lo, e.hi
		if stride == numberStride {
			to, from := (*wide)(unsafe.Add(unsafe.Pointer(place), markStride)), (*wide)(number)
			to.lo, to.hi = from.lo, from.hi
		}
	}
	return used
}

// beforeBytes is a piece of the arena as it was before the unit of work at hand wrote to it, with how many numbers
// were noted before.
type beforeBytes struct {
	off    uint32
	undone int
	was    []byte
}

// undoneBytes are the pieces that were noted: hardly ever one.
var undoneBytes []beforeBytes

// noteBytes notes what stands in a piece of the arena, so that a rejection can put it back.
func noteBytes(off, length uint32) {
	was := append([]byte(nil), unsafe.Slice((*byte)(at(off)), length)...)
	undoneBytes = append(undoneBytes, beforeBytes{off, undone, was})
}

// rollBackBytes puts back what was noted as bytes when so many numbers had been noted.
func rollBackBytes() {
	for n := len(undoneBytes); n > 0 && undoneBytes[n-1].undone == undone; n-- {
		copy(unsafe.Slice((*byte)(at(undoneBytes[n-1].off)), len(undoneBytes[n-1].was)), undoneBytes[n-1].was)
		undoneBytes = undoneBytes[:n-1]
	}
}

// errStateNeed ends a call that needs more room for a state. The engine gives it and asks again.
var errStateNeed = errors.New("tariff: a state needs more room")

// writeCarry writes the marked entries behind the carried cells and returns how many bytes.
func (k *Keyed) writeCarry(s *Slot) uint32 {
	if !k.carried {
		return 0
	}
	k.open(s)
	start, to := s.stateOff+k.base, s.carryOutOff+k.carryOff
	for off := start; off < start+uint32(s.cell(k.head).lo)*k.stride; off += k.stride {
		if e := (*wide)(at(off)); e.lo != 0 && uint32(e.hi)&MarkCarried != 0 {
			*(*wide)(at(to)) = wide{e.lo, int64(uint64(e.hi)>>32<<32 | uint64(MarkCarried))}
			to += markStride
		}
	}
	return to - s.carryOutOff - k.carryOff
}

// carryFits says whether the table's part of a carry is whole.
func (k *Keyed) carryFits(length uint32) bool {
	return length >= k.carryOff && length-k.carryOff <= k.carryMax() && (length-k.carryOff)%markStride == 0
}

// note notes what stands in the 16 bytes at off, so that a rejection can put it back.
func (s *Slot) note(off uint32) {
	if undone == len(undo) {
		growUndo()
	}
	undo[undone] = before{off, *(*wide)(at(off))}
	undone++
}

// setAt replaces the 16 bytes at off.
func (s *Slot) setAt(off uint32, lo uint64, hi int64) {
	s.note(off)
	place := (*wide)(at(off))
	place.lo, place.hi = lo, hi
}

var _ [abi.StateMax - (KeyedMax+KeyedMax/7+1)*markStride - abi.StateFixedMax]byte // the largest table fits
