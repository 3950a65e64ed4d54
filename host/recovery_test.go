package host

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/stream"
)

// run runs a host on a folder while do works with it.
func run(t *testing.T, dir string, do func(ctx context.Context, h *Host)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	h, err := Open(ctx, Config{
		DataDir: dir, Partitions: 3, PluginCache: UserPluginCache(), Temporary: true,
		NATS: stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- h.Run(running) }()
	do(ctx, h)
	stop()
	if err := errors.Join(<-done, h.Close()); err != nil {
		t.Error(err)
	}
}

const flatCatalog = `
meters: [{name: calls, event_type: call}]
tariffs:
  - {name: rental, meter: calls, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "10"}}]}
default_subscriptions: [rental]
`

// An apply that broke off between storing the catalog and marking it in every
// partition is brought to its end by the next start.
func TestMarkersAreCompleted(t *testing.T) {
	t.Parallel()
	for _, marked := range []int{0, 1} {
		dir := t.TempDir()
		run(t, dir, func(ctx context.Context, h *Host) {
			next, problems := catalog.Parse([]catalog.File{{Name: "catalog.yaml", Data: []byte(flatCatalog)}})
			problems = append(problems, next.Resolve(h.newResolver(ctx, catalog.Empty(), ApplyRequest{}))...)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			stored, err := h.catalogs.store(ctx, next, h.Now(), false)
			if err != nil {
				t.Fatal(err)
			}
			positions, err := h.mark(ctx, h.partitions[:marked], stored, h.Now())
			if err := errors.Join(err, h.Wait(ctx, positions)); err != nil {
				t.Fatal(err)
			}
		})
		run(t, dir, func(ctx context.Context, h *Host) {
			for _, p := range h.partitions {
				for p.state.Header().CatalogRevision != 1 && ctx.Err() == nil {
					time.Sleep(5 * time.Millisecond)
				}
				if got := p.state.Header().CatalogRevision; got != 1 {
					t.Errorf("with %d partitions marked: partition %d has revision %d in force", marked, p.number, got)
				}
			}
		})
	}
}

// Of the plugins that the program brings along a host loads those that its catalog names:
// when it is applied, and at a start before any usage comes.
func TestBuiltInsAreLoadedWhenNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	loaded := func(h *Host) (names []string) {
		h.registry.mu.Lock()
		defer h.registry.mu.Unlock()
		for digest := range h.registry.modules {
			names = append(names, h.registry.builtIn[digest].Name)
		}
		return names
	}
	run(t, dir, func(ctx context.Context, h *Host) {
		if names := loaded(h); len(names) > 0 {
			t.Errorf("without a catalog %v are loaded", names)
		}
		applied, err := h.Apply(ctx, ApplyRequest{Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(flatCatalog)}}})
		if err != nil || len(applied.Problems) > 0 {
			t.Fatal(err, applied.Problems)
		}
		if names := loaded(h); !slices.Equal(names, []string{"standard"}) {
			t.Errorf("after the apply %v are loaded", names)
		}
	})
	h, err := Open(t.Context(), Config{
		DataDir: dir, Partitions: 3, PluginCache: UserPluginCache(), Temporary: true,
		NATS: stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if names := loaded(h); !slices.Equal(names, []string{"standard"}) {
		t.Errorf("at the next start %v are loaded", names)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// A host whose log another one takes over ends by itself, also when it has nothing to write.
func TestTakenOverWhileIdle(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	h, err := Open(ctx, Config{
		DataDir: t.TempDir(), Partitions: 2, PluginCache: UserPluginCache(), Temporary: true, OwnerCheckInterval: 10 * time.Millisecond,
		NATS: stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	if _, err := h.conn.Claim(ctx, "another-directory", "elsewhere", true); err != nil {
		t.Fatal(err)
	}
	err = <-done
	if !errors.Is(err, stream.ErrFenced) || !strings.Contains(err.Error(), "data directory another-directory on host elsewhere claimed it") {
		t.Errorf("it ended with %v", err)
	}
	if h.Ready() == nil {
		t.Error("it is ready all the same")
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// The connection to NATS tells in the host's log that it is lost, and the embedded server what
// is wrong with it.
func TestHostsLogIsThatOfItsConnection(t *testing.T) {
	log := slog.New(slog.NewTextHandler(&strings.Builder{}, nil))
	if got := (Config{Log: log}).withDefaults().NATS.Log; got != log {
		t.Errorf("it is %v", got)
	}
}

// A program that was built without the built-in tariffs says so, and how to mend
// it, to whoever wants one.
func TestWithoutBuiltinTariffs(t *testing.T) {
	t.Parallel()
	const missing = "this binary was built without the built-in tariffs: run `make tariffs` and build it again"
	next, problems := catalog.Parse([]catalog.File{{Name: "catalog.yaml", Data: []byte(flatCatalog)}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	problems = next.Resolve(&resolver{ctx: t.Context(), registry: &registry{BuiltIns: BuiltIns{missing: missing}}})
	if len(problems) != 1 || !strings.HasSuffix(problems[0].Message, missing) || problems[0].Line != 4 {
		t.Errorf("%v", problems)
	}
}
