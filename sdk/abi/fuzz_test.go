package abi

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// FuzzReadHeader: whatever the bytes, no panic, and an accepted header keeps its regions inside.
func FuzzReadHeader(f *testing.F) {
	h, arena := sample(), make([]byte, 4096)
	h.Put(arena)
	f.Add(arena)
	f.Add(arena[:HeaderSize])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, arena []byte) {
		h, err := ReadHeader(arena)
		if err != nil {
			return
		}
		for i := range h.Events {
			off := h.EventOff + i*h.EventStride
			ReadEvent(arena[off : off+h.EventStride])
			for d := range int(h.Dims) {
				EventDim(arena[off:off+h.EventStride], d)
			}
		}
		for i := range h.Slots {
			ReadSlot(arena[h.SlotOff+i*h.SlotStride:])
		}
	})
}

// FuzzReadRejects: a hostile guest's table is either refused or well formed, and what is accepted
// survives being written again.
func FuzzReadRejects(f *testing.F) {
	h, arena := sample(), make([]byte, 4096)
	h.Put(arena)
	PutReject(arena[h.RejectOff:], 1, "no_price", "detail")
	le.PutUint32(arena[HeaderRejects:], 1)
	f.Add(arena[HeaderRejects:HeaderReserved], arena[h.RejectOff:h.RejectOff+4*RejectSize])
	f.Fuzz(func(t *testing.T, head, table []byte) {
		copy(arena[HeaderRejects:HeaderReserved], head)
		copy(arena[h.RejectOff:int(h.RejectOff)+4*RejectSize], table)
		if text, err := FaultText(arena); err == nil && !utf8.Valid(text) {
			t.Error("fault text is not UTF-8")
		}
		if _, err := Reply(arena); err != nil && err != ErrReply {
			t.Errorf("reply: %v", err)
		}
		rejects, err := ReadRejects(arena, &h, nil)
		if err != nil {
			return
		}
		last := -1
		for _, r := range rejects {
			if int(r.Event) <= last || r.Event >= h.Events || !ValidName(r.Reason) || !utf8.Valid(r.Detail) {
				t.Fatalf("accepted %+v", r)
			}
			last = int(r.Event)
			row := make([]byte, RejectSize)
			PutReject(row, r.Event, string(r.Reason), string(r.Detail))
			again, err := readReject(row)
			if err != nil || !bytes.Equal(again.Reason, r.Reason) || !bytes.Equal(again.Detail, r.Detail) {
				t.Fatalf("written again: %+v, %v", again, err)
			}
		}
	})
}
