package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Inspection is what can be seen of a log without changing anything.
type Inspection struct {
	Partitions int          // 0: there is no log
	Streams    []StreamSize // in the order in which they are made
	Owner      *Owner       // nil: no host has claimed the log
	Problems   []Problem    // for which a host would refuse the log
	Warnings   []string     // what weakens it, a sentence each
}

// StreamSize is how much is in a stream.
type StreamSize struct {
	Name     string
	Messages uint64
	Bytes    uint64
	Replicas int
}

// Owner is the data directory that owns a log.
type Owner struct {
	StoreID string
	Host    string    // where it was in use
	Epoch   uint64    // of its claim
	Since   time.Time // of its claim
}

// Inspect looks at a log as a host would at its start, and makes nothing.
func (c *Conn) Inspect(ctx context.Context) (Inspection, error) {
	var in Inspection
	partitions, err := c.countPartitions(ctx)
	if err != nil || partitions == 0 {
		return in, err
	}
	in.Partitions = partitions
	wanted := c.wantedStreams(partitions)
	found, err := c.configs(ctx, wanted)
	if err != nil {
		return in, fmt.Errorf("stream: %w", err)
	}
	in.Problems, in.Warnings = c.check(wanted, found)
	for _, w := range wanted {
		if info := found[w.Name]; info != nil {
			in.Streams = append(in.Streams, StreamSize{Name: w.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, Replicas: info.Config.Replicas})
		}
	}
	if _, ok := found[Ledger]; !ok {
		return in, nil
	}
	m, err := c.Last(ctx, Ledger, ownerSubject)
	if err != nil || m == nil {
		return in, err
	}
	var owner ownerRecord
	if err := json.Unmarshal(m.Data, &owner); err != nil {
		return in, fmt.Errorf("stream: message %d of %s cannot be read: %w", m.Sequence, Ledger, err)
	}
	in.Owner = &Owner{StoreID: owner.StoreID, Host: owner.Host, Epoch: owner.Epoch, Since: m.Time}
	return in, nil
}
