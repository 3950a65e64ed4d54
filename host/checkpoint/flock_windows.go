//go:build windows

package checkpoint

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// tryLock locks a byte of a file, far behind what the file says, so that others can read who
// has it. It does not wait, and reports false when another has it. The lock ends with the
// process, however it ends.
func tryLock(f *os.File) (bool, error) {
	const far = 1 << 20
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: far})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return false, nil
	}
	return err == nil, err
}

// FreeBytes returns the space that this user may still write on the file
// system of path.
func FreeBytes(path string) (int64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, fmt.Errorf("checkpoint: free space of %s: %w", path, err)
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, fmt.Errorf("checkpoint: free space of %s: %w", path, err)
	}
	return int64(free), nil
}

// diskBytes returns the size of a file.
func diskBytes(info os.FileInfo) int64 { return info.Size() }
