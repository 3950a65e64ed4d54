package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// counters count since the store was opened.
type counters struct {
	commits, transactions, entries, bytesWritten       atomic.Uint64
	folds, foldErrors, foldBytesRead, foldBytesWritten atomic.Uint64
	lastFold                                           atomic.Int64 // nanoseconds
	swept, collected                                   atomic.Uint64
}

// Stats are figures for operators. Counters start at 0 when the store is
// opened.
type Stats struct {
	Commits      uint64 // commits that succeeded
	Transactions uint64 // Badger transactions, those of folds included
	Entries      uint64 // entries of commits, after dropping repeated keys
	BytesWritten uint64 // keys and values given to Badger, folds included

	Folds            uint64        // folds that succeeded
	FoldErrors       uint64        // folds that failed; the log says why
	FoldBytesRead    uint64        // segments merged
	FoldBytesWritten uint64        // segments they became
	LastFold         time.Duration // how long the last successful fold took
	RunsSwept        uint64        // runs that a crash had left behind
	FilesCollected   uint64        // files of Badger's value log that were dead enough to remove

	Partitions []PartitionStats // those opened, by number
}

// PartitionStats are the figures of one partition.
type PartitionStats struct {
	Partition     int
	Checkpoint    uint64        // the number of the newest checkpoint
	LastCommit    time.Duration // how long the last Commit took
	SlowestCommit time.Duration // the longest since the store was opened
	Stopped       error         // why Commit is refused; nil when it is not
	Sets          []SetStats    // tables, then logs, by number; those that hold anything
}

// SetStats are the figures of one table or log.
type SetStats struct {
	Log      bool   // Table is the number of a log
	Table    uint8  // the number of the table or log
	Runs     int    // runs that Load or LogRange reads
	Segments int    // segments of all runs
	Entries  uint64 // of all runs: in a table a key counts once for each run that has it
	Bytes    uint64 // of all segments
}

// Stats returns the figures of this moment. It never waits for the disk.
func (s *Store) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Commits:          c.commits.Load(),
		Transactions:     c.transactions.Load(),
		Entries:          c.entries.Load(),
		BytesWritten:     c.bytesWritten.Load(),
		Folds:            c.folds.Load(),
		FoldErrors:       c.foldErrors.Load(),
		FoldBytesRead:    c.foldBytesRead.Load(),
		FoldBytesWritten: c.foldBytesWritten.Load(),
		LastFold:         time.Duration(c.lastFold.Load()),
		RunsSwept:        c.swept.Load(),
		FilesCollected:   c.collected.Load(),
	}
	s.mu.Lock()
	for _, p := range s.partitions {
		stats.Partitions = append(stats.Partitions, p.stats())
	}
	s.mu.Unlock()
	slices.SortFunc(stats.Partitions, func(a, b PartitionStats) int { return cmp.Compare(a.Partition, b.Partition) })
	return stats
}

func (p *Partition) stats() PartitionStats {
	current := p.state.Load()
	stats := PartitionStats{
		Partition:     int(p.number),
		Checkpoint:    current.number,
		LastCommit:    time.Duration(p.lastCommit.Load()),
		SlowestCommit: time.Duration(p.slowest.Load()),
	}
	if stopped := p.failed.Load(); stopped != nil {
		stats.Stopped = stopped.err
	}
	for i := range current.families {
		f := &current.families[i]
		set := SetStats{Log: f.kind == kindLog, Table: f.table, Runs: len(f.runs)}
		for _, r := range f.runs {
			set.Segments += int(r.segments)
			set.Entries += r.entries
			set.Bytes += r.bytes
		}
		stats.Sets = append(stats.Sets, set)
	}
	return stats
}

// DiskBytes returns the space that the data directory takes. It asks the file
// system about every file, some hundreds in a large store.
func (s *Store) DiskBytes() (int64, error) {
	var total int64
	err := filepath.WalkDir(s.dir.path, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				total += diskBytes(info)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Badger removed the file meanwhile
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("checkpoint: size of %s: %w", s.dir.path, err)
	}
	return total, nil
}
