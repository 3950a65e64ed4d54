package checkpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Options says how much memory and disk a store may take. Start from
// [DefaultOptions] or [SmallOptions].
type Options struct {
	// MemTableBytes is the size of Badger's write buffer, of which up to five
	// exist at a time. Only keys, and values below 4 KiB, go through it.
	// Recovery after a crash reads what is in them.
	MemTableBytes int64

	// ValueFileBytes is the size from which on a value file is followed by the next; they
	// hold the larger values. A transaction takes half of it, so that commits up to that
	// size are one transaction. Space is given back by the file.
	ValueFileBytes int64

	// FoldMinBytes is the size of a table's runs, without the oldest, below
	// which they are not folded for their size.
	FoldMinBytes int64

	// Journals are the numbers of the logs that are journals, in every
	// partition: logs of few, large entries that the caller replaces and trims
	// itself. Their runs, each of up to 4 MiB or 64 entries of small commits, are
	// never folded, and each entry has a segment of its own. Which logs are journals is not stored, and must not
	// change once they have entries.
	Journals []uint8

	// FoldRunsMax is the number of runs of one table or log above which
	// neighbouring runs are folded. Loading a table reads its runs side by
	// side, one segment (at most 900 kB) of each in memory.
	FoldRunsMax int

	// FreeMinBytes is the free space that has to remain: a commit or a fold
	// that would start below it is refused with a *DiskFullError. 0 checks
	// nothing.
	FreeMinBytes int64

	// NoSync makes a commit durable against the end of the process, but not of
	// the machine. For temporary directories.
	NoSync bool

	// Logger receives what Badger and the fold have to say, at warn and above;
	// nil discards it.
	Logger *slog.Logger

	// Now is the clock for durations in Stats and for pauses after a failed
	// fold. It decides nothing that is stored.
	Now func() time.Time

	// foldByHand leaves folding to the tests.
	foldByHand bool
}

// The bounds of Options.
const (
	memTableMinBytes = 2 << 20
	memTableMaxBytes = 512 << 20
	valueFileMin     = 1 << 20
	valueFileMax     = 1 << 30
)

// DefaultOptions are those of a host: transactions up to 32 MiB, some 100 MB of
// memory when busy beside what a commit refers to.
func DefaultOptions() Options {
	return Options{
		MemTableBytes:  2 << 20,
		ValueFileBytes: 64 << 20,
		FoldMinBytes:   4 << 20,
		FoldRunsMax:    16,
		FreeMinBytes:   512 << 20,
		Now:            time.Now, //nolint:forbidigo // for durations in Stats; decides nothing that is stored
	}
}

// SmallOptions are those of a command that opens a store for a short time:
// transactions up to 8 MiB, some 40 MB of memory when busy.
func SmallOptions() Options {
	o := DefaultOptions()
	o.ValueFileBytes = 16 << 20
	o.FreeMinBytes = 128 << 20
	return o
}

// Validate reports every option that is out of bounds, joined in one error.
func (o Options) Validate() error {
	var problems []error
	within := func(name string, v, low, high int64) {
		if v < low || v > high {
			problems = append(problems, fmt.Errorf("checkpoint: %s is %d, must be from %d to %d", name, v, low, high))
		}
	}
	within("MemTableBytes", o.MemTableBytes, memTableMinBytes, memTableMaxBytes)
	within("ValueFileBytes", o.ValueFileBytes, valueFileMin, valueFileMax)
	within("FoldMinBytes", o.FoldMinBytes, 0, 1<<40)
	within("FoldRunsMax", int64(o.FoldRunsMax), 2, 1024)
	within("FreeMinBytes", o.FreeMinBytes, 0, 1<<50)
	if o.Now == nil {
		problems = append(problems, errors.New("checkpoint: Now is nil"))
	}
	return errors.Join(problems...)
}
