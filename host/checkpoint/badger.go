package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerOptions maps ours to Badger's. What Badger only logs is noted in t.
func badgerOptions(path string, o Options, t *troubles) badger.Options {
	b := badger.DefaultOptions(path)
	b.SyncWrites = !o.NoSync
	b.MemTableSize = o.MemTableBytes
	// What is large stands in value files of our own, and nothing in Badger's value log,
	// which is the one file that there is from the start. What remains is little: keys,
	// places and small values.
	b.ValueLogFileSize = badgerLogBytes
	b.ValueThreshold = valueMinBytes
	b.NumMemtables = 5
	b.NumCompactors = 2
	// Every table of level 0 is merged at once: it costs nothing.
	b.NumLevelZeroTables = 1
	// One goroutine writes a partition, so there is nothing to conflict with.
	b.DetectConflicts = false
	b.MetricsEnabled = false
	// Segments carry sums of their own; Badger's checks on read end iterators
	// early or panic in its goroutines.
	b.ChecksumVerificationMode = options.NoVerification
	// Uncompressed blocks are read from the memory map and need no cache. A
	// block has room for the largest small value.
	b.BlockSize = valueMinBytes + 4096
	b.Compression = options.None
	b.BlockCacheSize = 0
	b.Logger = badgerLogger{to: o.Logger, troubles: t}
	return b
}

// badgerLogBytes is the least that Badger allows for a file of its value log.
const badgerLogBytes = 1 << 20

// openBadger opens Badger and turns a panic over damaged files into an error,
// where it happens in this goroutine.
func openBadger(path string, o Options, t *troubles) (db *badger.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			db, err = nil, fmt.Errorf("panic: %v", cause)
		}
		if err != nil {
			err = brokenOr(path, err)
		}
	}()
	if err := removeEmptyLogs(path); err != nil {
		return nil, err
	}
	b := badgerOptions(path, o, t)
	if err := checkTables(path, b); err != nil {
		return nil, err
	}
	return badger.Open(b)
}

// brokenOr makes a *BrokenError of what Badger says of its files. What the system
// says, such as that there is no space or no permission, is no damage.
func brokenOr(path string, err error) error {
	var system syscall.Errno
	if errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("checkpoint: open %s: %w", path, err)
	}
	return &BrokenError{Dir: filepath.Dir(path), Err: err}
}

// removeEmptyLogs removes Badger's log files that have no bytes. A process that
// was killed while Badger made or removed one leaves it, and Badger 4.9 refuses
// to open over it (its issue 2207). Such a file held nothing, or nothing that
// was not in a table by then.
func removeEmptyLogs(path string) error {
	files, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range files {
		if extension := filepath.Ext(file.Name()); extension != ".mem" && extension != ".vlog" {
			continue
		}
		info, err := file.Info()
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(path, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

// badgerLogger passes Badger's warnings and errors on.
type badgerLogger struct {
	to       *slog.Logger
	troubles *troubles
}

// Errorf passes an error on. One Badger logs and tries on for ever: that a buffer of keys
// could not be written.
func (l badgerLogger) Errorf(format string, args ...any) {
	if strings.HasPrefix(format, flushError) {
		l.troubles.notFlushed(strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
	}
	l.log(slog.LevelError, format, args)
}

// Warningf passes a warning on.
func (l badgerLogger) Warningf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }

// Infof drops what Badger does as a matter of course.
func (l badgerLogger) Infof(string, ...any) {}

// Debugf drops what only Badger's authors need.
func (l badgerLogger) Debugf(string, ...any) {}

func (l badgerLogger) log(level slog.Level, format string, args []any) {
	l.to.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
}
