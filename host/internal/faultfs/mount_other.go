//go:build !linux

package faultfs

// Mount is a disk in a folder.
type Mount struct{}

// Attach returns ErrUnavailable: only Linux is known to keep memory maps of such a
// file system right.
func Attach(string, *Disk) (*Mount, error) { return nil, ErrUnavailable }

// Close does nothing.
func (*Mount) Close() error { return nil }
