package stream

import (
	"context"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Limits of an atomic batch. The server takes 1,000 messages; the bytes are kept
// low enough that all batches on their way together stay far below what it
// queues per stream (128 MB).
const (
	batchMessagesMax = 1000
	batchBytesMax    = 4 << 20
)

// Headers of atomic batches, as NATS defines them.
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
	batchHeaders        = 4 // those and the guard
)

// batchLength returns how many of the first members make one batch.
func batchLength(members []int, bytes func(int) int) int {
	total := 0
	for n, i := range members {
		if total += bytes(i); n > 0 && total > batchBytesMax || n == batchMessagesMax {
			return n
		}
	}
	return len(members)
}

// sendBatch sends messages of one stream that are stored together or not at
// all. The last one commits, and its acknowledgement, for a place in a group,
// stands for all.
func (c *Conn) sendBatch(ctx context.Context, group *ackGroup, index int, messages []*nats.Msg) error {
	reply, err := group.expect(ctx, index)
	if err != nil {
		return err
	}
	id := nuid.Next()
	for n, m := range messages {
		if m.Header == nil {
			m.Header = make(nats.Header, batchHeaders)
		}
		m.Header[headerBatchID] = []string{id}
		m.Header[headerBatchSequence] = []string{strconv.Itoa(n + 1)}
		if n == len(messages)-1 {
			m.Header[headerBatchCommit] = []string{"1"}
			m.Reply = reply
		}
		failpoint.Hit("publish.in-batch")
		if err := c.nc.PublishMsg(m); err != nil {
			// The server gives up a batch that is not committed.
			err = classify(ctx, err)
			c.acks.forget(group, index, err)
			return err
		}
	}
	return nil
}
