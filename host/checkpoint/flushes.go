package checkpoint

import (
	"errors"
	"fmt"
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// Badger writes a full buffer of keys to a table, and when that fails tries again every
// second, for ever: a commit that waits for room, and Close, would wait as long. So both
// count the failures while they wait. What is in the buffer is in its log as well, which
// the next open reads.
const (
	commitTries = 30 // failures that a commit waits for
	closeTries  = 5  // and Close
)

// flushError begins what Badger says of such a failure.
const flushError = "error flushing memtable to disk"

// FlushError says that Badger's buffer could not be written, again and again. Whether the
// commit that waited for it took place is uncertain; those before it are on the disk.
type FlushError struct {
	Dir   string
	Tries int
	Last  string // what was said of the last failure
}

// Error says what it was.
func (e *FlushError) Error() string {
	return fmt.Sprintf("data directory %s: the disk did not take what has to be written, %d times: %s", e.Dir, e.Tries, e.Last)
}

// troubles is what Badger only logs.
type troubles struct {
	mu      sync.Mutex
	flushes int           // failures to write a buffer of keys
	last    string        // of them
	more    chan struct{} // closed and replaced when there are more
}

func newTroubles() *troubles { return &troubles{more: make(chan struct{})} }

// notFlushed notes that a buffer could not be written.
func (t *troubles) notFlushed(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushes++
	t.last = text
	close(t.more)
	t.more = make(chan struct{})
}

// failures returns how many there were, the last one, and a channel that is closed when
// there are more.
func (t *troubles) failures() (n int, last string, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flushes, t.last, t.more
}

// await returns what comes from done, or an error after so many failures meanwhile.
func (t *troubles) await(done <-chan error, tries int, dir string) error {
	before, _, _ := t.failures()
	for {
		n, last, more := t.failures()
		select {
		case err := <-done:
			return err
		default:
		}
		if n-before >= tries {
			return &FlushError{Dir: dir, Tries: tries, Last: last}
		}
		select {
		case err := <-done:
			return err
		case <-more:
		}
	}
}

// commit ends a transaction, and waits no longer than Badger is able to make room for it.
func (s *Store) commit(txn *badger.Txn) error {
	done := make(chan error, 1)
	txn.CommitWith(func(err error) { done <- err })
	err := s.troubles.await(done, s.commitTries, s.dir.path)
	if stuck := (*FlushError)(nil); errors.As(err, &stuck) {
		s.buffers.abandon() // Badger may still come to read them
	}
	return err
}

// closeBadger closes Badger, and waits no longer than it is able to write what it has in
// memory. A store that it gives up keeps its directory locked until the process ends,
// since Badger still tries.
func (s *Store) closeBadger() error {
	done := make(chan error, 1)
	go func() { done <- s.db.Close() }()
	return s.troubles.await(done, s.closeTries, s.dir.path)
}
