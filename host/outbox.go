package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/stream"
)

// outbox publishes a partition's dead letters, invoices and alerts, in the order of the
// checkpoint's logs and each once. Where it stands is read from the streams
// themselves: the last message of a partition's subject has the number of the
// entry, and each message is published behind exactly that one. So a crash
// between publishing and noting it cannot double anything, and a host that has
// lost its claim cannot publish at all.
type outbox struct {
	host      *Host
	partition *partition
	signal    chan struct{}
	stands    atomic.Pointer[standing]
	channels  []*channel
	anchored  uint64    // position of the last anchor
	at        time.Time // when it was published
}

// Pace of the outbox.
const (
	outboxBatch    = 500                    // entries read from the checkpoint at a time, at most
	outboxBytes    = 4 << 20                // and about as many bytes of them
	anchorInterval = time.Second            // between anchors while nothing goes outward
	outboxRetryMin = 100 * time.Millisecond // between attempts while NATS is away
	outboxRetryMax = 10 * time.Second
)

// standing is one checkpoint as the outbox sees it: an anchor for its position
// vouches for so many entries of the logs, and not for those that are added while
// it is being written.
type standing struct {
	position uint64
	digest   string           // of the message there
	state    string           // digest of the state
	entries  map[uint8]uint64 // number of the last one, by log
}

func newOutbox(h *Host, p *partition) *outbox {
	o := &outbox{host: h, partition: p, signal: make(chan struct{}, 1), channels: []*channel{
		{partition: p, log: accumulate.LogDeadLetters, subject: stream.DeadLettersSubject(p.number)},
		{partition: p, log: accumulate.LogInvoices, subject: stream.InvoicesSubject(p.number)},
		{partition: p, log: accumulate.LogAlerts, subject: stream.AlertsSubject(p.number)},
	}}
	o.wake()
	return o
}

// wake tells the outbox of a new checkpoint. It never blocks. The goroutine
// that writes checkpoints calls it, so that none is written meanwhile.
func (o *outbox) wake() {
	header := o.partition.state.Header()
	state, err := header.StateDigest()
	if err != nil {
		o.host.log.Error("outbox: a checkpoint is anchored without its digest", "partition", o.partition.number, "error", err)
	}
	s := &standing{position: header.Position, digest: header.Digest, state: state, entries: map[uint8]uint64{}}
	for _, c := range o.channels {
		s.entries[c.log] = o.partition.store.LogLast(c.log)
	}
	o.stands.Store(s)
	select {
	case o.signal <- struct{}{}:
	default:
	}
}

// run publishes until the context ends. While NATS is away it tries again; a
// partition never waits for it.
func (o *outbox) run(ctx context.Context) error {
	retry := outboxRetryMin
	timer := time.NewTimer(anchorInterval) // the first signal is there already
	defer timer.Stop()
	for signal := o.signal; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-signal:
		case <-timer.C:
		}
		signal = o.signal
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
			signal = nil // new checkpoints come many times a second
		}
	}
}

// publish brings the streams up to what the checkpoint's logs hold. The anchor
// comes first: nothing goes outward from a checkpoint that a newer owner of the
// partition does not know of.
func (o *outbox) publish(ctx context.Context) error {
	p, stands := o.partition, o.stands.Load()
	if !p.health.serves() {
		return nil // what is made again was published, and its last anchor is what it is compared with
	}
	var behind []*channel
	for _, c := range o.channels {
		ok, err := c.behind(ctx, stands.entries[c.log])
		if err != nil {
			return err
		}
		if ok {
			behind = append(behind, c)
		}
	}
	failpoint.Hit("outbox.before-anchor")
	now := o.host.config.Now()
	if stands.position != o.anchored && (len(behind) > 0 || now.Sub(o.at) >= anchorInterval) {
		anchor := stream.Anchor{Position: stands.position, Digest: stands.digest, State: stands.state}
		if err := o.host.conn.Anchor(ctx, p.number, o.host.epoch, anchor); err != nil {
			return err
		}
		o.anchored, o.at = stands.position, now
		p.health.anchoredAt(stands.position)
	}
	failpoint.Hit("outbox.before-publish")
	for _, c := range behind {
		if err := c.publish(ctx, stands.entries[c.log]); err != nil {
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
	chain     LogChain // nil until the stream was asked where it stands
}

// behind reports whether the stream lacks entries up to the last one.
func (c *channel) behind(ctx context.Context, last uint64) (bool, error) {
	if last == 0 {
		return false, nil
	}
	if c.chain == nil {
		chain, err := c.partition.host.conn.Chain(ctx, c.subject)
		if err != nil {
			return false, err
		}
		c.chain = chain
	}
	return c.chain.Last() < last, nil
}

// publish sends what the stream lacks up to the last entry. After an error the channel asks the
// stream anew where it stands, since a message may have arrived whose
// acknowledgement did not.
func (c *channel) publish(ctx context.Context, last uint64) (err error) {
	defer func() {
		if err != nil {
			c.chain = nil
		}
	}()
	limit := c.partition.host.conn.MessageBytesMax()
	for c.chain.Last() < last {
		first := c.chain.Last() + 1
		entries, err := fitting(c.partition.store, c.log, first, last, limit)
		if err != nil {
			return err
		}
		if err := c.chain.Publish(ctx, first, entries); err != nil {
			return err
		}
	}
	return nil
}

// fitting returns the next entries of a log as they are published, at least one of those
// up to the last. A month's end brings thousands of invoices of up to a message each.
func fitting(store PartitionStore, log uint8, first, last uint64, limit int) (entries [][]byte, err error) {
	bytes := 0
	err = store.LogRange(log, first, int(min(outboxBatch, last-first+1)), func(_ uint64, entry []byte) error {
		if bytes >= outboxBytes {
			return errRead
		}
		short, err := fit(entry, limit)
		entries, bytes = append(entries, short), bytes+len(short)
		return err
	})
	if errors.Is(err, errRead) {
		err = nil
	}
	return entries, err
}

// fit returns an entry as it is published. One that is larger than a message can
// be goes without its largest fields and says so: held back, it would hold back
// all that come after it. The whole is in the checkpoint's log and can be asked
// for by id.
func fit(entry []byte, limit int) ([]byte, error) {
	if len(entry) <= limit {
		return bytes.Clone(entry), nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(entry, &fields); err != nil {
		return nil, fmt.Errorf("host: an entry of the outbox: %w", err)
	}
	var omitted []string
	for _, name := range []string{"lines", "event", "raw", "account_details", "seller", "detail"} {
		if _, ok := fields[name]; !ok {
			continue
		}
		delete(fields, name)
		omitted = append(omitted, name)
		note, err := json.Marshal(omission{Fields: omitted, Bytes: len(entry), SHA256: fmt.Sprintf("%x", sha256.Sum256(entry))})
		if err != nil {
			return nil, fmt.Errorf("host: an entry of the outbox: %w", err)
		}
		fields["omitted"] = note
		short, err := json.Marshal(fields)
		if err != nil || len(short) <= limit {
			return short, err
		}
	}
	return nil, fmt.Errorf("host: an entry of the outbox has %d bytes and cannot be shortened to the %d that a message of this NATS server holds; raise max_payload there", len(entry), limit)
}

// omission says what a published entry lacks, and which entry it is.
type omission struct {
	Fields []string `json:"fields"`
	Bytes  int      `json:"bytes"`  // of the whole entry
	SHA256 string   `json:"sha256"` // of the whole entry, hexadecimal
}
