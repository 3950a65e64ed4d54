package plugins

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tollway/tollway/sdk/abi"
)

// decode takes over what the plugin made of the stretch. Nothing it wrote is trusted: lengths are
// held against what the host sent. The error names the slot or row at fault; nothing has then been
// taken over.
func (w *work) decode(arena []byte) error {
	before := len(w.rejects)
	err := w.decodeRejects(arena)
	for n := 0; err == nil && n < len(w.sent); n++ {
		if err = w.decodeSlot(arena, n); err != nil {
			err = fmt.Errorf("slot %d: %w", w.sent[n].slot, err)
		}
	}
	if err != nil {
		w.rejects = w.rejects[:before]
		return err
	}
	for n := range w.sent {
		w.slots[w.sent[n].slot].isNew = false
	}
	w.pending = true
	return nil
}

// decodeSlot notes how much of a slot's state and carry there is.
func (w *work) decodeSlot(arena []byte, n int) error {
	row, s := w.row(arena, n), &w.sent[n]
	if s.stateLen = le.Uint32(row[abi.SlotStateLen:]); s.stateLen > s.stateCap {
		return abi.ErrStateLen
	}
	if !s.final {
		return nil
	}
	if s.carryOutLen = le.Uint32(row[abi.SlotCarryOutLen:]); s.carryOutLen > s.carryCap {
		return abi.ErrCarryLen
	}
	return nil
}

// decodeRejects appends the rejects of the stretch. A detail that is not UTF-8 is made so: text for
// people must not be the reason for which a batch fails.
func (w *work) decodeRejects(arena []byte) error {
	count := le.Uint32(arena[abi.HeaderRejects:])
	if count > w.header.RejectsMax {
		return abi.ErrRejects
	}
	next := uint32(0) // the least event that the next row may name
	for n := range int(count) {
		row := arena[int(w.header.RejectOff)+n*abi.RejectSize:][:abi.RejectSize]
		event := le.Uint32(row[abi.RejectEvent:])
		if event < next || event >= w.header.Events {
			return abi.ErrRejectRow
		}
		next = event + 1
		reason := int(le.Uint16(row[abi.RejectReasonLen:]))
		detail := int(le.Uint16(row[abi.RejectDetailLen:]))
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
	for n := range w.sent {
		s := &w.sent[n]
		need, err := abi.ReadStateNeed(w.row(arena, n), &abi.Slot{StateCap: s.stateCap})
		plan := w.batch.Slots[s.slot].Plan
		if err == nil && int(need) > plan.StateMax {
			err = fmt.Errorf("it asked for %d bytes of state, its plan has state_max %d", need, plan.StateMax)
		}
		if err != nil {
			return fmt.Errorf("slot %d: %w", s.slot, err)
		}
		if need > 0 {
			// Twice the last room at least, so that a slot cannot ask for one byte at a time.
			place := &w.slots[s.slot]
			place.cap = int32(min(max(int(need), 2*int(place.cap)), plan.StateMax))
			grown = true
		}
	}
	if !grown {
		return errors.New("it asked for more state, but for no slot")
	}
	return nil
}
