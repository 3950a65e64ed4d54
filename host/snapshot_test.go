package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// snapshots takes one of each partition.
func (r *running) snapshots() host.RestoreState {
	r.t.Helper()
	state := host.RestoreState{}
	for n := range r.parts {
		var head query.SnapshotHead
		var file bytes.Buffer
		err := r.Snapshot(r.wait(), n, func(h query.SnapshotHead) error { head = h; return nil }, &file)
		if err != nil {
			r.t.Fatal(err)
		}
		state.StoreID = head.StoreID
		state.Deliveries = append(state.Deliveries, head.Deliveries...)
		state.Partitions = append(state.Partitions, restorePartition(head, file.Bytes()))
	}
	return state
}

func restorePartition(head query.SnapshotHead, file []byte) host.RestorePartition {
	return host.RestorePartition{Name: fmt.Sprint("file-", head.Partition), Head: head, Snapshot: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(file)), nil
	}}
}

// flow sends usage until the function that it returns is called, which waits for
// all of it to be part of the state.
func (r *running) flow() (end func()) {
	stop, done := make(chan struct{}), make(chan error, 1)
	var last []query.Position
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			results, err := r.Ingest(r.t.Context(), []billing.UsageEvent{call(fmt.Sprint("flow", n), fmt.Sprint("account-", n%11), "2026-11-06T10:00:00Z", "minutes", "1")})
			if err != nil {
				done <- err
				return
			}
			last = append(last, results[0].Position)
		}
	}()
	return func() {
		r.t.Helper()
		close(stop)
		if err := <-done; err != nil {
			r.t.Fatal(err)
		}
		if err := r.Wait(r.wait(), last); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *running) loseState() {
	r.t.Helper()
	r.stop()
	if err := os.RemoveAll(filepath.Join(r.dir, "state")); err != nil {
		r.t.Fatal(err)
	}
}

// A state that comes back from snapshots, which were taken while usage flowed,
// reads the rest of the log and is the one that it would have been.
func TestRestore(t *testing.T) {
	t.Parallel()
	embedded := stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}}
	r := stored(t, 2)
	end := r.flow()
	saved := r.snapshots()
	for saved.Partitions[1].Head.Position == r.snapshots().Partitions[1].Head.Position {
		time.Sleep(time.Millisecond) // until usage has come meanwhile
	}
	end()
	before := r.outcome()
	r.loseState()
	saved.DataDir = r.dir
	if err := host.Restore(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	if err := host.Restore(t.Context(), saved); !errors.Is(err, host.ErrStateExists) {
		t.Errorf("over a state: %v", err)
	}
	r.idle = true // it begins where the snapshots ended
	r.open(embedded)
	for n, p := range r.PartitionsHealth() {
		if head := saved.Partitions[n].Head; p.Position != head.Position || p.Digest != head.Digest || head.Position == 0 {
			t.Errorf("partition %d begins at %d %s, the snapshot is of %d %s", n, p.Position, p.Digest, head.Position, head.Digest)
		}
	}
	r.stop()
	r.idle = false
	r.open(embedded)
	if err := r.Wait(r.wait(), ends(before)); err != nil {
		t.Fatal(err)
	}
	r.settled()
	want(t, r.outcome(), before...)
	r.flow()()
	after := r.outcome()
	r.loseState()
	r.fresh = true // nothing is left that says whose the log is
	r.open(embedded)
	if err := r.Wait(r.wait(), ends(after)); err != nil {
		t.Fatal(err)
	}
	r.settled()
	want(t, r.outcome(), after...)
}

// ends are the positions that an outcome begins with.
func ends(outcome []string) (list []query.Position) {
	for n := range 2 {
		var p uint64
		if _, err := fmt.Sscan(outcome[n], &p); err != nil {
			panic(err)
		}
		list = append(list, query.Position{Partition: n, Sequence: p})
	}
	return list
}

// What is damaged, cut or foreign is refused by name, and leaves nothing behind.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	r := stored(t, 2)
	saved := r.snapshots()
	whole, err := io.ReadAll(must(saved.Partitions[1].Snapshot()))
	if err != nil {
		t.Fatal(err)
	}
	other, head := saved.Partitions[0], saved.Partitions[1].Head
	older := head
	older.Digest = "1:00"
	for name, p := range map[string]host.RestorePartition{
		"flipped":           restorePartition(head, flipped(whole, len(whole)/2)),
		"cut":               restorePartition(head, whole[:len(whole)-1]),
		"empty":             restorePartition(head, nil),
		"another partition": {Name: "file-1", Head: head, Snapshot: other.Snapshot},
		"another state":     restorePartition(older, whole),
	} {
		dir := filepath.Join(t.TempDir(), "made", "data")
		state := host.RestoreState{DataDir: dir, StoreID: saved.StoreID, Partitions: []host.RestorePartition{other, p}}
		err := host.Restore(t.Context(), state)
		var refused *checkpoint.SnapshotError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "file-1: ") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: something is left: %v", name, err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 4
	return b
}

// A restored state that is of more than the log has, or of another log, is refused
// at the start.
func TestRestoredStateMustFitTheLog(t *testing.T) {
	t.Parallel()
	embedded := stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}}
	saved := stored(t, 2).snapshots()
	other := startHost(t, 2, "2026-11-20T00:00:00Z")
	end := other.flow()
	for _, p := range saved.Partitions {
		if err := other.Wait(other.wait(), []query.Position{{Partition: p.Head.Partition, Sequence: p.Head.Position + 1}}); err != nil {
			t.Fatal(err)
		}
	}
	end()
	other.loseState()
	for dir, reason := range map[string]string{
		t.TempDir(): "the log has lost its tail: stream USAGE-",
		other.dir:   "is not the log that this state was made from",
	} {
		saved.DataDir = dir
		if err := host.Restore(t.Context(), saved); err != nil {
			t.Fatal(err)
		}
		h, err := host.Open(t.Context(), host.Config{
			DataDir: dir, Partitions: 2, NATS: embedded, PluginCache: host.UserPluginCache(), Temporary: true, TakeOver: true,
			Now: func() time.Time { return instant("2026-11-20T00:00:00Z") },
		})
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("got %v, want %q", err, reason)
		}
		if err == nil {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
