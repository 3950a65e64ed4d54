//go:build !linux || (!amd64 && !arm64)

package memory

// Heap has Go's heap grow into large pages where the system can be asked for that.
type Heap struct{}

// Grow does nothing on this system.
func (*Heap) Grow() bool { return false }
