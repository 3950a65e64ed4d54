package faultfs

import (
	"errors"
	"testing"
)

// ErrUnavailable says that there is no FUSE on this machine, or that this process
// may not use it.
var ErrUnavailable = errors.New("a file system cannot be mounted here")

// MustAttach makes a disk the content of a new folder until the test ends, or
// until detach is called. It skips the test, and says so, where that cannot be.
func MustAttach(t testing.TB, d *Disk) (folder string, detach func()) {
	t.Helper()
	folder = t.TempDir()
	mount, err := Attach(folder, d)
	if errors.Is(err, ErrUnavailable) {
		t.Skipf("SKIPPED: the test needs /dev/fuse and the right to mount: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	attached := true
	detach = func() {
		if !attached {
			return
		}
		attached = false
		if err := mount.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(detach)
	return folder, detach
}
