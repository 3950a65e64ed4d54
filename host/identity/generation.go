package identity

import (
	"math/bits"

	"github.com/tollway/tollway/host/ingest"
)

// generation holds recent identities, in the order in which they came. It is
// filled once, written to a run once and emptied as a whole, so that its table
// never grows and loses single identities to Forget alone.
//
// The table is open addressing with linear probing. Its slots are in the order
// of the keys, but for what probing displaces, so that walking it sorts.
type generation struct {
	records []record // has room for all from the start: what a batch refers to is never moved
	// slots hold the index of a record plus one, and above it as many bits of the
	// record's key as there is room for; 0 is an empty slot.
	slots     []uint32
	slotShift uint // key → slot
	indexBits uint

	cut  int    // records that a batch has; Forget does not reach them
	next uint64 // the entry of the recent log behind its last one

	counted bool // as a run
}

// newGeneration makes one with room for a number of records.
func newGeneration(room int) *generation {
	slotBits := uint(bits.Len(uint(2*room - 1)))
	return &generation{
		records: make([]record, 0, room), slots: make([]uint32, 1<<slotBits),
		slotShift: 64 - slotBits, indexBits: uint(bits.Len(uint(room))),
	}
}

// reset empties the generation.
func (g *generation) reset() {
	clear(g.slots)
	g.records, g.cut, g.next, g.counted = g.records[:0], 0, 0, false
}

func (g *generation) full() bool { return len(g.records) == cap(g.records) }

func (g *generation) bytes() int64 {
	return int64(cap(g.records))*recordBytes + int64(len(g.slots))*4
}

// find returns the index of the identity that has not expired, or -1.
func (g *generation) find(id *ingest.Hash, key uint64, horizon int64) int {
	index, _ := g.search(id, key, horizon)
	return index
}

// search is find that says in which slot.
func (g *generation) search(id *ingest.Hash, key uint64, horizon int64) (index, slot int) {
	tag := uint32(key) << g.indexBits
	mask := uint32(1)<<g.indexBits - 1
	for at := int(key >> g.slotShift); ; at = (at + 1) & (len(g.slots) - 1) {
		e := g.slots[at]
		if e == 0 {
			return -1, at
		}
		if e&^mask != tag {
			continue
		}
		if r := &g.records[e&mask-1]; r.id == *id && r.until >= horizon {
			return int(e&mask - 1), at
		}
	}
}

// add takes an identity that it does not have, while it is not full.
func (g *generation) add(id *ingest.Hash, key uint64, content *ingest.Hash, position uint64, until int64) {
	at := int(key >> g.slotShift)
	for g.slots[at] != 0 {
		at = (at + 1) & (len(g.slots) - 1)
	}
	n := len(g.records)
	g.records = g.records[:n+1]
	r := &g.records[n]
	r.id, r.Content, r.Position, r.until = *id, *content, position, until
	g.slots[at] = uint32(key)<<g.indexBits | uint32(n+1)
}

// forget takes back an identity that no batch has, and reports whether it had
// it. The last record takes its place: their order says nothing.
func (g *generation) forget(id *ingest.Hash, horizon int64) bool {
	index, slot := g.search(id, keyOf(id), horizon)
	if index < g.cut { // -1 as well
		return false
	}
	g.empty(slot)
	last := len(g.records) - 1
	if index != last {
		g.records[index] = g.records[last]
		moved := &g.records[index]
		at := g.slotOf(keyOf(&moved.id), last)
		g.slots[at] = uint32(keyOf(&moved.id))<<g.indexBits | uint32(index+1)
	}
	g.records = g.records[:last]
	return true
}

// slotOf returns the slot of the record with an index.
func (g *generation) slotOf(key uint64, index int) int {
	mask := uint32(1)<<g.indexBits - 1
	at := int(key >> g.slotShift)
	for g.slots[at]&mask != uint32(index+1) {
		at = (at + 1) & (len(g.slots) - 1)
	}
	return at
}

// empty empties a slot, and moves back what probing has put behind it (Knuth,
// The Art of Computer Programming, vol. 3, 6.4, algorithm R).
func (g *generation) empty(slot int) {
	mask := len(g.slots) - 1
	for at := (slot + 1) & mask; g.slots[at] != 0; at = (at + 1) & mask {
		home := int(keyOf(&g.record(g.slots[at]).id) >> g.slotShift)
		if (at-home)&mask >= (at-slot)&mask {
			g.slots[slot] = g.slots[at]
			slot = at
		}
	}
	g.slots[slot] = 0
}

// record returns the record of a slot's entry.
func (g *generation) record(e uint32) *record {
	return &g.records[e&(1<<g.indexBits-1)-1]
}

// sorted returns the indexes of the records that expire at horizon or later, in
// the order of their keys, and the keys.
func (g *generation) sorted(horizon int64) (order []uint32, keys []uint64) {
	mask := uint32(1)<<g.indexBits - 1
	order = make([]uint32, 0, len(g.records))
	for _, e := range g.slots {
		if e != 0 {
			order = append(order, e&mask-1)
		}
	}
	// Loads that do not wait for each other, before the comparisons that do.
	keys = make([]uint64, len(order))
	kept := 0
	for _, at := range order {
		r := &g.records[at]
		order[kept], keys[kept] = at, keyOf(&r.id)
		if r.until >= horizon {
			kept++
		}
	}
	order, keys = order[:kept], keys[:kept]
	// Only what probing displaced is out of order, by a few places; what it carried
	// beyond the last slot stands first, and each of the others passes that.
	for i := 1; i < len(keys); i++ {
		key, index, at := keys[i], order[i], i
		for at > 0 && keys[at-1] > key {
			keys[at], order[at] = keys[at-1], order[at-1]
			at--
		}
		keys[at], order[at] = key, index
	}
	return order, keys
}
