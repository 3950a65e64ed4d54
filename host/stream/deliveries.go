package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// EnsureDeliveries makes the stream that keeps how far receivers of invoices have
// come, if it is not there. Only the last message of a subject is kept.
func (c *Conn) EnsureDeliveries(ctx context.Context) error {
	if _, err := c.js.Stream(ctx, Deliveries); !errors.Is(err, jetstream.ErrStreamNotFound) {
		return classify(ctx, err)
	}
	config := c.streamConfig(Deliveries, DeliverySubject("*"))
	config.MaxMsgsPerSubject, config.Discard = 1, jetstream.DiscardOld
	return c.makeStream(ctx, config)
}

// PublishOnce writes a message to a stream that is not the log's, unless the
// stream has it already: one message of a subject, and the subject names what it
// is about. It may be called again after any error.
//
// ErrConflict means that another message stands there, ErrNotFound that no stream
// takes the subject.
func (c *Conn) PublishOnce(ctx context.Context, subject, id string, body []byte) error {
	if _, err := streamOf(subject); err == nil {
		return fmt.Errorf("stream: subject %s is the log's own", subject)
	}
	if len(body) > c.MessageBytesMax() {
		return fmt.Errorf("stream: %s: the message has %d bytes, this NATS server takes %d; raise max_payload there", subject, len(body), c.MessageBytesMax())
	}
	m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
		jetstream.MsgIDHeader: {id}, headerExpectLast: {"0"}, "Content-Type": {"application/json"},
	}}
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("stream: %w: no stream of %s takes the subject %s; make one for %s.>", ErrNotFound, c.Address(), subject, subject[:max(0, strings.IndexByte(subject, '.'))])
	case isConflict(err):
		return c.standsThere(ctx, subject, body)
	}
	return fmt.Errorf("stream: %s: %w", subject, classify(ctx, err))
}

// standsThere checks that the message of a subject is the one that was to be
// written: an earlier attempt was stored whose acknowledgement was lost.
func (c *Conn) standsThere(ctx context.Context, subject string, body []byte) error {
	name, err := c.js.StreamNameBySubject(ctx, subject)
	if err != nil {
		return fmt.Errorf("stream: %s: %w", subject, classify(ctx, err))
	}
	s, err := c.js.Stream(ctx, name)
	if err != nil {
		return fmt.Errorf("stream: %s: %w", subject, classify(ctx, err))
	}
	m, err := s.GetLastMsgForSubject(ctx, subject)
	if err != nil {
		return fmt.Errorf("stream: %s: %w", subject, classify(ctx, err))
	}
	if !bytes.Equal(m.Data, body) {
		return fmt.Errorf("stream: %s: %w", subject, ErrConflict)
	}
	return nil
}
