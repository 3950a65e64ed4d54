package plugins

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tollway/tollway/sdk/abi"
)

// Config are the parameters of a [Runtime]. The zero value is a runtime without a cache on disk
// and with the limits of the ABI.
type Config struct {
	// CacheDir is the folder in which compiled code is kept between runs; it is made if missing.
	// Empty: code is compiled anew in every process, about half a second for a plugin in Go.
	// The folder may be deleted at any time, and may be shared by processes.
	CacheDir string
	// MemoryMaxBytes is the most memory an instance may have, rounded down to 64 KiB; a
	// manifest may ask for less. 0 means abi.MemoryMaxBytes.
	MemoryMaxBytes int64
	// CompileMaxDuration bounds the compilation of one module. 0 means two minutes.
	CompileMaxDuration time.Duration
	// Log receives what plugins write to standard output and standard error, at most 4 KiB a
	// call. It is called on the goroutine of the instance and must not keep the text. Nil drops
	// it all.
	Log func(digest string, text []byte)
}

const compileMaxDefault = 2 * time.Minute

// withDefaults fills in what is zero and reports everything that cannot be.
func (c Config) withDefaults() (Config, error) {
	if c.MemoryMaxBytes == 0 {
		c.MemoryMaxBytes = abi.MemoryMaxBytes
	}
	if c.CompileMaxDuration == 0 {
		c.CompileMaxDuration = compileMaxDefault
	}
	var problems []error
	if c.MemoryMaxBytes < pageSize || c.MemoryMaxBytes > abi.MemoryMaxBytes {
		problems = append(problems, fmt.Errorf("plugins: MemoryMaxBytes must be %d to %d, not %d", pageSize, abi.MemoryMaxBytes, c.MemoryMaxBytes))
	}
	if c.CompileMaxDuration < 0 {
		problems = append(problems, errors.New("plugins: CompileMaxDuration must not be negative"))
	}
	return c, errors.Join(problems...)
}

// Runtime loads modules and keeps them, one for each digest. Its methods may be called
// concurrently.
type Runtime struct {
	config  Config
	tracker *tracker

	mu      sync.Mutex
	modules map[string]*loading
	closed  bool
}

// loading is a module that is there or on its way.
type loading struct {
	done   chan struct{} // closed when module and err are set
	module *Module
	err    error
}

// NewRuntime makes a runtime.
//
// # Errors
//
// Everything that is wrong with the configuration, joined; a cache folder that cannot be used.
func NewRuntime(ctx context.Context, c Config) (*Runtime, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := ensureCacheDir(c.CacheDir); err != nil {
		return nil, err
	}
	return &Runtime{config: c, tracker: newTracker(), modules: map[string]*loading{}}, nil
}

var (
	errClosed     = errors.New("plugins: the runtime is closed")
	errUnfinished = errors.New("plugins: the loading of the module broke off")
)

// Load checks and compiles a module. Loading the same bytes again returns the same Module; two
// goroutines that load one module at once wait for one compilation. A module that could not be
// loaded is tried anew the next time.
//
// # Errors
//
// A sentence that says what the bytes are, if they are no tariff, or what the module does that
// it may not, and what to do.
func (r *Runtime) Load(ctx context.Context, wasm []byte) (*Module, error) {
	digest := Digest(wasm)
	l, mine, err := r.claim(digest)
	for err == nil && !mine {
		select {
		case <-l.done:
			if l.err == nil || !(errors.Is(l.err, context.Canceled) || errors.Is(l.err, context.DeadlineExceeded)) {
				return l.module, l.err
			}
			// Whoever loaded it has given up, which is no reason for others to.
			l, mine, err = r.claim(digest)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	l.err = errUnfinished // stays when the compiler panics: nobody may wait for that module for ever
	defer func() {
		if l.err != nil {
			r.forget(digest)
		}
		close(l.done)
	}()
	l.module, l.err = r.load(ctx, wasm, digest)
	return l.module, l.err
}

// claim returns the entry of a digest, and whether the caller has to fill it.
func (r *Runtime) claim(digest string) (l *loading, mine bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false, errClosed
	}
	if l, ok := r.modules[digest]; ok {
		return l, false, nil
	}
	l = &loading{done: make(chan struct{})}
	r.modules[digest] = l
	return l, true, nil
}

func (r *Runtime) forget(digest string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.modules, digest)
}

// Close frees all modules and what is left of their instances. No instance may be in use.
func (r *Runtime) Close(ctx context.Context) error {
	r.mu.Lock()
	entries, closed := r.modules, r.closed
	r.modules, r.closed = nil, true
	r.mu.Unlock()
	if closed {
		return nil
	}
	var problems []error
	for _, l := range entries {
		<-l.done
		if l.module != nil {
			problems = append(problems, l.module.close(ctx))
		}
	}
	return errors.Join(append(problems, r.tracker.close())...)
}
