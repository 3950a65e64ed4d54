//go:build !amd64 && !arm64

package memory

import "unsafe"

// Ahead does nothing on this processor.
func Ahead(unsafe.Pointer, uintptr) {}
