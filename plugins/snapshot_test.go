package plugins

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// smallTariff is an instance of a hand-made tariff.
func smallTariff(t *testing.T, tracked bool, price ...[]byte) *Instance {
	t.Helper()
	ctx := context.Background()
	wasm, err := AppendManifest(w.Tariff(`{"lines":[],"state_size":0}`, price...).Bytes(), Manifest{
		Name: "small", Version: "1", ABI: "1.0",
		Tariffs: []ManifestTariff{{Name: "small", ParamsSchema: []byte(`{}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewRuntime(ctx, Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if !tracked {
		if err := r.tracker.close(); err != nil {
			t.Fatal(err)
		}
		r.tracker = nil
	}
	m, err := r.Load(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	i, err := m.NewInstance(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Configure(ctx, []ConfigRequest{{Tariff: "small"}}); err != nil {
		t.Fatal(err)
	}
	return i
}

// TestRestore writes all over an instance's memory, also where it has no business, and holds that
// a restore brings back every byte, with and without the system's help.
func TestRestore(t *testing.T) {
	for name, tracked := range map[string]bool{"tracked": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			i := smallTariff(t, tracked)
			if tracked && i.module.tracker == nil {
				t.Skip("this system does not tell which pages were written to")
			}
			want := bytes.Clone(i.memory)
			random := rand.New(rand.NewPCG(1, 2))
			for round, writes := range []int{0, 1, 10, 100, 3_000, 5, 0} {
				for range writes {
					i.memory[random.IntN(len(i.memory))] = byte(1 + random.IntN(255))
				}
				copy(i.arena, "the host writes here")
				i.used = 20
				i.state[len(i.state)-1].Set(1_000) // as if memory had grown
				i.restore()
				if !bytes.Equal(i.memory, want) {
					t.Fatalf("round %d: %d random writes were not undone", round, writes)
				}
				if got := i.control.pages.Get(); got != 64 {
					t.Fatalf("round %d: %d pages after a restore", round, got)
				}
			}
		})
	}
}

// TestCaptureAgain takes a second snapshot after changes.
func TestCaptureAgain(t *testing.T) {
	for name, tracked := range map[string]bool{"tracked": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			i := smallTariff(t, tracked)
			copy(i.memory[5000:], "part of the second image")
			copy(i.memory[len(i.memory)-20:], "behind the end")
			if err := i.capture(); err != nil {
				t.Fatal(err)
			}
			clear(i.memory[4000:6000])
			i.restore()
			if got := string(i.memory[5000:5024]); got != "part of the second image" {
				t.Errorf("after a restore there is %q", got)
			}
			if !bytes.Equal(i.memory[len(i.memory)-24:], make([]byte, 24)) {
				t.Error("memory behind the size of the plugin is not zero")
			}
		})
	}
}

// TestCaptureAndRestoreByChance takes snapshots and puts them back many times: what
// was written since the last one is undone, what was written before stays.
func TestCaptureAndRestoreByChance(t *testing.T) {
	for name, tracked := range map[string]bool{"tracked": true, "copied": false} {
		t.Run(name, func(t *testing.T) {
			i := smallTariff(t, tracked)
			random := rand.New(rand.NewPCG(3, 4))
			want := bytes.Clone(i.memory)
			arena := i.arenaPages()
			for round := range 60 {
				for range []int{0, 1, 30, 500}[random.IntN(4)] {
					i.memory[random.IntN(len(i.memory))] = byte(random.IntN(256))
				}
				i.used = len(i.arena) // the host is responsible for its own writes
				if random.IntN(2) == 0 {
					end := len(i.snapshot.image)
					copy(want[:end], i.memory[:end])
					clear(want[i.arenaPtr:][:len(i.arena)])
					if err := i.capture(); err != nil {
						t.Fatal(err)
					}
				}
				i.restore()
				if !bytes.Equal(i.memory, want) {
					t.Fatalf("round %d: the memory is not that of the last snapshot", round)
				}
				if tracked && i.module.tracker != nil && i.arenaPages() != arena {
					t.Fatalf("round %d: the arena moved", round)
				}
			}
		})
	}
}
