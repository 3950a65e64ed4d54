package memory

import (
	"runtime"
	"runtime/metrics"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Heap has Go's heap grow into large pages. The memory of a state is in objects of all
// sizes, looked up in no order: with pages of 4 KiB, most looks at it begin with one at
// the page tables. The zero value is ready for use.
type Heap struct {
	reserved uint64 // bytes of address space that were set aside so far
}

// Bounds of what is set aside at a time. It is address space: memory is used as the
// heap comes to it.
const (
	reserveMin = 64 << 20
	reserveMax = 4 << 30
)

// reserveShare is the part of the system's memory that is set aside at first.
const reserveShare = 8

// Reserve sets room aside for the heap, in large pages, when what it may grow to before
// it is collected the next time comes near the end of what was set aside before. It
// returns how many bytes.
//
// Go asks the system for memory in small pieces and looks at them at once, too early for
// an advice. But memory that was freed it takes first, the lowest of it before the rest.
// So one object as large as the room is made that nobody ever looks at, and dropped
// once the system was told to use large pages there. When the collector has found it,
// the heap grows into its place.
func (h *Heap) Reserve() (bytes uint64) {
	bytes = h.wanted(heapGoal(), systemMemory())
	if bytes == 0 {
		return 0
	}
	setAside(bytes)
	if h.reserved == 0 {
		runtime.GC() // the heap is small: this is the cheap moment
	}
	h.reserved += bytes
	return bytes
}

// setAside makes such an object. It is gone when the function returns, and so that it
// is, must have a stack of its own.
//
//go:noinline
func setAside(bytes uint64) {
	var room strings.Builder // nothing else is made without zeros being written
	room.Grow(int(bytes))
	room.WriteByte(0)
	Large(unsafe.Pointer(unsafe.StringData(room.String())), uintptr(bytes))
}

// wanted is how much to set aside for a heap that grows up to a goal before it is
// collected, on a system with so much memory; 0 for nothing yet.
func (h *Heap) wanted(goal, system uint64) uint64 {
	if h.reserved == 0 {
		return min(max(system/reserveShare, reserveMin), reserveMax)
	}
	if goal < h.reserved-h.reserved/4 || goal > system { // no heap grows to more: nothing is collected
		return 0
	}
	return min(h.reserved, reserveMax)
}

// heapGoal is the size of the heap at which the collector runs the next time.
func heapGoal() uint64 {
	goal := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(goal)
	return goal[0].Value.Uint64()
}

// systemMemory is how much memory the system has, 0 if it does not say.
func systemMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return uint64(info.Totalram) * uint64(info.Unit)
}
