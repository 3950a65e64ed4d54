package sim

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
)

// errCrashed is what every call of a host that has crashed returns.
var errCrashed = errors.New("sim: the host has crashed")

// verdict is what the scheduler decides when it lets a call through a gate.
type verdict struct {
	number uint64 // random, for the call's own choices
	fail   bool   // the call fails here, if it can
}

// parked is a call that waits at a gate.
type parked struct {
	label string // who waits for what; no two waiting calls have the same
	pass  chan verdict
}

// gates are where calls wait for the scheduler.
type gates struct {
	mu      sync.Mutex
	waiting []*parked
	open    bool // nobody waits: the world is being set up or looked at
}

// wait stops the caller until the scheduler lets it pass, its host has crashed or
// its context has ended.
func (g *gates) wait(ctx context.Context, dead <-chan struct{}, label string) (verdict, error) {
	p := &parked{label: label, pass: make(chan verdict)}
	g.mu.Lock()
	if g.open {
		g.mu.Unlock()
		return verdict{}, nil
	}
	g.waiting = append(g.waiting, p)
	g.mu.Unlock()
	defer g.leave(p)
	select {
	case v := <-p.pass:
		return v, nil
	case <-dead:
		return verdict{}, errCrashed
	case <-ctx.Done():
		return verdict{}, ctx.Err()
	}
}

// leave takes a call off the list.
func (g *gates) leave(p *parked) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(o *parked) bool { return o == p })
}

// list returns the calls that wait, in an order that does not hang on who came
// first.
func (g *gates) list() []*parked {
	g.mu.Lock()
	defer g.mu.Unlock()
	list := slices.Clone(g.waiting)
	slices.SortFunc(list, func(a, b *parked) int { return strings.Compare(a.label, b.label) })
	return list
}
