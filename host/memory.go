package host

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
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
	growthIntervalMin = 100 * time.Millisecond
	growthIntervalMax = 10 * time.Second
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

// HoldMemory sets up the memory of a process that is a host: the pace of the garbage
// collector, unless GOGC says what it is to be, and large pages for a large heap, until
// the context ends. It returns at once.
func HoldMemory(ctx context.Context) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
	go func() {
		var heap memory.Heap
		for wait := growthIntervalMin; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if heap.Collapse() > 0 {
				wait = growthIntervalMin
			} else {
				wait = min(2*wait, growthIntervalMax)
			}
		}
	}()
}
