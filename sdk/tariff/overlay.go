package tariff

import (
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// The rows of the arena as Go values laid over its bytes. Decoding each field from a byte slice
// costs a third of what pricing an event does; the layouts are checked against package abi by
// this file's array types, which do not compile when a size differs, and by a test.
//
// Bytes are little endian, and so must the machine be: WebAssembly is by definition, and native
// runs are refused elsewhere.

// wide is an i128: two halves, the low one first.
type wide struct {
	lo uint64
	hi int64
}

func (w wide) decimal() billing.Decimal { return billing.Decimal{Hi: w.hi, Lo: w.lo} }

type eventRow struct {
	slot, flags      uint32
	time             int64
	quantity, amount wide
	// the ids of the values follow
}

type slotRow struct {
	periodStart, periodEnd   int64
	activeFrom, activeUntil  int64
	handle, flags            uint32
	lines, lineOff           uint32
	stateOff, stateLen       uint32
	stateCap, stateNeed      uint32
	carryInOff, carryInLen   uint32
	carryOutOff, carryOutLen uint32
	carryOutCap              uint32
	reserved                 [3]uint32
}

type lineRow struct{ quantity, amount wide }

type valueRow struct{ off, length uint32 }

var (
	_ [abi.EventDims]byte = [unsafe.Sizeof(eventRow{})]byte{}
	_ [abi.SlotSize]byte  = [unsafe.Sizeof(slotRow{})]byte{}
	_ [abi.LineSize]byte  = [unsafe.Sizeof(lineRow{})]byte{}
	_ [abi.ValueSize]byte = [unsafe.Sizeof(valueRow{})]byte{}
)

// bigEndian says that this machine cannot run the overlay.
func bigEndian() bool {
	probe := uint16(1)
	return *(*byte)(unsafe.Pointer(&probe)) == 0
}
