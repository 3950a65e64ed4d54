package tariff

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
)

// Dimension is a dimension that a configuration claimed.
type Dimension struct{ index uint32 }

// valueID returns the number that a value of a dimension has within the batch.
func (e *Event) valueID(d Dimension) uint32 {
	if d.index >= header.Dims {
		panic(errForeign)
	}
	return *(*uint32)(unsafe.Add(unsafe.Pointer(e), abi.EventDims+4*uintptr(d.index)))
}

// Table gives each value of a dimension an item, such as its price. Looking an item up costs one
// map access per value and batch, and an index per event.
type Table[T any] struct {
	dimension Dimension
	index     map[string]int32 // in items, from 1
	items     []T

	// found[id] is what index says about value id of the present batch; 0 = not asked yet.
	found []int32
	batch uint32
}

// missing in Table.found: the value has no item.
const missing = -1

// NewTable returns an empty table by a dimension.
func NewTable[T any](dimension Dimension) *Table[T] {
	return &Table[T]{dimension: dimension, index: map[string]int32{}}
}

// Set gives a value its item. It is for Configure, not for pricing.
func (t *Table[T]) Set(value string, item T) {
	if n, ok := t.index[value]; ok {
		t.items[n-1] = item
		return
	}
	t.items = append(t.items, item)
	t.index[value] = int32(len(t.items))
}

// Of returns the item of the event's value, or nil when it has none. Do not change it: an item
// is a part of the configuration.
func (t *Table[T]) Of(e *Event) *T {
	if t.batch != batch {
		t.forget()
	}
	id := e.valueID(t.dimension)
	n := t.found[id]
	if n == 0 {
		n = t.find(valueText(id))
		t.found[id] = n
	}
	if n == missing {
		return nil
	}
	return &t.items[n-1]
}

func (t *Table[T]) find(value string) int32 {
	if n, ok := t.index[value]; ok {
		return n
	}
	return missing
}

// forget makes room for the values of a new batch.
func (t *Table[T]) forget() {
	t.batch = batch
	if n := int(header.Values); n <= cap(t.found) {
		t.found = t.found[:n]
		clear(t.found)
	} else {
		t.found = make([]int32, n)
	}
}
