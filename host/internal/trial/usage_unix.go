//go:build unix

package trial

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// processUsage asks the system. Only Linux tells memory in use now, and bytes
// written.
func processUsage() usage {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}
	}
	u := usage{cpu: time.Duration(r.Utime.Nano() + r.Stime.Nano()), peak: int64(r.Maxrss)} //nolint:unconvert // it is 32 bits wide elsewhere
	if runtime.GOOS != "darwin" {
		u.peak <<= 10 // it is in KiB
	}
	if runtime.GOOS != "linux" {
		return u
	}
	status := fields("/proc/self/status")
	u.rss, u.peak = status["VmRSS"]<<10, status["VmHWM"]<<10
	u.written = fields("/proc/self/io")["write_bytes"]
	return u
}

// fields reads the numbers of a file with lines like "name: 123 kB".
func fields(name string) map[string]int64 {
	values := map[string]int64{}
	text, err := os.ReadFile(name)
	if err != nil {
		return values // a system without it tells nothing
	}
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(line, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			values[key] = n
		}
	}
	return values
}
