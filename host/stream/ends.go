package stream

import (
	"fmt"
	"sync"
)

// ends are how far streams are known to go: what was read of them and what was
// acknowledged. A stream's sequences only grow. An acknowledgement with one that is not
// beyond what was known before the message was sent says that the stream was made anew
// or has lost its tail: the message stands in a log that is not the one that is read,
// and would be lost with it. It is safe for concurrent use.
type ends struct {
	mu      sync.Mutex
	known   map[string]uint64 // by stream
	changed map[string]*StreamChangedError
}

func newEnds() *ends {
	return &ends{known: map[string]uint64{}, changed: map[string]*StreamChangedError{}}
}

// before returns how far a stream is known to go, or why it takes nothing any more.
func (e *ends) before(stream string) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.changed[stream]; err != nil {
		return 0, err
	}
	return e.known[stream], nil
}

// reached notes that a stream has a message.
func (e *ends) reached(stream string, sequence uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.known[stream] = max(e.known[stream], sequence)
}

// acknowledged notes that a message was stored that was sent when the stream was known
// to go as far as before.
//
// # Errors
//
// *StreamChangedError when it cannot be so. From then on nothing is written to the
// stream: the messages would go beyond what is known one day, and be believed.
func (e *ends) acknowledged(stream string, before, sequence uint64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if sequence > before {
		e.known[stream] = max(e.known[stream], sequence)
		return nil
	}
	if e.changed[stream] == nil {
		e.changed[stream] = &StreamChangedError{
			Stream: stream, Position: before, Last: sequence, Reason: fmt.Sprintf("a message that was written behind it got number %d", sequence),
		}
	}
	return e.changed[stream]
}
