//go:build !linux

package memory

// Heap has Go's heap grow into large pages where the system can be asked for that.
type Heap struct{}

// Reserve does nothing on this system.
func (*Heap) Reserve() (bytes uint64) { return 0 }
