//go:build unix

package serving

import (
	"os"
	"runtime"
	"syscall"
)

// peakMemory is the most memory that a process that has ended had resident, bytes.
func peakMemory(p *os.ProcessState) int64 {
	usage, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin":
		return int64(usage.Maxrss) //nolint:unconvert // it is 32 bits wide elsewhere
	default:
		return int64(usage.Maxrss) << 10 //nolint:unconvert // it is 32 bits wide elsewhere
	}
}
