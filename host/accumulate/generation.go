package accumulate

import (
	"encoding/binary"
	"slices"

	"github.com/tollway/tollway/host/rate"
)

// Generation is what one checkpoint changes. The partition's goroutine fills it;
// after Cut it does not change any more, and another goroutine may write it.
type Generation struct {
	// Header is what the checkpoint says of the partition. It counts after Cut.
	Header Header

	number uint32
	round  uint8    // of the full records, that of the slots which have theirs
	images []image  // of slots before the generation changed them
	blocks [][]byte // the images' data
	block  int      // the one that is being filled
	dirty  []uint32 // numbers of the slots changed, each once

	chunks  [][]byte // of records, each the room and an entry of the journal
	free    [][]byte // empty chunks
	scratch []byte
	short   int  // short records that were written, those in place of others not
	turns   int  // that were taken
	wrapped bool // the round of full records has come to its end

	plans       []tableEntry
	terms       []tableEntry
	carries     []tableEntry
	parked      []tableEntry
	deadLetters [][]byte
	invoices    [][]byte
	verdicts    [][]byte
	alerts      [][]byte
	index       [][]byte
	others      []otherEntry
	carried     int // bytes of carries

	retermed map[*rate.Live]*rate.Live // slots whose terms the generation has changed, as they were; nil for most
}

// image is a slot as it was before a generation changed it. It has no pointers, since
// the garbage collector would follow those of all images.
type image struct {
	events   uint64
	lastTime int64
	epoch    uint32 // the generation that had changed it last
	before   uint32 // its image there
	block    uint32 // of the data
	offset   uint32
	size     uint32
	final    bool
	absent   bool // there was no such slot
}

// content is what the slot was.
func (g *Generation) content(m *image) rate.Content {
	data := g.blocks[m.block][m.offset : m.offset+m.size : m.offset+m.size]
	return rate.Content{Events: m.events, LastTime: m.lastTime, Final: m.final, Data: data}
}

// tableEntry is an entry of one of the checkpoint's tables.
type tableEntry struct{ key, value []byte }

// otherEntry is an entry of a table that seldom changes.
type otherEntry struct {
	table uint8
	tableEntry
}

// Sizes of memory that a generation takes at a time.
const (
	imageBlock = 256 << 10
	// chunkBytes is the size of a journal entry: one segment of the checkpoint
	// store. A larger record has a chunk of its own.
	chunkBytes = 512 << 10
	chunkHead  = 1 // the version
	// JournalRoom is what an entry of Journal has in front for the store's header of
	// a segment, so that the store need not copy it.
	JournalRoom = 24
)

// A round is one of two numbers, so that 0 is none. They take turns.
const (
	roundFirst = 1
	rounds     = 3 // their sum
)

// Where a record is: its chunk, and its offset there in the lower bits.
const (
	recordOffsetBits = 32
	noRecord         = ^uint64(0)
)

// Empty reports whether the generation changes nothing but the header.
func (g *Generation) Empty() bool {
	return len(g.dirty) == 0 && len(g.deadLetters) == 0 && len(g.invoices) == 0 && len(g.verdicts) == 0 && len(g.alerts) == 0 && len(g.carries) == 0 && len(g.parked) == 0 && len(g.others) == 0
}

// Bytes is about how much the generation's checkpoint writes.
func (g *Generation) Bytes() int {
	n := len(g.chunks) * chunkBytes
	if n > 0 {
		n += len(g.chunks[len(g.chunks)-1]) - chunkBytes
	}
	for _, list := range [][][]byte{g.deadLetters, g.invoices, g.verdicts, g.alerts, g.index} {
		for _, entry := range list {
			n += len(entry)
		}
	}
	return n + g.carried
}

// Wrapped reports whether a round of full records ends with the generation: what
// the journal held when it began is no longer needed.
func (g *Generation) Wrapped() bool { return g.wrapped }

// Tables calls put with each table entry that the generation changes.
func (g *Generation) Tables(put func(table uint8, key, value []byte)) {
	for _, e := range g.plans {
		put(TablePlans, e.key, e.value)
	}
	for _, e := range g.terms {
		put(TableTerms, e.key, e.value)
	}
	for _, e := range g.carries {
		put(TableCarries, e.key, e.value)
	}
	for _, e := range g.parked {
		put(TableParked, e.key, e.value)
	}
	for _, e := range g.others {
		put(e.table, e.key, e.value)
	}
}

// Appends returns the entries that the generation adds to a log, in order.
func (g *Generation) Appends(log uint8) [][]byte {
	switch log {
	case LogDeadLetters:
		return g.deadLetters
	case LogInvoices:
		return g.invoices
	case LogSlots:
		entries := make([][]byte, len(g.chunks))
		for i, c := range g.chunks {
			entries[i] = c[JournalRoom:]
		}
		return entries
	case LogVerdicts:
		return g.verdicts
	case LogAlerts:
		return g.alerts
	case LogIndex:
		return g.index
	}
	return nil
}

// Journal returns the entries that the generation adds to LogSlots, with JournalRoom
// bytes before each that whoever stores them may write to.
func (g *Generation) Journal() [][]byte { return g.chunks }

// reuse empties a generation that is durable and keeps its memory, for the one that
// follows another.
func (g *Generation) reuse(cut *Generation) {
	for _, c := range g.chunks {
		if cap(c) == chunkBytes {
			g.free = append(g.free, c[:0])
		}
	}
	*g = Generation{
		number: cut.number + 1, round: cut.round, images: g.images[:0], dirty: g.dirty[:0], blocks: g.blocks, chunks: g.chunks[:0], free: g.free, scratch: g.scratch[:0],
		plans: g.plans[:0], terms: g.terms[:0],
	}
	clear(g.chunks[:cap(g.chunks)])
	for i := range g.blocks {
		g.blocks[i] = g.blocks[i][:0]
	}
	if cut.wrapped {
		g.round = rounds - cut.round
	}
}

// changing notes that a slot is about to be changed: the first time, it keeps the
// slot's image. absent says that the slot is new.
func (g *Generation) changing(l *rate.Live, absent bool) {
	if l.Epoch == g.number {
		return
	}
	g.dirty = append(g.dirty, l.Number)
	was := g.nextImage()
	was.absent, was.epoch, was.before = absent, l.Epoch, l.Before
	if !absent {
		was.events, was.lastTime, was.final = l.Events, l.LastTime, l.Final
		was.block, was.offset, was.size = g.copy(l.Data())
	}
	l.Epoch, l.Before, l.Record = g.number, uint32(len(g.images)-1), noRecord
}

// nextImage adds an empty image. It is filled where it is: a struct that is made field
// by field and then copied in wider pieces has the processor wait until all stores
// before it are done, and here they go to memory that no cache has.
func (g *Generation) nextImage() *image {
	n := len(g.images)
	if n == cap(g.images) {
		const atFirst = 1 << 10
		g.images = slices.Grow(g.images, max(n, atFirst))
	}
	g.images = g.images[:n+1]
	g.images[n] = image{}
	return &g.images[n]
}

// copy keeps bytes as long as the generation lives, and returns where.
func (g *Generation) copy(b []byte) (block, offset, size uint32) {
	if g.block == len(g.blocks) {
		g.blocks = append(g.blocks, make([]byte, 0, max(imageBlock, len(b))))
	}
	to := g.blocks[g.block]
	if cap(to)-len(to) < len(b) {
		return g.next(b)
	}
	g.blocks[g.block] = append(to, b...)
	return uint32(g.block), uint32(len(to)), uint32(len(b))
}

// next is copy where the block has no room left.
func (g *Generation) next(b []byte) (block, offset, size uint32) {
	if g.block++; g.block < len(g.blocks) && cap(g.blocks[g.block]) < len(b) {
		g.blocks[g.block] = make([]byte, 0, len(b))
	}
	return g.copy(b)
}

// record writes what a slot is now, in place of what the generation has written
// of it before where that has the same length.
func (g *Generation) record(l *rate.Live) {
	if l.Record == noRecord {
		kind := recordShort
		if l.Round != g.round { // a new slot has had none
			kind, l.Round = recordFull, g.round
		}
		l.Record = g.append(kind, l)
		return
	}
	old := g.at(l.Record)
	g.scratch = appendRecord(g.scratch[:0], old[0], l)
	if len(g.scratch) == recordLen(old) {
		copy(old, g.scratch)
		return
	}
	l.Record = g.append(old[0], l)
	old[0] = recordVoid
}

// at returns what is written from a record on.
func (g *Generation) at(record uint64) []byte {
	return g.chunks[record>>recordOffsetBits][record&(1<<recordOffsetBits-1):]
}

// append writes a record behind the others and returns where it is.
func (g *Generation) append(kind byte, l *rate.Live) uint64 {
	if kind == recordShort {
		g.short++
	}
	n, room := len(g.chunks)-1, recordRoom(kind, l)
	if n < 0 || cap(g.chunks[n])-len(g.chunks[n]) < room {
		g.chunks = append(g.chunks, g.takeChunk(room))
		n++
	}
	at := len(g.chunks[n])
	g.chunks[n] = appendRecord(g.chunks[n], kind, l)
	return uint64(n)<<recordOffsetBits | uint64(at)
}

// takeChunk returns a chunk that has its version only, with room for a record.
func (g *Generation) takeChunk(room int) []byte {
	const head = JournalRoom + chunkHead
	if n := len(g.free); n > 0 && room <= chunkBytes-head {
		c := g.free[n-1]
		g.free = g.free[:n-1]
		return append(c[:JournalRoom], recordVersion)
	}
	return append(make([]byte, JournalRoom, max(chunkBytes, head+room)), recordVersion)
}

// repeat writes the full record of a slot, which the generation need not have
// changed, unless the slot has had it in this round.
func (g *Generation) repeat(l *rate.Live) {
	if l.Round == g.round {
		return
	}
	l.Round = g.round
	changed := l.Epoch == g.number && l.Record != noRecord
	if changed {
		g.at(l.Record)[0] = recordVoid
	}
	at := g.append(recordFull, l)
	if changed {
		l.Record = at
	}
}

// numberKey is the key of a table whose entries have numbers.
func numberKey(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
