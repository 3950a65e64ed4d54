package plugins

import "golang.org/x/sys/unix"

// zeroPages zeroes memory of reserve by giving its pages back: pages that were never touched cost
// nothing. Both ends must lie on system pages.
func zeroPages(b []byte) {
	if len(b) == 0 {
		return
	}
	if err := unix.Madvise(b, unix.MADV_DONTNEED); err != nil {
		clear(b)
	}
}
