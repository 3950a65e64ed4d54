package host

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tollway/tollway/host/internal/memory"
)

// collectPercent is by how much a host's memory may grow over what lives in it
// before garbage is collected. The state of many accounts is large and little
// garbage comes on top: Go's own 100 would double the memory, and spare half of the
// collector's time, which is a few hundredths of the whole.
const collectPercent = 70

// How often it is looked whether the heap has grown, while it grows and when it has
// not for long.
const (
	growthIntervalMin = 10 * time.Millisecond
	growthIntervalMax = time.Second
)

// ShareProcessors sets up the processors of a process that is a host, and returns what
// [Config.Turns] is to be. It is called before anything else runs.
//
// Go's scheduler looks whether something has come from the network only where nothing
// else is ready to run, or every ten milliseconds. While partitions work without a
// pause, on as many processors as it has, a query would wait that long for each of its
// steps. So the scheduler is given twice as many as there are, of which partitions take
// half: the other half wait in the system's hands, which gives who wakes up a processor
// at once. GOMAXPROCS in the environment says otherwise.
func ShareProcessors() (turns int) {
	turns = runtime.GOMAXPROCS(0)
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * turns)
	}
	return turns
}

// Memory is how a process that is a host holds its memory.
type Memory struct {
	mu      sync.Mutex
	percent int // of the collector when no host is being opened; 0 is left as it is
	opening int // hosts that are
}

// HoldMemory sets up the memory of a process that is a host: the pace of the garbage
// collector, unless GOGC says what it is to be, and room in large pages for the heap, until
// the context ends. It returns at once. What it returns is for [Config.Memory].
func HoldMemory(ctx context.Context) *Memory {
	m := &Memory{}
	if os.Getenv("GOGC") == "" {
		m.percent = collectPercent
		debug.SetGCPercent(m.percent)
	}
	var heap memory.Heap
	heap.Grow()
	go func() {
		for wait := growthIntervalMin; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			switch {
			case m.isOpening():
			case heap.Grow():
				wait = growthIntervalMin
			default:
				wait = min(2*wait, growthIntervalMax)
			}
		}
	}()
	return m
}

// open lets the heap grow as it likes until the function that it returns is called:
// what a host reads while it is opened stays, so that nearly all of what the collector
// would look at again and again is alive, and large pages can wait. What is garbage of
// it is little beside the state. A limit of memory that the environment sets
// (GOMEMLIMIT) holds all the same.
func (m *Memory) open() (opened func()) {
	if m == nil {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.opening++; m.opening == 1 && m.percent != 0 {
		debug.SetGCPercent(-1)
	}
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.opening--; m.opening == 0 && m.percent != 0 {
			debug.SetGCPercent(m.percent)
		}
	})
}

func (m *Memory) isOpening() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opening > 0
}
