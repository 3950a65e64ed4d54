package checkpoint

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// Store is an open data directory with the state of any number of partitions.
// All methods may be called concurrently.
type Store struct {
	dir     *directory
	options Options
	log     *slog.Logger
	db      *badger.DB
	values  *values

	// commitTransaction ends every write. Tests replace it before the first
	// one, to fail or to kill the process at a chosen step.
	commitTransaction func(*badger.Txn) error

	txnLimit     cost      // a transaction's limit, with a margin
	txnWrites    int       // and the limit of its keys
	segmentBytes int       // a segment's limit
	journals     [256]bool // the logs that are journals

	troubles    *troubles
	commitTries int // tests make these smaller
	closeTries  int
	journalRun  int // segments up to which a journal's run is made longer

	together together // transactions that wait for each other
	advisor  advisor  // who leads them has it
	places   []place  // and this, of the values of one

	counters counters
	buffers  bufferPool

	// life counts the calls in progress, so that Close can wait for them:
	// Badger may not be read once it is closed.
	life   sync.Mutex
	closed bool
	calls  sync.WaitGroup

	mu         sync.Mutex
	partitions map[uint16]*Partition
	disputed   map[uint16]*CorruptError // found by the sweep, returned by Partition
	lastRun    uint64                   // the greatest number of a run, ever

	folder folder
}

// Open opens the data directory dir, making it when it does not exist, sweeps
// what a crash left behind and starts the fold.
//
// # Errors
//
// *InUseError when another open store has the directory, *VersionError when it
// has another format, *BrokenError when it is damaged as a whole; bad options, and what the file system or Badger report,
// as they are.
func Open(dir string, options Options) (*Store, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	d, err := openDirectory(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir: d, options: options, log: options.Logger,
		partitions: map[uint16]*Partition{},
		disputed:   map[uint16]*CorruptError{},
		troubles:   newTroubles(), commitTries: commitTries, closeTries: closeTries, journalRun: journalRunSegments,
	}
	s.commitTransaction = s.commit
	db, err := openBadger(d.badgerPath(), options, s.troubles)
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	s.db = db
	s.advisor.begin(d.badgerPath())
	if s.values, err = openValues(d.valuesPath(), options); err != nil {
		return nil, errors.Join(err, db.Close(), d.close())
	}
	s.limits()
	if err := s.ready(); err != nil {
		return nil, errors.Join(err, db.Close(), s.values.close(), d.close())
	}
	s.folder.start(s)
	return s, nil
}

// ready brings what is in memory in line with what is on the disk, and the disk with what
// counts.
func (s *Store) ready() error {
	if err := syncFolder(s.dir.path); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	txn := s.db.NewTransaction(false)
	defer txn.Discard()
	if err := s.values.load(txn); err != nil {
		return brokenOr(s.dir.badgerPath(), err)
	}
	failpoint.Hit("open.before-sweep")
	if err := s.sweep(); err != nil {
		return brokenOr(s.dir.badgerPath(), err)
	}
	return nil
}

// limits derives the limits of transactions and segments.
func (s *Store) limits() {
	// Badger adds a key of its own to a transaction; a tenth of margin covers any
	// change in how Badger counts.
	s.txnLimit.tree = int(s.db.MaxBatchSize() * 9 / 10)
	s.txnWrites = int(s.db.MaxBatchCount() * 9 / 10)
	s.txnLimit.files = int(txnMaxBytes(s.options))
	s.segmentBytes = min(SegmentMaxBytes, s.txnLimit.files/2)
	for _, log := range s.options.Journals {
		s.journals[log] = true
	}
}

// txnMaxBytes is what one transaction puts into value files.
func txnMaxBytes(o Options) int64 { return o.ValueFileBytes / 2 }

// ID returns the store's id: 32 hex digits, random, made with the directory. A
// copy of the directory has the same.
func (s *Store) ID() string { return s.dir.id }

// Partition opens partition p, from 0 to 65535, which is empty when nothing
// was ever committed to it. Every call returns the same value.
//
// # Errors
//
// *CorruptError when its commit record is damaged; other partitions are not
// concerned.
func (s *Store) Partition(p int) (*Partition, error) {
	if p < 0 || p > partitionMax {
		return nil, fmt.Errorf("checkpoint: partition %d: must be from 0 to %d", p, partitionMax)
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	number := uint16(p)
	if open, ok := s.partitions[number]; ok {
		return open, nil
	}
	if damage, ok := s.disputed[number]; ok {
		return nil, damage
	}
	m := s.moment()
	defer m.end()
	current, err := readRecord(&m, number)
	if err != nil {
		return nil, err
	}
	open := &Partition{store: s, number: number}
	open.state.Store(current)
	s.partitions[number] = open
	return open, nil
}

// Close ends the fold, waits for calls in progress, flushes what is in memory
// and releases the directory. A second Close returns ErrClosed.
//
// # Errors
//
// *FlushError when the disk does not take what is in memory. No checkpoint is lost by
// that; the directory stays locked until the process ends.
func (s *Store) Close() error {
	s.life.Lock()
	if s.closed {
		s.life.Unlock()
		return ErrClosed
	}
	s.closed = true
	s.life.Unlock()
	s.folder.end()
	s.calls.Wait()
	err := errors.Join(s.closeBadger(), s.values.close())
	if stuck := (*FlushError)(nil); !errors.As(err, &stuck) {
		err = errors.Join(err, s.dir.close())
	}
	if err != nil {
		return fmt.Errorf("checkpoint: close %s: %w", s.dir.path, err)
	}
	return nil
}

// enter begins a call that touches Badger; leave ends it.
func (s *Store) enter() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return ErrClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) leave() { s.calls.Done() }

// newRun returns a number for a new run.
func (s *Store) newRun() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastRun = nextRun(s.lastRun)
	return s.lastRun
}

// checkSpace refuses a write of about the given size when too little would be
// left.
func (s *Store) checkSpace(bytes int64) error {
	if s.options.FreeMinBytes == 0 {
		return nil
	}
	free, err := FreeBytes(s.dir.path)
	if err != nil {
		return err
	}
	if need := s.options.FreeMinBytes + bytes; free < need {
		return &DiskFullError{Dir: s.dir.path, FreeBytes: free, NeedBytes: need}
	}
	return nil
}

// bufferPool lends out the buffers that segments are packed in.
type bufferPool struct {
	mu        sync.Mutex
	free      [][]byte
	abandoned bool // nothing is lent out again
}

// buffersMax is the most buffers that a pool keeps: one full transaction.
const buffersMax = 16

func (p *bufferPool) take() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.free)
	if n == 0 {
		return nil
	}
	b := p.free[n-1]
	p.free = p.free[:n-1]
	return b[:0]
}

// abandon has no buffer lent out again: somebody may still read what was given back.
func (p *bufferPool) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.abandoned, p.free = true, nil
}

func (p *bufferPool) give(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < buffersMax && !p.abandoned {
		p.free = append(p.free, b)
	}
}
