package host

import (
	"os"
	"runtime/debug"
)

// collectPercent is by how much a host's memory may grow over what lives in it
// before garbage is collected. The state of many accounts is large and little
// garbage comes on top: Go's own 100 would double the memory, and spare half of the
// collector's time, which is a few hundredths of the whole.
const collectPercent = 70

// HoldMemory sets the pace of the garbage collector for a process that is a host,
// unless GOGC says what it is to be.
func HoldMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectPercent)
	}
}
