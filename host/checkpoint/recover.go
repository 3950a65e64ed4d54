package checkpoint

import (
	"errors"
	"fmt"
)

// sweepWritesMax is the most keys that a sweep or a fold deletes in one
// transaction.
const sweepWritesMax = 500

// sweep deletes what a crash, or an interrupted sweep, left behind: the runs
// that have a doomed marker. It runs once, before anything else is written.
//
// A run that a record names is never deleted, whatever a marker says: the two
// contradict each other, so one of them is not the newest, and the partition is
// damaged. Nor is anything of a partition whose record cannot be read.
func (s *Store) sweep() error {
	live, unreadable, err := s.liveRuns()
	if err != nil {
		return err
	}
	var left []doomed
	err = s.visit([]byte{prefixDoomed}, true, func(key, value []byte) error {
		f, run, ok := parseDoomed(key, value)
		switch {
		case !ok:
			s.log.Warn("checkpoint: a doomed marker is damaged, its run stays on the disk", "key", fmt.Sprintf("%x", key))
		case unreadable[f.partition]:
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
	if err := s.deleteRuns(left); err != nil {
		return fmt.Errorf("checkpoint: sweep %s: %w", s.dir.path, err)
	}
	s.counters.swept.Add(uint64(len(left)))
	return nil
}

// liveRuns reads all commit records: which runs they name, and which records
// are damaged.
func (s *Store) liveRuns() (live map[uint64]bool, unreadable map[uint16]bool, err error) {
	live, unreadable = map[uint64]bool{}, map[uint16]bool{}
	err = s.visit([]byte{prefixRecord}, true, func(key, value []byte) error {
		partition, ok := parseRecordKey(key)
		if !ok {
			return fmt.Errorf("checkpoint: %s: key %x is not a commit record's", s.dir.path, key)
		}
		current, err := parseRecord(partition, key, value)
		if err != nil {
			// Partition reads the record again and reports the damage.
			unreadable[partition] = true
			s.log.Error("checkpoint: commit record is damaged", "partition", partition, "error", err)
			return nil
		}
		for i := range current.families {
			for _, r := range current.families[i].runs {
				live[r.id] = true
				s.lastRun = max(s.lastRun, r.id)
			}
		}
		return nil
	})
	return live, unreadable, err
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
