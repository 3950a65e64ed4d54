package intake

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// A group is what a lane publishes together. The bytes bound what a lane has on
// its way; what stands behind them waits for the next group.
const (
	groupMessages = 256
	groupBytes    = 4 << 20
)

// lane takes usage of one partition. Whoever adds to a lane at rest starts its
// goroutine, which publishes group after group until nothing is left.
type lane struct {
	intake    *Intake
	partition int
	room      *semaphore.Weighted // bytes that may still be added

	mu     sync.Mutex
	packer *ingest.Packer // the message that is still open
	open   message        // what it carries; its body is made when it is sealed
	queue  []message      // sealed, in the order of the log
	busy   bool           // the goroutine runs
	closed bool

	pace pace
}

// message is one message of the log.
type message struct {
	body   []byte
	parts  []part
	weight int64 // of room
}

// part is what a message carries of one ticket.
type part struct {
	ticket *Ticket
	index  int32 // among the ticket's parts
}

func newLane(i *Intake, partition int, room int64) *lane {
	return &lane{intake: i, partition: partition, room: semaphore.NewWeighted(room), packer: ingest.NewPacker(i.messageBytes)}
}

// eventOverhead is about what an event takes beside its texts.
const eventOverhead = 64

// weigh estimates the bytes of an event in memory.
func weigh(e *billing.UsageEvent) int64 {
	n := eventOverhead + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Account)
	for i := range e.Data {
		n += len(e.Data[i].Key) + len(e.Data[i].Text)
	}
	return int64(n)
}

// runEvents is how many events are added while the lane is held.
const runEvents = 128

// add packs events, given by their indexes; their numbers in the ticket begin at
// first. What no reader would accept is rejected.
func (l *lane) add(ctx context.Context, t *Ticket, events []billing.UsageEvent, indexes []int32, first int) error {
	defer l.wake()
	for len(indexes) > 0 {
		n, weight := 0, int64(0)
		for n < min(len(indexes), runEvents) {
			w := weigh(&events[indexes[n]])
			if weight += w; n > 0 && weight > messageBytesMost {
				weight -= w
				break
			}
			n++
		}
		// One event alone may weigh more than any lane holds; it is refused below.
		weight = min(weight, roomBytesLane)
		if err := l.acquire(ctx, weight); err != nil {
			return err
		}
		if err := l.pack(t, events, indexes[:n], first, weight); err != nil {
			return err
		}
		indexes = indexes[n:]
	}
	return nil
}

// acquire waits for room, and has what is there published meanwhile.
func (l *lane) acquire(ctx context.Context, weight int64) error {
	if l.room.TryAcquire(weight) {
		return nil
	}
	l.wake()
	return l.room.Acquire(ctx, weight)
}

// pack adds a run of events whose weight has room.
func (l *lane) pack(t *Ticket, events []billing.UsageEvent, indexes []int32, first int, weight int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.room.Release(weight)
		return ErrClosed
	}
	left := weight
	for _, index := range indexes {
		e := &events[index]
		err := l.packer.Add(e)
		if errors.Is(err, ingest.ErrFull) {
			l.seal()
			err = l.packer.Add(e)
		}
		if err != nil {
			t.reject(first+int(index), problemOf(err))
			continue
		}
		w := min(weigh(e), left)
		left -= w
		l.open.weight += w
		if n := len(l.open.parts); n == 0 || l.open.parts[n-1].ticket != t {
			l.open.parts = append(l.open.parts, part{t, t.part(l.partition)})
		}
		t.place(first+int(index), l.open.parts[len(l.open.parts)-1].index)
		if l.packer.Len() >= messageEvents || l.packer.Size() >= messageBytes {
			l.seal()
		}
	}
	if left > 0 { // of those that were rejected
		l.room.Release(left)
	}
	return nil
}

// problemOf is why an event cannot be packed.
func problemOf(err error) *ingest.Problem {
	var p *ingest.Problem
	if errors.As(err, &p) {
		return p
	}
	return &ingest.Problem{Reason: ingest.ReasonMessageTooLarge, Detail: err.Error()}
}

// forward passes a packed body on.
func (l *lane) forward(ctx context.Context, t *Ticket, body []byte, first, events int) error {
	defer l.wake()
	weight := int64(len(body))
	if err := l.acquire(ctx, weight); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		l.room.Release(weight)
		return ErrClosed
	}
	l.seal() // what came before it stands before it
	p := part{t, t.part(l.partition)}
	for n := range events {
		t.place(first+n, p.index)
	}
	l.queue = append(l.queue, message{body: body, parts: []part{p}, weight: weight})
	return nil
}

// seal ends the open message. The lane is held.
func (l *lane) seal() {
	if l.packer.Len() == 0 {
		return
	}
	m := l.open
	m.body = l.packer.AppendMessage(make([]byte, 0, l.packer.Size()))
	l.queue = append(l.queue, m)
	l.open = message{}
}

// wake has what is there published.
func (l *lane) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || l.closed || l.packer.Len() == 0 && len(l.queue) == 0 {
		return
	}
	l.busy = true
	l.intake.running.Add(1)
	go l.run()
}

// run publishes until the lane is at rest.
func (l *lane) run() {
	defer l.intake.running.Done()
	var group []message
	var out []stream.Outgoing
	for {
		l.pace.wait(l.intake.ctx)
		if group = l.next(group[:0]); len(group) == 0 {
			return
		}
		out = l.publish(group, out[:0])
		clear(group)
		clear(out)
	}
}

// next takes the next group. With none the lane is at rest.
func (l *lane) next(group []message) []message {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) < groupMessages {
		l.seal()
	}
	bytes, most := 0, l.pace.groupBytes()
	for n := range l.queue {
		if bytes += len(l.queue[n].body); n == groupMessages || n > 0 && bytes > most {
			break
		}
		group = append(group, l.queue[n])
	}
	left := copy(l.queue, l.queue[len(group):])
	clear(l.queue[left:])
	l.queue = l.queue[:left]
	l.busy = len(group) > 0
	return group
}

// publish writes a group, notes it, and tells the tickets.
func (l *lane) publish(group []message, out []stream.Outgoing) []stream.Outgoing {
	for n := range group { // without a header: the body says that it is packed
		o := stream.Outgoing{Subject: stream.BatchSubject(l.partition), Data: group[n].body}
		if !ingest.SaysPacked(o.Data) { // another producer's, forwarded as it came
			o.Header = map[string]string{"Content-Type": ingest.ContentTypePacked}
		}
		out = append(out, o)
	}
	failpoint.Hit("intake.before-publish")
	sequences, err := l.intake.log.Publish(l.intake.ctx, out)
	failpoint.Hit("intake.after-publish")
	failures := failuresOf(err, len(group))
	var last uint64
	for n := range group {
		if failures == nil || failures[n] == nil {
			last = max(last, sequences[n])
		}
	}
	// Before anybody is told, so that the age of usage counts from no later than the
	// moment at which its producer knows of it.
	l.pace.wrote(last)
	for n := range group {
		for _, p := range group[n].parts {
			if failures != nil && failures[n] != nil {
				p.ticket.resolve(p.index, 0, failures[n])
				continue
			}
			p.ticket.resolve(p.index, sequences[n], nil)
		}
		l.room.Release(group[n].weight)
	}
	return out
}

// failuresOf returns why each message is not known to be stored; nil when all
// are.
func failuresOf(err error, messages int) []error {
	if err == nil {
		return nil
	}
	failures := make([]error, messages)
	if some, ok := errors.AsType[*stream.PublishError](err); ok {
		for _, f := range some.Failed {
			failures[f.Index] = f.Err
		}
		return failures
	}
	for n := range failures {
		failures[n] = err
	}
	return failures
}

// close gives up what is not published.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.seal()
	for n := range l.queue {
		for _, p := range l.queue[n].parts {
			p.ticket.resolve(p.index, 0, ErrClosed)
		}
		l.room.Release(l.queue[n].weight)
	}
	l.queue = nil
}
