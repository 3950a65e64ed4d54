package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
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
