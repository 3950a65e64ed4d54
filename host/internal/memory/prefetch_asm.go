//go:build amd64 || arm64

package memory

import "unsafe"

// Ahead has the caches begin to read n bytes at p, line by line, and does not wait
// for them. No address is wrong: what cannot be read is not.
//
// A processor waits for the memory of a dozen lines at a time. A loop that asks
// for what later rounds will read takes a fraction of the time of one that reads
// as it goes, once what it reads is larger than the caches.
//
//go:noescape
func Ahead(p unsafe.Pointer, n uintptr)
