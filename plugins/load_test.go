package plugins_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/fuel"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

const plainReply = `{"lines":[],"state_size":0}`

func smallManifest() plugins.Manifest {
	return plugins.Manifest{
		Name: "small", Version: "1.2.3", ABI: "1.0",
		Tariffs: []plugins.ManifestTariff{{Name: "small", Title: "Small", ParamsSchema: json.RawMessage(`{}`)}},
	}
}

// packed gives a module a manifest.
func packed(t testing.TB, m *w.Module) []byte {
	t.Helper()
	wasm, err := plugins.AppendManifest(m.Bytes(), smallManifest())
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func withRawManifest(wasm []byte, text string) []byte {
	return fuel.AppendCustomSection(wasm, "tollway.manifest", []byte(text))
}

// TestRefusedAtLoad reads the message for everything that is refused when a plugin is loaded.
func TestRefusedAtLoad(t *testing.T) {
	r := newRuntime(t, plugins.Config{})
	tariff := func(change func(*w.Module)) []byte {
		m := w.Tariff(plainReply)
		change(m)
		return packed(t, m)
	}
	unpacked := w.Tariff(plainReply).Bytes()
	text, err := json.Marshal(smallManifest())
	if err != nil {
		t.Fatal(err)
	}
	manifest := func(from, to string) []byte {
		return withRawManifest(unpacked, strings.Replace(string(text), from, to, 1))
	}
	for _, c := range []struct {
		name string
		wasm []byte
		want []string // all of them in the message
	}{
		{"a text file", []byte("name: flat\nprice: 3\n"), []string{`not a WebAssembly module (starts with "name: flat\np`}},
		{"an ELF binary", []byte("\x7fELF\x02\x01\x01"), []string{`not a WebAssembly module (starts with "\x7fELF`}},
		{"an empty file", nil, []string{"it is empty"}},
		{"half a module", packed(t, w.Tariff(plainReply))[:100], []string{"ends in the middle"}},
		{"no manifest", unpacked, []string{"has no manifest", "`tollway plugin build`"}},
		{"two manifests", withRawManifest(packed(t, w.Tariff(plainReply)), string(text)), []string{"two manifests"}},
		{"not JSON", withRawManifest(unpacked, "name: x"), []string{"the manifest cannot be read"}},
		{"unknown member", manifest(`"name"`, `"colour":"blue","name"`), []string{`unknown field "colour"`}},
		{"member twice", manifest(`"name"`, `"name":"x","name"`), []string{`"name" is there twice`}},
		{"member twice within", manifest(`"title"`, `"title":"x","title"`), []string{`"title" is there twice`}},
		{"newer ABI", manifest(`"abi":"1.0"`, `"abi":"1.3","new":true`), []string{"built for ABI 1.3, this engine speaks 1.0"}},
		{"other ABI", manifest(`"abi":"1.0"`, `"abi":"2.0"`), []string{"built for ABI 2.0, this engine speaks 1.0"}},
		{"no ABI", manifest(`"abi":"1.0"`, `"abi":"new"`), []string{`abi: "new" is not a version such as "1.0"`}},
		{"bad fuel", manifest(`"abi"`, `"fuel_per_event":-1,"abi"`), []string{"fuel_per_event: must be 0 to"}},
		{"bad name", manifest(`"name":"small","version"`, `"name":"Small One","version"`), []string{`name: "Small One" is not of the form`}},
		{
			"imports",
			tariff(func(m *w.Module) {
				m.Imports = append(m.Imports,
					w.Import{Module: "env", Name: "open_socket"},
					w.Import{Module: "wasi_snapshot_preview1", Name: "sock_accept"},
					w.Import{Module: "tollway_v1", Name: "now"})
			}),
			[]string{"it imports what a tariff may not use: env.open_socket, wasi_snapshot_preview1.sock_accept, tollway_v1.now"},
		},
		{
			"import of another type",
			tariff(func(m *w.Module) { m.Imports[0].Sig = w.Sig{} }),
			[]string{"tollway_v1.begin is imported as () -> (), must be (i32) -> ()"},
		},
		{
			"WASI of another type",
			tariff(func(m *w.Module) {
				m.Imports = append(m.Imports, w.Import{Module: "wasi_snapshot_preview1", Name: "clock_time_get"})
			}),
			[]string{"clock_time_get is imported as () -> (), must be (i32, i64, i32) -> (i32)"},
		},
		{
			"no begin",
			tariff(func(m *w.Module) {
				m.Imports[0] = w.Import{Module: "env", Name: "abort", Sig: w.Sig{Params: []byte{w.I32, w.I32, w.I32, w.I32}}}
			}),
			[]string{"does not import tollway_v1.begin"},
		},
		{
			"exports",
			tariff(func(m *w.Module) {
				m.Exports = []w.Export{{Name: "tariff_abi_v1", Index: w.FuncPrice}, {Name: "tariff_arena", Kind: 2}}
			}),
			[]string{
				`does not export its memory as "memory"`, "exports tariff_abi_v1 as (i32) -> (i32), must be () -> (i32)",
				"exports tariff_arena as a memory", "does not export tariff_configure (i32, i32) -> (i32)", "does not export tariff_price",
			},
		},
		{
			"another major",
			tariff(func(m *w.Module) { m.Exports[1].Name = "tariff_abi_v7" }),
			[]string{"built for ABI 7, this engine speaks 1.0"},
		},
		{
			"marker of a newer minor",
			tariff(func(m *w.Module) { m.Funcs[0].Code = w.Cat(w.I32Const(3), w.Op(w.End)) }),
			[]string{"built for ABI 1.3, this engine speaks 1.0"},
		},
		{
			"reserved name",
			tariff(func(m *w.Module) { m.Exports = append(m.Exports, w.Export{Name: "__fuel", Kind: 0, Index: 1}) }),
			[]string{`exports "__fuel", a name that the engine reserves`},
		},
		{
			"memory",
			tariff(func(m *w.Module) { m.MemoryMin, m.MemoryMax = 2_000, 3_000 }),
			[]string{"needs 128000 KiB of memory to start, the limit is 65536 KiB"},
		},
		{
			"types that do not fit",
			tariff(func(m *w.Module) { m.Funcs[3].Code = w.Cat(w.I64Const(0), w.Op(w.End)) }),
			[]string{"not valid WebAssembly", "cannot use i64 as result"},
		},
		{
			"initialization that crashes",
			tariff(func(m *w.Module) { m.Funcs[4].Code = w.Op(w.Unreachable, w.End) }),
			[]string{"small 1.2.3 (sha256:", "cannot be started", "its initialization failed: it crashed (unreachable)"},
		},
		{
			"initialization without end",
			tariff(func(m *w.Module) { m.Funcs[4].Code = w.Cat(w.Loop(w.Void, w.Br(0)), w.Op(w.End)) }),
			[]string{"its initialization failed: it ran out of fuel"},
		},
		{
			"data outside of memory",
			tariff(func(m *w.Module) { m.Data[0].Offset = 1_024 * 65_536 }),
			[]string{"cannot be instantiated"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Load(context.Background(), c.wasm)
			if err == nil {
				t.Fatal("it was loaded")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not contain %q", err, want)
				}
			}
		})
	}
}

func TestLoadIsIdempotent(t *testing.T) {
	r := newRuntime(t, plugins.Config{})
	wasm := packed(t, w.Tariff(plainReply))
	var group sync.WaitGroup
	loaded := make([]*plugins.Module, 8)
	for k := range loaded {
		group.Go(func() {
			m, err := r.Load(context.Background(), bytes.Clone(wasm))
			if err != nil {
				t.Error(err)
			}
			loaded[k] = m
		})
	}
	group.Wait()
	for _, m := range loaded {
		if m != loaded[0] {
			t.Error("the same bytes gave two modules")
		}
	}
	if got := loaded[0].Digest(); got != plugins.Digest(wasm) || !strings.HasPrefix(got, "sha256:") || len(got) != 71 {
		t.Errorf("digest %s", got)
	}
	if m := loaded[0].Manifest(); m.Name != "small" || m.Version != "1.2.3" {
		t.Errorf("manifest %+v", m)
	}
}

// brokenContext panics where a module is compiled.
type brokenContext struct{ context.Context }

func (brokenContext) Deadline() (time.Time, bool) { panic("broken") }

// A compiler that panics over a module leaves nobody waiting for it, and another attempt
// may go better.
func TestLoadThatPanics(t *testing.T) {
	r := newRuntime(t, plugins.Config{})
	wasm := packed(t, w.Tariff(plainReply))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		_, err := r.Load(brokenContext{t.Context()}, wasm)
		t.Errorf("got %v", err)
	}()
	if _, err := r.Load(t.Context(), wasm); err != nil {
		t.Error(err)
	}
}

func TestRuntimeConfig(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := plugins.NewRuntime(ctx, plugins.Config{MemoryMaxBytes: -1, CompileMaxDuration: -1})
	if err == nil || !strings.Contains(err.Error(), "MemoryMaxBytes") || !strings.Contains(err.Error(), "CompileMaxDuration") {
		t.Errorf("error %v does not name both problems", err)
	}
	if _, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: file}); err == nil || !strings.Contains(err.Error(), "the cache folder cannot be made") {
		t.Errorf("error %v", err)
	}
	// One page less than the module wants.
	r := newRuntime(t, plugins.Config{MemoryMaxBytes: 63 << 16})
	if _, err := r.Load(ctx, packed(t, w.Tariff(plainReply))); err == nil || !strings.Contains(err.Error(), "the limit is 4032 KiB") {
		t.Errorf("error %v", err)
	}
	r = newRuntime(t, plugins.Config{CacheDir: t.TempDir(), CompileMaxDuration: time.Millisecond})
	if _, err := r.Load(ctx, guestWasm); err == nil || !strings.Contains(err.Error(), "takes longer than 1ms to compile") {
		t.Errorf("error %v", err)
	}
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Load(ctx, packed(t, w.Tariff(plainReply))); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("error %v", err)
	}
}

func TestLoadCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := newRuntime(t, plugins.Config{})
	cancel()
	if _, err := r.Load(ctx, packed(t, w.Tariff(plainReply))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	// A module whose loading was cancelled can be loaded later.
	load(t, r, packed(t, w.Tariff(plainReply)))
}

// TestManifestLowersMemory holds that a plugin gets no more memory than it asked for.
func TestManifestLowersMemory(t *testing.T) {
	m := smallManifest()
	m.MemoryMaxBytes = 70 << 16
	wasm, err := plugins.AppendManifest(w.Tariff(plainReply).Bytes(), m)
	if err != nil {
		t.Fatal(err)
	}
	i, err := load(t, newRuntime(t, plugins.Config{}), wasm).NewInstance(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := i.Close(context.Background()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

// TestDamagedCache damages the files of the cache in every way: modules load all the same, and the
// cache is sound again.
func TestDamagedCache(t *testing.T) {
	dir := t.TempDir()
	wasm := packed(t, w.Tariff(plainReply))
	loadOnce := func() {
		t.Helper()
		ctx := context.Background()
		r, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		load(t, r, wasm)
		if err := r.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	files := func() map[string][]byte {
		found := map[string][]byte{}
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			found[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	loadOnce()
	sound := files()
	if len(sound) != 2 {
		t.Fatalf("%d files in the cache, want code and list", len(sound))
	}
	for path, data := range sound {
		for name, damage := range map[string]func() error{
			"flipped bit": func() error {
				d := bytes.Clone(data)
				d[len(d)/3] ^= 4
				return os.WriteFile(path, d, 0o600)
			},
			"cut":     func() error { return os.Truncate(path, int64(len(data)/2)) },
			"empty":   func() error { return os.Truncate(path, 0) },
			"removed": func() error { return os.Remove(path) },
		} {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			loadOnce()
			for path, data := range files() {
				if !bytes.Equal(sound[path], data) {
					t.Errorf("%s: after a load, %s is not as it was", name, filepath.Base(path))
				}
			}
		}
	}
	// A cache that cannot be written is done without.
	for path := range sound {
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
	}
	digest := strings.TrimPrefix(plugins.Digest(wasm), "sha256:")
	if err := os.WriteFile(filepath.Join(dir, digest[:32]), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	loadOnce()
}

func TestManifestRoundTrip(t *testing.T) {
	base := w.Tariff(plainReply).Bytes()
	m := smallManifest()
	m.FuelPerEvent, m.MemoryMaxBytes, m.SDK = 5_000, 1<<23, "hand <made>"
	wasm, err := plugins.AppendManifest(base, m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := plugins.AppendManifest(base, m)
	if err != nil || !bytes.Equal(wasm, again) || !bytes.HasPrefix(wasm, base) {
		t.Errorf("packing is not repeatable (%v)", err)
	}
	want := `{"abi":"1.0","fuel_per_event":5000,"memory_max_bytes":8388608,"name":"small","sdk":"hand <made>",` +
		`"tariffs":[{"name":"small","params_schema":{},"title":"Small"}],"version":"1.2.3"}`
	if !bytes.HasSuffix(wasm, []byte(want)) {
		t.Errorf("the manifest is not canonical: %q", wasm[len(wasm)-len(want):])
	}
	got, err := plugins.ReadManifest(wasm)
	if err != nil || got.SDK != m.SDK || got.FuelPerEvent != m.FuelPerEvent {
		t.Errorf("read %+v, %v", got, err)
	}
	if _, err := plugins.AppendManifest(wasm, m); err == nil || !strings.Contains(err.Error(), "has a manifest already") {
		t.Errorf("error %v", err)
	}
	if _, err := plugins.ReadManifest(base); err == nil {
		t.Error("a manifest was read from a module without one")
	}
	if _, err := plugins.AppendManifest([]byte("hello"), m); err == nil {
		t.Error("a text file was packed")
	}
}

func TestManifestValidateReportsAll(t *testing.T) {
	m := plugins.Manifest{
		Name: "9lives", ABI: "1", FuelPerEvent: 1 << 40, MemoryMaxBytes: -1,
		Tariffs: []plugins.ManifestTariff{{Name: "a", ParamsSchema: json.RawMessage(`[]`)}, {Name: "a", Title: strings.Repeat("x", 300)}},
	}
	err := m.Validate()
	for _, want := range []string{
		"name: ", "version: ", "abi: ", "fuel_per_event: ", "memory_max_bytes: ",
		"tariffs[0].params_schema: ", "tariffs[1].name: ", "tariffs[1].title: ", "tariffs[1].params_schema: ",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not report %q", err, want)
		}
	}
	if err := (&plugins.Manifest{Name: "a", Version: "1", ABI: "1.0"}).Validate(); err == nil || !strings.Contains(err.Error(), "tariffs: must be 1 to") {
		t.Errorf("error %v", err)
	}
}

func TestInspect(t *testing.T) {
	wasm := packed(t, w.Tariff(plainReply))
	in, err := plugins.Inspect(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if in.Digest != plugins.Digest(wasm) || in.Size != len(wasm) || in.Manifest == nil || in.MemoryMinBytes != 64<<16 || len(in.Problems) != 0 {
		t.Errorf("%+v", in)
	}
	if want := []string{"tollway_v1.begin (i32) -> ()"}; !slices.Equal(in.Imports, want) {
		t.Errorf("imports %q", in.Imports)
	}
	if !slices.Contains(in.Exports, "tariff_price (i32) -> (i32)") || !slices.Contains(in.Exports, "memory memory") {
		t.Errorf("exports %q", in.Exports)
	}
	in, err = plugins.Inspect((&w.Module{MemoryMin: -1, Imports: []w.Import{{Module: "env", Name: "evil"}}}).Bytes())
	if err != nil || in.Manifest != nil || len(in.Problems) != 2 {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := plugins.Inspect([]byte("GIF89a")); err == nil || !strings.Contains(err.Error(), "not a WebAssembly module") {
		t.Errorf("error %v", err)
	}
}
