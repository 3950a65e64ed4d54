//go:build !linux

package memory

import "unsafe"

// Large does nothing on this system.
func Large(unsafe.Pointer, uintptr) {}
