package plugins

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// compileWorkers is the number of goroutines of a compilation. With two or more, the compiler
// heeds the deadline of its context; with one it does not.
const compileWorkers = 2

// Module is a plugin that was checked and compiled. It is not changed after [Runtime.Load]; its
// methods may be called concurrently.
type Module struct {
	digest        string
	manifest      Manifest
	rewritten     *fuel.Result
	initialize    bool // exports _initialize
	fuelPerUnit   int64
	fuelStart     int64 // of _initialize and of tariff_arena
	fuelConfigure int64 // of a configuration, beside what its size brings
	environment   []string
	log           func(digest string, text []byte)
	tracker       *tracker // of the runtime; nil where there is none

	runtime  wazero.Runtime
	cache    wazero.CompilationCache // nil without a cache folder
	compiled wazero.CompiledModule

	mu        sync.Mutex
	instances map[*Instance]struct{} // those that are not closed
}

// Digest returns the identity of the module: "sha256:" and the hexadecimal sha256 of its bytes,
// manifest included.
func (m *Module) Digest() string { return m.digest }

// Manifest returns what the module says about itself.
func (m *Module) Manifest() Manifest { return m.manifest }

// load does the work of [Runtime.Load] for one digest.
func (r *Runtime) load(ctx context.Context, wasm []byte, digest string) (*Module, error) {
	parsed, err := fuel.Parse(wasm)
	if err != nil {
		return nil, err
	}
	manifest, manifestErr := readManifest(parsed)
	if err := errors.Join(validate(parsed), manifestErr); err != nil {
		return nil, fmt.Errorf("the module is not a tariff: %w", err)
	}
	limit := r.config.MemoryMaxBytes
	if manifest.MemoryMaxBytes > 0 {
		limit = min(limit, manifest.MemoryMaxBytes)
	}
	rewritten, err := parsed.Rewrite(fuel.Options{
		MemoryPagesMax: uint32(limit / pageSize),
		BeginModule:    abi.ImportModule, BeginName: abi.ImportBegin, BeginManyName: abi.ImportBeginMany,
	})
	if err != nil {
		return nil, fmt.Errorf("the module cannot be used: %w", err)
	}
	m := &Module{
		digest: digest, manifest: manifest, rewritten: rewritten,
		fuelPerUnit: manifest.FuelPerEvent,
		environment: environment(int64(rewritten.PagesMax) * pageSize),
		log:         r.config.Log,
		tracker:     r.tracker,
		instances:   map[*Instance]struct{}{},
	}
	_, m.initialize = parsed.Export(abi.ExportInitialize)
	if m.fuelPerUnit == 0 {
		m.fuelPerUnit = abi.FuelPerEvent
	}
	m.fuelStart, m.fuelConfigure = abi.FuelStart, abi.FuelConfigure
	if manifest.FuelStart > 0 {
		m.fuelStart, m.fuelConfigure = manifest.FuelStart, manifest.FuelStart
	}
	if err := m.compile(ctx, r.config); err != nil {
		return nil, err
	}
	if err := m.tryOut(ctx); err != nil {
		return nil, errors.Join(err, m.close(ctx))
	}
	return m, nil
}

// environment is what a plugin's language runtime is told. Memory is put back before every call,
// so collecting garbage would only spend the fuel of an event; near the end of the memory it is
// better than running out. Go reads both, other runtimes neither.
func environment(memoryMax int64) []string {
	return []string{"GOGC=off", fmt.Sprintf("GOMEMLIMIT=%d", memoryMax/4*3)}
}

// compile turns the rewritten module into machine code, from the cache where possible. A cache
// that cannot be used is no reason to fail: then it is done without.
func (m *Module) compile(ctx context.Context, c Config) error {
	if c.CacheDir == "" {
		return m.compileIn(ctx, c, "")
	}
	dir := moduleCacheDir(c.CacheDir, m.digest)
	checked, err := checkCache(dir)
	if err == nil {
		err = m.compileIn(ctx, c, dir)
	}
	if err == nil {
		err = sealCache(dir, checked)
	}
	if err == nil || m.compiled != nil || ctx.Err() != nil {
		// An unsealed folder is not believed by the next process, which makes it again.
		return ctx.Err()
	}
	return m.compileIn(ctx, c, "")
}

// compileIn compiles with a cache in dir, or with none.
func (m *Module) compileIn(ctx context.Context, c Config, dir string) (err error) {
	config := wazero.NewRuntimeConfigCompiler().
		WithCoreFeatures(api.CoreFeaturesV2).
		WithMemoryLimitPages(max(m.rewritten.PagesMax, 1)).
		WithDebugInfoEnabled(false)
	if dir != "" {
		if m.cache, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return fmt.Errorf("plugins: opening the cache folder: %w", err)
		}
		config = config.WithCompilationCache(m.cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close(context.WithoutCancel(ctx)))
		}
	}()
	if err := instantiateHost(ctx, m.runtime); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(experimental.WithCompilationWorkers(ctx, compileWorkers), c.CompileMaxDuration)
	defer cancel()
	m.compiled, err = m.runtime.CompileModule(limited, m.rewritten.Wasm)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("the module takes longer than %s to compile: make it smaller", c.CompileMaxDuration)
	}
	return fmt.Errorf("the module is not valid WebAssembly: %w", err)
}

// tryOut makes one instance and drops it, so that a module which cannot start is refused when it
// is loaded and not when it is first needed.
func (m *Module) tryOut(ctx context.Context) error {
	i, err := m.NewInstance(ctx)
	if err != nil {
		return err
	}
	return i.Close(ctx)
}

// close frees the code and all instances. It may be called twice.
func (m *Module) close(ctx context.Context) error {
	var problems []error
	m.mu.Lock()
	open := maps.Clone(m.instances)
	m.mu.Unlock()
	for i := range open {
		problems = append(problems, i.Close(ctx))
	}
	if m.runtime != nil {
		problems = append(problems, m.runtime.Close(ctx))
	}
	if m.cache != nil {
		problems = append(problems, m.cache.Close(ctx))
	}
	m.runtime, m.cache, m.compiled = nil, nil, nil
	return errors.Join(problems...)
}

// register and forget keep the list of open instances.
func (m *Module) register(i *Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.instances[i] = struct{}{}
}

func (m *Module) forget(i *Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.instances, i)
}
