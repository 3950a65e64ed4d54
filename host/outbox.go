package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/stream"
)

// outbox publishes a partition's dead letters and invoices, in the order of the
// checkpoint's logs and each once. Where it stands is read from the streams
// themselves: the last message of a partition's subject has the number of the
// entry, and each message is published behind exactly that one. So a crash
// between publishing and noting it cannot double anything, and a host that has
// lost its claim cannot publish at all.
type outbox struct {
	host      *Host
	partition *partition
	signal    chan struct{}
	channels  []*channel
	anchored  uint64    // position of the last anchor
	at        time.Time // when it was published
}

// Pace of the outbox.
const (
	outboxBatch    = 500                    // entries read from the checkpoint at a time
	anchorInterval = time.Second            // between anchors while nothing goes outward
	outboxRetryMin = 100 * time.Millisecond // between attempts while NATS is away
	outboxRetryMax = 10 * time.Second
)

func newOutbox(h *Host, p *partition) *outbox {
	return &outbox{host: h, partition: p, signal: make(chan struct{}, 1), channels: []*channel{
		{partition: p, log: accumulate.LogDeadLetters, subject: stream.DeadLettersSubject(p.number)},
		{partition: p, log: accumulate.LogInvoices, subject: stream.InvoicesSubject(p.number)},
	}}
}

// wake tells the outbox of a new checkpoint. It never blocks.
func (o *outbox) wake() {
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// run publishes until the context ends. While NATS is away it tries again; a
// partition never waits for it.
func (o *outbox) run(ctx context.Context) error {
	retry := outboxRetryMin
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.signal:
		case <-timer.C:
		}
		err := o.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			retry = outboxRetryMin
			timer.Reset(anchorInterval)
		case errors.Is(err, stream.ErrFenced):
			return fmt.Errorf("host: partition %d: another host has taken over these streams; this one must not go on: %w", o.partition.number, err)
		default:
			o.host.log.Warn("outbox: could not publish, trying again", "partition", o.partition.number, "after", retry, "error", err)
			timer.Reset(retry)
			retry = min(2*retry, outboxRetryMax)
		}
	}
}

// publish brings the streams up to what the checkpoint's logs hold. The anchor
// comes first: nothing goes outward from a checkpoint that a newer owner of the
// partition does not know of.
func (o *outbox) publish(ctx context.Context) error {
	p := o.partition
	header := p.state.Header()
	var behind []*channel
	for _, c := range o.channels {
		ok, err := c.behind(ctx)
		if err != nil {
			return err
		}
		if ok {
			behind = append(behind, c)
		}
	}
	now := o.host.config.Now()
	if header.Position != o.anchored && (len(behind) > 0 || now.Sub(o.at) >= anchorInterval) {
		anchor := stream.Anchor{Position: header.Position, Digest: header.Digest}
		if err := o.host.conn.Anchor(ctx, p.number, o.host.epoch, anchor); err != nil {
			return err
		}
		o.anchored, o.at = header.Position, now
	}
	for _, c := range behind {
		if err := c.publish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// channel joins one of the checkpoint's logs to the subject that it goes to.
type channel struct {
	partition *partition
	log       uint8
	subject   string
	chain     *stream.Chain // nil until the stream was asked where it stands
}

// behind reports whether the log has entries that the stream lacks.
func (c *channel) behind(ctx context.Context) (bool, error) {
	if c.partition.store.LogLast(c.log) == 0 {
		return false, nil
	}
	if c.chain == nil {
		chain, err := c.partition.host.conn.Chain(ctx, c.subject)
		if err != nil {
			return false, err
		}
		c.chain = chain
	}
	return c.chain.Last() < c.partition.store.LogLast(c.log), nil
}

// publish sends what the stream lacks. After an error the channel asks the
// stream anew where it stands, since a message may have arrived whose
// acknowledgement did not.
func (c *channel) publish(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			c.chain = nil
		}
	}()
	for c.chain.Last() < c.partition.store.LogLast(c.log) {
		first := c.chain.Last() + 1
		var entries [][]byte
		err := c.partition.store.LogRange(c.log, first, outboxBatch, func(_ uint64, entry []byte) error {
			entries = append(entries, bytes.Clone(entry))
			return nil
		})
		if err != nil {
			return err
		}
		if err := c.chain.Publish(ctx, first, entries); err != nil {
			return err
		}
	}
	return nil
}
