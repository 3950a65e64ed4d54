package rpc

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"math"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// adminService implements AdminService.
type adminService struct{ *services }

// Status returns how the host is doing.
func (s adminService) Status(ctx context.Context, _ *tollwayv1.AdminServiceStatusRequest) (*tollwayv1.AdminServiceStatusResponse, error) {
	status, err := s.engine.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := &tollwayv1.AdminServiceStatusResponse{
		Ready: status.Problem == nil, Now: timestamp(status.Now),
		StoreBytes: uint64(max(status.StoreBytes, 0)),
		Checkpoints: &tollwayv1.CheckpointStatus{
			Count:       status.Checkpoints.Count,
			DurationP50: durationpb.New(status.Checkpoints.DurationP50), DurationP99: durationpb.New(status.Checkpoints.DurationP99),
			DurationMax: durationpb.New(status.Checkpoints.Duration),
			StallP50:    durationpb.New(status.Checkpoints.StallP50), StallP99: durationpb.New(status.Checkpoints.StallP99),
			StallMax: durationpb.New(status.Checkpoints.Stall),
		},
	}
	if status.Problem != nil {
		out.Problem = status.Problem.Error()
	}
	for _, p := range status.Partitions {
		out.Partitions = append(out.Partitions, partitionStatusOut(p))
	}
	return out, nil
}

func partitionStatusOut(p query.PartitionStatus) *tollwayv1.PartitionStatus {
	out := &tollwayv1.PartitionStatus{
		Partition: uint32(p.Partition), Stream: p.Stream, Position: p.Position, ReadPosition: p.ReadPosition, Lag: p.Lag(),
		CatalogRevision: p.CatalogRevision, Counts: countsOut(p.Counters),
		Watermark: timestamp(p.Watermark), CheckpointedAt: timestamp(p.CheckpointedAt),
		Health: &tollwayv1.PartitionHealth{
			Condition: p.Health.Condition, Reason: p.Health.Reason, TargetPosition: p.Health.Target, Digest: p.Health.Digest,
			AnchoredPosition: p.Health.Anchored, Rebuilds: uint32(p.Health.Rebuilds), VerifiedAt: timestamp(p.Health.Verified),
			VerifyingBytes: p.Health.Verifying, VerifyingOfBytes: p.Health.OfBytes,
		},
	}
	if p.LogProblem != nil {
		out.LogProblem = p.LogProblem.Error()
	} else {
		out.LogEnd = p.LogEnd
	}
	return out
}

// countsOut writes a balance of events.
func countsOut(n query.Counters) *tollwayv1.EventCounts {
	return &tollwayv1.EventCounts{
		Read: n.Read, Priced: n.Priced, Duplicates: n.Duplicates, DeadLettered: n.DeadLettered, Discarded: n.Discarded,
	}
}

// snapshotBytesMax bounds a chunk of a snapshot, see exportBytesMax.
const snapshotBytesMax = 256 << 10

// Snapshot sends the newest checkpoint of a partition.
func (s adminService) Snapshot(ctx context.Context, r *tollwayv1.AdminServiceSnapshotRequest, stream tollwayv1connect.AdminServiceSnapshotServerStream) error {
	ctx, release := s.untilDrained(ctx)
	defer release()
	sender := &snapshotSender{stream: stream, sum: sha256.New()}
	out := bufio.NewWriterSize(sender, snapshotBytesMax)
	err := s.engine.Snapshot(ctx, int(min(r.GetPartition(), math.MaxInt32)), func(head query.SnapshotHead) error {
		return stream.Send(&tollwayv1.AdminServiceSnapshotResponse{Head: snapshotHeadOut(head)})
	}, out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return s.ended(err)
	}
	return stream.Send(&tollwayv1.AdminServiceSnapshotResponse{Done: true, Sha256: hex.EncodeToString(sender.sum.Sum(nil))})
}

// snapshotSender sends what is written to it, in chunks.
type snapshotSender struct {
	stream tollwayv1connect.AdminServiceSnapshotServerStream
	sum    hash.Hash
}

// Write implements [io.Writer].
func (w *snapshotSender) Write(b []byte) (written int, err error) {
	w.sum.Write(b)
	for len(b) > 0 {
		chunk := b[:min(len(b), snapshotBytesMax)]
		if err := w.stream.Send(&tollwayv1.AdminServiceSnapshotResponse{Chunk: chunk}); err != nil {
			return written, err
		}
		b, written = b[len(chunk):], written+len(chunk)
	}
	return written, nil
}

func snapshotHeadOut(h query.SnapshotHead) *tollwayv1.SnapshotHead {
	head := &tollwayv1.SnapshotHead{
		StoreId: h.StoreID, Partition: uint32(h.Partition), Partitions: uint32(h.Partitions), Stream: h.Stream,
		Position: h.Position, LogDigest: h.LogDigest, Checkpoint: h.Checkpoint, Digest: h.Digest,
		CatalogRevision: h.CatalogRevision, Bytes: h.Bytes, At: timestamp(h.At),
	}
	for _, d := range h.Deliveries {
		head.Deliveries = append(head.Deliveries, &tollwayv1.DeliveryProgress{Sink: d.Sink, Progress: d.Progress})
	}
	return head
}
