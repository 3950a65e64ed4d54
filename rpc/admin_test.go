package rpc

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
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

// snapshotFake writes a snapshot of some length, and then maybe fails.
type snapshotFake struct {
	fakeEngine
	file []byte
	err  error
}

func (f *snapshotFake) Snapshot(_ context.Context, partition int, begin func(query.SnapshotHead) error, w io.Writer) error {
	if err := begin(query.SnapshotHead{Partition: partition, Partitions: 2, Position: 7, Digest: "1:ab"}); err != nil {
		return err
	}
	for rest := f.file; len(rest) > 0; {
		n, err := w.Write(rest[:min(len(rest), 300_000)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return f.err
}

// A snapshot comes in bounded chunks with what it is of in front and its sum
// behind; one that fails has no end.
func TestSnapshot(t *testing.T) {
	fake := &snapshotFake{file: bytes.Repeat([]byte("0123456"), 100_000)}
	server, _ := serve(t, fake, nil)
	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	receive := func() (head *tollwayv1.SnapshotHead, file []byte, last *tollwayv1.AdminServiceSnapshotResponse, err error) {
		stream, err := clients.Admin.Snapshot(t.Context(), &tollwayv1.AdminServiceSnapshotRequest{Partition: 1})
		if err != nil {
			return nil, nil, nil, err
		}
		defer func() { _ = stream.Close() }()
		for {
			m, err := stream.Receive()
			if err != nil {
				return head, file, last, err
			}
			if len(m.GetChunk()) > snapshotBytesMax {
				t.Errorf("a chunk of %d bytes", len(m.GetChunk()))
			}
			if head == nil {
				head = m.GetHead()
			}
			file, last = append(file, m.GetChunk()...), m
		}
	}
	head, file, last, err := receive()
	sum := sha256.Sum256(fake.file)
	if !errors.Is(err, io.EOF) || head.GetPartition() != 1 || head.GetPosition() != 7 || !bytes.Equal(file, fake.file) ||
		!last.GetDone() || last.GetSha256() != hex.EncodeToString(sum[:]) {
		t.Errorf("%v, %d bytes, %v, %v", head, len(file), last.GetDone(), err)
	}
	fake.err = refuse(ReasonUnavailable, "", "damaged")
	if _, _, last, err := receive(); errors.Is(err, io.EOF) || last.GetDone() {
		t.Errorf("one that failed: %v, %v", last.GetDone(), err)
	}
}
