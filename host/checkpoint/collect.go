package checkpoint

import (
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
)

// collectPercent is the part of a value log file that has to be dead before the
// rest is moved and the file removed: so the value log is at most about twice as
// large as what lives, and what was not yet merged.
const collectPercent = 50

// discardName is the file in which Badger counts what is dead.
const discardName = "DISCARD"

// collect removes one file of the value log that is dead enough, after a file's
// worth was written, and reports whether there may be another.
func (f *folder) collect() (more bool, err error) {
	s := f.store
	if s.logWritten.Load() < s.options.ValueLogFileBytes {
		return false, nil
	}
	if !s.pins.TryLock() {
		return false, nil // the next commit asks again
	}
	defer s.pins.Unlock()
	ratio, _ := big.NewRat(collectPercent, 100).Float64()
	err = s.db.RunValueLogGC(ratio)
	switch {
	case err == nil:
		s.counters.collected.Add(1)
		return true, nil
	case errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected):
		err = nil
	}
	s.logWritten.Store(0)
	if p := f.next(); p != nil {
		err = errors.Join(err, f.adopt(p))
	}
	// Badger counts in mapped memory and never waits for the disk. A machine that
	// dies now forgets nothing of what was counted up to here.
	return false, errors.Join(err, syncFile(filepath.Join(s.dir.badgerPath(), discardName)))
}

// next returns the open partitions in turn, nil when there is none. One that was
// stopped is left as it is.
func (f *folder) next() *Partition {
	open := f.open(f.adopted)
	if len(open) == 0 {
		return nil
	}
	f.adopted = open[0].number
	if open[0].failed.Load() != nil {
		return nil
	}
	return open[0]
}

// syncFile waits until a file is on the disk. One that does not exist is.
func syncFile(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
