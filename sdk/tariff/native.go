//go:build !wasip1

package tariff

import (
	"sync"

	"github.com/tollway/tollway/sdk/abi"
)

// begin notes the unit of work announced; in the engine it also meters it.
func (g *guest) begin(index uint32) { g.cursor = index }

// beginMany notes the last of n units announced together.
func (g *guest) beginMany(index, n uint32) { g.cursor = index + n - 1 }

// Native is a module at work without WebAssembly: the same code over the same bytes. Package
// tarifftest drives it; tests of tariffs use that. It is not safe for concurrent use; two of
// them are independent.
type Native struct{ guest *guest }

// Native returns a fresh instance of the module.
func (m *Module) Native() *Native { return &Native{newGuest(m)} }

// Arena is the export tariff_arena: it makes the arena and returns it, nil when size is refused.
func (n *Native) Arena(size int) []byte {
	if size < 0 || size > abi.ArenaMaxBytes {
		return nil
	}
	return n.guest.newArena(uint32(size))
}

// Configure is the export tariff_configure.
func (n *Native) Configure(handle, length int) int32 {
	return n.guest.configure(uint32(handle), uint32(length))
}

// pricing lets one native module price at a time, as the engine does: see the batch at hand.
var pricing sync.Mutex

// Price is the export tariff_price.
func (n *Native) Price() int32 {
	pricing.Lock()
	defer pricing.Unlock()
	return n.guest.price()
}

// Cursor is the unit of work announced last.
func (n *Native) Cursor() int { return int(n.guest.cursor) }
