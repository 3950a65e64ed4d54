//go:build unix && !linux

package plugins

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// zeroPages zeroes memory of reserve by mapping fresh pages over it: elsewhere than on Linux,
// advice alone does not promise zeros. Both ends must lie on system pages.
func zeroPages(b []byte) {
	if len(b) == 0 {
		return
	}
	at := unsafe.Pointer(unsafe.SliceData(b))
	_, err := unix.MmapPtr(-1, 0, at, uintptr(len(b)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_FIXED)
	if err != nil {
		clear(b)
	}
}
