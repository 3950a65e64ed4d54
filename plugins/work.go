package plugins

import (
	"slices"

	"github.com/tollway/tollway/sdk/abi"
)

// work is what [Instance.Price] needs while it runs. Its slices are kept from call to call, so
// that nothing is allocated per event or slot.
//
// A batch is a row of units: its events in order, then the finishes of its final slots in order. A
// call prices a stretch of them.
type work struct {
	batch  *Batch
	slots  []working
	finals []int32 // slots with the final flag: unit len(Events)+k finishes finals[k]
	dims   int
	long   bool // some event might hold more text than valueBytesMax

	// The stretch of the last call, and what was written to the arena for it. The plugin's own
	// copy is not trusted.
	from, to   int
	unitsMax   int // how many of its units may begin together
	events     int // of its units, those that are events
	sent       []sent
	values     []uint32 // its values, as indices into the batch's; [0] is 0
	valueOf    []uint32 // value of the batch → 1 + index into values, 0 when it is not there
	valueBytes int      // bytes of its values: rows and text
	header     abi.Header
	at         int // where the next part of a slot goes

	// pending says that the stretch was priced and its results stand in the arena. Before the
	// arena is written anew they move to store.
	pending bool
	kept    []kept
	store   []byte

	rejects []Reject
}

// working is a slot while its batch is priced.
type working struct {
	cap   int32 // bytes of state to give it
	local int32 // 1 + index into sent, 0 when it is not in the stretch
	kept  int32 // 1 + index into kept, 0 when no call before has changed it
	isNew bool  // no call with this slot has succeeded yet
}

// sent is a slot of the stretch: where its parts are in the arena, and, after a call, how much of
// its state and carry there is.
type sent struct {
	slot                  int32
	lineOff, lineLen      uint32
	stateOff, stateCap    uint32
	carryOff, carryCap    uint32
	stateLen, carryOutLen uint32
	final                 bool // its finish is in the stretch
}

// kept is what an earlier call of the batch made of a slot.
type kept struct{ state, lines, carry []byte }

// begin sets up the work for a batch.
func (w *work) begin(b *Batch) {
	w.batch = b
	w.slots = slices.Grow(w.slots[:0], len(b.Slots))[:len(b.Slots)]
	w.finals, w.kept, w.store = w.finals[:0], w.kept[:0], w.store[:0]
	w.dims, w.pending, w.rejects = 0, false, nil
	w.sent = w.sent[:0]
	if len(b.Slots) > 0 {
		w.dims = len(b.Slots[0].Plan.Dimensions)
	}
	for k := range b.Slots {
		s := &b.Slots[k]
		w.slots[k] = working{cap: int32(stateCap(s.Plan, len(s.State))), isNew: s.New}
		if s.Final {
			w.finals = append(w.finals, int32(k))
		}
	}
	w.values = append(w.values[:0], 0)
	w.valueOf = w.valueOf[:0]
	w.long = false
	if w.dims > 0 {
		w.valueOf = slices.Grow(w.valueOf, len(b.Values))[:len(b.Values)]
		clear(w.valueOf)
		w.long = slices.ContainsFunc(b.Values, func(v string) bool { return len(v) > valueBytesMax/abi.DimsMax })
	}
}

// units is the number of units of the batch.
func (w *work) units() int { return len(w.batch.Events) + len(w.finals) }

// slotOf is the slot of a unit.
func (w *work) slotOf(unit int) int {
	if n := len(w.batch.Events); unit >= n {
		return int(w.finals[unit-n])
	}
	return int(w.batch.Events[unit].Slot)
}

// current returns the state and the lines of a slot as the calls so far have left them.
func (w *work) current(slot int32) (state, lines []byte) {
	if n := w.slots[slot].kept; n > 0 {
		return w.kept[n-1].state, w.kept[n-1].lines
	}
	s := &w.batch.Slots[slot]
	return s.State, s.Lines
}

// keep moves the results of the last call out of the arena, which the next call needs.
func (w *work) keep(arena []byte) {
	if !w.pending {
		return
	}
	w.pending = false
	for n := range w.sent {
		s := &w.sent[n]
		place := &w.slots[s.slot]
		if place.kept == 0 {
			w.kept = append(w.kept, kept{})
			place.kept = int32(len(w.kept))
		}
		k := &w.kept[place.kept-1]
		k.state = w.copy(arena[s.stateOff:][:s.stateLen])
		k.lines = w.copy(arena[s.lineOff:][:s.lineLen])
		k.carry = nil
		if s.final {
			k.carry = w.copy(arena[s.carryOff:][:s.carryOutLen])
		}
	}
}

// copy puts a copy into the store. What was put there before stays valid when the store moves.
func (w *work) copy(b []byte) []byte {
	n := len(w.store)
	w.store = append(w.store, b...)
	return w.store[n:len(w.store):len(w.store)]
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

// release forgets the stretch.
func (w *work) release() {
	for n := range w.sent {
		w.slots[w.sent[n].slot].local = 0
	}
	w.sent = w.sent[:0]
	w.dropValues(1)
}

// dropValues forgets the values of the stretch from the n-th on.
func (w *work) dropValues(n int) {
	for _, id := range w.values[n:] {
		w.valueOf[id] = 0
		w.valueBytes -= abi.ValueSize + len(w.batch.Values[id])
	}
	w.values = w.values[:n]
}

// value returns the number of a value of the batch in the stretch.
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

// tooLong tells whether an event's dimensions hold more text than any arena has room for.
func (w *work) tooLong(event int) bool {
	if !w.long {
		return false
	}
	n := 0
	for _, id := range w.batch.Dims[event*w.dims:][:w.dims] {
		n += len(w.batch.Values[id])
	}
	return n > valueBytesMax
}

// commit replaces the slots of the batch by what became of them, and returns the rejects.
func (w *work) commit(arena []byte) []Reject {
	b := w.batch
	for k := range w.slots {
		if n := w.slots[k].kept; n > 0 {
			from, to := &w.kept[n-1], &b.Slots[k]
			to.State, to.Lines, to.CarryOut = from.state, from.lines, from.carry
		}
	}
	if w.pending {
		for n := range w.sent {
			from := &w.sent[n]
			to := &b.Slots[from.slot]
			to.State = arena[from.stateOff:][:from.stateLen:from.stateLen]
			to.Lines = arena[from.lineOff:][:from.lineLen:from.lineLen]
			to.CarryOut = nil
			if from.final {
				to.CarryOut = arena[from.carryOff:][:from.carryOutLen:from.carryOutLen]
			}
		}
	}
	w.release()
	w.batch = nil
	return slices.Clip(w.rejects)
}
