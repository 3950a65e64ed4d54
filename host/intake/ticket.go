package intake

import (
	"context"
	"slices"
	"sync"

	"github.com/tollway/tollway/host/ingest"
)

// Ticket stands for a chunk on its way into the log. Its methods may be called
// from any goroutine.
type Ticket struct {
	done chan struct{} // closed when every part is resolved

	mu       sync.Mutex
	places   []int32 // of each event, the part that carries it; negative: none
	parts    []Message
	rejected []Rejection
	open     int // parts that are not resolved, and one for Add itself
}

// nowhere is the place of an event that no message carries.
const nowhere = -1

// Message is one message with events of a chunk.
type Message struct {
	Partition int
	Sequence  uint64 // in the partition's stream; 0 with Err
	Err       error  // why it is not known to be stored
}

// Rejection is an event that was turned away.
type Rejection struct {
	Event   int // its number in the chunk
	Problem *ingest.Problem
}

// Run is a number of events behind each other that have the same place.
type Run struct {
	Events  int
	Message int // index of the message that carries them; negative: they were rejected
}

// Outcome is what became of a chunk.
type Outcome struct {
	Messages []Message   // that carry its events
	Runs     []Run       // of all events, in order
	Rejected []Rejection // by event
}

// Err returns why some message is not known to be stored; nil when all are.
func (o *Outcome) Err() error {
	for i := range o.Messages {
		if o.Messages[i].Err != nil {
			return o.Messages[i].Err
		}
	}
	return nil
}

func newTicket(events int) *Ticket {
	t := &Ticket{done: make(chan struct{}), open: 1}
	t.grow(events)
	return t
}

// Wait returns what became of the chunk once that is known. When ctx ends before,
// some of it may be written.
func (t *Ticket) Wait(ctx context.Context) (*Outcome, error) {
	select {
	case <-t.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o := &Outcome{Messages: t.parts, Rejected: slices.Clone(t.rejected)}
	slices.SortFunc(o.Rejected, func(a, b Rejection) int { return a.Event - b.Event })
	for _, p := range t.places {
		if n := len(o.Runs); n > 0 && o.Runs[n-1].Message == int(p) {
			o.Runs[n-1].Events++
			continue
		}
		o.Runs = append(o.Runs, Run{1, int(p)})
	}
	return o, nil
}

// grow makes room for more events and returns the number of the first. Like
// place and reject it belongs to the goroutine of Add.
func (t *Ticket) grow(events int) (first int) {
	first = len(t.places)
	t.places = slices.Grow(t.places, events)
	for range events {
		t.places = append(t.places, nowhere)
	}
	return first
}

func (t *Ticket) place(event int, part int32) { t.places[event] = part }

func (t *Ticket) reject(event int, p *ingest.Problem) {
	t.rejected = append(t.rejected, Rejection{event, p})
}

// part adds a message that carries events of the chunk.
func (t *Ticket) part(partition int) int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.parts = append(t.parts, Message{Partition: partition})
	t.open++
	return int32(len(t.parts) - 1)
}

// resolve notes what became of a message.
func (t *Ticket) resolve(part int32, sequence uint64, err error) {
	t.mu.Lock()
	t.parts[part].Sequence, t.parts[part].Err = sequence, err
	t.mu.Unlock()
	t.release()
}

// release counts down what the ticket waits for.
func (t *Ticket) release() {
	t.mu.Lock()
	t.open--
	last := t.open == 0
	t.mu.Unlock()
	if last {
		close(t.done)
	}
}
