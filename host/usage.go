package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// Ingested is what became of one event at the door: the position of the message
// that carries it, or why it was not written.
type Ingested struct {
	Position query.Position
	Problem  *ingest.Problem
}

// Ingest packs events by partition and writes them to the log. It returns when
// every accepted event is there, durable as far as the server is configured so.
// After an error some may have been written: sending the same events again is
// safe, since each is priced once.
func (h *Host) Ingest(ctx context.Context, events []billing.UsageEvent) ([]Ingested, error) {
	results := make([]Ingested, len(events))
	members := make([][]int, h.config.Partitions)
	for i := range events {
		p := billing.Partition(events[i].Account, h.config.Partitions)
		members[p] = append(members[p], i)
	}
	var out []stream.Outgoing
	var carried []load
	packer := ingest.NewPacker(packedBytesMax)
	for p, indexes := range members {
		for len(indexes) > 0 {
			n, err := pack(packer, events, indexes, results)
			if err != nil {
				return nil, fmt.Errorf("host: partition %d: %w", p, err)
			}
			if packer.Len() > 0 {
				out = append(out, stream.Outgoing{
					Subject: stream.BatchSubject(p), Header: map[string]string{headerContentType: ingest.ContentTypePacked}, Data: packer.AppendMessage(nil),
				})
				carried = append(carried, load{p, indexes[:n]})
			}
			indexes = indexes[n:]
		}
	}
	sequences, err := h.conn.Publish(ctx, out)
	if err != nil {
		return nil, fault(ReasonUnavailable, "send the same events again: each is priced once", "the log did not take all events: %v", err).because(err)
	}
	for i, l := range carried {
		at := query.Position{Stream: stream.Usage(l.partition), Partition: l.partition, Sequence: sequences[i]}
		for _, n := range l.events {
			if results[n].Problem == nil {
				results[n].Position = at
			}
		}
	}
	return results, nil
}

// load is what a message carries: events by their indexes, those among them that
// were turned away not counted.
type load struct {
	partition int
	events    []int
}

// headerContentType says in which of its formats a message's body is.
const headerContentType = "Content-Type"

// A message carries enough events to make the cost per message disappear, and
// few enough bytes to fit any server's limit of 1 MiB.
const (
	packedEventsMax = 1000
	packedBytesMax  = 900 << 10
)

// pack adds the first events of a partition to an empty packer, as many as one
// message carries, notes the problems of those that no reader would accept, and
// returns how many it has dealt with.
func pack(packer *ingest.Packer, events []billing.UsageEvent, indexes []int, results []Ingested) (int, error) {
	for i, index := range indexes {
		if packer.Len() == packedEventsMax {
			return i, nil
		}
		err := packer.Add(&events[index])
		if err == nil {
			continue
		}
		var problem *ingest.Problem
		switch {
		case errors.Is(err, ingest.ErrFull) && packer.Len() > 0:
			return i, nil
		case errors.As(err, &problem):
			results[index].Problem = problem
		default:
			return 0, fmt.Errorf("event %q: %w", events[index].ID, err)
		}
	}
	return len(indexes), nil
}

// Wait returns once every position is part of the committed state.
func (h *Host) Wait(ctx context.Context, positions []query.Position) error {
	return h.queries.Wait(ctx, positions)
}

// Queries answers questions about subtotals.
func (h *Host) Queries() *query.Engine { return h.queries }
