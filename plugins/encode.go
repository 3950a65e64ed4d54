package plugins

import (
	"encoding/binary"

	"github.com/tollway/tollway/sdk/abi"
)

// encode writes the chosen stretch into the arena, which is all zero, and returns the bytes that
// it reaches to. Regions stand in the order of the ABI: header, slots, lines, states and carry,
// events, values, strings, rejects.
func (w *work) encode(arena []byte) int {
	at := abi.HeaderSize
	slotOff := at
	at += len(w.local) * abi.SlotSize
	at = w.encodeSlots(arena, slotOff, at)
	events := len(w.eventOf)
	w.header = abi.Header{
		Events: uint32(events), EventOff: uint32(at), EventStride: uint32(abi.EventStride(w.dims)),
		Slots: uint32(len(w.local)), SlotOff: uint32(slotOff), SlotStride: abi.SlotSize,
		Dims: uint32(w.dims), Values: uint32(len(w.values)),
		RejectStride: abi.RejectSize, RejectsMax: abi.RejectsMax, ArenaSize: uint32(len(arena)),
	}
	h := &w.header
	w.encodeEvents(arena[at:])
	at += events * int(h.EventStride)
	h.ValueOff = uint32(at)
	h.StringOff = uint32(align(at + len(w.values)*abi.ValueSize))
	h.StringLen = w.encodeValues(arena[at:], arena[h.StringOff:])
	h.RejectOff = uint32(align(int(h.StringOff + h.StringLen)))
	h.Put(arena)
	return int(h.RejectOff) + abi.RejectsMax*abi.RejectSize
}

// encodeSlots writes the slot rows, and lines, states and carry behind them.
func (w *work) encodeSlots(arena []byte, rowOff, at int) int {
	w.sent = w.sent[:0]
	for _, k := range w.local {
		s := &w.batch.Slots[k]
		row := abi.Slot{
			PeriodStart: s.PeriodStart, PeriodEnd: s.PeriodEnd,
			ActiveFrom: s.ActiveFrom, ActiveUntil: s.ActiveUntil,
			Handle: s.Plan.handle, Lines: uint32(len(s.Plan.Lines)), LineOff: uint32(at),
			StateLen: uint32(len(w.slots[k].state)), StateCap: uint32(w.slots[k].cap),
			CarryInLen: uint32(len(s.CarryIn)),
		}
		if w.slots[k].isNew {
			row.Flags |= abi.SlotFlagNew
		}
		if w.slots[k].final {
			row.Flags |= abi.SlotFlagFinal
			row.CarryOutCap = uint32(s.Plan.CarrySize)
		}
		w.sent = append(w.sent, row)
		at += len(s.Plan.Lines) * abi.LineSize
	}
	for n, k := range w.local {
		row := &w.sent[n]
		for l, line := range w.slots[k].lines {
			abi.PutLine(arena[int(row.LineOff)+l*abi.LineSize:], abi.Line(line))
		}
		row.StateOff = uint32(at)
		copy(arena[at:], w.slots[k].state)
		at += align(int(row.StateCap))
		row.CarryInOff = uint32(at)
		at += align(copy(arena[at:], w.batch.Slots[k].CarryIn))
		row.CarryOutOff = uint32(at)
		at += align(int(row.CarryOutCap))
		abi.PutSlot(arena[rowOff+n*abi.SlotSize:], row)
	}
	return at
}

// encodeEvents writes the event rows. It is the one loop of the host that runs for every event, so
// it writes the fields where they are, as abi.PutEvent does.
func (w *work) encodeEvents(rows []byte) {
	le := binary.LittleEndian
	stride := abi.EventStride(w.dims)
	events := w.batch.Events[min(w.from, len(w.batch.Events)):]
	for n, slot := range w.eventOf {
		e := &events[n]
		row := rows[n*stride:][:stride:stride]
		le.PutUint32(row[abi.EventSlot:], slot)
		le.PutUint64(row[abi.EventTime:], uint64(e.Time))
		le.PutUint64(row[abi.EventQuantity:], e.Quantity.Lo)
		le.PutUint64(row[abi.EventQuantity+8:], uint64(e.Quantity.Hi))
		if e.HasAmount {
			le.PutUint32(row[abi.EventFlags:], abi.EventFlagAmount)
			le.PutUint64(row[abi.EventAmount:], e.Amount.Lo)
			le.PutUint64(row[abi.EventAmount+8:], uint64(e.Amount.Hi))
		}
		for d, id := range w.dimsOf[n*w.dims : (n+1)*w.dims] {
			le.PutUint32(row[abi.EventDims+4*d:], id)
		}
	}
}

// encodeValues writes the value rows and their texts, and returns the length of the texts.
func (w *work) encodeValues(rows, texts []byte) uint32 {
	at := 0
	for n, id := range w.values {
		if n == 0 {
			continue // row 0 is the empty string: zeros
		}
		length := copy(texts[at:], w.batch.Values[id])
		abi.PutValue(rows[n*abi.ValueSize:], uint32(at), uint32(length))
		at += length
	}
	return uint32(at)
}
