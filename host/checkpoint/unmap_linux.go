package checkpoint

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unmap takes the whole pages of b, which is a part of a file mapped into memory
// and shared, out of the process. They are read from the file again when they
// are looked at.
func unmap(b []byte) {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := (page - start%page) % page
	if uintptr(len(b)) < skip+page {
		return
	}
	whole := (uintptr(len(b)) - skip) / page * page
	// It is advice: the system may refuse it, and nothing is lost.
	_ = unix.Madvise(b[skip:skip+whole], unix.MADV_DONTNEED)
}
