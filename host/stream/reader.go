package stream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reader reads a stream in order, without holes. It acknowledges
// nothing: the position is its user's to keep. Next and Close belong to one
// goroutine; Pending may be called from any.
type Reader struct {
	pull    *puller
	batch   []Message
	linger  *time.Timer
	err     error // that every further Next returns
	pending atomic.Uint64
}

// Limit bounds what one Next returns.
type Limit struct {
	Messages int           // at most; 0 is no limit
	Bytes    int           // of bodies; the message that reaches it is the last; 0 is no limit
	Linger   time.Duration // how long to wait for more once there is one; 0 takes what is there
}

// Reader reads a partition from the message after a sequence on; 0 begins at the
// first. It fails with *StreamChangedError if the stream ends before that
// sequence.
func (c *Conn) Reader(ctx context.Context, partition int, after uint64) (*Reader, error) {
	return c.Follow(ctx, Usage(partition), after)
}

// Follow reads any stream as Reader does a partition's.
func (c *Conn) Follow(ctx context.Context, stream string, after uint64) (*Reader, error) {
	p, err := c.newPuller(ctx, stream, "", after)
	if err != nil {
		return nil, fmt.Errorf("stream: read %s: %w", stream, err)
	}
	c.ends.reached(stream, after)
	linger := time.NewTimer(0)
	linger.Stop()
	return &Reader{pull: p, linger: linger}, nil
}

// Next waits for a message and returns it with those that are there behind it,
// at least one and not more than the limit says. The slice is used again by the
// next call; what its messages refer to is not.
//
// While the connection is lost Next waits; it comes back by itself and goes on
// behind the last message returned. It fails when the context ends, with
// *GapError when a message is missing, and with *StreamChangedError when the
// stream is no longer the one that was read before; after the last two the
// reader stays where it is and says the same again.
func (r *Reader) Next(ctx context.Context, limit Limit) ([]Message, error) {
	if r.err != nil {
		return nil, r.err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("stream: read %s: %w", r.pull.stream, err)
	}
	r.batch = r.batch[:0]
	m, d, err := r.first(ctx)
	if err != nil {
		err = fmt.Errorf("stream: read %s: %w", r.pull.stream, err)
		if ctx.Err() == nil {
			r.err = err
		}
		return nil, err
	}
	bytes := r.add(m, d)
	if limit.Linger > 0 {
		r.linger.Reset(limit.Linger)
		defer r.linger.Stop()
	}
	for (limit.Messages <= 0 || len(r.batch) < limit.Messages) && (limit.Bytes <= 0 || bytes < limit.Bytes) {
		if m, d = r.pull.tryReceive(); m == nil {
			if limit.Linger <= 0 || r.pull.broken != nil {
				break
			}
			// What goes wrong from here on is met again by the next call.
			if m, d, err = r.pull.receive(ctx, r.linger.C); err != nil {
				break
			}
		}
		if d.sequence != r.pull.taken+1 {
			r.pull.broken = errors.New("a message seems to be missing")
			break
		}
		bytes += r.add(m, d)
	}
	r.pull.conn.ends.reached(r.pull.stream, r.pull.taken)
	return r.batch, nil
}

// first waits for the message behind the last one.
func (r *Reader) first(ctx context.Context) (*nats.Msg, delivery, error) {
	for {
		m, d, err := r.pull.receive(ctx, nil)
		if err != nil {
			return nil, d, err
		}
		if d.sequence == r.pull.taken+1 {
			return m, d, nil
		}
		if err := r.checkGap(ctx, d); !errors.Is(err, ErrUnavailable) {
			return nil, d, err
		}
		if err := ctx.Err(); err != nil {
			return nil, d, err
		}
	}
}

// add appends a message to the batch and returns the size of its body.
func (r *Reader) add(m *nats.Msg, d delivery) int {
	r.pull.took(m, d)
	r.pending.Store(d.pending)
	r.batch = append(r.batch, Message{
		Sequence: d.sequence, Subject: m.Subject, Header: Header(m.Header), Data: m.Data, Time: time.Unix(0, d.time).UTC(),
	})
	return len(m.Data)
}

// checkGap finds out why a message is not the one behind the last. Two consumers
// have said so; the stream itself has the last word.
func (r *Reader) checkGap(ctx context.Context, d delivery) error {
	p := r.pull
	expected := p.taken + 1
	p.broken = errors.New("a message is missing")
	if d.sequence > expected {
		s, err := p.js.Stream(ctx, p.stream)
		if err != nil {
			return classify(ctx, err)
		}
		_, err = s.GetMsg(ctx, expected)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return &GapError{Stream: p.stream, Expected: expected, Got: d.sequence}
		}
		if err != nil {
			return classify(ctx, err)
		}
	}
	return unavailable(fmt.Errorf("message %d was delivered instead of %d", d.sequence, expected))
}

// Pending returns how many messages stood behind the last one returned, when the
// server sent it.
func (r *Reader) Pending() uint64 { return r.pending.Load() }

// Close ends the reading.
func (r *Reader) Close() {
	r.linger.Stop()
	r.pull.close()
}
