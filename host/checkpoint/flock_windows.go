//go:build windows

package checkpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// acquireLock locks the directory for this open store, by a byte far behind what the
// file says, so that others can read who has it. The lock ends with the process, however
// it ends.
func acquireLock(dir string) (*os.File, error) {
	const far = 1 << 20
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{Offset: far})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		pid, host := holder(f)
		return nil, errors.Join(&InUseError{Dir: dir, PID: pid, Host: host}, f.Close())
	}
	if err == nil {
		err = writeHolder(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("checkpoint: lock %s: %w", dir, err), f.Close())
	}
	return f, nil
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
