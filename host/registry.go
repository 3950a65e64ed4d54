package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/sdk/billing"
)

// registry finds plugins: by digest among those stored beside the log, and by
// name among those that the program brings along. Storing a built-in at the
// moment a catalog first names it pins its bytes: a newer program prices old
// versions as before. It is safe for concurrent use.
type registry struct {
	conn Log

	mu      sync.Mutex
	modules map[string]*plugins.Module // by digest
	BuiltIns
}

// BuiltIns are the plugins that the program brings along, and the runtime that loads
// them.
type BuiltIns struct {
	runtime *plugins.Runtime
	loaded  []*plugins.Module     // those that were loaded when they were listed
	builtIn map[string]*ownPlugin // by digest
	tariffs map[string]*ownPlugin // by name of a tariff
	missing string                // why there are no built-in tariffs; empty when there are
	checked *paramsChecked
}

// ownPlugin is a plugin that the program brings along.
type ownPlugin struct {
	builtin.Module
	digest   string
	manifest plugins.Manifest
}

// paramsChecked remembers which parameters plugins have taken. What a plugin says of
// them hangs on nothing but its bytes, so a process need not ask twice: most of what an
// apply checks has been checked by the one before. It is safe for concurrent use.
type paramsChecked struct {
	mu    sync.Mutex
	taken map[checkedParams]checkedAnswer
	bytes int // of the parameters
}

// checkedAnswer is what a plugin says of parameters that it takes. It is not changed.
type checkedAnswer struct {
	dimensions []string // that the tariff reads then
	carrySize  int      // how many bytes slots leave at most to those of the next period
}

// checkedParams is what was asked.
type checkedParams struct {
	module, tariff, params string
	currency               billing.Currency
}

// checkedBytes bounds the parameters that are remembered.
const checkedBytes = 4 << 20

// answer returns what was said, false when it is not known.
func (c *paramsChecked) answer(of checkedParams) (answer checkedAnswer, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, known = c.taken[of]
	return answer, known
}

// keep remembers parameters that a plugin has taken.
func (c *paramsChecked) keep(of checkedParams, answer checkedAnswer) {
	const beside = 256 // what else an entry takes, about
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += len(of.params) + beside; c.bytes > checkedBytes || c.taken == nil {
		c.taken, c.bytes = map[checkedParams]checkedAnswer{}, len(of.params)+beside
	}
	c.taken[of] = answer
}

// newRegistry makes a registry that knows the built-in modules.
func newRegistry(b *BuiltIns, conn Log) *registry {
	r := &registry{conn: conn, modules: map[string]*plugins.Module{}, BuiltIns: *b}
	for _, m := range b.loaded {
		r.modules[m.Digest()] = m
	}
	return r
}

// ownPlugins reads the plugins that the program brings along, once in a process: they are
// a part of it.
var ownPlugins = sync.OnceValues(func() ([]*ownPlugin, error) { //nolint:gochecknoglobals // what the program was built with
	modules, err := builtin.Modules()
	if err != nil {
		return nil, err
	}
	list := make([]*ownPlugin, len(modules))
	for i, m := range modules {
		manifest, err := plugins.ReadManifest(m.Wasm)
		if err != nil {
			return nil, fmt.Errorf("built-in plugin %s: %w", m.Name, err)
		}
		list[i] = &ownPlugin{Module: m, digest: plugins.Digest(m.Wasm), manifest: manifest}
	}
	return list, nil
})

// listBuiltIns lists the built-in modules. One is loaded when a catalog names it, since that
// takes more than a tenth of a second, and most catalogs name one of them.
func listBuiltIns(runtime *plugins.Runtime) (*BuiltIns, error) {
	b := &BuiltIns{runtime: runtime, builtIn: map[string]*ownPlugin{}, tariffs: map[string]*ownPlugin{}, checked: &paramsChecked{}}
	own, err := ownPlugins()
	if errors.Is(err, builtin.ErrMissing) {
		b.missing = err.Error()
		return b, nil
	}
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	for _, p := range own {
		b.builtIn[p.digest] = p
		for _, t := range p.manifest.Tariffs {
			b.tariffs[t.Name] = p
		}
	}
	return b, nil
}

// LoadBuiltIns lists the built-in modules and loads them all, for hosts that share a
// runtime.
func LoadBuiltIns(ctx context.Context, runtime *plugins.Runtime) (*BuiltIns, error) {
	b, err := listBuiltIns(runtime)
	if err != nil {
		return nil, err
	}
	for _, p := range b.builtIn {
		m, err := b.load(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("host: %w", err)
		}
		b.loaded = append(b.loaded, m)
	}
	return b, nil
}

// load loads a built-in module. In a new data directory that compiles it, which takes
// seconds: a caller that does not wait so long would never come to its end, so the work goes
// on without one.
func (b *BuiltIns) load(ctx context.Context, p *ownPlugin) (*plugins.Module, error) {
	m, err := b.runtime.Load(context.WithoutCancel(ctx), p.Wasm)
	if err != nil {
		return nil, fmt.Errorf("built-in plugin %s: %w", p.Name, err)
	}
	return m, nil
}

// Module returns the compiled plugin of a digest.
func (r *registry) Module(ctx context.Context, digest string) (*plugins.Module, error) {
	r.mu.Lock()
	m := r.modules[digest]
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	if own := r.builtIn[digest]; own != nil {
		m, err := r.BuiltIns.load(ctx, own)
		return r.remember(m, err)
	}
	wasm, err := r.conn.GetPlugin(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", digest, err)
	}
	return r.load(ctx, wasm)
}

// load compiles a plugin and remembers it.
func (r *registry) load(ctx context.Context, wasm []byte) (*plugins.Module, error) {
	m, err := r.runtime.Load(ctx, wasm)
	return r.remember(m, err)
}

// remember keeps a plugin that was loaded.
func (r *registry) remember(m *plugins.Module, err error) (*plugins.Module, error) {
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.modules[m.Digest()]; have != nil {
		return have, nil
	}
	r.modules[m.Digest()] = m
	return m, nil
}

// names lists the built-in tariffs for a sentence.
func (r *registry) names() string {
	return strings.Join(slices.Sorted(maps.Keys(r.tariffs)), ", ")
}
