//go:build unix

package plugins

import "golang.org/x/sys/unix"

// reserve returns zeroed memory that is committed when it is touched, or nil when the system has
// none to give.
func reserve(size int) []byte {
	if size == 0 {
		return nil
	}
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	return b
}

func release(b []byte) {
	if b == nil {
		return
	}
	if err := unix.Munmap(b); err != nil {
		// Only a wrong address or length can be refused: memory would be corrupt.
		//nolint:forbidigo // no error can be acted on: see above
		panic("plugins: unmapping a memory: " + err.Error())
	}
}
