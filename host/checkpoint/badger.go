package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerOptions maps ours to Badger's.
func badgerOptions(path string, o Options) badger.Options {
	b := badger.DefaultOptions(path)
	b.SyncWrites = !o.NoSync
	b.MemTableSize = o.MemTableBytes
	b.NumMemtables = 3
	b.NumCompactors = 2
	b.ValueLogFileSize = o.ValueLogFileBytes
	// Small stores must lower the threshold, which may not exceed a batch;
	// segments are smaller than either.
	b.ValueThreshold = min(b.ValueThreshold, txnMaxBytes(o))
	// One goroutine writes a partition, so there is nothing to conflict with.
	b.DetectConflicts = false
	b.MetricsEnabled = false
	// Segments carry sums of their own; Badger's checks on read end iterators
	// early or panic in its goroutines.
	b.ChecksumVerificationMode = options.NoVerification
	// Badger builds tables in memory that it doubles when it is too small, and
	// keeps. So a block has room for a segment, which is not copied into ever
	// larger ones then, and a table file takes a quarter of a memtable. With the
	// defaults the process takes 2.5 times as much.
	b.BlockSize = SegmentMaxBytes + 4096
	b.BaseTableSize = o.MemTableBytes / 4
	b.TableSizeMultiplier = 1
	// A first level that takes a whole memtable is compacted less often.
	b.BaseLevelSize = o.MemTableBytes
	// Uncompressed blocks are read from the memory map and need no cache.
	b.Compression = options.None
	b.BlockCacheSize = 0
	b.Logger = badgerLogger{o.Logger}
	return b
}

// txnMaxBytes is what Badger takes in one transaction: 15 % of a memtable.
func txnMaxBytes(o Options) int64 { return o.MemTableBytes * 15 / 100 }

// openBadger opens Badger and turns a panic over damaged files into an error,
// where it happens in this goroutine.
func openBadger(path string, o Options) (db *badger.DB, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			db, err = nil, fmt.Errorf("panic: %v", cause)
		}
		if err != nil {
			err = fmt.Errorf("checkpoint: open %s: %w: if it does not open again, move the data directory away and let the state be rebuilt from the log", path, err)
		}
	}()
	if err := removeEmptyLogs(path); err != nil {
		return nil, err
	}
	return badger.Open(badgerOptions(path, o))
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

// get reads the value of a key into dst. Damaged tables make Badger panic; here
// that is an error like any other damage.
func get(txn *badger.Txn, key, dst []byte) (value []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			value, err = nil, fmt.Errorf("unreadable: %v", cause)
		}
	}()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(dst[:0])
}

// lend calls fn with the value of a key as it lies in Badger, which it may not
// keep. Damage is an error as in get; what fn returns or panics with passes.
func lend(txn *badger.Txn, key []byte, fn func(value []byte) error) (err error) {
	lent := false
	defer func() {
		if lent {
			return
		}
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unreadable: %v", cause)
		}
	}()
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return errMissing
	}
	if err != nil {
		return err
	}
	return item.Value(func(value []byte) error {
		lent = true
		return fn(value)
	})
}

// visit calls fn for every key under a prefix, with its value when asked for.
// Both are valid during the call.
func (s *Store) visit(prefix []byte, values bool, fn func(key, value []byte) error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("checkpoint: read %s: %v", s.dir.path, cause)
		}
	}()
	return s.db.View(func(txn *badger.Txn) error {
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
	})
}

// write is one key of a transaction.
type write struct {
	key, value []byte
	remove     bool
	pooled     bool // value is a buffer of the store's pool
}

// size is what Badger counts against a transaction's limit: key, value, the
// key's version and two bytes of flags.
func (w write) size() int { return len(w.key) + len(w.value) + 8 + 2 + 2 }

// transact writes all or nothing. It returns when the transaction is on the
// disk; the slices are free again then.
func (s *Store) transact(writes []write) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range writes {
		var err error
		if w.remove {
			err = txn.Delete(w.key)
		} else {
			err = txn.SetEntry(badger.NewEntry(w.key, w.value))
		}
		if err != nil {
			return err
		}
		s.counters.bytesWritten.Add(uint64(w.size()))
	}
	s.counters.transactions.Add(1)
	return s.commitTransaction(txn)
}

// badgerLogger passes Badger's warnings and errors on.
type badgerLogger struct{ to *slog.Logger }

// Errorf passes an error on.
func (l badgerLogger) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }

// Warningf passes a warning on.
func (l badgerLogger) Warningf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }

// Infof drops what Badger does as a matter of course.
func (l badgerLogger) Infof(string, ...any) {}

// Debugf drops what only Badger's authors need.
func (l badgerLogger) Debugf(string, ...any) {}

func (l badgerLogger) log(level slog.Level, format string, args []any) {
	l.to.Log(context.Background(), level, "badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)))
}
