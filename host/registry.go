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
)

// registry finds plugins: by digest among those stored beside the log, and by
// name among those that the program brings along. Storing a built-in at the
// moment a catalog first names it pins its bytes: a newer program prices old
// versions as before. It is safe for concurrent use.
type registry struct {
	runtime *plugins.Runtime
	conn    Log

	mu      sync.Mutex
	modules map[string]*plugins.Module // by digest
	builtIn map[string][]byte          // bytes of the modules that the program brings along, by digest
	tariffs map[string]tariffRef       // by name, of the built-in modules
	missing string                     // why there are no built-in tariffs; empty when there are
}

// tariffRef is a tariff in a module that the program brings along.
type tariffRef struct {
	digest string
	wasm   []byte
}

// newRegistry loads the built-in modules.
func newRegistry(ctx context.Context, runtime *plugins.Runtime, conn Log) (*registry, error) {
	r := &registry{runtime: runtime, conn: conn, modules: map[string]*plugins.Module{}, builtIn: map[string][]byte{}, tariffs: map[string]tariffRef{}}
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
		r.modules[m.Digest()], r.builtIn[m.Digest()] = m, b.Wasm
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
