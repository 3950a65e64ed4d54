package tariff

import (
	"runtime"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
)

// served is the module at work in the engine: one per instance, one call at a time.
var served *guest

// garbageMax is how many bytes of requests may leave garbage behind before it is collected. The
// engine runs modules without garbage collection, since none is due between two batches; only
// configuring can make more of it than memory holds.
const garbageMax = 256 << 10

var garbage uint32

//go:wasmimport tollway_v1 begin
func hostBegin(index uint32)

//go:wasmimport tollway_v1 begin_many
func hostBeginMany(index, count uint32)

// begin announces a unit of work to the engine.
func (g *guest) begin(index uint32) { hostBegin(index) }

// beginMany announces several, which share the fuel of one.
func (g *guest) beginMany(index, count uint32) { hostBeginMany(index, count) }

//go:wasmexport tariff_abi_v1
func exportMarker() int32 { return abi.Minor }

//go:wasmexport tariff_arena
func exportArena(size uint32) unsafe.Pointer {
	if registered == nil || served != nil {
		return nil
	}
	served = newGuest(registered)
	return unsafe.Pointer(unsafe.SliceData(served.newArena(size)))
}

//go:wasmexport tariff_configure
func exportConfigure(handle, length uint32) int32 {
	if served == nil {
		return abi.RCFault
	}
	rc := served.configure(handle, length)
	if garbage += length; garbage > garbageMax {
		garbage = 0
		runtime.GC()
	}
	return rc
}

//go:wasmexport tariff_price
func exportPrice(pointer unsafe.Pointer) int32 {
	if served == nil || pointer != unsafe.Pointer(unsafe.SliceData(served.arena)) {
		return abi.RCFault
	}
	return served.price()
}
