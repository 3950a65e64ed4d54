package host

import (
	"context"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/host/stream"
)

// Status says how the host and its partitions are doing. It asks the log for its
// end; a log that cannot be reached is part of the answer, not an error.
func (h *Host) Status(ctx context.Context) (query.Status, error) {
	bytes, err := h.StoreBytes()
	if err != nil {
		return query.Status{}, err
	}
	stats := h.CheckpointStats()
	s := query.Status{
		Problem: h.Ready(), Now: h.config.Now(), StoreBytes: bytes,
		Checkpoints: query.CheckpointStatus{
			Count:       stats.Commits,
			DurationP50: stats.Duration.P50, DurationP99: stats.Duration.P99, Duration: stats.Duration.Max,
			StallP50: stats.Stall.P50, StallP99: stats.Stall.P99, Stall: stats.Stall.Max,
		},
	}
	for _, p := range h.partitions {
		s.Partitions = append(s.Partitions, p.status(ctx))
	}
	return s, ctx.Err()
}

// statusWait bounds how long a log that does not answer holds up a status.
const statusWait = 2 * time.Second

func (p *partition) status(ctx context.Context) query.PartitionStatus {
	// The committed state first: what is read later has seen no less.
	committed, latest := p.state.Header(), p.state.HeaderOf(accumulate.Latest)
	s := query.PartitionStatus{
		Partition: p.number, Stream: stream.Usage(p.number),
		Position: committed.Position, ReadPosition: latest.Position,
		CatalogRevision: committed.CatalogRevision, Counters: query.Counters(committed.Counters),
	}
	health := p.examine()
	s.Health = query.Health{
		Condition: health.Condition, Reason: health.Reason, Target: health.Target, Digest: health.Digest, Anchored: health.Anchored, Rebuilds: health.Rebuilds,
		Verified: health.Scrub.Verified, Verifying: health.Scrub.BytesDone, OfBytes: health.Scrub.BytesAll,
	}
	if committed.Watermark != rate.Beginning {
		s.Watermark = time.Unix(0, committed.Watermark).UTC()
	}
	if at := p.pace.committedAt.Load(); at != 0 {
		s.CheckpointedAt = time.Unix(0, at).UTC()
	}
	ctx, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	_, s.LogEnd, s.LogProblem = p.host.conn.LastSequence(ctx, s.Stream)
	return s
}
