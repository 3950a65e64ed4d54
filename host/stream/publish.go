package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Outgoing is a message to be written.
type Outgoing struct {
	Subject string // one of those that the functions ending in Subject make
	Header  map[string]string
	Data    []byte
}

// How much may be on its way to the server at a time, over all callers.
const (
	singlesMax = 4096
	batchesMax = 16 // the server keeps 50 per stream
)

// batchMessagesMin is from how many messages to one stream on an atomic batch is
// used. For a batch the server makes and removes a store of its own, which costs
// as much as syncing some thirty single messages, and then syncs once whatever
// the batch holds. A server that does not sync never gains.
const batchMessagesMin = 32

// Publish writes messages and returns their sequences in the same order. All are
// stored when it returns without an error. Otherwise the error is a
// *PublishError that says which ones are not known to be; their sequences are 0.
// Writing those again may double messages, which for usage is harmless.
//
// Messages to one stream are stored in the order given, other writers' between
// them.
func (c *Conn) Publish(ctx context.Context, out []Outgoing) ([]uint64, error) {
	sequences := make([]uint64, len(out))
	failures := make([]error, len(out))
	groups := map[string][]int{}
	before := map[string]uint64{}
	for i := range out {
		stream, err := streamOf(out[i].Subject)
		if _, asked := before[stream]; err == nil && !asked {
			if before[stream], err = c.ends.before(stream); err != nil {
				delete(before, stream)
			}
		}
		if err != nil {
			failures[i] = err
			continue
		}
		if err := c.checkSize(out[i]); err != nil {
			failures[i] = err
			continue
		}
		groups[stream] = append(groups[stream], i)
	}
	var singles []int
	var batches [][]int
	for _, stream := range slices.Sorted(maps.Keys(groups)) {
		members := groups[stream]
		if len(members) < batchMessagesMin || c.unsynced() {
			singles = append(singles, members...)
			continue
		}
		for len(members) > 0 {
			n := batchLength(members, func(i int) int { return len(out[i].Data) })
			batches = append(batches, members[:n])
			members = members[n:]
		}
	}
	waitBatches := c.startBatches(ctx, out, batches, failures)
	waitSingles := c.startSingles(ctx, out, singles, failures)
	failpoint.Hit("publish.before-acks")
	waitBatches(sequences)
	waitSingles(sequences)
	for stream, members := range groups {
		c.believe(stream, before[stream], members, sequences, failures)
	}
	return sequences, publishError(failures)
}

// believe takes back what was acknowledged by a stream that is not the one that it was.
func (c *Conn) believe(stream string, before uint64, members []int, sequences []uint64, failures []error) {
	for _, i := range members {
		if failures[i] != nil {
			continue
		}
		if err := c.ends.acknowledged(stream, before, sequences[i]); err != nil {
			sequences[i], failures[i] = 0, err
		}
	}
}

// unsynced reports whether the server is known not to sync.
func (c *Conn) unsynced() bool { return c.embedded != nil && c.embedded.config.Unsynced }

// publishError collects failures; nil when there are none.
func publishError(failures []error) error {
	e := &PublishError{Total: len(failures)}
	for i, err := range failures {
		if err != nil {
			e.Failed = append(e.Failed, FailedMessage{Index: i, Err: err})
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}

// MessageBytesMax is how large a message's body can be.
func (c *Conn) MessageBytesMax() int { return int(c.nc.MaxPayload() - headerReserveBytes) }

// checkSize refuses what the server would answer by closing the connection.
func (c *Conn) checkSize(o Outgoing) error {
	size := int64(len(o.Data))
	for k, v := range o.Header {
		size += int64(len(k) + len(v) + 4)
	}
	if limit := c.nc.MaxPayload() - headerReserveBytes; size > limit {
		return fmt.Errorf("a message of %d bytes for %s is larger than the %d that this NATS server takes; send less at a time, or raise max_payload there", size, o.Subject, limit)
	}
	return nil
}

// headerReserveBytes is left free in every message for the headers that this
// package adds.
const headerReserveBytes = 1 << 10

// startSingles publishes messages one by one without waiting in between. The
// function that it returns waits and notes what became of them.
func (c *Conn) startSingles(ctx context.Context, out []Outgoing, members []int, failures []error) func([]uint64) {
	group := c.acks.group(len(members), c.acks.singles)
	for k, i := range members {
		if err := c.publishOne(ctx, group, k, c.message(out[i])); err != nil {
			failures[i] = err
		}
	}
	return func(sequences []uint64) {
		for k, a := range group.wait(ctx) {
			if i := members[k]; failures[i] == nil {
				sequences[i], failures[i] = a.sequence, classify(ctx, a.err)
			}
		}
	}
}

// publishOne sends a message whose acknowledgement goes to a place in a group.
func (c *Conn) publishOne(ctx context.Context, group *ackGroup, index int, m *nats.Msg) error {
	reply, err := group.expect(ctx, index)
	if err != nil {
		return err
	}
	m.Reply = reply
	if err := c.nc.PublishMsg(m); err != nil {
		err = classify(ctx, err)
		c.acks.forget(group, index, err)
		return err
	}
	return nil
}

// message makes the library's message.
func (c *Conn) message(o Outgoing) *nats.Msg {
	m := &nats.Msg{Subject: o.Subject, Data: o.Data}
	if len(o.Header) > 0 {
		m.Header = make(nats.Header, len(o.Header)+batchHeaders)
		for k, v := range o.Header {
			m.Header[k] = []string{v}
		}
	}
	return m
}

// startBatches publishes atomic batches without waiting in between. The function
// that it returns waits and notes what became of them.
func (c *Conn) startBatches(ctx context.Context, out []Outgoing, batches [][]int, failures []error) func([]uint64) {
	group := c.acks.group(len(batches), c.acks.batches)
	sent := make([]error, len(batches))
	for k, members := range batches {
		messages := make([]*nats.Msg, len(members))
		for j, i := range members {
			messages[j] = c.message(out[i])
		}
		sent[k] = c.sendBatch(ctx, group, k, messages)
	}
	return func(sequences []uint64) {
		for k, a := range group.wait(ctx) {
			members := batches[k]
			err := sent[k]
			if err == nil {
				err = batchFailure(ctx, a, len(members))
			}
			for j, i := range members {
				if failures[i] = err; err == nil {
					sequences[i] = a.sequence - uint64(len(members)-1-j)
				}
			}
		}
	}
}

// batchFailure says why a batch is not stored; nil when it is.
func batchFailure(ctx context.Context, a ack, messages int) error {
	switch {
	case hasCode(a.err, codeBatchIncomplete):
		// Some message of it was refused or lost; the server says no more.
		return unavailable(a.err)
	case a.err != nil:
		return classify(ctx, a.err)
	case a.count != uint64(messages):
		return errors.New("the server stored another number of messages than the batch has")
	}
	return nil
}
