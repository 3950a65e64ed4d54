package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ackTimeout is how long acknowledgements may stay away, counted from the last
// one that came.
const ackTimeout = 10 * time.Second

// ack is what became of one message or batch.
type ack struct {
	sequence uint64 // of the message; of the last one of a batch
	count    uint64 // messages in a batch, 0 for a single one
	err      error
}

// ackInbox receives all acknowledgements of a connection. It is safe for
// concurrent use.
type ackInbox struct {
	prefix string // of the reply subjects
	// What may be outstanding at a time, over all callers: one token each.
	singles, batches chan struct{}

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]place
}

// place is where an acknowledgement goes.
type place struct {
	group *ackGroup
	index int
}

func newAckInbox() *ackInbox {
	return &ackInbox{singles: make(chan struct{}, singlesMax), batches: make(chan struct{}, batchesMax), waiting: map[uint64]place{}}
}

// listen subscribes to the inbox.
func (i *ackInbox) listen(nc *nats.Conn) error {
	i.prefix = nc.NewInbox() + "."
	sub, err := nc.Subscribe(i.prefix+"*", i.receive)
	if err != nil {
		return err
	}
	// What arrives here is bounded by what is outstanding.
	return sub.SetPendingLimits(-1, -1)
}

// receive takes one acknowledgement.
func (i *ackInbox) receive(m *nats.Msg) {
	id, err := strconv.ParseUint(m.Subject[len(i.prefix):], 36, 64)
	if err != nil {
		return // not one of ours
	}
	i.mu.Lock()
	p, ok := i.waiting[id]
	delete(i.waiting, id)
	i.mu.Unlock()
	if ok {
		p.group.resolve(p.index, parseAck(m))
	}
}

// parseAck reads the server's answer.
func parseAck(m *nats.Msg) ack {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return ack{err: unavailable(errors.New("no stream takes the subject; are the streams made, and is JetStream up?"))}
	}
	var answer struct {
		Sequence uint64              `json:"seq"`
		Count    uint64              `json:"count"`
		Error    *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return ack{err: fmt.Errorf("acknowledgement cannot be read: %w", err)}
	}
	if answer.Error != nil {
		return ack{err: answer.Error}
	}
	if answer.Sequence == 0 {
		return ack{err: errors.New("acknowledgement without a sequence")}
	}
	return ack{sequence: answer.Sequence, count: answer.Count}
}

// abandon ends all waiting with an error.
func (i *ackInbox) abandon(err error) {
	i.mu.Lock()
	waiting := i.waiting
	i.waiting = map[uint64]place{}
	i.mu.Unlock()
	for _, p := range waiting {
		p.group.resolve(p.index, ack{err: err})
	}
}

// forget ends the waiting of one group with an error: for one index, or for all
// when that is negative.
func (i *ackInbox) forget(g *ackGroup, only int, err error) {
	var left []int
	i.mu.Lock()
	for id, p := range i.waiting {
		if p.group == g && (only < 0 || p.index == only) {
			delete(i.waiting, id)
			left = append(left, p.index)
		}
	}
	i.mu.Unlock()
	for _, index := range left {
		g.resolve(index, ack{err: err})
	}
}

// ackGroup collects the acknowledgements of one call. Its methods but resolve
// belong to the caller's goroutine.
type ackGroup struct {
	inbox *ackInbox
	room  chan struct{} // holds one token for each that is outstanding; shared by groups

	changed chan struct{} // has a token when one came

	mu   sync.Mutex
	acks []ack
	open int // expected and not here
}

// group prepares for n acknowledgements of which at most cap(room) are
// outstanding.
func (i *ackInbox) group(n int, room chan struct{}) *ackGroup {
	return &ackGroup{inbox: i, room: room, acks: make([]ack, n), changed: make(chan struct{}, 1)}
}

// expect waits for room and returns the reply subject for an acknowledgement.
func (g *ackGroup) expect(ctx context.Context, index int) (string, error) {
	select {
	case g.room <- struct{}{}:
	default:
		if err := g.waitFor(ctx, g.room); err != nil {
			return "", err
		}
	}
	g.mu.Lock()
	g.open++
	g.mu.Unlock()
	i := g.inbox
	i.mu.Lock()
	defer i.mu.Unlock()
	i.next++
	i.waiting[i.next] = place{g, index}
	return i.prefix + strconv.FormatUint(i.next, 36), nil
}

// resolve takes one acknowledgement in. It runs in the connection's goroutine.
func (g *ackGroup) resolve(index int, a ack) {
	<-g.room
	g.mu.Lock()
	g.acks[index] = a
	g.open--
	g.mu.Unlock()
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// outstanding returns how many are expected and not here.
func (g *ackGroup) outstanding() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// waitFor puts a token into room, or gives up when the context ends or no
// acknowledgement comes for too long.
func (g *ackGroup) waitFor(ctx context.Context, room chan<- struct{}) error {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	for {
		select {
		case room <- struct{}{}:
			return nil
		case <-g.changed:
			timer.Reset(ackTimeout)
		case <-ctx.Done():
			return unavailable(ctx.Err())
		case <-timer.C:
			return unavailable(fmt.Errorf("no acknowledgement for %v", ackTimeout))
		}
	}
}

// wait returns when every acknowledgement is here or will not come. The result
// is in the order of the indexes.
func (g *ackGroup) wait(ctx context.Context) []ack {
	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	done := ctx.Done()
	for g.outstanding() > 0 {
		select {
		case <-g.changed:
			timer.Reset(ackTimeout)
		case <-done:
			done = nil // one that is just arriving may still take its place
			g.inbox.forget(g, -1, unavailable(ctx.Err()))
		case <-timer.C:
			g.inbox.forget(g, -1, unavailable(fmt.Errorf("no acknowledgement for %v", ackTimeout)))
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.acks
}
