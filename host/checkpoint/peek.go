package checkpoint

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// peekBytes is about what the system maps of a file when one place is looked at: it
// maps what is in its cache around the place, in pieces of various sizes.
const peekBytes = 256 << 10

// peeked remembers the items of segments that were peeked at. To find one anew, through
// Badger's buffers and tables, takes some twenty allocations; to look where it was found,
// one. Where its value was moved since, when the value log was collected, the file that the
// item names is gone, as Badger never gives a number to a second one, and it is found anew.
type peeked struct {
	mu    sync.Mutex
	items map[peekedAt]*badger.Item
}

// peekedAt names a segment. A run's number is never given out again, and what a segment
// holds does not change.
type peekedAt struct {
	run   uint64
	index uint32
}

// peekedMax bounds the memory of what is remembered, some 400 bytes an item.
const peekedMax = 1 << 15

// put remembers an item. When there are too many it begins anew.
func (k *peeked) put(at peekedAt, item *badger.Item) {
	if k.items == nil || len(k.items) >= peekedMax {
		k.items = map[peekedAt]*badger.Item{}
	}
	k.items[at] = item
}

// Peek is View without the check of the sum, for a caller who wants a small
// part of a large entry of a journal and checks it by a sum within: what is not
// looked at is not read from the disk. Entries that do not lie in one piece are
// checked, read and joined. One call waits for another.
func (p *Partition) Peek(log uint8, n uint64, fn func(entry []byte) error) error {
	p.peeked.mu.Lock()
	defer p.peeked.mu.Unlock()
	if done, err := p.peekAgain(log, n, fn); done {
		return err
	}
	return p.entry(log, n, func(txn *badger.Txn, f family, r run) error {
		if !p.alone(log, r) {
			scan := logScan{store: p.store, txn: txn, family: f, from: n, left: 1, fn: func(_ uint64, entry []byte) error { return fn(entry) }}
			return scan.run(r)
		}
		return p.peek(txn, f, r, n, fn)
	})
}

// peekAgain looks where the entry was found before. It reports false where that is not
// known, or nothing good is there any more; then Peek says why.
func (p *Partition) peekAgain(log uint8, n uint64, fn func(entry []byte) error) (done bool, err error) {
	if err := p.store.enter(); err != nil {
		return true, err
	}
	defer p.store.leave()
	f := p.state.Load().find(p.log(log))
	if n == 0 || f == nil || n < f.first || n >= f.next() {
		return false, nil
	}
	r := f.runs[f.search(n)]
	at := peekedAt{r.id, uint32(n - r.first)}
	item := p.peeked.items[at]
	if item == nil {
		return false, nil
	}
	_, err = lendItem(item, false, func(value []byte, mapped bool) error {
		done, err = p.show(value, mapped, n, fn)
		return err
	})
	if !done {
		delete(p.peeked.items, at)
	}
	return done, err
}

// peek finds an entry that has a segment of its own, shows it and remembers its item.
func (p *Partition) peek(txn *badger.Txn, f family, r run, n uint64, fn func(entry []byte) error) error {
	key := appendSegmentKey(make([]byte, 0, segmentKeySize), f, r.id, uint32(n-r.first))
	for try := 1; ; try++ {
		item, err := find(txn, key)
		shown := false
		if err == nil {
			_, err = lendItem(item, try == lendTries, func(value []byte, mapped bool) (err error) {
				shown, err = p.show(value, mapped, n, fn)
				return err
			})
		}
		switch {
		case shown:
			p.peeked.put(peekedAt{r.id, uint32(n - r.first)}, item)
			return err
		case err != nil:
			return f.corrupt(r.id, int(n-r.first), err.Error())
		}
	}
}

// show calls fn with the entry that a segment holds alone. It reports false where the
// segment is not what it should be, which the error says then.
func (p *Partition) show(value []byte, mapped bool, n uint64, fn func(entry []byte) error) (shown bool, err error) {
	if mapped && p.store.mapped(peekBytes) {
		defer unmap(value)
	}
	s, err := parseHeader(value)
	if err != nil {
		return false, err
	}
	entry, err := s.only(n)
	if err != nil {
		return false, err
	}
	return true, fn(entry)
}
