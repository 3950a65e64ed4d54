package ingest

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/billing"
)

// Sizes of the blocks that an arena allocates: large enough that an event costs a small part of one allocation, small
// enough that a kept event does not keep much else. What an arena keeps for use again is bounded, so that one message with
// very many fields does not hold its memory for ever.
const (
	textBlockBytes   = 16 << 10
	textKeptBytes    = 4 << 20
	fieldBlockFields = 1 << 10
	fieldsKept       = 1 << 19 // 16 MiB
)

// arena hands out strings and field lists cut from larger blocks. What was handed out stays as it is until reset, and for
// ever where nobody calls that. The zero arena is for those who never do: it keeps hold of no block that is full.
type arena struct {
	text   blocks[byte]
	fields blocks[billing.Field]
}

// copy returns b as a string.
func (a *arena) copy(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	kept := a.text.take(len(b), textBlockBytes)
	copy(kept, b)
	return stringOf(kept)
}

// room returns an empty slice with a capacity of at least n bytes, for a text that keepText is then given.
func (a *arena) room(n int) []byte {
	if len(a.text.rest) < n {
		a.text.grow(n, textBlockBytes)
	}
	return a.text.rest[:0]
}

// keepText returns as a string what was appended to the slice that room returned, within its capacity.
func (a *arena) keepText(text []byte) string {
	a.text.rest = a.text.rest[len(text):]
	return stringOf(text)
}

// take returns n fields, which may hold anything.
func (a *arena) take(n int) []billing.Field {
	if n == 0 {
		return nil
	}
	return a.fields.take(n, fieldBlockFields)
}

// fieldRoom returns n fields, which may hold anything, and keepFields makes them the caller's own. Until then they are not
// taken.
func (a *arena) fieldRoom(n int) []billing.Field {
	if len(a.fields.rest) < n {
		a.fields.grow(n, fieldBlockFields)
	}
	return a.fields.rest[:n:n]
}

func (a *arena) keepFields(fields []billing.Field) []billing.Field {
	a.fields.rest = a.fields.rest[len(fields):]
	return fields
}

// keep returns a copy of fields, or nil if there are none.
func (a *arena) keep(fields []billing.Field) []billing.Field {
	kept := a.take(len(fields))
	copy(kept, fields)
	return kept
}

// reset makes all free again that was handed out since the last reset. Fields are cleared, so that their strings do not
// keep messages alive.
func (a *arena) reset() {
	for i, block := range a.fields.kept[:a.fields.used] {
		if i == a.fields.used-1 {
			block = block[:len(block)-len(a.fields.rest)]
		}
		clear(block)
	}
	a.text.reset(textKeptBytes)
	a.fields.reset(fieldsKept)
}

// blocks hands out slices of T cut from larger ones.
type blocks[T any] struct {
	rest []T   // of the block in use, what is not handed out
	kept [][]T // the blocks, those handed out since the last reset first
	used int   // how many those are
	keep bool  // blocks are kept, for reset to make them free again
}

// take returns n elements, which may hold anything. A new block has at least the given size.
func (b *blocks[T]) take(n, size int) []T {
	if len(b.rest) < n {
		b.grow(n, size)
	}
	taken := b.rest[:n:n]
	b.rest = b.rest[n:]
	return taken
}

// grow goes over to a block with room for n elements.
func (b *blocks[T]) grow(n, size int) {
	if !b.keep {
		b.rest = make([]T, max(size, n))
		return
	}
	for b.used < len(b.kept) {
		b.used++
		if b.rest = b.kept[b.used-1]; len(b.rest) >= n {
			return
		}
	}
	b.rest = make([]T, max(size, n))
	b.kept = append(b.kept, b.rest)
	b.used = len(b.kept)
}

// reset makes the blocks free again, as many of them as hold at most keptMax elements together.
func (b *blocks[T]) reset(keptMax int) {
	total := 0
	for i, block := range b.kept {
		if total += len(block); total > keptMax {
			clear(b.kept[i:])
			b.kept = b.kept[:i]
			break
		}
	}
	b.rest, b.used = nil, 0
}

// stringOf returns b as a string that shares its memory: valid as long as nobody writes there.
func stringOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
