package checkpoint

import (
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"
)

// write is one key of a transaction.
type write struct {
	key, value []byte
	remove     bool
	pooled     bool // value is a buffer of the store's pool
}

// cost is what writes take of a transaction's limits.
type cost struct {
	tree int // bytes of keys and small values
	log  int // bytes in the value log
}

// cost returns what a write takes: as Badger counts it, key, value or the place
// of the value, the key's version and flags; in the value log a header and a sum
// beside key and value.
func (w write) cost() cost { return costOf(len(w.key), len(w.value)) }

func costOf(key, value int) cost {
	if value < logMinBytes {
		return cost{tree: key + 32 + value}
	}
	return cost{tree: key + 32, log: key + value + 64}
}

func (c cost) plus(d cost) cost { return cost{tree: c.tree + d.tree, log: c.log + d.log} }

// within reports whether a transaction takes it.
func (c cost) within(limit cost) bool { return c.tree <= limit.tree && c.log <= limit.log }

// transact writes all or nothing. It returns when the writes are on the disk; the
// slices are free again then. Those of others that come meanwhile may go with them.
func (s *Store) transact(writes []write) error {
	return s.together.join(writes, s.txnLimit, s.txnWrites, s.transactAll)
}

// transactAll writes several lists of writes in one transaction.
func (s *Store) transactAll(lists [][]write) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	var sum cost
	for _, writes := range lists {
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
			sum = sum.plus(w.cost())
		}
	}
	ballast := s.ballast.draw(sum.log)
	sum.tree += len(ballast)
	for n := byte(0); len(ballast) > 0; n++ {
		value := ballast[:min(len(ballast), ballastValueBytes)]
		if err := txn.Set([]byte{prefixBallast, n}, value); err != nil {
			return err
		}
		ballast = ballast[len(value):]
	}
	s.counters.bytesWritten.Add(uint64(sum.tree + sum.log))
	s.counters.transactions.Add(1)
	if err := s.commitTransaction(txn); err != nil {
		return err
	}
	if s.troubles.isUnsynced() {
		return errUnsynced
	}
	s.advisor.follow()
	s.logWritten.Add(int64(sum.log))
	s.unmapWritten(lists, sum.log)
	return nil
}

// errUnsynced says that Badger could not sync its value log. What the disk has
// is uncertain for every later write as well.
var errUnsynced = errors.New("the value log could not be synced")

// unmapBytes is how much of the value log may come into the process's memory before
// a file is taken out of it. That costs as much as some fifty looks at single places.
const unmapBytes = 16 << 20

// mapped notes that so many bytes of the value log came into the process's resident
// memory, of which they would be a part until Badger removes the file, and reports
// whether it is time to unmap a file. The pages stay in the system's cache.
func (s *Store) mapped(bytes int) bool {
	if s.inMemory.Add(int64(bytes)) < unmapBytes {
		return false
	}
	s.inMemory.Store(0)
	return true
}

// unmapWritten takes what was written to the value log out of memory.
func (s *Store) unmapWritten(lists [][]write, bytes int) {
	if bytes == 0 || !s.mapped(bytes) {
		return
	}
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	for _, writes := range slices.Backward(lists) {
		for _, w := range slices.Backward(writes) {
			if len(w.value) < logMinBytes {
				continue
			}
			// A value that is gone already, or damaged, is not this one's concern.
			_ = lend(txn, w.key, func(value []byte, mapped bool) error {
				if mapped {
					unmap(value)
				}
				return nil
			})
			return
		}
	}
}
