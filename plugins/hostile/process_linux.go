package hostile

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// threadTime is the processor time that this thread has used.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// memoryWatch knows how much memory the process had when it began.
type memoryWatch struct{ before int64 }

// watchMemory begins to watch the peak of the process's memory.
func watchMemory() memoryWatch {
	const resetPeak = "5" // proc(5), /proc/pid/clear_refs
	if os.WriteFile("/proc/self/clear_refs", []byte(resetPeak), 0) != nil {
		return memoryWatch{-1}
	}
	return memoryWatch{status("VmRSS:")}
}

// peak is how much the process has needed beyond what it had, 0 where that cannot be told.
func (m memoryWatch) peak() int64 {
	if m.before < 0 {
		return 0
	}
	return max(0, status("VmHWM:")-m.before)
}

// status reads a number of bytes from /proc/self/status, 0 if it is not there.
func status(name string) int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(text, []byte(name))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
