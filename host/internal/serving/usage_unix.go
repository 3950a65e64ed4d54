//go:build unix

package serving

import (
	"syscall"
	"time"
)

// processorTime is what this process has used of the processors since its start; 0
// where the system does not tell.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
