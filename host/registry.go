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

// BuiltIns are the plugins that the program brings along, as a runtime has loaded
// them.
type BuiltIns struct {
	runtime *plugins.Runtime
	loaded  []*plugins.Module
	builtIn map[string][]byte    // bytes of the modules, by digest
	tariffs map[string]tariffRef // by name
	missing string               // why there are no built-in tariffs; empty when there are
	checked *paramsChecked
}

// paramsChecked remembers which parameters plugins have taken. What a plugin says of
// them hangs on nothing but its bytes, so a process need not ask twice: most of what an
// apply checks has been checked by the one before. It is safe for concurrent use.
type paramsChecked struct {
	mu    sync.Mutex
	taken map[checkedParams][]string // the dimensions that the tariff reads then
	bytes int                        // of the parameters
}

// checkedParams is what was asked.
type checkedParams struct {
	module, tariff, params string
	currency               billing.Currency
}

// checkedBytes bounds the parameters that are remembered.
const checkedBytes = 4 << 20

// answer returns what was said, false when it is not known.
func (c *paramsChecked) answer(of checkedParams) (dimensions []string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	dimensions, known = c.taken[of]
	return slices.Clone(dimensions), known
}

// keep remembers parameters that a plugin has taken.
func (c *paramsChecked) keep(of checkedParams, dimensions []string) {
	const beside = 256 // what else an entry takes, about
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bytes += len(of.params) + beside; c.bytes > checkedBytes || c.taken == nil {
		c.taken, c.bytes = map[checkedParams][]string{}, len(of.params)+beside
	}
	c.taken[of] = slices.Clone(dimensions)
}

// tariffRef is a tariff in a module that the program brings along.
type tariffRef struct {
	digest string
	wasm   []byte
}

// newRegistry makes a registry that knows the built-in modules.
func newRegistry(b *BuiltIns, conn Log) *registry {
	r := &registry{conn: conn, modules: map[string]*plugins.Module{}, BuiltIns: *b}
	for _, m := range b.loaded {
		r.modules[m.Digest()] = m
	}
	return r
}

// LoadBuiltIns loads the built-in modules.
func LoadBuiltIns(ctx context.Context, runtime *plugins.Runtime) (*BuiltIns, error) {
	r := &BuiltIns{runtime: runtime, builtIn: map[string][]byte{}, tariffs: map[string]tariffRef{}, checked: &paramsChecked{}}
	modules, err := builtin.Modules()
	if errors.Is(err, builtin.ErrMissing) {
		r.missing = err.Error()
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("host: %w", err)
	}
	for _, b := range modules {
		m, err := runtime.Load(ctx, b.Wasm)
		if err != nil {
			return nil, fmt.Errorf("host: built-in plugin %s: %w", b.Name, err)
		}
		r.loaded, r.builtIn[m.Digest()] = append(r.loaded, m), b.Wasm
		for _, t := range m.Manifest().Tariffs {
			r.tariffs[t.Name] = tariffRef{digest: m.Digest(), wasm: b.Wasm}
		}
	}
	return r, nil
}

// Module returns the compiled plugin of a digest.
func (r *registry) Module(ctx context.Context, digest string) (*plugins.Module, error) {
	r.mu.Lock()
	m := r.modules[digest]
	r.mu.Unlock()
	if m != nil {
		return m, nil
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
