package checkpoint

import (
	"errors"
	"fmt"
	"slices"
)

// View is one checkpoint of a partition, whatever is committed meanwhile. Its
// methods are those of [Partition], for one goroutine and as long as the call
// that lends it.
type View struct {
	partition *Partition
	at        *moment
	current   *state
}

// Pinned calls fn with the newest checkpoint and keeps all of it on the disk until fn
// returns, however long that takes: no value file is removed meanwhile, so the store grows
// by what is written.
func (p *Partition) Pinned(fn func(v *View) error) error {
	return p.view(func(at *moment, current *state) error {
		return fn(&View{partition: p, at: at, current: current})
	})
}

// Header returns the header and the number of the checkpoint; nil and 0 before
// the first commit, a nil header also after [Store.Reset].
func (v *View) Header() (header []byte, number uint64) {
	return slices.Clone(v.current.header), v.current.number
}

// LogFirst is that of [Partition].
func (v *View) LogFirst(log uint8) uint64 {
	if f := v.current.find(v.partition.log(log)); f != nil {
		return f.first
	}
	return 1
}

// LogLast is that of [Partition].
func (v *View) LogLast(log uint8) uint64 {
	if f := v.current.find(v.partition.log(log)); f != nil {
		return f.next() - 1
	}
	return 0
}

// Bytes is the size of all segments of the checkpoint.
func (v *View) Bytes() (total uint64) {
	for i := range v.current.families {
		for _, r := range v.current.families[i].runs {
			total += r.bytes
		}
	}
	return total
}

// Reset makes partition p empty, whatever state it is in, also one that cannot
// be read: the way to begin anew after damage. What it had is no part of it any
// more when Reset returns; numbers of checkpoints go on. A commit that comes
// first is waited for, one that comes later finds an empty partition.
//
// # Errors
//
// Those of Badger, wrapped together with ErrUncertain: the store has to be opened
// again.
func (s *Store) Reset(p int) (*Partition, error) {
	if p < 0 || p > partitionMax {
		return nil, fmt.Errorf("checkpoint: partition %d: must be from 0 to %d", p, partitionMax)
	}
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	number := uint16(p)
	s.mu.Lock()
	open := s.partitions[number]
	if open == nil {
		open = &Partition{store: s, number: number}
		open.state.Store(s.lastKnown(number))
		s.partitions[number] = open
	}
	delete(s.disputed, number)
	s.mu.Unlock()
	if err := open.reset(); err != nil {
		return nil, fmt.Errorf("checkpoint: partition %d: reset: %w: %w", p, ErrUncertain, err)
	}
	return open, nil
}

// lastKnown returns the state of a partition as far as its record can be read.
func (s *Store) lastKnown(number uint16) *state {
	m := s.moment()
	defer m.end()
	current, err := readRecord(&m, number)
	if err != nil {
		return &state{}
	}
	return current
}

// reset writes the record of an empty checkpoint, which makes all runs orphans,
// and deletes those. A crash in between leaves them to the next open.
func (p *Partition) reset() error {
	p.mu.Lock()
	empty := &state{number: p.state.Load().number + 1}
	p.resets.Add(1)
	err := p.store.transact([]write{p.recordWrite(empty)})
	if err == nil {
		p.state.Store(empty)
		p.failed.Store(nil)
	}
	at := p.store.moment()
	defer at.end()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	orphans, err := p.store.orphans(&at, func(of family, _ uint64) bool { return of.partition == p.number })
	if err != nil {
		return err
	}
	return p.store.deleteRuns(orphans)
}

// IsDamage reports whether an error says that what a store holds is not what was
// written: the partition concerned can be begun anew with [Store.Reset]. A write
// of which nobody knows whether it took place is something else, even where
// damage was its cause: it ends the use of the store.
func IsDamage(err error) bool {
	var damage *CorruptError
	return errors.As(err, &damage) && !errors.Is(err, ErrUncertain)
}
