package host

import (
	"context"
	"errors"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/intake"
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
	ticket, err := h.Submit(ctx, intake.Chunk{Events: events})
	if err != nil {
		return nil, err
	}
	outcome, err := ticket.Wait(ctx)
	if err == nil {
		err = outcome.Err()
	}
	if err != nil {
		return nil, notWritten(err)
	}
	results := make([]Ingested, 0, len(events))
	for _, run := range outcome.Runs {
		r := Ingested{}
		if run.Message >= 0 {
			m := outcome.Messages[run.Message]
			r.Position = query.Position{Stream: stream.Usage(m.Partition), Partition: m.Partition, Sequence: m.Sequence}
		}
		for range run.Events {
			results = append(results, r)
		}
	}
	for _, r := range outcome.Rejected {
		results[r.Event].Problem = r.Problem
	}
	return results, nil
}

// notWritten is the error of a caller whose events are not all known to be in
// the log.
func notWritten(err error) error {
	return fault(ReasonUnavailable, "send the same events again: each is priced once", "the log did not take all events: %v", err).because(err)
}

// Submit hands usage in and returns when it has its place in the queues before
// the log. Its error is like that of Ingest, but for a chunk of which too many events
// are turned away. The ticket tells what became of it.
func (h *Host) Submit(ctx context.Context, c intake.Chunk) (*intake.Ticket, error) {
	ticket, err := h.intake.Add(ctx, c)
	if errors.Is(err, intake.ErrRejected) {
		return nil, fault(ReasonInvalidRequest, "mend what makes them, or send fewer at a time; what could be taken of them may be in the log, and is priced once when it is sent again", "%v", err).because(err)
	}
	if err != nil {
		return nil, notWritten(err)
	}
	return ticket, nil
}

// paceOf has the intake keep pace with a host's partitions.
type paceOf struct{ *Host }

// Reached implements [intake.Engine]. A partition that is parked or is made again has
// other work first, and so has a host that does not run.
func (h paceOf) Reached(partition int) (position uint64, ok bool) {
	p := h.partitions[partition]
	return p.state.HeaderOf(accumulate.Latest).Position, h.running.Load() && p.health.serves()
}

// Await implements [intake.Engine].
func (h paceOf) Await(ctx context.Context, partition int, position uint64) error {
	return h.queries.WaitLatest(ctx, []query.Position{{Partition: partition, Sequence: position}})
}

// AwaitRead implements [intake.Engine].
func (h paceOf) AwaitRead(ctx context.Context, partition int, position uint64) {
	h.partitions[partition].fetched.await(ctx, position)
}

// Partitions returns the number of partitions of the log.
func (h *Host) Partitions() int { return h.config.Partitions }

// Wait returns once every position is part of the committed state.
func (h *Host) Wait(ctx context.Context, positions []query.Position) error {
	return h.queries.Wait(ctx, positions)
}

// Queries answers questions about subtotals.
func (h *Host) Queries() *query.Engine { return h.queries }
