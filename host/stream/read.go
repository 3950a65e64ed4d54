package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// rawMessage turns the library's message into ours.
func rawMessage(m *jetstream.RawStreamMsg) *Message {
	return &Message{Sequence: m.Sequence, Subject: m.Subject, Header: Header(m.Header), Data: m.Data, Time: m.Time.UTC()}
}

// Last returns the last message of a subject, which may have wildcards; nil when
// there is none.
func (c *Conn) Last(ctx context.Context, stream, subject string) (*Message, error) {
	s, err := c.handle(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream: last message of %s: %w", subject, err)
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream: last message of %s: %w", subject, classify(ctx, err))
	}
	return rawMessage(m), nil
}

// Get returns the message at a sequence, or ErrNotFound.
func (c *Conn) Get(ctx context.Context, stream string, sequence uint64) (*Message, error) {
	s, err := c.handle(ctx, stream)
	if err != nil {
		return nil, fmt.Errorf("stream: message %d of %s: %w", sequence, stream, err)
	}
	m, err := s.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("stream: message %d of %s: %w", sequence, stream, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("stream: message %d of %s: %w", sequence, stream, classify(ctx, err))
	}
	return rawMessage(m), nil
}

// Each calls fn for every message after a sequence, in order, up to what was the
// end when it began. A subject, which may have wildcards, restricts it; empty
// takes all. An error of fn ends it and is returned as it is.
func (c *Conn) Each(ctx context.Context, stream, subject string, after uint64, fn func(Message) error) error {
	fail := func(err error) error { return fmt.Errorf("stream: read %s: %w", stream, err) }
	filter := subject
	if filter == "" {
		filter = ">"
	}
	end, err := c.Last(ctx, stream, filter)
	if err != nil {
		return err
	}
	if end == nil || end.Sequence <= after {
		return nil
	}
	p, err := c.newPuller(ctx, stream, subject, after)
	if err != nil {
		return fail(err)
	}
	defer p.close()
	for p.taken < end.Sequence {
		m, d := p.tryReceive()
		if m == nil {
			if m, d, err = p.receive(ctx, nil); err != nil {
				return fail(classify(ctx, err))
			}
		}
		if subject == "" && d.sequence != p.taken+1 {
			return &GapError{Stream: stream, Expected: p.taken + 1, Got: d.sequence}
		}
		if d.sequence > end.Sequence {
			return nil
		}
		p.took(m, d)
		if err := fn(Message{Sequence: d.sequence, Subject: m.Subject, Header: Header(m.Header), Data: m.Data, Time: time.Unix(0, d.time).UTC()}); err != nil {
			return err
		}
	}
	return nil
}

// LastSequence returns the first and the last sequence of a stream. One that
// never had a message has 0 and 0; last may be less than first when all its
// messages are gone.
func (c *Conn) LastSequence(ctx context.Context, stream string) (first, last uint64, err error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return 0, 0, fmt.Errorf("stream: %s: %w", stream, classify(ctx, err))
	}
	state := s.CachedInfo().State
	return state.FirstSeq, state.LastSeq, nil
}

// StreamIdentity returns when a stream was made. A stream of the same name with
// another time is another log.
func (c *Conn) StreamIdentity(ctx context.Context, stream string) (time.Time, error) {
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return time.Time{}, fmt.Errorf("stream: %s: %w", stream, classify(ctx, err))
	}
	return s.CachedInfo().Created, nil
}
