//go:build !unix

package plugins

// reserve returns zeroed memory. The Go runtime commits large blocks lazily as well.
func reserve(size int) []byte { return make([]byte, size) }

func release([]byte) {}

func zeroPages(b []byte) { clear(b) }
