package rpc

import (
	"context"
	"sync"
	"time"
)

// places bounds how many calls of a procedure are open. When all are taken, the call
// whose caller has been taking the same message for longest gives up its place: so
// readers that are too slow hold up each other and nobody else. It is safe for
// concurrent use.
type places struct {
	taken chan struct{} // one element per open call

	mu   sync.Mutex
	open map[*timedStream]struct{}
}

func newPlaces(n int) *places {
	return &places{taken: make(chan struct{}, n), open: map[*timedStream]struct{}{}}
}

// enter waits for a free place until ctx ends, and reports whether it has one. A
// caller that takes one message for longer than stalled may lose its place.
func (p *places) enter(ctx context.Context, stream *timedStream, stalled time.Duration) bool {
	select {
	case p.taken <- struct{}{}: // as nearly always
		p.entered(stream)
		return true
	default:
	}
	look := time.NewTicker(stalled / placesLooks)
	defer look.Stop()
	for {
		select {
		case p.taken <- struct{}{}:
			p.entered(stream)
			return true
		case <-look.C:
			p.makeRoom(stalled)
		case <-ctx.Done():
			return false
		}
	}
}

// entered notes a call that has a place.
func (p *places) entered(stream *timedStream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[stream] = struct{}{}
}

// placesLooks is how often a caller without a place looks for a stalled one in the
// time that makes one stalled.
const placesLooks = 4

// makeRoom cuts off the call that has been stalled for longest, if there is one.
func (p *places) makeRoom(stalled time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var slowest *timedStream
	var longest time.Duration
	for stream := range p.open {
		if d := stream.sendingFor(); d >= stalled && d > longest {
			slowest, longest = stream, d
		}
	}
	if slowest != nil {
		slowest.cutOff()
	}
}

// leave gives a place back.
func (p *places) leave(stream *timedStream) {
	p.mu.Lock()
	delete(p.open, stream)
	p.mu.Unlock()
	<-p.taken
}
