package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/stream"
)

// pending are the decoded events that wait to be rated, in log order.
type pending struct {
	events    []ingest.Event
	positions []uint64 // of the message that carried each
	bodies    [][]byte // the message's body, for those that could not be decoded
}

// rawBytesMax is how much of an undecodable message a dead letter keeps; the
// log has the whole.
const rawBytesMax = 64 << 10

// fold takes messages into a delta: usage is decoded and rated, control
// messages act at their place in the log.
func (p *partition) fold(ctx context.Context, d *accumulate.Delta, messages []stream.Message) error {
	for _, m := range messages {
		control, isControl := strings.CutPrefix(m.Subject, p.controlPrefix())
		if !isControl {
			p.decode(m)
			continue
		}
		if err := p.settle(ctx, d); err != nil {
			return err
		}
		if err := p.control(ctx, d, control, m); err != nil {
			return err
		}
	}
	return p.settle(ctx, d)
}

// controlPrefix is what the subjects of this partition's control messages
// begin with.
func (p *partition) controlPrefix() string { return fmt.Sprintf("usage.%d.ctl.", p.number) }

// decode adds a message's events to those pending.
func (p *partition) decode(m stream.Message) {
	first := len(p.pending.events)
	p.pending.events = p.decoder.Decode(m.Header.Get, m.Data, p.pending.events)
	for range p.pending.events[first:] {
		p.pending.positions = append(p.pending.positions, m.Sequence)
		p.pending.bodies = append(p.pending.bodies, m.Data)
	}
}

// drop forgets the first n events.
func (q *pending) drop(n int) {
	q.events = q.events[:copy(q.events, q.events[n:])]
	q.positions = q.positions[:copy(q.positions, q.positions[n:])]
	q.bodies = q.bodies[:copy(q.bodies, q.bodies[n:])]
}

// firstRepeat returns the index of the first event that repeats the identity of
// one before it, or the number of events.
func (q *pending) firstRepeat() int {
	seen := make(map[ingest.Hash]struct{}, len(q.events))
	for i := range q.events {
		if q.events[i].Problem != nil {
			continue
		}
		if _, again := seen[q.events[i].Identity]; again {
			return i
		}
		seen[q.events[i].Identity] = struct{}{}
	}
	return len(q.events)
}

// settle rates what is pending: every event becomes priced, a duplicate or a
// dead letter.
//
// An event that repeats an identity of its own batch is a duplicate only if the
// first one is priced. As soon as such a first one is rejected, the batch is
// settled anew in pieces that end before each repeat, so that the outcome is
// that of one event at a time.
func (p *partition) settle(ctx context.Context, d *accumulate.Delta) error {
	for strict := false; len(p.pending.events) > 0; {
		n := len(p.pending.events)
		if strict {
			n = p.pending.firstRepeat()
		}
		t := p.triage(d, n)
		out, err := p.rater.Rate(ctx, d, t.rate)
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		}
		if t.repeatsRejected(out) {
			strict = true
			continue
		}
		if err := p.record(d, t, out); err != nil {
			return err
		}
		p.pending.drop(n)
	}
	return nil
}
