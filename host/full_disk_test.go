//go:build linux

package host_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// ballast fills a real disk for a while.
type ballast struct {
	t    *testing.T
	name string
}

func (b ballast) fill(bytes int64) {
	b.t.Helper()
	file, err := os.Create(b.name)
	if err != nil {
		b.t.Fatal(err)
	}
	defer file.Close()
	if err := unix.Fallocate(int(file.Fd()), 0, 0, bytes); err != nil {
		b.t.Skipf("this file system cannot set space aside: %v", err)
	}
}

func (b ballast) free() {
	if err := os.Remove(b.name); err != nil {
		b.t.Error(err)
	}
}

// A full disk stops checkpoints and nothing else: what was committed is served,
// the host says what it waits for, and goes on by itself when there is space, with
// nothing lost or counted twice.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	free, err := checkpoint.FreeBytes(dir)
	if err != nil {
		t.Fatal(err)
	}
	const margin = 3 << 30 // other tests write to the disk too
	if free < 4*margin {
		t.Skipf("%d MiB are free; the test sets %d MiB aside for a moment", free>>20, 2*margin>>20)
	}
	said := &safeBuffer{}
	r := &running{t: t, dir: dir, now: &atomic.Int64{}, parts: 1}
	r.config = host.Config{FreeMinBytes: free - margin, Log: slog.New(slog.NewTextHandler(said, nil))}
	r.setNow("2026-10-10T00:00:00Z")
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"))
	want(t, r.subtotals(query.Filter{}), "emma per_minute 1.00 (1)")

	b := ballast{t, filepath.Join(dir, "ballast")}
	b.fill(2 * margin)
	result, err := r.Ingest(r.wait(), []billing.UsageEvent{call("2", "emma", "2026-10-05T10:00:00Z", "minutes", "10")})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Queries().WaitLatest(r.wait(), []query.Position{result[0].Position}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(said.String(), "the disk is full"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the host does not say that the disk is full:\n%s", said)
		}
	}
	want(t, r.subtotals(query.Filter{}), "emma per_minute 1.00 (1)")
	want(t, r.subtotals(query.Filter{Latest: true}), "emma per_minute 2.00 (2)")
	b.free()
	if err := r.Wait(r.wait(), []query.Position{result[0].Position}); err != nil {
		t.Fatal(err)
	}
	want(t, r.subtotals(query.Filter{}), "emma per_minute 2.00 (2)")
	r.wantCounts(2, 0, 0)
	if !strings.Contains(said.String(), "the disk has space again") {
		t.Errorf("the host does not say that it goes on:\n%s", said)
	}
}
