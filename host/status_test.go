package host_test

import (
	"testing"

	"github.com/tollway/tollway/host/query"
)

// The status says how far each partition is, and sums up to the counters.
func TestStatus(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-05T12:00:00Z")
	before, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Partitions) != 2 || !before.Partitions[0].Watermark.IsZero() || before.Partitions[1].Counters != (query.Counters{}) {
		t.Errorf("a host without usage: %+v", before)
	}
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"), call("2", "liam", "2026-10-05T11:00:00Z", "minutes", "2"))
	after, err := r.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var sum query.Counters
	for _, p := range after.Partitions {
		if p.LogProblem != nil || p.Position > p.ReadPosition || p.LogEnd < p.Position || p.CatalogRevision != 1 || p.CheckpointedAt.IsZero() {
			t.Errorf("%+v", p)
		}
		sum.Read += p.Counters.Read
		sum.Priced += p.Counters.Priced
		sum.DeadLettered += p.Counters.DeadLettered
	}
	if sum != r.Counters() || sum.Read != 2 || after.Problem != nil || after.Checkpoints.Count == 0 || after.StoreBytes == 0 {
		t.Errorf("%+v, counters %+v", after, sum)
	}
}
