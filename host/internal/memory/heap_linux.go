//go:build amd64 || arm64

package memory

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Heap has Go's heap grow into large pages that are there before it comes to them. The
// memory of a state is in objects of all sizes, looked up in no order: with pages of
// 4 KiB, most looks at it begin with one at the page tables. And who first looks at a
// large page waits until it was emptied, which takes milliseconds where the system is a
// guest of another. The zero value is ready for use.
//
// Go asks the system for memory in small pieces and looks at them at once, too early for
// an advice. But memory that was freed it takes first, the lowest of it before the rest.
// So one object as large as the room that is set aside is made, of which nobody ever
// looks at more than a byte, and dropped once the system was told to use large pages
// there. When the collector has found it, the heap grows into its place.
type Heap struct {
	places  []place
	outside uint64 // bytes of the heap that were there before the first place
	old     bool   // the system cannot be asked for pages ahead
}

// place is a part of the address space that was set aside, whole large pages.
type place struct {
	from, until uintptr
	ready       uintptr // as far as there are pages
}

// Bounds of what is set aside at a time. It is address space: memory is used as the
// heap comes to it.
const (
	reserveMin = 64 << 20
	reserveMax = 4 << 30
)

// reserveShare is the part of the system's memory that is set aside at first.
const reserveShare = 8

// From what size on a heap has pages ready ahead, and how much is made ready at a time: a
// processor is taken meanwhile. A small process would only become larger.
const (
	readyMin  = 64 << 20
	readyStep = 2 << 20
)

// Grow sets room aside for the heap when what it may grow to before it is collected the
// next time comes near the end of what was set aside before, and asks for the pages up
// to there, readyStep at a time. It reports whether it has done anything.
func (h *Heap) Grow() bool {
	goal := heapGoal()
	if bytes := h.wanted(goal, systemMemory()); bytes > 0 {
		h.reserve(bytes)
		return true
	}
	return h.makeReady(goal)
}

// wanted is how much to set aside for a heap that grows up to a goal before it is
// collected, on a system with so much memory; 0 for nothing yet.
func (h *Heap) wanted(goal, system uint64) uint64 {
	if len(h.places) == 0 {
		return min(max(system/reserveShare, reserveMin), reserveMax)
	}
	reserved := uint64(0)
	for _, p := range h.places {
		reserved += uint64(p.until - p.from)
	}
	if goal < reserved-reserved/4 || goal > system { // where nothing is collected, the goal is out of reach
		return 0
	}
	return min(reserved, reserveMax)
}

// reserve sets so many bytes aside.
func (h *Heap) reserve(bytes uint64) {
	if len(h.places) == 0 {
		h.outside = heapUsed()
	}
	from, until := setAside(bytes)
	h.places = append(h.places, place{from, until, from})
	runtime.GC() // else the object counts for the next goal, which asks for one more place
}

// setAside makes the object. That it is dropped when the function returns takes a stack
// of its own.
//
//go:noinline
func setAside(bytes uint64) (from, until uintptr) {
	var room strings.Builder // nothing else is made without zeros being written
	room.Grow(int(bytes))
	room.WriteByte(0)
	p := unsafe.Pointer(unsafe.StringData(room.String()))
	Large(p, uintptr(bytes))
	return (uintptr(p) + pageLarge - 1) &^ (pageLarge - 1), (uintptr(p) + uintptr(bytes)) &^ (pageLarge - 1)
}

// makeReady asks for the next pages that a heap takes which grows up to a goal and is
// collected then, and reports whether there were any.
func (h *Heap) makeReady(goal uint64) bool {
	const populateWrite = 23 // MADV_POPULATE_WRITE, Linux 5.14
	left := uintptr(goal - min(goal, h.outside))
	if h.old || goal < readyMin || goal > systemMemory() {
		return false
	}
	for i := range h.places {
		p := &h.places[i]
		until := min(p.until, p.from+left)
		left -= until - p.from
		if n := min((until-p.ready)&^(pageLarge-1), readyStep); p.ready < until && n > 0 {
			_, _, failed := unix.Syscall(unix.SYS_MADVISE, p.ready, n, populateWrite)
			p.ready += n
			h.old = failed == unix.EINVAL
			return !h.old
		}
	}
	return false
}

// heapGoal is the size of the heap at which the collector runs the next time.
func heapGoal() uint64 { return read("/gc/heap/goal:bytes") }

// heapUsed is how much memory the heap has for objects.
func heapUsed() uint64 {
	return read("/memory/classes/heap/objects:bytes") + read("/memory/classes/heap/unused:bytes")
}

func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// systemMemory is how much memory there is: what the system has, 0 if it does not say,
// or less by GOMEMLIMIT, which counts what is set aside.
func systemMemory() uint64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return min(info.Totalram*uint64(info.Unit), uint64(debug.SetMemoryLimit(-1)))
}
