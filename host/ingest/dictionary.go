package ingest

import (
	"encoding/binary"
	"hash/maphash"
)

// noString is where no batch has a string.
const noString = 1<<32 - 1

// dictionaryTable is the dictionary of a batch being packed: a hash table with linear probing over the encoded strings
// themselves, so that it holds on to nothing of anybody else's and is emptied in one step. The hash is seeded, since the
// strings are chosen by those who send events.
type dictionaryTable struct {
	seed    maphash.Seed
	fields  []byte           // the encoded strings fields
	entries []dictionaryText // by index
	slots   []dictionarySlot // as many as a power of two, more than half of them free
	age     uint32           // of the batch; slots of another are free
}

type dictionaryText struct {
	start, end int // in fields
	hash       uint32
}

type dictionarySlot struct{ age, index uint32 }

func (t *dictionaryTable) len() int { return len(t.entries) }

// reset empties the dictionary but for the empty string, which is the first of every batch.
func (t *dictionaryTable) reset() {
	t.fields, t.entries = t.fields[:0], t.entries[:0]
	if t.age++; t.age == 0 || len(t.slots) == 0 { // age 0 is that of free slots
		const slotsAtFirst = 256
		t.slots, t.age = make([]dictionarySlot, max(slotsAtFirst, len(t.slots))), 1
	}
	t.intern("")
}

// is reports whether the string with an index is text.
func (t *dictionaryTable) is(index uint32, text string) bool {
	if uint64(index) >= uint64(len(t.entries)) {
		return false
	}
	e := &t.entries[index]
	return string(t.fields[e.start:e.end]) == text
}

// again is intern for a text that may well be the one that *index names, and leaves its index there.
func (t *dictionaryTable) again(index *uint32, text string) uint32 {
	if !t.is(*index, text) {
		*index = t.intern(text)
	}
	return *index
}

// intern returns the index of a string, which it adds if it is not there.
func (t *dictionaryTable) intern(text string) uint32 {
	hash := uint32(maphash.String(t.seed, text))
	mask := uint32(len(t.slots) - 1)
	at := hash & mask
	for ; t.slots[at].age == t.age; at = (at + 1) & mask {
		index := t.slots[at].index
		if t.entries[index].hash == hash && t.is(index, text) {
			return index
		}
	}
	index := uint32(len(t.entries))
	t.slots[at] = dictionarySlot{t.age, index}
	t.fields = binary.AppendUvarint(append(t.fields, byte(tagStrings)), uint64(len(text)))
	start := len(t.fields)
	t.fields = append(t.fields, text...)
	t.entries = append(t.entries, dictionaryText{start, len(t.fields), hash})
	if 2*len(t.entries) >= len(t.slots) {
		t.grow()
	}
	return index
}

// grow doubles the slots. Strings take theirs in the order of their indexes, so that none stands behind a later one: shorten
// can free those of the last strings.
func (t *dictionaryTable) grow() {
	t.slots, t.age = make([]dictionarySlot, 2*len(t.slots)), 1
	mask := uint32(len(t.slots) - 1)
	for index := range t.entries {
		at := t.entries[index].hash & mask
		for t.slots[at].age == t.age {
			at = (at + 1) & mask
		}
		t.slots[at] = dictionarySlot{t.age, uint32(index)}
	}
}

// shorten takes the strings from index n on away again.
func (t *dictionaryTable) shorten(n int) {
	mask := uint32(len(t.slots) - 1)
	for index := len(t.entries) - 1; index >= n; index-- {
		at := t.entries[index].hash & mask
		for t.slots[at].age != t.age || t.slots[at].index != uint32(index) {
			at = (at + 1) & mask
		}
		t.slots[at] = dictionarySlot{}
	}
	if n < len(t.entries) {
		end := t.entries[n-1].end
		t.fields, t.entries = t.fields[:end], t.entries[:n]
	}
}
