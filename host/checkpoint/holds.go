package checkpoint

import "sync"

// holds knows who may still read what is on its way out. Time is divided into turns, of
// which one ends whenever something is doomed; a reader that began in a later turn cannot
// know of it any more.
type holds struct {
	mu      sync.Mutex
	first   uint64 // the oldest turn in which somebody began who is not done
	readers []int  // by turn, from the first
}

func newHolds() holds { return holds{first: 1, readers: []int{0}} }

// begin notes a reader and returns its turn.
func (h *holds) begin() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := len(h.readers) - 1
	h.readers[last]++
	return h.first + uint64(last)
}

// end ends a reader that began in a turn.
func (h *holds) end(turn uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers[turn-h.first]--
	h.forget()
}

// forget drops the oldest turns in which nobody began who is not done.
func (h *holds) forget() {
	for len(h.readers) > 1 && h.readers[0] == 0 {
		h.first, h.readers = h.first+1, h.readers[1:]
	}
}

// turn ends a turn and returns its number.
func (h *holds) turn() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := h.first + uint64(len(h.readers)) - 1
	h.readers = append(h.readers, 0)
	h.forget()
	return ended
}

// over reports whether all who began in a turn or before are done.
func (h *holds) over(turn uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first > turn
}
