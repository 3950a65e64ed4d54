package checkpoint

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Partition is the state of one partition. Commit may not be called by two
// goroutines at once; everything else may be called by any number of them, also
// beside a Commit.
type Partition struct {
	store  *Store
	number uint16

	// state is the newest checkpoint. Who holds mu replaces it.
	state atomic.Pointer[state]

	// failed is set once, when the partition must not be written any more.
	failed atomic.Pointer[failure]

	// mu orders the writers of the commit record: Commit and the fold's swap.
	// It guards the fields below, which are kept to be used again.
	mu     sync.Mutex
	writer writer // of Commit
	sorter sorter
	record []byte

	resets atomic.Uint64 // how often the partition was begun anew

	lastCommit atomic.Int64 // nanoseconds
	slowest    atomic.Int64 // nanoseconds
}

// failure is why a partition was stopped.
type failure struct{ err error }

// stop lets every later Commit return err, or the error that came first.
func (p *Partition) stop(err error) { p.failed.CompareAndSwap(nil, &failure{err}) }

// Number returns the number that the partition was opened with.
func (p *Partition) Number() int { return int(p.number) }

// Header returns the header and the number of the newest checkpoint: nil and 0
// before the first commit. The bytes are the caller's.
func (p *Partition) Header() (header []byte, number uint64, err error) {
	if err := p.store.enter(); err != nil {
		return nil, 0, err
	}
	defer p.store.leave()
	current := p.state.Load()
	return slices.Clone(current.header), current.number, nil
}

// LogLast returns the number of the last entry that was ever appended to a log,
// 0 when there was none.
func (p *Partition) LogLast(log uint8) uint64 {
	f := p.state.Load().find(p.log(log))
	if f == nil {
		return 0
	}
	return f.next() - 1
}

// LogFirst returns the number of the first entry of a log that was not trimmed,
// which is one above LogLast when there is none.
func (p *Partition) LogFirst(log uint8) uint64 {
	f := p.state.Load().find(p.log(log))
	if f == nil {
		return 1
	}
	return f.first
}

func (p *Partition) table(table uint8) family {
	return family{partition: p.number, kind: kindTable, table: table}
}

func (p *Partition) log(log uint8) family {
	return family{partition: p.number, kind: kindLog, table: log}
}

// took notes how long a commit took.
func (p *Partition) took(d time.Duration) {
	p.lastCommit.Store(int64(d))
	if int64(d) > p.slowest.Load() {
		p.slowest.Store(int64(d))
	}
}
