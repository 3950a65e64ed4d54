package query

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// Partition is one partition's state as the engine reads it.
type Partition struct {
	Stream string // name of its stream, for positions
	State  *accumulate.State
}

// Engine answers queries over all partitions of a host. It is safe for
// concurrent use.
type Engine struct {
	partitions []Partition

	instance uint64 // differs from that of any other process

	// By partition, the last one that watches were told of. They only grow, and are
	// read without the lock: a watch that reads them and then a state finds in that all
	// that they stand for.
	generations []atomic.Uint32

	waiting []waiting // by partition

	changed [][]string // by partition: room for what Committed collects, its goroutine's

	mu         sync.Mutex
	watchers   map[string]*audience
	everything map[*Watcher]struct{} // those that watch all accounts
	journal    journal

	rollup *rollup

	scratch sync.Pool // of answers, see Subtotals.Release

	watching atomic.Int32 // watches that are open
}

// NewEngine makes an engine over partitions 0 to len-1.
func NewEngine(partitions []Partition) *Engine {
	e := &Engine{
		partitions: partitions, instance: newInstance(), waiting: make([]waiting, len(partitions)), changed: make([][]string, len(partitions)),
		generations: make([]atomic.Uint32, len(partitions)), watchers: map[string]*audience{}, everything: map[*Watcher]struct{}{},
	}
	for i, p := range partitions {
		e.generations[i].Store(p.State.Generation())
	}
	e.rollup = newRollup(partitions, e.instance, e.asOf)
	return e
}

// Committed tells the engine that a partition has a new checkpoint; each calls
// its argument with the accounts whose subtotals it has changed, if need be more
// than once. It never blocks on a reader. For one partition it is called by one
// goroutine.
func (e *Engine) Committed(partition int, each func(func(account string))) {
	generation := e.partitions[partition].State.Generation()
	e.mu.Lock()
	watched := len(e.watchers)+len(e.everything) > 0
	e.mu.Unlock()
	changed := e.changed[partition][:0]
	collect := func() {
		each(func(account string) { // behind each other are mostly slots of the same account
			if n := len(changed); n == 0 || changed[n-1] != account {
				changed = append(changed, account)
			}
		})
	}
	if watched {
		collect()
	}
	defer func() { e.changed[partition] = changed }()
	defer e.come(partition, accumulate.Committed)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generations[partition].Store(generation)
	if !watched && len(e.watchers)+len(e.everything) > 0 {
		collect() // a watch has begun meanwhile
	}
	if len(changed) == 0 {
		return
	}
	if len(e.everything) > 0 {
		e.journal.add(journalEntry{partition, generation, slices.Clone(changed)})
		for w := range e.everything {
			w.wake()
		}
	}
	if len(e.watchers) == 0 {
		return
	}
	for _, account := range changed {
		if of := e.watchers[account]; of != nil {
			for w := range of.members {
				w.dirty.Store(true)
				w.wake()
			}
		}
	}
}

// generationsNow returns the last generations that watches were told of.
func (e *Engine) generationsNow() []uint32 {
	list := make([]uint32, len(e.generations))
	for i := range e.generations {
		list[i] = e.generations[i].Load()
	}
	return list
}

// Advanced tells the engine that the latest state of a partition has moved on. It
// costs next to nothing while nobody waits for that.
func (e *Engine) Advanced(partition int) {
	e.come(partition, accumulate.Latest)
}

// AsOf says how far the committed state of the partitions has come; none given
// means all.
func (e *Engine) AsOf(partitions ...int) AsOf { return e.asOfView(accumulate.Committed, partitions...) }

// AsOfHeader says how far one state of a partition has come.
func (e *Engine) AsOfHeader(partition int, h accumulate.Header) AsOf {
	return e.asOf([]int{partition}, []accumulate.Header{h})
}

func (e *Engine) asOfView(v accumulate.View, partitions ...int) AsOf {
	if len(partitions) == 0 {
		partitions = make([]int, len(e.partitions))
		for i := range partitions {
			partitions[i] = i
		}
	}
	headers := make([]accumulate.Header, len(partitions))
	for i, p := range partitions {
		headers[i] = e.partitions[p].State.HeaderOf(v)
	}
	return e.asOf(partitions, headers)
}

func (e *Engine) asOf(partitions []int, headers []accumulate.Header) AsOf {
	var a AsOf
	watermark := rate.Beginning
	for i, p := range partitions {
		h := headers[i]
		a.Positions = append(a.Positions, Position{Stream: e.partitions[p].Stream, Partition: p, Sequence: h.Position})
		watermark = max(watermark, h.Watermark)
		if i == 0 || h.CatalogRevision < a.CatalogRevision {
			a.CatalogRevision = h.CatalogRevision
		}
	}
	if watermark != rate.Beginning {
		a.Watermark = time.Unix(0, watermark).UTC()
	}
	return a
}

// ErrInvalid reports a question that cannot be answered as it was put.
var ErrInvalid = errors.New("invalid query")

// Account returns the subtotals of the filter's account, all of them, from one
// checkpoint of its partition.
func (e *Engine) Account(f Filter) (Subtotals, error) { return e.account(f, nil) }

// account does the same, and leaves out what no generation behind its partition's one
// of since has changed; nil leaves out nothing. The totals count it all the same.
func (e *Engine) account(f Filter, since []uint32) (Subtotals, error) {
	if err := f.Account.Validate(); err != nil {
		return Subtotals{}, fmt.Errorf("%w: account: %w", ErrInvalid, err)
	}
	p := billing.Partition(f.Account, len(e.partitions))
	state := e.partitions[p].State
	memory := e.newScratch()
	rows, header := state.RowsIn(&memory.rows, string(f.Account), f.view())
	out := Subtotals{AsOf: e.asOf([]int{p}, []accumulate.Header{header})}
	match, err := f.matcher(string(f.Account), rows)
	if err != nil {
		return Subtotals{}, err
	}
	var m maker
	if since == nil {
		out.Subtotals = slices.Grow(memory.subtotals[:0], len(rows))
		m.lines = slices.Grow(memory.lines[:0], linesOf(rows))
		memory.subtotals, memory.lines, out.scratch = out.Subtotals, m.lines, memory
	} else {
		defer memory.leave() // what was read is copied
	}
	for i := range rows {
		r := &rows[i]
		switch {
		case !match(r):
			continue
		case since != nil && r.Generation <= since[p]:
			err = out.addUnshown(string(f.Account), r)
		default:
			err = out.add(&m, string(f.Account), r)
		}
		if err != nil {
			return Subtotals{}, err
		}
	}
	out.total()
	return out, nil
}

// linesOf is how many lines rows have.
func linesOf(rows []accumulate.Row) (n int) {
	for i := range rows {
		n += len(rows[i].Lines)
	}
	return n
}

// listTries is how often a page is read again because a checkpoint came between.
const listTries = 3

// List returns a page of subtotals over all accounts, by account. The next
// page starts behind the last row of this one, whatever has changed since.
func (e *Engine) List(f Filter, page Page) (Subtotals, error) {
	after, cut, err := decodeToken(page.Token)
	if err != nil {
		return Subtotals{}, err
	}
	for try := 1; ; try++ {
		out, moved, err := e.list(f, page, after)
		if err != nil {
			return Subtotals{}, err
		}
		if moved && try < listTries {
			continue
		}
		if page.Token == "" {
			cut = sequences(out.AsOf)
		}
		out.Moved = moved || !slices.Equal(cut, sequences(out.AsOf))
		if out.more {
			if out.NextToken, err = encodeToken(out.last, cut); err != nil {
				return Subtotals{}, err
			}
		}
		out.total()
		return out, nil
	}
}

// sequences are the positions of a cut.
func sequences(a AsOf) []uint64 {
	list := make([]uint64, len(a.Positions))
	for i, p := range a.Positions {
		list[i] = p.Sequence
	}
	return list
}

// list reads a page. moved says that a checkpoint came between its rows.
func (e *Engine) list(f Filter, page Page, after rate.Key) (out Subtotals, moved bool, err error) {
	size := page.Size
	if size <= 0 {
		size = DefaultPageSize
	}
	size = min(size, MaxPageSize)
	out.AsOf = e.asOfView(f.view())
	var m maker
	for account := range e.accountsFrom(f, after) {
		n := billing.Partition(billing.AccountID(account), len(e.partitions))
		rows, header := e.partitions[n].State.Rows(account, f.view())
		moved = moved || header.Position != out.AsOf.Positions[n].Sequence
		match, err := f.matcher(account, rows)
		if err != nil {
			return Subtotals{}, false, err
		}
		for i := range rows {
			key := rows[i].Key(account)
			if key.Compare(after) <= 0 || !match(&rows[i]) {
				continue
			}
			if len(out.Subtotals) == size {
				out.more = true
				return out, moved, nil
			}
			if err := out.add(&m, account, &rows[i]); err != nil {
				return Subtotals{}, false, err
			}
			out.last = key
		}
	}
	return out, moved, nil
}

// accountsFrom yields account ids in order, from the one in a page token on. A
// page takes the first of them only, so the partitions' lists are merged as far as
// they are asked for.
func (e *Engine) accountsFrom(f Filter, after rate.Key) iter.Seq[string] {
	return func(yield func(string) bool) {
		if f.Account != "" {
			yield(string(f.Account))
			return
		}
		lists := make([][]string, len(e.partitions))
		for i, p := range e.partitions {
			lists[i] = p.State.AccountsFrom(after.Account)
		}
		for {
			next := -1
			for i, list := range lists {
				if len(list) > 0 && (next < 0 || list[0] < lists[next][0]) {
					next = i
				}
			}
			if next < 0 || !yield(lists[next][0]) {
				return
			}
			lists[next] = lists[next][1:]
		}
	}
}
