package plugins

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/abi"
)

// decode takes over what the plugin made of the stretch. Nothing it wrote is trusted: lengths are
// held against the rows that the host sent. The error names the slot or row at fault; nothing has
// then been taken over.
func (w *work) decode(arena []byte) error {
	before := len(w.rejects)
	if err := w.decodeRejects(arena); err != nil {
		w.rejects = w.rejects[:before]
		return err
	}
	w.got = w.got[:0]
	for n := range w.local {
		out, err := abi.ReadSlotOut(w.row(arena, n), &w.sent[n])
		if err != nil {
			w.rejects = w.rejects[:before]
			return fmt.Errorf("slot %d: %w", w.local[n], err)
		}
		w.got = append(w.got, out)
	}
	for n, k := range w.local {
		w.decodeSlot(arena, &w.slots[k], n)
	}
	return nil
}

// row is the row of a local slot in the arena.
func (w *work) row(arena []byte, n int) []byte {
	at := int(w.header.SlotOff) + n*abi.SlotSize
	return arena[at : at+abi.SlotSize]
}

// decodeSlot takes over the state, lines and carry of a slot. What did not change keeps its slice.
func (w *work) decodeSlot(arena []byte, s *working, n int) {
	sent, out := &w.sent[n], w.got[n]
	state := arena[sent.StateOff : sent.StateOff+out.StateLen]
	if !bytes.Equal(s.state, state) {
		s.state = bytes.Clone(state)
	}
	lines := arena[sent.LineOff : int(sent.LineOff)+int(sent.Lines)*abi.LineSize]
	same := len(s.lines) == int(sent.Lines)
	for l := 0; same && l < len(s.lines); l++ {
		same = s.lines[l] == Line(abi.ReadLine(lines[l*abi.LineSize:]))
	}
	if !same {
		s.lines = make([]Line, sent.Lines)
		for l := range s.lines {
			s.lines[l] = Line(abi.ReadLine(lines[l*abi.LineSize:]))
		}
	}
	if sent.Flags&abi.SlotFlagFinal != 0 {
		s.carry = bytes.Clone(arena[sent.CarryOutOff : sent.CarryOutOff+out.CarryOutLen])
	}
	s.isNew, s.changed = false, true
}

// decodeRejects appends the rejects of the stretch. A detail that is not UTF-8 is made so: text for
// people must not be the reason for which a batch fails.
func (w *work) decodeRejects(arena []byte) error {
	count := binary.LittleEndian.Uint32(arena[abi.HeaderRejects:])
	if count > w.header.RejectsMax {
		return abi.ErrRejects
	}
	next := uint32(0) // the least event that the next row may name
	for n := range int(count) {
		row := arena[int(w.header.RejectOff)+n*abi.RejectSize:][:abi.RejectSize]
		event := binary.LittleEndian.Uint32(row[abi.RejectEvent:])
		if event < next || event >= w.header.Events {
			return abi.ErrRejectRow
		}
		next = event + 1
		reason := int(binary.LittleEndian.Uint16(row[abi.RejectReasonLen:]))
		detail := int(binary.LittleEndian.Uint16(row[abi.RejectDetailLen:]))
		if reason+detail > abi.RejectTextMax {
			return abi.ErrRejectText
		}
		text := row[abi.RejectText:]
		if !abi.ValidName(text[:reason]) {
			return abi.ErrReason
		}
		w.rejects = append(w.rejects, Reject{
			Event:  w.from + int(event),
			Reason: string(text[:reason]),
			Detail: strings.ToValidUTF8(string(text[reason:reason+detail]), "\uFFFD"),
		})
	}
	return nil
}

// growStates gives more room to the slots that asked for it. It reports an error when none did,
// or when one asked for what it may not have.
func (w *work) growStates(arena []byte) error {
	grown := false
	for n, k := range w.local {
		need, err := abi.ReadStateNeed(w.row(arena, n), &w.sent[n])
		plan := w.batch.Slots[k].Plan
		if err == nil && int(need) > plan.StateMax {
			err = fmt.Errorf("it asked for %d bytes of state, its plan has state_max %d", need, plan.StateMax)
		}
		if err != nil {
			return fmt.Errorf("slot %d: %w", k, err)
		}
		if need > 0 {
			// Twice the last room at least, so that a slot cannot ask for one byte at a time.
			w.slots[k].cap = min(max(int(need), 2*w.slots[k].cap), plan.StateMax)
			grown = true
		}
	}
	if !grown {
		return errors.New("it asked for more state, but for no slot")
	}
	return nil
}

// commit replaces the slots of the batch by what became of them, and returns the rejects.
func (w *work) commit() []Reject {
	for k := range w.slots {
		if s := &w.slots[k]; s.changed {
			out := &w.batch.Slots[k]
			out.State, out.Lines, out.CarryOut = s.state, s.lines, s.carry
		}
	}
	w.release()
	w.batch = nil
	clear(w.slots)
	return slices.Clip(w.rejects)
}
