package sim

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/checkpoint"
)

// disk is what a data directory holds: it outlives the hosts that open it.
type disk struct {
	id         string
	mu         sync.Mutex
	partitions map[int]*content
}

func newDisk(id string) *disk { return &disk{id: id, partitions: map[int]*content{}} }

// content is one checkpoint of a partition. It is never changed: a commit makes
// the next one.
type content struct {
	number uint64
	header []byte
	tables map[uint8]map[string][]byte
	logs   map[uint8]entries
	before *content // the checkpoint before, which damage may leave; one of them is kept
}

// entries are those of a log, of which the oldest may be gone.
type entries struct {
	first uint64 // number of the first that is left
	list  [][]byte
}

func (e entries) last() uint64 { return e.first + uint64(len(e.list)) - 1 }

// with returns the next checkpoint.
func (c *content) with(commit *checkpoint.Commit) *content {
	next := &content{number: c.number + 1, header: bytes.Clone(commit.Header), tables: maps.Clone(c.tables), logs: maps.Clone(c.logs), before: c}
	c.before = nil
	if next.tables == nil {
		next.tables, next.logs = map[uint8]map[string][]byte{}, map[uint8]entries{}
	}
	for table, puts := range commit.Puts {
		t := maps.Clone(next.tables[table])
		if t == nil {
			t = map[string][]byte{}
		}
		for _, e := range puts {
			if e.Value == nil {
				delete(t, string(e.Key))
			} else {
				t[string(e.Key)] = bytes.Clone(e.Value)
			}
		}
		next.tables[table] = t
	}
	for log, below := range commit.Trim {
		l := next.log(log)
		if n := min(max(below, l.first), l.last()+1) - l.first; n > 0 {
			l.first, l.list = l.first+n, slices.Clone(l.list[n:])
		}
		next.logs[log] = l
	}
	for log, added := range commit.Appends {
		l := next.log(log)
		l.list = slices.Clone(l.list)
		room := 0
		if commit.Room && slices.Contains(host.Journals(), log) {
			room = checkpoint.RoomBytes
		}
		for _, e := range added {
			l.list = append(l.list, bytes.Clone(e[room:]))
		}
		next.logs[log] = l
	}
	return next
}

// log returns a log, empty when nothing was appended.
func (c *content) log(log uint8) entries {
	if l, ok := c.logs[log]; ok {
		return l
	}
	return entries{first: 1}
}

// now returns a partition's newest checkpoint.
func (d *disk) now(partition int) *content {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.partitions[partition]; c != nil {
		return c
	}
	c := &content{}
	d.partitions[partition] = c
	return c
}

// put makes a checkpoint the newest.
func (d *disk) put(partition int, c *content) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.partitions[partition] = c
}

// rollBack takes a partition back to the checkpoint before the last, as damage
// to the end of the database's own log does. It reports whether there was one.
func (d *disk) rollBack(partition int) bool {
	c := d.now(partition)
	if c.before == nil || c.before.number == 0 {
		return false
	}
	d.put(partition, c.before)
	return true
}

// store is a disk as one host has it open.
type store struct {
	*process
	disk *disk
}

// ID returns the id of the data directory.
func (s *store) ID() string { return s.disk.id }

// Partition opens a partition.
func (s *store) Partition(p int) (host.PartitionStore, error) {
	return &partitionStore{store: s, number: p}, nil
}

// Stats are not kept.
func (s *store) Stats() checkpoint.Stats { return checkpoint.Stats{} }

// DiskBytes are not counted.
func (s *store) DiskBytes() (int64, error) { return 0, nil }

// Close does nothing: the disk stays.
func (s *store) Close() error { return nil }

// partitionStore is one partition of a store.
type partitionStore struct {
	store  *store
	number int
}

func (p *partitionStore) now() *content { return p.store.disk.now(p.number) }

// Header returns the header and the number of the newest checkpoint.
func (p *partitionStore) Header() ([]byte, uint64, error) {
	c := p.now()
	return bytes.Clone(c.header), c.number, nil
}

// LogFirst returns the number of the first entry that was not trimmed.
func (p *partitionStore) LogFirst(log uint8) uint64 { return p.now().log(log).first }

// LogLast returns the number of the last entry that was appended.
func (p *partitionStore) LogLast(log uint8) uint64 { return p.now().log(log).last() }

// LogRange calls fn for entries from a number on.
func (p *partitionStore) LogRange(log uint8, from uint64, limit int, fn func(n uint64, entry []byte) error) error {
	l := p.now().log(log)
	from = max(from, 1)
	if from > l.last() {
		return nil
	}
	if from < l.first {
		return fmt.Errorf("sim: log %d of partition %d: entry %d: %w", log, p.number, from, checkpoint.ErrTrimmed)
	}
	for n := from; n <= l.last() && (limit <= 0 || n < from+uint64(limit)); n++ {
		if err := fn(n, l.list[n-l.first]); err != nil {
			return err
		}
	}
	return nil
}

// LogBackward calls fn for all entries, the last one first.
func (p *partitionStore) LogBackward(log uint8, fn func(n uint64, entry []byte) error) error {
	l := p.now().log(log)
	for i, e := range slices.Backward(l.list) {
		if err := fn(l.first+uint64(i), e); err != nil {
			return err
		}
	}
	return nil
}

// ReadAt reads a part of an entry.
func (p *partitionStore) ReadAt(log uint8, n uint64, b []byte, offset int64) (read int, err error) {
	l := p.now().log(log)
	if n < l.first || n > l.last() {
		return 0, fmt.Errorf("sim: log %d of partition %d: entry %d: %w", log, p.number, n, checkpoint.ErrNoEntry)
	}
	return bytes.NewReader(l.list[n-l.first]).ReadAt(b, offset)
}

// Load calls fn for every key of a table, in order.
func (p *partitionStore) Load(table uint8, fn func(key, value []byte) error) error {
	t := p.now().tables[table]
	for _, key := range slices.Sorted(maps.Keys(t)) {
		if err := fn([]byte(key), t[key]); err != nil {
			return err
		}
	}
	return nil
}

// Commit makes c the next checkpoint: on the disk when it returns, and before that
// as a crash has it.
func (p *partitionStore) Commit(c *checkpoint.Commit) error {
	ctx := context.Background() // as the real one, it cannot be called off
	label := fmt.Sprintf("commit %d", p.number)
	v, err := p.store.step(ctx, label+" before")
	if err != nil {
		return err
	}
	if v.fail {
		return &checkpoint.DiskFullError{Dir: "sim", NeedBytes: 1}
	}
	next := p.now().with(c)
	p.store.disk.put(p.number, next)
	p.store.world.watch.committed(p.store.process, p.number, next)
	_, err = p.store.step(ctx, label+" after")
	return err
}
