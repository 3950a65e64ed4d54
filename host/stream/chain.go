package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// headerNumber carries the number of an entry of a chain.
const headerNumber = "Tollway-Number"

// Chain writes numbered entries to a subject, in order, each once. Where it
// stands is what the stream's last message says, so it needs no memory of its
// own and two chains of one subject cannot write the same number. It is safe for
// concurrent use.
type Chain struct {
	conn            *Conn
	stream, subject string

	mu       sync.Mutex
	number   uint64 // of the last entry
	sequence uint64 // of its message
	stale    bool   // both must be asked for again
}

// Chain finds where the entries of a subject stand.
func (c *Conn) Chain(ctx context.Context, subject string) (*Chain, error) {
	stream, err := streamOf(subject)
	if err != nil {
		return nil, err
	}
	chain := &Chain{conn: c, stream: stream, subject: subject}
	if err := chain.load(ctx); err != nil {
		return nil, err
	}
	return chain, nil
}

// load reads the last entry's number.
func (h *Chain) load(ctx context.Context) error {
	m, err := h.conn.Last(ctx, h.stream, h.subject)
	if err != nil {
		return err
	}
	h.number, h.sequence, h.stale = 0, 0, false
	if m == nil {
		return nil
	}
	number, err := strconv.ParseUint(m.Header.Get(headerNumber), 10, 64)
	if err != nil || number == 0 {
		return fmt.Errorf("stream: message %d of %s on %s has no number; something other than Tollway writes there, find and stop it", m.Sequence, h.stream, h.subject)
	}
	h.number, h.sequence = number, m.Sequence
	return nil
}

// Last returns the number of the last entry that is known to be written, 0 when
// there is none.
func (h *Chain) Last() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.number
}

// Publish writes entries numbered from first up, in order. Those that are
// written already are passed over; a number that would leave a hole is refused.
// After an error some of the first entries may have been written; the next call
// asks the stream where it stands. ErrConflict means that another host has
// written to the subject meanwhile.
func (h *Chain) Publish(ctx context.Context, first uint64, entries [][]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stale {
		if err := h.load(ctx); err != nil {
			return err
		}
	}
	if first == 0 || first > h.number+1 {
		return fmt.Errorf("stream: entry %d of %s cannot come after entry %d", first, h.subject, h.number)
	}
	if written := h.number + 1 - first; written < uint64(len(entries)) {
		entries = entries[written:]
	} else {
		entries = nil
	}
	for len(entries) > 0 {
		n := chainBatch(entries)
		if err := h.write(ctx, entries[:n]); err != nil {
			h.stale = true
			return fmt.Errorf("stream: entry %d of %s: %w", h.number+1, h.subject, err)
		}
		entries = entries[n:]
	}
	return nil
}

// chainBatch returns how many of the first entries are written at a time.
func chainBatch(entries [][]byte) int {
	if len(entries) < batchMessagesMin {
		return 1
	}
	total := 0
	for n, e := range entries {
		if total += len(e); n > 0 && total > batchBytesMax || n == batchMessagesMax {
			return n
		}
	}
	return len(entries)
}

// write writes the next entries, all of them or none, behind the last one.
func (h *Chain) write(ctx context.Context, entries [][]byte) error {
	c := h.conn
	for _, e := range entries {
		if err := c.checkSize(Outgoing{Subject: h.subject, Data: e}); err != nil {
			return err
		}
	}
	failpoint.Hit("chain.before-write")
	nonce := nuid.Next()
	first, err := c.untilKnown(ctx, guard{h.stream, h.subject, h.sequence, nonce}, func() (uint64, error) {
		messages := make([]*nats.Msg, len(entries))
		for i, e := range entries {
			messages[i] = &nats.Msg{Subject: h.subject, Data: e, Header: nats.Header{headerNumber: {strconv.FormatUint(h.number+1+uint64(i), 10)}}}
		}
		guarded(messages[0], h.sequence, nonce)
		return c.writeTogether(ctx, messages)
	})
	if err != nil {
		return err
	}
	failpoint.Hit("chain.after-write")
	h.number += uint64(len(entries))
	h.sequence = first + uint64(len(entries)) - 1
	return nil
}

// writeTogether writes messages of one stream, all or none, and returns the
// sequence of the first.
func (c *Conn) writeTogether(ctx context.Context, messages []*nats.Msg) (uint64, error) {
	if len(messages) == 1 {
		group := c.acks.group(1, c.acks.singles)
		if err := c.publishOne(ctx, group, 0, messages[0]); err != nil {
			return 0, err
		}
		a := group.wait(ctx)[0]
		return a.sequence, a.err
	}
	group := c.acks.group(1, c.acks.batches)
	if err := c.sendBatch(ctx, group, 0, messages); err != nil {
		return 0, err
	}
	a := group.wait(ctx)[0]
	if isConflict(a.err) {
		return 0, a.err
	}
	if err := batchFailure(ctx, a, len(messages)); err != nil {
		return 0, err
	}
	if a.sequence < uint64(len(messages)) {
		return 0, errors.New("the server's acknowledgement of a batch makes no sense")
	}
	return a.sequence - uint64(len(messages)) + 1, nil
}
