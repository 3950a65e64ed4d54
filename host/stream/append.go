package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Headers of guarded messages.
const (
	headerExpectLast = "Nats-Expected-Last-Subject-Sequence"
	// headerWrite marks one attempt to write, so that its author knows it again
	// when the acknowledgement was lost.
	headerWrite = "Tollway-Write"
)

// Waits between attempts of a guarded write.
const (
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// Append writes a message if the last one of its subject has the sequence
// expectLast (0: if there is none), and returns the new sequence. Otherwise it
// fails with ErrConflict.
//
// It is exact: when an acknowledgement is lost it tries again, recognises its
// own message if that was stored, and so returns either its sequence or an error
// that means that the message is not there. Only when the context ends first,
// which is an ErrUnavailable, is that unknown; the same call again then gives
// ErrConflict if the message is there.
func (c *Conn) Append(ctx context.Context, subject string, expectLast uint64, header map[string]string, body []byte) (uint64, error) {
	stream, err := streamOf(subject)
	if err != nil {
		return 0, err
	}
	out := Outgoing{Subject: subject, Header: header, Data: body}
	if err := c.checkSize(out); err != nil {
		return 0, fmt.Errorf("stream: %w", err)
	}
	failpoint.Hit("append.before")
	nonce := nuid.Next()
	seq, err := c.untilKnown(ctx, guard{stream, subject, expectLast, nonce}, func() (uint64, error) {
		group := c.acks.group(1, c.acks.singles)
		if err := c.publishOne(ctx, group, 0, guarded(c.message(out), expectLast, nonce)); err != nil {
			return 0, err
		}
		a := group.wait(ctx)[0]
		return a.sequence, a.err
	})
	failpoint.Hit("append.after")
	if err != nil {
		return 0, fmt.Errorf("stream: %s after %d: %w", subject, expectLast, err)
	}
	return seq, nil
}

// guarded adds the guard to a message.
func guarded(m *nats.Msg, expectLast uint64, nonce string) *nats.Msg {
	if m.Header == nil {
		m.Header = make(nats.Header, batchHeaders)
	}
	m.Header[headerExpectLast] = []string{strconv.FormatUint(expectLast, 10)}
	m.Header[headerWrite] = []string{nonce}
	return m
}

// guard is what a write stands behind.
type guard struct {
	stream, subject string
	expectLast      uint64 // sequence of the subject's last message
	nonce           string // marks the write
}

// untilKnown repeats a guarded write until its outcome is known. The guard makes
// that safe: of all attempts at most one is stored. The sequence that it returns
// after a lost acknowledgement is that of the first message behind the guard.
func (c *Conn) untilKnown(ctx context.Context, g guard, write func() (uint64, error)) (uint64, error) {
	wait := retryMin
	for {
		seq, err := write()
		if err == nil {
			return seq, nil
		}
		if isConflict(err) {
			mine := false
			if seq, mine, err = c.behindGuard(ctx, g); mine {
				return seq, nil
			}
		}
		if err = classify(ctx, err); !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
			return 0, err
		}
		c.log.Debug("guarded write, trying again", "subject", g.subject, "error", err)
		if err := sleep(ctx, wait); err != nil {
			return 0, unavailable(err)
		}
		wait = min(2*wait, retryMax)
	}
}

// behindGuard looks at the message that took the place behind a guard: its
// sequence and whether it is the write's own. Otherwise the error is ErrConflict,
// or ErrUnavailable when another message is still on its way.
func (c *Conn) behindGuard(ctx context.Context, g guard) (seq uint64, mine bool, err error) {
	s, err := c.handle(ctx, g.stream)
	if err != nil {
		return 0, false, err
	}
	m, err := s.GetMsg(ctx, g.expectLast+1, jetstream.WithGetMsgSubject(g.subject))
	if err == nil {
		if m.Header.Get(headerWrite) == g.nonce {
			return m.Sequence, true, nil
		}
		return 0, false, ErrConflict
	}
	if !errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, false, err
	}
	last, err := s.GetLastMsgForSubject(ctx, g.subject)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		if g.expectLast != 0 {
			return 0, false, ErrConflict
		}
	case err != nil:
		return 0, false, err
	case last.Sequence != g.expectLast:
		return 0, false, ErrConflict
	}
	// Nothing is there although the guard failed: in a cluster another message
	// behind it, perhaps this one, has been proposed and not stored yet.
	return 0, false, unavailable(errors.New("another write is on its way"))
}

// sleep waits, or returns why the context ended.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
