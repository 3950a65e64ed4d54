package checkpoint

import "github.com/dgraph-io/badger/v4"

// write is one key of a transaction.
type write struct {
	key, value []byte
	remove     bool
	pooled     bool // value is a buffer of the store's pool

	moved   bool  // the value is what stands at from, and only moves
	skipped bool  // it stands there no more
	from    place // of a value that moves
}

// placed reports whether the value goes to a value file.
func (w *write) placed() bool { return !w.remove && len(w.value) >= valueMinBytes }

// cost is what writes take of a transaction's limits.
type cost struct {
	tree  int // bytes of keys, small values and places
	files int // bytes in value files
}

// cost returns what a write takes: as Badger counts it, key, value or the place
// of the value, the key's version and flags.
func (w write) cost() cost { return costOf(len(w.key), len(w.value)) }

func costOf(key, value int) cost {
	if value < valueMinBytes {
		return cost{tree: key + 32 + value}
	}
	return cost{tree: key + 32 + placeBytes, files: value}
}

func (c cost) plus(d cost) cost { return cost{tree: c.tree + d.tree, files: c.files + d.files} }

// within reports whether a transaction takes it.
func (c cost) within(limit cost) bool { return c.tree <= limit.tree && c.files <= limit.files }

// transact writes all or nothing. It returns when the writes are on the disk; the
// slices are free again then. Those of others that come meanwhile may go with them.
func (s *Store) transact(writes []write) error {
	return s.together.join(writes, s.txnLimit, s.txnWrites, s.transactAll)
}

// transactAll writes several lists of writes in one transaction: large values to a value
// file first, and when they are on the disk, keys and places to Badger.
func (s *Store) transactAll(lists [][]write) error {
	s.skipGone(lists)
	var err error
	if s.places, err = s.values.write(lists, s.places[:0]); err != nil {
		return err
	}
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	var sum cost
	places, stored := s.places, make([]byte, 0, len(s.places)*placeBytes) // Badger may have it longer than this call
	for _, writes := range lists {
		for i := range writes {
			w := &writes[i]
			switch {
			case w.skipped:
				continue
			case w.remove:
				err = txn.Delete(w.key)
			case w.placed():
				first := len(stored)
				stored = appendPlace(stored, w.key, places[0])
				places = places[1:]
				err = txn.SetEntry(badger.NewEntry(w.key, stored[first:len(stored):len(stored)]).WithMeta(metaPlaced))
			default:
				err = txn.SetEntry(badger.NewEntry(w.key, w.value))
			}
			if err != nil {
				return err
			}
			sum = sum.plus(w.cost())
		}
	}
	s.counters.bytesWritten.Add(uint64(sum.tree + sum.files))
	s.counters.transactions.Add(1)
	if err := s.commitTransaction(txn); err != nil {
		s.values.doubt()
		return err
	}
	s.advisor.follow()
	s.values.settled(lists, s.places)
	return nil
}

// skipGone finds the values that were to be moved and are gone, or elsewhere, since: to
// write such a key would bring back what was deleted.
func (s *Store) skipGone(lists [][]write) {
	for _, writes := range lists {
		for i := range writes {
			if w := &writes[i]; w.moved {
				at, ok := s.values.where(w.key)
				w.skipped = !ok || at != w.from
			}
		}
	}
}
