package rpc

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// statusFake answers about its status; the rest is nobody's.
type statusFake struct {
	Engine
	status query.Status
}

func (f statusFake) Status(context.Context) (query.Status, error) { return f.status, nil }

func TestStatus(t *testing.T) {
	fake := statusFake{status: query.Status{
		Problem: errors.New("no log"), Now: time.Unix(9, 0), StoreBytes: 7,
		Partitions: []query.PartitionStatus{
			{Partition: 0, Stream: "USAGE-0", Position: 3, ReadPosition: 5, LogEnd: 12, Watermark: time.Unix(1, 0), Counters: query.Counters{Read: 2, Priced: 2}},
			{Partition: 1, Stream: "USAGE-1", ReadPosition: 5, LogEnd: 4},
			{Partition: 2, Stream: "USAGE-2", ReadPosition: 5, LogEnd: 99, LogProblem: errors.New("away")},
		},
		Checkpoints: query.CheckpointStatus{Count: 4, DurationP99: time.Second},
	}}
	answer, err := adminService{&services{engine: fake}}.Status(t.Context(), &tollwayv1.AdminServiceStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if answer.GetReady() || answer.GetProblem() != "no log" || answer.GetStoreBytes() != 7 || answer.GetCheckpoints().GetDurationP99().AsDuration() != time.Second {
		t.Errorf("got %v", answer)
	}
	for i, want := range []struct {
		lag, end uint64
		problem  string
	}{{7, 12, ""}, {0, 4, ""}, {0, 0, "away"}} {
		if p := answer.GetPartitions()[i]; p.GetLag() != want.lag || p.GetLogEnd() != want.end || p.GetLogProblem() != want.problem {
			t.Errorf("partition %d: %v, want %+v", i, p, want)
		}
	}
	if p := answer.GetPartitions()[0]; p.GetWatermark().GetSeconds() != 1 || p.GetCheckpointedAt() != nil || p.GetCounts().GetPriced() != 2 {
		t.Errorf("got %v", p)
	}
}
