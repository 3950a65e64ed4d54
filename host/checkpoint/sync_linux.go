package checkpoint

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData waits until what was written to a file is on the disk, with its size but
// without its times.
func syncData(file *os.File) error {
	for {
		err := unix.Fdatasync(int(file.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
