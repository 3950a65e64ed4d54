package plugins

import (
	"encoding/binary"
	"slices"

	"github.com/tollway/tollway/sdk/abi"
)

var le = binary.LittleEndian

// The parts of an arena that any call needs behind the units: the empty value, the rejects, and what
// the alignment of three regions may take.
const tailSize = abi.ValueSize + abi.RejectsMax*abi.RejectSize + 3*abi.Align

// encode writes a stretch that begins at a unit into the arena: as many units as fit, at most limit.
// It returns their number, 0 when not even one fits, and the bytes of the arena that it reaches to.
// Every byte before that is written, so that the arena need not be cleared. What the call before
// left in the arena must have been taken, see keep.
//
// Regions stand in the order of the ABI: header, slot rows, events, the slots' lines, states and
// carry, values, strings, rejects. Room for the rows is set aside for as many units as there may
// be.
func (w *work) encode(arena []byte, from, limit int) (units, used int) {
	w.release()
	stride := abi.EventStride(w.dims)
	limit = min(limit, w.units()-from, max(1, len(arena)/2/(abi.SlotSize+stride)))
	slots := min(limit, len(w.slots))
	events := max(0, min(limit, len(w.batch.Events)-from))
	eventOff := abi.HeaderSize + slots*abi.SlotSize
	data := eventOff + events*stride
	w.header = abi.Header{
		EventOff: uint32(eventOff), EventStride: uint32(stride),
		SlotOff: abi.HeaderSize, SlotStride: abi.SlotSize, Dims: uint32(w.dims),
		RejectStride: abi.RejectSize, RejectsMax: abi.RejectsMax, ArenaSize: uint32(len(arena)), UnitsMax: uint32(w.unitsMax),
	}
	w.at = data
	w.from, w.events = from, 0
	if events > 0 {
		w.events = w.encodeEvents(arena, arena[eventOff:data:data], from, events)
	}
	w.to = from + w.events
	for w.events == events && w.to < from+limit && w.addFinish(arena, w.to) {
		w.to++
	}
	if w.to == from {
		return 0, w.at
	}
	clear(arena[abi.HeaderSize+len(w.sent)*abi.SlotSize : eventOff])
	clear(arena[eventOff+w.events*stride : data])
	w.header.Events, w.header.Slots, w.header.Finals = uint32(w.events), uint32(len(w.sent)), uint32(w.to-from-w.events)
	return w.to - from, w.encodeTail(arena)
}

// fits tells whether the parts of slots may reach to at.
func (w *work) fits(arena []byte, at int) bool { return at+w.valueBytes+tailSize <= len(arena) }

// encodeEvents writes the rows of as many events as fit, and the slots that they fall into. It is the
// one loop of the host that runs for every event, so it writes the fields where they are, as
// abi.PutEvent does.
func (w *work) encodeEvents(arena, rows []byte, from, count int) int {
	stride := abi.EventStride(w.dims)
	events := w.batch.Events[from:][:count]
	for n := range events {
		e := &events[n]
		at, values := w.at, len(w.values)
		s := &w.slots[e.Slot]
		added := s.local == 0
		if added && !w.addSlot(arena, e.Slot) {
			return n
		}
		row := rows[:stride:stride]
		rows = rows[stride:]
		if w.dims > 0 && !w.encodeDims(arena, row[abi.EventDims:], from+n) {
			w.dropValues(values)
			if added {
				s.local, w.sent, w.at = 0, w.sent[:len(w.sent)-1], at
			}
			return n
		}
		le.PutUint32(row[abi.EventSlot:], uint32(s.local-1))
		le.PutUint64(row[abi.EventTime:], uint64(e.Time))
		le.PutUint64(row[abi.EventQuantity:], e.Quantity.Lo)
		le.PutUint64(row[abi.EventQuantity+8:], uint64(e.Quantity.Hi))
		if e.HasAmount {
			le.PutUint32(row[abi.EventFlags:], abi.EventFlagAmount)
			le.PutUint64(row[abi.EventAmount:], e.Amount.Lo)
			le.PutUint64(row[abi.EventAmount+8:], uint64(e.Amount.Hi))
			continue
		}
		le.PutUint32(row[abi.EventFlags:], 0)
		le.PutUint64(row[abi.EventAmount:], 0)
		le.PutUint64(row[abi.EventAmount+8:], 0)
	}
	return count
}

// encodeDims writes the values of an event, unless they do not fit.
func (w *work) encodeDims(arena, places []byte, event int) bool {
	if w.tooLong(event) {
		return false
	}
	ids := w.batch.Dims[event*w.dims:][:w.dims]
	for d, id := range ids {
		le.PutUint32(places[4*d:], w.value(id))
	}
	clear(places[4*len(ids):])
	return w.fits(arena, w.at)
}

// addSlot writes the row of a slot, and its lines, state and carry, unless they do not fit.
func (w *work) addSlot(arena []byte, slot int32) bool {
	s, place := &w.batch.Slots[slot], &w.slots[slot]
	lineLen, stateCap := s.Plan.lineBytes, int(place.cap)
	lineOff := w.at
	stateOff := lineOff + lineLen
	carryOff := stateOff + align(stateCap)
	end := carryOff + align(len(s.CarryIn))
	if !w.fits(arena, end) {
		return false
	}
	w.at = end
	state, lines := w.current(slot)
	flags := uint32(0)
	if place.isNew {
		flags = abi.SlotFlagNew
	}
	row := arena[int(w.header.SlotOff)+len(w.sent)*abi.SlotSize:][:abi.SlotSize]
	le.PutUint64(row[abi.SlotPeriodStart:], uint64(s.PeriodStart))
	le.PutUint64(row[abi.SlotPeriodEnd:], uint64(s.PeriodEnd))
	le.PutUint64(row[abi.SlotActiveFrom:], uint64(s.ActiveFrom))
	le.PutUint64(row[abi.SlotActiveUntil:], uint64(s.ActiveUntil))
	le.PutUint32(row[abi.SlotHandle:], s.Plan.handle)
	le.PutUint32(row[abi.SlotFlags:], flags)
	le.PutUint32(row[abi.SlotLines:], uint32(lineLen/abi.LineSize))
	le.PutUint32(row[abi.SlotLineOff:], uint32(lineOff))
	le.PutUint32(row[abi.SlotStateOff:], uint32(stateOff))
	le.PutUint32(row[abi.SlotStateLen:], uint32(len(state)))
	le.PutUint32(row[abi.SlotStateCap:], uint32(stateCap))
	le.PutUint32(row[abi.SlotStateNeed:], 0)
	le.PutUint32(row[abi.SlotCarryInOff:], uint32(carryOff))
	le.PutUint32(row[abi.SlotCarryInLen:], uint32(len(s.CarryIn)))
	le.PutUint32(row[abi.SlotCarryOutOff:], uint32(end))
	le.PutUint64(row[abi.SlotCarryOutLen:], 0) // and the room for it
	le.PutUint32(row[abi.SlotReserved:], 0)
	le.PutUint64(row[abi.SlotReserved+4:], 0)

	put(arena[lineOff:stateOff], lines)
	put(arena[stateOff:carryOff], state)
	if end > carryOff {
		put(arena[carryOff:end], s.CarryIn)
	}
	t := w.nextSent()
	t.slot, t.lineOff, t.lineLen = slot, uint32(lineOff), uint32(lineLen)
	t.stateOff, t.stateCap, t.carryOff = uint32(stateOff), uint32(stateCap), uint32(end)
	t.carryCap, t.stateLen, t.carryOutLen, t.final = 0, 0, 0, false
	place.local = int32(len(w.sent))
	return true
}

// nextSent adds a slot to those of the stretch. All of its fields are to be set, one by one: a
// struct that is made elsewhere and copied in wider pieces waits until all stores before it are done.
func (w *work) nextSent() *sent {
	n := len(w.sent)
	if n == cap(w.sent) {
		w.sent = slices.Grow(w.sent, max(n, 64))
	}
	w.sent = w.sent[:n+1]
	return &w.sent[n]
}

// put copies bytes to a place and zeroes the rest of it.
func put(place, b []byte) {
	if n := copy(place, b); n < len(place) {
		clear(place[n:])
	}
}

// addFinish puts the finish of a final slot into the stretch, unless it does not fit.
func (w *work) addFinish(arena []byte, unit int) bool {
	slot := int32(w.slotOf(unit))
	at, place := w.at, &w.slots[slot]
	added := place.local == 0
	if added && !w.addSlot(arena, slot) {
		return false
	}
	carry := w.batch.Slots[slot].Plan.CarrySize
	end := w.at + align(carry)
	if !w.fits(arena, end) {
		if added {
			place.local, w.sent, w.at = 0, w.sent[:len(w.sent)-1], at
		}
		return false
	}
	s := &w.sent[place.local-1]
	s.final, s.carryOff, s.carryCap = true, uint32(w.at), uint32(carry)
	row := w.row(arena, int(place.local-1))
	le.PutUint32(row[abi.SlotFlags:], le.Uint32(row[abi.SlotFlags:])|abi.SlotFlagFinal)
	le.PutUint32(row[abi.SlotCarryOutOff:], s.carryOff)
	le.PutUint32(row[abi.SlotCarryOutCap:], s.carryCap)
	clear(arena[w.at:end])
	w.at = end
	return true
}

// encodeTail writes the values, the empty table of rejects and the header, and returns where they
// end.
func (w *work) encodeTail(arena []byte) int {
	h := &w.header
	h.Values, h.ValueOff = uint32(len(w.values)), uint32(w.at)
	texts := w.at + len(w.values)*abi.ValueSize
	h.StringOff = uint32(align(texts))
	clear(arena[texts:h.StringOff])
	at := int(h.StringOff)
	for n, id := range w.values {
		length := 0
		if n > 0 { // row 0 is the empty string
			length = copy(arena[at:], w.batch.Values[id])
		}
		abi.PutValue(arena[w.at+n*abi.ValueSize:], uint32(at)-h.StringOff, uint32(length))
		at += length
	}
	h.StringLen = uint32(at) - h.StringOff
	h.RejectOff = uint32(align(at))
	end := int(h.RejectOff) + abi.RejectsMax*abi.RejectSize
	clear(arena[at:end])
	h.Put(arena)
	return end
}

// row is the row of a slot of the stretch in the arena.
func (w *work) row(arena []byte, n int) []byte {
	return arena[int(w.header.SlotOff)+n*abi.SlotSize:][:abi.SlotSize]
}
