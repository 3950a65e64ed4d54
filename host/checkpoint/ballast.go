package checkpoint

import "sync"

// ballast makes Badger look after its value log. Badger learns which values are
// dead when it merges the tables that have their keys, and it writes a table
// when a write buffer is full. Large values fill the value log, but hardly the
// buffers: gigabytes of dead values would wait for one to fill. So for what goes
// to the value log, a little more goes through the buffer: values of zeros
// under the same few keys, which the next merge drops.
type ballast struct {
	mu    sync.Mutex
	every int64  // bytes of the value log that fill a buffer
	fills int64  // bytes of a buffer
	owed  int64  // bytes of the value log not yet weighed up
	zeros []byte // what is drawn from, at most ballastMaxBytes
}

// The bounds of ballast.
const (
	ballastMinBytes   = 4 << 10           // drawn at once, when so much is owed
	ballastValues     = 8                 // written by one transaction, at most
	ballastValueBytes = logMinBytes - 256 // of one of them, or the value log would be its place
	ballastMaxBytes   = ballastValues * ballastValueBytes

	// ballastFiles is the number of value log files that fill a buffer.
	ballastFiles = 2
)

// draw returns what to write beside bytes in the value log, nil for nothing.
func (b *ballast) draw(bytes int) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owed += int64(bytes)
	n := min(b.owed*b.fills/b.every, ballastMaxBytes)
	if n < ballastMinBytes {
		return nil
	}
	b.owed -= n * b.every / b.fills
	return b.zeros[:n]
}
