package memory

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageLarge is the size of a large page.
const pageLarge = 2 << 20

// Large asks the system to hold memory in large pages: a processor remembers
// where some thousand pages are, and looks up the others. It is an advice, which a
// system need not follow.
func Large(p unsafe.Pointer, n uintptr) {
	first := (uintptr(p) + pageLarge - 1) &^ (pageLarge - 1)
	end := (uintptr(p) + n) &^ (pageLarge - 1)
	if first >= end {
		return
	}
	whole := unsafe.Slice((*byte)(unsafe.Add(p, first-uintptr(p))), end-first)
	_ = unix.Madvise(whole, unix.MADV_HUGEPAGE) // without, it is slower and nothing else
}
