//go:build !linux || (!amd64 && !arm64)

package memory

// Heap puts the Go heap into large pages where the system can be asked for that.
type Heap struct{}

// Collapse does nothing on this system.
func (*Heap) Collapse() int { return 0 }
