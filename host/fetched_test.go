package host

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Each that waits for what is read is let go by the first step that reaches it, and by
// the end of its context where none does.
func TestFetched(t *testing.T) {
	var f fetched
	var group sync.WaitGroup
	for at := range uint64(100) {
		group.Go(func() {
			f.await(t.Context(), at)
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.position < at {
				t.Errorf("%d was waited for, and %d is read", at, f.position)
			}
		})
	}
	for at := range uint64(100) {
		f.reached(at)
	}
	group.Wait()
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if f.await(short, 100); short.Err() == nil {
		t.Error("nobody has read that far")
	}
}
