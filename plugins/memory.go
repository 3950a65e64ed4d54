package plugins

import (
	"github.com/tetratelabs/wazero/experimental"
)

// pageSize is the size of a WebAssembly page in bytes.
const pageSize = 65_536

// linearMemory is the memory of one instance: reserved whole, committed by the system page by page
// as it is touched. The rewriter declares memories at their full size, so it never moves or grows.
type linearMemory struct {
	bytes []byte
}

// allocate is the hook with which the runtime gets its memories.
func (m *linearMemory) allocate(_, maximum uint64) experimental.LinearMemory {
	m.bytes = reserve(int(maximum))
	return m
}

// Reallocate implements experimental.LinearMemory. Nil refuses: the runtime then reports that it
// could not grow, or, at the start, panics, which instantiate turns into an error.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.bytes)) {
		return nil
	}
	return m.bytes[:size]
}

// Free implements experimental.LinearMemory.
func (m *linearMemory) Free() {
	release(m.bytes)
	m.bytes = nil
}
