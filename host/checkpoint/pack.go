package checkpoint

import (
	"slices"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// writer collects writes into transactions. While everything fits in one,
// nothing is written before finish; otherwise full transactions go first, under
// doomed markers for the runs they belong to, and the last one removes the
// markers together with what finish was given.
type writer struct {
	store   *Store
	limit   cost // of a transaction
	runs    []doomed
	pending []write
	cost    cost // of pending
	split   bool // a transaction was written, so the markers stand
}

// doomed names a run that does not count, or no longer.
type doomed struct {
	family family
	run    uint64
}

// begin makes the writer ready for runs that are about to be written.
func (w *writer) begin(s *Store, limit cost) {
	w.store, w.limit = s, limit
	w.runs, w.pending, w.cost, w.split = w.runs[:0], w.pending[:0], cost{}, false
}

// begun notes a run before its first segment. After the first transaction its
// marker goes with the next one; that it is not counted beforehand is covered
// by the margin of the limit.
func (w *writer) begun(d doomed) {
	w.runs = append(w.runs, d)
	if w.split {
		w.take(markDoomed(d))
	}
}

// segment takes a segment; pooled says that its value is a buffer of the
// store's pool.
func (w *writer) segment(key, value []byte, pooled bool) error {
	next := write{key: key, value: value, pooled: pooled}
	if !w.fits(next) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.take(next)
	return nil
}

// fits reports whether the pending transaction has room for one more write,
// beside the markers.
func (w *writer) fits(next write) bool {
	markers := len(w.runs)
	total := w.cost.plus(next.cost())
	total.tree += markers * markerBytes
	return total.within(w.limit) && len(w.pending)+1+markers <= w.store.txnWrites
}

func (w *writer) take(next write) {
	w.pending = append(w.pending, next)
	w.cost = w.cost.plus(next.cost())
}

// flush writes what is pending, and with the first transaction the markers. A
// crash after it leaves segments that the markers let the next open sweep.
func (w *writer) flush() error {
	failpoint.Hit("store.before-segments")
	if !w.split {
		for _, r := range w.runs {
			w.take(markDoomed(r))
		}
		w.split = true
	}
	err := w.store.transact(w.pending)
	w.release()
	return err
}

// finish writes what is pending, with the last writes, which make it count, in
// the same transaction.
func (w *writer) finish(last ...write) error {
	failpoint.Hit("store.before-last")
	total, count := w.cost, len(w.pending)+len(w.runs)+len(last)
	total.tree += len(w.runs) * markerBytes
	for _, l := range last {
		total = total.plus(l.cost())
	}
	if len(w.pending) > 0 && (!total.within(w.limit) || count > w.store.txnWrites) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if w.split {
		for _, r := range w.runs {
			w.take(unmarkDoomed(r))
		}
	}
	for _, l := range last {
		w.take(l)
	}
	err := w.store.transact(w.pending)
	w.release()
	return err
}

// release gives the buffers of pending segments back.
func (w *writer) release() {
	for _, p := range w.pending {
		if p.pooled {
			w.store.buffers.give(p.value)
		}
	}
	clear(w.pending)
	w.pending, w.cost = w.pending[:0], cost{}
}

// markerBytes is the size of a write that sets or removes a marker, or more.
const markerBytes = doomedKeySize + 4 + 32

func markDoomed(d doomed) write {
	key := appendDoomedKey(nil, d.family, d.run)
	return write{key: key, value: doomedValue(key)}
}

func unmarkDoomed(d doomed) write {
	return write{key: appendDoomedKey(nil, d.family, d.run), remove: true}
}

// packer packs entries into the segments of one run.
type packer struct {
	out    *writer
	family family
	limit  int // bytes of a segment
	run    run
	next   uint64 // the number of the next entry of a log
	buf    []byte // the segment being filled; empty when there is none
	count  uint32 // its entries
	first  uint64 // the number of its first
}

// newPacker begins a run. The first entry of a log has the number first; tables
// give 0.
func newPacker(out *writer, f family, first uint64) packer {
	s := out.store
	k := packer{out: out, family: f, limit: s.segmentBytes, next: first}
	k.run = run{id: s.newRun(), first: first}
	out.begun(doomed{family: f, run: k.run.id})
	return k
}

// table adds a key, greater than the one before, and its value.
func (k *packer) table(key, value []byte) error {
	if err := k.room(len(key) + len(value)); err != nil {
		return err
	}
	k.buf = appendTableEntry(k.buf, key, value)
	return k.added()
}

// log adds the next entry of a log.
func (k *packer) log(entry []byte) error {
	if err := k.room(len(entry)); err != nil {
		return err
	}
	k.buf = appendLogEntry(k.buf, entry)
	return k.added()
}

// alone adds the next entry of a journal, in a segment of its own.
func (k *packer) alone(entry []byte) error {
	if len(entry)+segmentHeaderSize > k.limit {
		return k.log(entry)
	}
	buf := slices.Grow(k.out.store.buffers.take(), segmentHeaderSize+len(entry))
	return k.whole(append(buf[:segmentHeaderSize], entry...), true)
}

// roomy adds the next entry of a journal without copying it: the segment is the
// caller's memory, which has room for the header in front.
func (k *packer) roomy(entry []byte) error {
	if len(entry) > k.limit {
		return k.log(entry[segmentHeaderSize:])
	}
	return k.whole(entry, false)
}

// whole emits a segment that is one entry of a log behind the room for its
// header.
func (k *packer) whole(buf []byte, pooled bool) error {
	s := segment{shape: shapeAlone, count: 1, first: k.next}
	k.next++
	k.run.entries++
	return k.emit(buf, s, pooled)
}

// room makes sure that an entry of n bytes fits in the segment being filled, or
// that it is alone in it.
func (k *packer) room(n int) error {
	if k.count > 0 && len(k.buf)+n+entryOverhead > k.limit {
		if err := k.seal(); err != nil {
			return err
		}
	}
	if k.count == 0 {
		k.buf = append(k.out.store.buffers.take(), make([]byte, segmentHeaderSize)...)
		k.first = k.next
	}
	return nil
}

// added counts the entry at the end of the segment being filled.
func (k *packer) added() error {
	k.count++
	k.run.entries++
	if k.family.kind == kindLog {
		k.next++
	}
	if len(k.buf) > k.limit {
		return k.cut()
	}
	return nil
}

// seal ends the segment being filled.
func (k *packer) seal() error {
	err := k.emit(k.buf, segment{shape: shapeWhole, count: k.count, first: k.first}, true)
	k.buf, k.count = nil, 0
	return err
}

// cut divides the segment being filled, one entry that is larger than a
// segment, into pieces.
func (k *packer) cut() error {
	payload := k.buf[segmentHeaderSize:]
	k.buf, k.count = nil, 0
	size := k.limit - segmentHeaderSize
	pieces := uint32((len(payload) + size - 1) / size)
	for i := range pieces {
		piece := payload[:min(size, len(payload))]
		payload = payload[len(piece):]
		buf := append(k.out.store.buffers.take(), make([]byte, segmentHeaderSize)...)
		buf = append(buf, piece...)
		if err := k.emit(buf, segment{shape: shapePiece, count: pieces, piece: i, first: k.first}, true); err != nil {
			return err
		}
	}
	return nil
}

// emit hands a finished segment to the writer.
func (k *packer) emit(buf []byte, s segment, pooled bool) error {
	key := appendSegmentKey(nil, k.family, k.run.id, k.run.segments)
	sealSegment(key, buf, s)
	k.run.segments++
	k.run.bytes += uint64(len(buf))
	return k.out.segment(key, buf, pooled)
}

// finish ends the run. It has no segments when it has no entries.
func (k *packer) finish() (run, error) {
	if k.count > 0 {
		if err := k.seal(); err != nil {
			return run{}, err
		}
	}
	return k.run, nil
}
