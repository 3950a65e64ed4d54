package host

import (
	"context"
	"sync"
)

// fetched is how far a partition has read its log, which may be beyond what its state has.
// It is safe for concurrent use.
type fetched struct {
	mu       sync.Mutex
	position uint64
	moved    chan struct{} // is closed when it goes on; nil while nobody waits
}

// reached says that the log is read up to a position.
func (f *fetched) reached(position uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.position = position
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}

// await returns when the log is read up to a position, or ctx has ended.
func (f *fetched) await(ctx context.Context, position uint64) {
	for {
		f.mu.Lock()
		if f.position >= position {
			f.mu.Unlock()
			return
		}
		if f.moved == nil {
			f.moved = make(chan struct{})
		}
		moved := f.moved
		f.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}
