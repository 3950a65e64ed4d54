package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/internal/stage"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// pending are the decoded events that wait to be rated, in log order. Its memory
// is used again and again.
type pending struct {
	events   []ingest.Event
	of       []int32 // the message that carried each, as an index
	messages []carrier
	replay   *replay // the events are dead letters that are replayed; nil: usage of the log
}

// carrier is a message with pending events.
type carrier struct {
	position uint64
	at       int64  // when the server stored it, unix ns; rate.Forever where nobody knows
	body     []byte // for the first of its events that could not be decoded
}

// rawBytesMax is how much of an undecodable message a dead letter keeps; the
// log has the whole.
const rawBytesMax = 64 << 10

// settleEvents are rated at a time, or a message's events more: enough that a
// call into a plugin costs each of them little, and few enough that they and their
// slots stay in the processor's second cache while they are worked on.
const settleEvents = 1_024

// fold takes messages into the state: usage is decoded and rated, control
// messages act at their place in the log. Between batches of events a checkpoint
// may be cut.
func (p *partition) fold(ctx context.Context, messages []stream.Message) error {
	prefix := p.controlPrefix()
	for n := range messages {
		m := &messages[n]
		control, isControl := strings.CutPrefix(m.Subject, prefix)
		if isControl {
			if n > 0 {
				if err := p.settle(ctx, &messages[n-1]); err != nil {
					return err
				}
			}
			if err := p.act(ctx, control, *m); err != nil {
				return err
			}
			p.reached(m)
			continue
		}
		stage.Decode.Enter()
		p.decode(m)
		failpoint.Hit("fold.decoded")
		if len(p.pending.events) >= settleEvents || n == len(messages)-1 {
			if err := p.settle(ctx, m); err != nil {
				return err
			}
			if err := p.committer.offer(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// reached says that all up to a message is in the state.
func (p *partition) reached(m *stream.Message) {
	p.last = *m
	p.state.Now().Position = m.Sequence
	p.state.Publish()
	if p.trial != nil {
		return
	}
	p.host.queries.Advanced(p.number)
	p.committer.changed(m.Time)
}

// controlPrefix is what the subjects of this partition's control messages
// begin with.
func (p *partition) controlPrefix() string { return fmt.Sprintf("usage.%d.ctl.", p.number) }

// decodeRoom is for how many events there is room before a message is decoded.
const decodeRoom = 256

// decode adds a message's events to those pending.
func (p *partition) decode(m *stream.Message) {
	q := &p.pending
	if n := len(q.events); cap(q.events)-n < decodeRoom { // the decoder's append would copy five times as much
		q.events = slices.Grow(q.events, n+decodeRoom)
	}
	q.events = p.decoder.Decode(m.Header.Get, m.Data, q.events)
	q.messages = append(q.messages, carrier{position: m.Sequence, at: storedAt(m), body: m.Data})
	for len(q.of) < len(q.events) {
		q.of = append(q.of, int32(len(q.messages)-1))
	}
}

// storedAt is when a message was stored, unix ns.
func storedAt(m *stream.Message) int64 {
	if m.Time.IsZero() {
		return rate.Forever
	}
	return m.Time.UnixNano()
}

// carrier returns the message that carried the i-th event.
func (q *pending) carrier(i int) *carrier { return &q.messages[q.of[i]] }

// behind returns what is pending behind the first n events.
func (q pending) behind(n int) pending {
	q.events, q.of = q.events[n:], q.of[n:]
	if q.replay != nil {
		q.replay.letters, q.replay.places = q.replay.letters[n:], q.replay.places[n:]
	}
	return q
}

// emptied returns the memory of what was pending, without what it referred to.
func (q pending) emptied() pending {
	clear(q.events)
	clear(q.messages)
	return pending{events: q.events[:0], of: q.of[:0], messages: q.messages[:0]}
}

// firstRepeat returns the index of the first event that repeats the identity of
// one before it, or the number of events.
func (q *pending) firstRepeat() int {
	seen := map[ingest.Hash]struct{}{}
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

// settle rates what is pending, the last of it from the message given: every
// event becomes priced, a duplicate or a dead letter.
//
// An event that repeats an identity of its own batch is a duplicate only if the
// first one is priced. As soon as such a first one is rejected, the batch is
// settled anew in pieces that end before each repeat, so that the outcome is
// that of one event at a time.
func (p *partition) settle(ctx context.Context, last *stream.Message) error {
	if len(p.pending.messages) == 0 {
		return nil
	}
	all := p.pending
	defer func() {
		p.pending = all.emptied()
		p.decoder.Reset()
	}()
	for strict := false; len(p.pending.events) > 0; {
		n := len(p.pending.events)
		if strict {
			n = p.pending.firstRepeat()
		}
		n = p.untilSighted(n)
		stage.Dedup.Enter()
		if n = p.pending.firstCorrection(n); n == 0 {
			if err := p.correct(ctx); err != nil {
				return err
			}
			p.pending = p.pending.behind(1)
			continue
		}
		t, err := p.triage(n)
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		}
		out, err := p.rater.Rate(ctx, p.state, t.events, t.left...)
		if err == nil && len(out.Rejected) > 0 {
			out, err = p.rateLate(ctx, t, out)
		}
		if err != nil {
			return fmt.Errorf("host: partition %d: %w", p.number, err)
		}
		if t.repeatsRejected(out) {
			strict = true
			t.forget(p.seen)
			continue
		}
		failpoint.Hit("fold.rated")
		stage.Fold.Enter()
		if err := p.record(t, out); err != nil {
			return err
		}
		p.positions.note(p.pending.carrier(0).position, p.pending.carrier(n-1).position, out.Changes)
		if p.rater.Carrying() {
			p.sawCarrying(out.Changes)
		}
		if err := p.alertOnUsage(out.Changes); err != nil {
			return err
		}
		t.end()
		p.pending = p.pending.behind(n)
	}
	if p.positions.full() {
		p.state.AddBlock(p.positions.cut())
	}
	failpoint.Hit("fold.settled")
	p.reached(last)
	return nil
}
