package checkpoint

import (
	"errors"
	"fmt"
	"strings"
)

// ErrClosed is returned by every method of a store, or of a partition of it,
// after [Store.Close].
var ErrClosed = errors.New("checkpoint: the store is closed")

// ErrTooLarge is wrapped by the error of a [Partition.Commit] that was refused
// before anything was written, because a key, an entry, the header or the
// commit record exceeds its limit.
var ErrTooLarge = errors.New("too large")

// ErrUncertain is wrapped by the error of a write that failed half-way: whether
// it took place is known only after the store was opened again. The partition
// takes no further commits until then.
var ErrUncertain = errors.New("outcome unknown until the store is opened again")

// ErrTrimmed is wrapped by the error of a read of log entries below
// [Partition.LogFirst].
var ErrTrimmed = errors.New("trimmed")

// ErrNoEntry is wrapped by the error of [Partition.Entry] for a number beyond
// the end of the log.
var ErrNoEntry = errors.New("no such entry")

// InUseError says that another process, or this one, has the directory open.
type InUseError struct {
	Dir  string // the data directory
	PID  int    // the process that holds it; 0 when unknown
	Host string // the machine it runs on; "" when unknown
}

// Error names the directory, the holder and the way out.
func (e *InUseError) Error() string {
	holder := "another process"
	if e.PID != 0 {
		holder = fmt.Sprintf("process %d", e.PID)
		if e.Host != "" {
			holder += " on " + e.Host
		}
	}
	return fmt.Sprintf("data directory %s is in use by %s: stop it or choose another directory", e.Dir, holder)
}

// VersionError says that a data directory was written in a format that this
// program does not read, or is not a data directory at all.
type VersionError struct {
	Dir   string // the data directory
	Found string // the first line of its VERSION file; "" when there is none
	Older bool   // an earlier release wrote it
}

// Error names the formats and the way out.
func (e *VersionError) Error() string {
	if e.Found == "" {
		return fmt.Sprintf("data directory %s holds state but no %s file: restore the file or choose another directory", e.Dir, versionName)
	}
	return fmt.Sprintf("data directory %s has format %q, this program reads %q: use the program that wrote it, or choose another directory and let the state be rebuilt from the log",
		e.Dir, e.Found, versionText)
}

// BrokenError says that a data directory is damaged so that no partition of it
// can be opened. [SetAside] makes room for another one.
type BrokenError struct {
	Dir string
	Err error
}

// Error names the directory and the damage.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("checkpoint: data directory %s is damaged: %v", e.Dir, e.Err)
}

// Unwrap returns the cause.
func (e *BrokenError) Unwrap() error { return e.Err }

// CorruptError says that stored bytes are not the ones written: a sum differs,
// a segment is missing, a count does not match. Nothing of the damaged segment
// was handed out.
type CorruptError struct {
	Partition int
	Log       bool   // Table is the number of a log
	Table     uint8  // the table (or log) that is damaged; meaningless when Run is 0
	Run       uint64 // the run that is damaged; 0 when the commit record is
	Segment   int    // the segment within the run; -1 when the run as a whole is damaged
	Reason    string
}

// Error names the place and what is wrong there.
func (e *CorruptError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "checkpoint: partition %d: ", e.Partition)
	switch {
	case e.Run == 0:
		b.WriteString("commit record")
	case e.Log:
		fmt.Fprintf(&b, "log %d: run %#x", e.Table, e.Run)
	default:
		fmt.Fprintf(&b, "table %d: run %#x", e.Table, e.Run)
	}
	if e.Run != 0 && e.Segment >= 0 {
		fmt.Fprintf(&b, ": segment %d", e.Segment)
	}
	b.WriteString(": damaged: ")
	b.WriteString(e.Reason)
	return b.String()
}

// DiskFullError says that a write was refused, before anything was written,
// because it would leave too little space: Badger writes through memory maps,
// and a full disk would kill the process. The commit may be tried again.
type DiskFullError struct {
	Dir       string // the data directory
	FreeBytes int64  // what is free
	NeedBytes int64  // what has to be free
}

// Error names the directory, both figures and the way out.
func (e *DiskFullError) Error() string {
	return fmt.Sprintf("data directory %s: %d MiB free, %d MiB needed: free some space", e.Dir, e.FreeBytes>>20, e.NeedBytes>>20)
}
