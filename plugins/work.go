package plugins

import (
	"slices"

	"github.com/tollway/tollway/sdk/abi"
)

// work is what [Instance.Price] needs while it runs. Its slices are kept from call to call, so
// that nothing is allocated per event.
//
// A batch is a row of units: its events in order, then the finishes of its final slots in order. A
// call prices a stretch of them.
type work struct {
	batch  *Batch
	slots  []working
	finals []int // slots with the final flag: unit len(Events)+k finishes finals[k]
	dims   int
	long   bool // some event might hold more text than valueBytesMax

	// The stretch of the next call.
	from, to   int
	local      []int    // its slots, as indices into slots
	values     []uint32 // its values, as indices into the batch's; [0] is 0
	valueOf    []uint32 // value of the batch → 1 + index into values, 0 when it is not there
	eventOf    []uint32 // its events' local slots
	dimsOf     []uint32 // its events' local value ids, dims each
	valueBytes int      // bytes of its values: rows and text
	size       int      // bytes of arena for all of the above

	// What was written to the arena for it. The plugin's own copy is not trusted.
	header abi.Header
	sent   []abi.Slot
	got    []abi.SlotOut

	rejects []Reject
}

// working is a slot while its batch is priced.
type working struct {
	state   []byte
	lines   []Line
	carry   []byte
	cap     int  // bytes of state to give it
	isNew   bool // no call with this slot has succeeded yet
	local   int  // 1 + index into local, 0 when it is not in the stretch
	final   bool // its finish is in the stretch
	changed bool
}

// begin sets up the work for a batch.
func (w *work) begin(b *Batch) {
	w.batch = b
	w.slots = slices.Grow(w.slots[:0], len(b.Slots))[:len(b.Slots)]
	w.finals = w.finals[:0]
	w.dims = 0
	if len(b.Slots) > 0 {
		w.dims = len(b.Slots[0].Plan.Dimensions)
	}
	for k := range b.Slots {
		s := &b.Slots[k]
		w.slots[k] = working{state: s.State, lines: s.Lines, isNew: s.New, cap: stateCap(s.Plan, len(s.State))}
		if s.Final {
			w.finals = append(w.finals, k)
		}
	}
	w.values = append(w.values[:0], 0)
	w.valueOf = slices.Grow(w.valueOf[:0], len(b.Values))[:len(b.Values)]
	clear(w.valueOf)
	w.rejects = nil
	w.long = slices.ContainsFunc(b.Values, func(v string) bool { return len(v) > valueBytesMax/abi.DimsMax })
}

// tooLong tells whether an event's dimensions hold more text than any arena has room for.
func (w *work) tooLong(e *Event) bool {
	if !w.long {
		return false
	}
	n := 0
	for _, id := range e.Dims {
		n += len(w.batch.Values[id])
	}
	return n > valueBytesMax
}

// units is the number of units of the batch.
func (w *work) units() int { return len(w.batch.Events) + len(w.finals) }

// slotOf is the slot of a unit.
func (w *work) slotOf(unit int) int {
	if n := len(w.batch.Events); unit >= n {
		return w.finals[unit-n]
	}
	return w.batch.Events[unit].Slot
}

// stateCap is the room to give to a state that has n bytes: a fixed state has its size, a variable
// one a quarter more than it uses.
func stateCap(p *Plan, n int) int {
	if p.StateMax == p.StateSize {
		return p.StateSize
	}
	return min(max(p.StateSize, n+n/4+256), p.StateMax)
}

func align(n int) int { return (n + abi.Align - 1) &^ (abi.Align - 1) }

// fixedSize is the arena that any call needs.
func (w *work) fixedSize() int {
	// The regions behind the events may each lose up to 16 bytes to alignment.
	return abi.HeaderSize + abi.RejectsMax*abi.RejectSize + abi.ValueSize + 4*abi.Align
}

// choose lays out a stretch that begins at a unit: as many units as fit into an arena of the given
// size, at most limit. It returns its length, 0 when not even one unit fits.
func (w *work) choose(from, limit, arena int) int {
	w.release()
	w.from, w.to = from, from
	w.size = w.fixedSize()
	end := min(from+limit, w.units())
	for w.to < end {
		slots, values := len(w.local), len(w.values)
		if !w.add(w.to, arena) {
			w.drop(slots, values)
			break
		}
		w.to++
	}
	return w.to - w.from
}

// add puts a unit into the stretch, unless it does not fit.
func (w *work) add(unit, arena int) bool {
	slot := w.slotOf(unit)
	s := &w.slots[slot]
	plan := w.batch.Slots[slot].Plan
	size := w.size
	if s.local == 0 {
		w.local = append(w.local, slot)
		s.local = len(w.local)
		size += abi.SlotSize + len(plan.Lines)*abi.LineSize + align(s.cap) + align(len(w.batch.Slots[slot].CarryIn))
	}
	if unit >= len(w.batch.Events) {
		size += align(plan.CarrySize)
		if size > arena {
			return false
		}
		w.size, s.final = size, true
		return true
	}
	if w.tooLong(&w.batch.Events[unit]) {
		return false
	}
	size += abi.EventStride(w.dims)
	eventOf, dimsOf, valueBytes := len(w.eventOf), len(w.dimsOf), w.valueBytes
	w.eventOf = append(w.eventOf, uint32(s.local-1))
	for _, id := range w.batch.Events[unit].Dims {
		w.dimsOf = append(w.dimsOf, w.value(id))
	}
	size += w.valueBytes - valueBytes
	if size > arena {
		w.eventOf, w.dimsOf, w.valueBytes = w.eventOf[:eventOf], w.dimsOf[:dimsOf], valueBytes
		return false
	}
	w.size = size
	return true
}

// value returns the local id of a value of the batch.
func (w *work) value(id uint32) uint32 {
	if id == 0 {
		return 0
	}
	if w.valueOf[id] == 0 {
		w.values = append(w.values, id)
		w.valueOf[id] = uint32(len(w.values))
		w.valueBytes += abi.ValueSize + len(w.batch.Values[id])
	}
	return w.valueOf[id] - 1
}

// drop takes the slots and values of a unit that did not fit out again.
func (w *work) drop(slots, values int) {
	for _, k := range w.local[slots:] {
		w.slots[k].local, w.slots[k].final = 0, false
	}
	w.local = w.local[:slots]
	for _, id := range w.values[values:] {
		w.valueOf[id] = 0
	}
	w.values = w.values[:values]
}

// release forgets the stretch.
func (w *work) release() {
	w.drop(0, 1)
	w.eventOf, w.dimsOf, w.valueBytes = w.eventOf[:0], w.dimsOf[:0], 0
}
