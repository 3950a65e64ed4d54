package checkpoint

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// sweepWritesMax is the most keys that a sweep or a fold deletes in one
// transaction.
const sweepWritesMax = 500

// sweep deletes what a crash, or an interrupted sweep, left behind: the runs
// that have a doomed marker, and those that no record names. It runs once,
// before anything else is written.
//
// A run that a record names is never deleted, whatever a marker says: the two
// contradict each other, so one of them is not the newest, and the partition is
// damaged. Nor is anything of a partition whose record cannot be read, or what
// has no marker of a partition without a record.
func (s *Store) sweep() error {
	live, readable, err := s.liveRuns()
	if err != nil {
		return err
	}
	var left []doomed
	err = s.visit([]byte{prefixDoomed}, true, func(key, value []byte) error {
		f, run, ok := parseDoomed(key, value)
		switch {
		case !ok:
			s.log.Warn("checkpoint: a doomed marker is damaged, its run stays on the disk", "key", fmt.Sprintf("%x", key))
		case damaged(readable, f.partition):
		case live[run]:
			s.disputed[f.partition] = f.corrupt(run, -1, "the commit record names the run and a marker dooms it")
		default:
			left = append(left, doomed{family: f, run: run})
		}
		s.lastRun = max(s.lastRun, run)
		return nil
	})
	if err != nil {
		return err
	}
	at := s.moment()
	defer at.end()
	orphans, err := s.orphans(&at, func(f family, run uint64) bool {
		s.lastRun = max(s.lastRun, run)
		return readable[f.partition] && !live[run]
	})
	if err != nil {
		return err
	}
	for _, o := range orphans {
		if !slices.Contains(left, o) {
			left = append(left, o)
		}
	}
	if err := s.deleteRuns(left); err != nil {
		return fmt.Errorf("checkpoint: sweep %s: %w", s.dir.path, err)
	}
	s.counters.swept.Add(uint64(len(left)))
	return nil
}

// damaged reports whether a partition has a record that cannot be read.
func damaged(readable map[uint16]bool, partition uint16) bool {
	ok, found := readable[partition]
	return found && !ok
}

// orphans returns the runs that a moment sees segments of and that lost says are no part
// of the state.
func (s *Store) orphans(at *moment, lost func(family, uint64) bool) (found []doomed, err error) {
	err = eachItem(at.txn, []byte{prefixSegment}, func(item *badger.Item) error {
		f, run, ok := parseSegmentKey(item.Key())
		if !ok {
			return fmt.Errorf("checkpoint: %s: key %x is not a segment's", s.dir.path, item.Key())
		}
		if d := (doomed{family: f, run: run}); lost(f, run) && (len(found) == 0 || found[len(found)-1] != d) {
			found = append(found, d)
		}
		return nil
	})
	return found, err
}

// liveRuns reads all commit records: which runs they name, and which records
// are readable: false says that one is damaged.
func (s *Store) liveRuns() (live map[uint64]bool, readable map[uint16]bool, err error) {
	live, readable = map[uint64]bool{}, map[uint16]bool{}
	at := s.moment()
	defer at.end()
	err = eachItem(at.txn, []byte{prefixRecord}, func(item *badger.Item) error {
		partition, ok := parseRecordKey(item.Key())
		if !ok {
			return fmt.Errorf("checkpoint: %s: key %x is not a commit record's", s.dir.path, item.Key())
		}
		current, err := readRecord(&at, partition)
		if err != nil {
			// Partition reads the record again and reports the damage.
			readable[partition] = false
			s.log.Error("checkpoint: commit record is damaged", "partition", partition, "error", err)
			return nil
		}
		readable[partition] = true
		for i := range current.families {
			for _, r := range current.families[i].runs {
				live[r.id] = true
				s.lastRun = max(s.lastRun, r.id)
			}
		}
		return nil
	})
	return live, readable, err
}

// deleteRuns deletes the segments of doomed runs and then their markers, in
// transactions of bounded size. A crash in between leaves the markers of what
// is not yet deleted.
func (s *Store) deleteRuns(runs []doomed) error {
	var pending []write
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		failpoint.Hit("store.before-delete")
		err := s.transact(pending)
		pending = pending[:0]
		return err
	}
	for _, d := range runs {
		var keys []write
		err := s.visit(runPrefix(d.run), false, func(key, _ []byte) error {
			keys = append(keys, write{key: append([]byte(nil), key...), remove: true})
			return nil
		})
		if err != nil {
			return errors.Join(err, flush())
		}
		for _, w := range append(keys, unmarkDoomed(d)) {
			pending = append(pending, w)
			if len(pending) == min(sweepWritesMax, s.txnWrites) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}
