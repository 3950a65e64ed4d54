package tariff

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// The rows of the arena as Go values laid over its bytes. In WebAssembly every access to memory
// costs several instructions, so decoding the fields of a row into values of its own would cost
// as much as most tariffs do: [Event] and [Slot] are rows. The layouts are held against package
// abi by the array types below, which do not compile when a size differs, and by a test.
//
// Bytes are little endian, and so must the machine be: WebAssembly is by definition, and native
// runs are refused elsewhere.

// wide is an i128: two halves, the low one first.
type wide struct {
	lo uint64
	hi int64
}

func (w wide) decimal() billing.Decimal { return billing.Decimal{Hi: w.hi, Lo: w.lo} }

type lineRow struct{ quantity, amount wide }

type valueRow struct{ off, length uint32 }

var (
	_ [abi.EventDims]byte = [unsafe.Sizeof(Event{})]byte{}
	_ [abi.SlotSize]byte  = [unsafe.Sizeof(Slot{})]byte{}
	_ [abi.LineSize]byte  = [unsafe.Sizeof(lineRow{})]byte{}
	_ [abi.ValueSize]byte = [unsafe.Sizeof(valueRow{})]byte{}
)

// bigEndian says that this machine cannot run the overlay.
func bigEndian() bool {
	probe := uint16(1)
	return *(*byte)(unsafe.Pointer(&probe)) == 0
}

// The batch at hand. In the engine a module prices one batch at a time; natively a lock sees to
// that. Variables of the package and not fields, because their addresses are constants.
var (
	arena   unsafe.Pointer   // its first byte
	header  abi.Header       // as checked by the guest
	configs []*configuration // by handle
	undo    []before         // what the unit of work at hand has overwritten,
	undone  int              // how much of it there is, and
	batch   uint32           // a count of batches, for what is cached per batch
)

// at returns a place in the arena. The header and the slot rows, which say where things are,
// have been checked.
func at(off uint32) unsafe.Pointer { return unsafe.Add(arena, off) }

// valueText returns a value of the batch. It aliases the arena.
func valueText(id uint32) string {
	if id >= header.Values {
		panic(errForeign)
	}
	row := (*valueRow)(at(header.ValueOff + id*abi.ValueSize))
	if uint64(row.off)+uint64(row.length) > uint64(header.StringLen) {
		panic(errForeign)
	}
	return unsafe.String((*byte)(at(header.StringOff+row.off)), int(row.length))
}
