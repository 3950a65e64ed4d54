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
	b.ValueLogFileSize = o.ValueLogFileBytes
	// What is large goes to the value log, once: through the write buffer it
	// would be copied into the log of the buffer, the buffer, a table and the
	// table's successors, at four times the processor time and three times the
	// bytes written. What remains is little: keys, pointers and small values.
	b.ValueThreshold = logMinBytes
	b.NumMemtables = 5
	b.NumCompactors = 2
	// Every table of level 0 is merged at once. It costs nothing, and only then
	// does Badger know what in the value log is dead.
	b.NumLevelZeroTables = 1
	// One goroutine writes a partition, so there is nothing to conflict with.
	b.DetectConflicts = false
	b.MetricsEnabled = false
	// Segments carry sums of their own; Badger's checks on read end iterators
	// early or panic in its goroutines.
	b.ChecksumVerificationMode = options.NoVerification
	// Uncompressed blocks are read from the memory map and need no cache. A
	// block has room for the largest small value.
	b.BlockSize = logMinBytes + 4096
	b.Compression = options.None
	b.BlockCacheSize = 0
	b.Logger = badgerLogger{to: o.Logger, troubles: t}
	return b
}

// logMinBytes is the size of a value from which on it goes to the value log. What is
// smaller fills write buffers, and each of those is written to a table and merged: some
// 50 ms of a processor at a time, for which others wait.
const logMinBytes = 4 << 10

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

// errMissing says that a key has no value.
var errMissing = errors.New("missing")

// get copies the value of a key into dst. Damaged tables make Badger panic; here
// that is an error like any other damage.
func get(txn *badger.Txn, key, dst []byte) (value []byte, err error) {
	err = lend(txn, key, func(v []byte, _ bool) error {
		value = append(dst[:0], v...)
		return nil
	})
	return value, err
}

// lendTries is how often lend looks for a value whose file is gone: the value
// log was collected, and the value moved, after Badger had looked up its place.
const lendTries = 3

// lend calls fn with the value of a key as it lies in Badger, which it may not
// keep; mapped says that this is a file mapped into memory. Damage is an error
// as in get; what fn returns or panics with passes.
func lend(txn *badger.Txn, key []byte, fn func(value []byte, mapped bool) error) error {
	for try := 1; ; try++ {
		item, err := find(txn, key)
		if err != nil {
			return err
		}
		if lent, err := lendItem(item, try == lendTries, fn); lent || err != nil {
			return err
		}
	}
}

// find returns Badger's item of a key.
func find(txn *badger.Txn, key []byte) (item *badger.Item, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unreadable: %v", cause)
		}
	}()
	if item, err = txn.Get(key); errors.Is(err, badger.ErrKeyNotFound) {
		err = errMissing
	}
	return item, err
}

// lendItem is lend for an item that was found. It reports false, unless it is the last
// try, where the item's value is not in its place any more.
func lendItem(item *badger.Item, last bool, fn func(value []byte, mapped bool) error) (lent bool, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch cause := recover(); {
		case cause == nil:
		case lent && !isFault(cause):
			panic(cause) //nolint:forbidigo // it is fn's, and passes
		default:
			err = fmt.Errorf("unreadable: %v", cause)
		}
	}()
	err = item.Value(func(value []byte) error {
		if len(value) == 0 && !last { // none is stored empty
			return nil
		}
		lent = true
		// A value in a table is copied to the heap. The size of one in the
		// value log includes a header and a sum, that of others does not.
		return fn(value, item.EstimatedSize() > int64(len(item.Key())+len(value)))
	})
	return lent, err
}

// isFault reports whether a panic says that memory could not be read. That is what a
// disk's read error in a mapped file comes to: a signal, which ends the process
// where [debug.SetPanicOnFault] does not say otherwise.
func isFault(cause any) bool {
	_, ok := cause.(interface{ Addr() uintptr })
	return ok
}

// visit calls fn for every key under a prefix, with its value when asked for.
// Both are valid during the call.
func (s *Store) visit(prefix []byte, values bool, fn func(key, value []byte) error) error {
	return visitIn(s.db.NewTransaction(false), prefix, values, fn)
}

// visitIn is visit in a transaction, which it discards.
func visitIn(txn *badger.Txn, prefix []byte, values bool, fn func(key, value []byte) error) (err error) {
	defer txn.Discard()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("checkpoint: read keys under %x: %v", prefix, cause)
		}
	}()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix, PrefetchValues: values, PrefetchSize: 16})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if !values {
			if err := fn(item.Key(), nil); err != nil {
				return err
			}
			continue
		}
		if err := item.Value(func(v []byte) error { return fn(item.Key(), v) }); err != nil {
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

// Errorf passes an error on. One it only logs, and acknowledges the write: that
// the value log could not be synced. Another it logs and tries on for ever: that a
// buffer of keys could not be written.
func (l badgerLogger) Errorf(format string, args ...any) {
	switch {
	case strings.HasPrefix(format, logSyncError):
		l.troubles.notSynced()
	case strings.HasPrefix(format, flushError):
		l.troubles.notFlushed(strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
	case strings.HasPrefix(format, movedError), strings.HasPrefix(format, movedWhere):
		return
	}
	l.log(slog.LevelError, format, args)
}

// logSyncError begins Badger's message.
const logSyncError = "Error while curlf sync"

// movedError and movedWhere begin what Badger says where the file of a value is gone. It
// was collected and the value moved, which is as it should be: who reads looks again, and
// tells when nothing is there.
const (
	movedError = "Unable to read: Key:"
	movedWhere = "Key: %v, Version :"
)

// Warningf passes a warning on.
func (l badgerLogger) Warningf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }

// Infof drops what Badger does as a matter of course.
func (l badgerLogger) Infof(string, ...any) {}

// Debugf drops what only Badger's authors need.
func (l badgerLogger) Debugf(string, ...any) {}

func (l badgerLogger) log(level slog.Level, format string, args []any) {
	l.to.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
}
