package checkpoint

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
)

// moment is the store as it is when the moment begins, for a reader: what is deleted
// later stays on the disk until it ends.
type moment struct {
	store *Store
	txn   *badger.Txn
	turn  uint64
}

// moment begins one, which end ends.
func (s *Store) moment() moment {
	turn := s.values.hold() // first: what the transaction sees must be there
	return moment{store: s, turn: turn, txn: s.db.NewTransaction(false)}
}

// end ends the moment.
func (m *moment) end() {
	m.txn.Discard()
	m.store.values.release(m.turn)
	if m.store.values.hasDoomed() {
		m.store.folder.wake()
	}
}

// errMissing says that a key has no value.
var errMissing = errors.New("missing")

// get copies the value of a key into dst. Damage is an error, where Badger panics over
// it as well.
func (m *moment) get(key, dst []byte) (value []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("unreadable: %v", cause)
		}
	}()
	item, err := m.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, errMissing
	}
	if err != nil {
		return nil, err
	}
	return m.valueOf(item, dst)
}

// valueOf copies the value of an item into dst.
func (m *moment) valueOf(item *badger.Item, dst []byte) (value []byte, err error) {
	err = item.Value(func(b []byte) error {
		if item.UserMeta() != metaPlaced {
			value = append(dst[:0], b...)
			return nil
		}
		at, err := parsePlace(item.Key(), b)
		if err != nil {
			return err
		}
		if at.size > valueMaxBytes {
			return errPlace
		}
		if uint32(cap(dst)) < at.size {
			dst = make([]byte, at.size)
		}
		value = dst[:at.size]
		return m.store.values.read(at, value, 0)
	})
	return value, err
}

// valueMaxBytes is more than a value can have: a segment, or a commit record, which has
// no more.
const valueMaxBytes = 2 * SegmentMaxBytes

// lend calls fn with the value of a key, which it may not keep. Damage is an error as in
// get.
func (m *moment) lend(key []byte, fn func(value []byte) error) error {
	value, err := m.get(key, m.store.buffers.take())
	if err != nil {
		return err
	}
	defer m.store.buffers.give(value)
	return fn(value)
}

// visit calls fn for every key under a prefix, with its value when asked for.
// Both are valid during the call.
func (s *Store) visit(prefix []byte, values bool, fn func(key, value []byte) error) error {
	m := s.moment()
	defer m.end()
	var buffer []byte
	return eachItem(m.txn, prefix, func(item *badger.Item) (err error) {
		if !values {
			return fn(item.Key(), nil)
		}
		if buffer, err = m.valueOf(item, buffer); err != nil {
			return err
		}
		return fn(item.Key(), buffer)
	})
}

// eachItem calls fn for every key under a prefix.
func eachItem(txn *badger.Txn, prefix []byte, fn func(item *badger.Item) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("checkpoint: read keys under %x: %v", prefix, cause)
		}
	}()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := fn(it.Item()); err != nil {
			return err
		}
	}
	return nil
}
