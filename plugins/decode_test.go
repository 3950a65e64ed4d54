package plugins

import (
	"bytes"
	"encoding/binary"
	"testing"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// stretch is a work with three events in two slots, encoded.
func stretch(arena []byte) (*work, *Batch) {
	for k := range arena {
		arena[k] = 0xA5 // nothing of what was there before may show
	}
	p := &Plan{Lines: make([]LineSpec, 2), lineBytes: 2 * abi.LineSize, StateSize: 8, StateMax: 4_096, CarrySize: 32, Dimensions: []string{"sku"}}
	b := &Batch{
		Slots: []Slot{
			{Plan: p, PeriodStart: 1, PeriodEnd: 2, ActiveFrom: 3, ActiveUntil: 4, New: true, Final: true, CarryIn: []byte("carried in")},
			{Plan: p, State: []byte("state of 1"), Lines: AppendLine(AppendLine(nil, Line{Quantity: billing.DecimalFromInt(5)}), Line{Amount: billing.DecimalFromInt(-6)})},
		},
		Events: []Event{
			{Slot: 1, Time: 10, Quantity: billing.DecimalFromInt(1)},
			{Slot: 0, Time: 11, Quantity: billing.DecimalFromInt(-2), Amount: billing.DecimalFromInt(9), HasAmount: true},
			{Slot: 1, Time: 12, Quantity: billing.Decimal{Lo: 3}},
		},
		Dims:   []uint32{2, 0, 1},
		Values: []string{"", "one", "two and more"},
	}
	w := &work{}
	w.begin(b)
	w.encode(arena, 0, 100)
	return w, b
}

// TestEncode reads an arena with the codec of the ABI.
func TestEncode(t *testing.T) {
	arena := make([]byte, 1<<17)
	w, b := stretch(arena)
	h, err := abi.ReadHeader(arena)
	if err != nil {
		t.Fatal(err)
	}
	if h != w.header || h.Events != 3 || h.Slots != 2 || h.Values != 3 || h.Dims != 1 || h.RejectsMax != abi.RejectsMax {
		t.Errorf("header %+v", h)
	}
	for _, off := range []uint32{h.EventOff, h.SlotOff, h.ValueOff, h.StringOff, h.RejectOff} {
		if off%abi.Align != 0 {
			t.Errorf("a region begins at %d", off)
		}
	}
	value := func(id uint32) string {
		row := arena[h.ValueOff+id*abi.ValueSize:]
		return string(arena[h.StringOff+binary.LittleEndian.Uint32(row):][:binary.LittleEndian.Uint32(row[abi.ValueLen:])])
	}
	for k, e := range b.Events {
		row := arena[int(h.EventOff)+k*int(h.EventStride):]
		got := abi.ReadEvent(row)
		if got.Time != e.Time || got.Quantity != e.Quantity || got.Amount != e.Amount || (got.Flags == abi.EventFlagAmount) != e.HasAmount || w.sent[got.Slot].slot != e.Slot {
			t.Errorf("event %d arrived as %+v", k, got)
		}
		if got := value(abi.EventDim(row, 0)); got != b.Values[b.Dims[k]] {
			t.Errorf("value of event %d arrived as %q", k, got)
		}
	}
	for n := range w.sent {
		k := w.sent[n].slot
		s, row := b.Slots[k], abi.ReadSlot(arena[int(h.SlotOff)+n*abi.SlotSize:])
		if row.LineOff != w.sent[n].lineOff || row.StateOff != w.sent[n].stateOff || row.PeriodStart != s.PeriodStart || row.ActiveUntil != s.ActiveUntil || row.Lines != 2 {
			t.Errorf("slot %d arrived as %+v", k, row)
		}
		if (row.Flags&abi.SlotFlagNew != 0) != s.New || (row.Flags&abi.SlotFlagFinal != 0) != s.Final {
			t.Errorf("slot %d has flags %d", k, row.Flags)
		}
		if !bytes.Equal(arena[row.StateOff:row.StateOff+row.StateLen], s.State) || row.StateCap < 8 {
			t.Errorf("slot %d has another state", k)
		}
		if !bytes.Equal(arena[row.CarryInOff:row.CarryInOff+row.CarryInLen], s.CarryIn) {
			t.Errorf("slot %d has another carry", k)
		}
		for l, line := range AppendLines(nil, s.Lines) {
			if got := Line(abi.ReadLine(arena[int(row.LineOff)+l*abi.LineSize:])); got != line {
				t.Errorf("line %d of slot %d arrived as %v", l, k, got)
			}
		}
	}
}

// FuzzDecode lets a plugin write anything anywhere: the host takes it or refuses it, and what it
// takes holds its promises.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, 0, uint32(0))
	f.Add([]byte{1, 0, 0, 0}, abi.HeaderRejects, uint32(1))
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f}, abi.HeaderRejects, uint32(2))
	f.Add(bytes.Repeat([]byte{0xff}, 300), abi.HeaderSize, uint32(3))
	f.Add([]byte("\x00\x00\x00\x00\x03\x00\x02\x00abc\xff\xfe"), 9_000, uint32(1))
	f.Fuzz(func(t *testing.T, data []byte, at int, rejects uint32) {
		arena := make([]byte, 1<<17)
		w, b := stretch(arena)
		if at >= 0 && at < len(arena) {
			copy(arena[at:], data)
		}
		if len(data) > 0 {
			copy(arena[w.header.RejectOff:], data)
			binary.LittleEndian.PutUint32(arena[abi.HeaderRejects:], rejects)
		}
		if err := w.growStates(arena); err == nil {
			for k := range w.slots {
				if int(w.slots[k].cap) > b.Slots[k].Plan.StateMax {
					t.Errorf("room of %d bytes for a state", w.slots[k].cap)
				}
			}
		}
		if err := w.decode(arena); err != nil {
			if len(w.rejects) > 0 || w.pending {
				t.Error("an answer that was refused left traces")
			}
			return
		}
		for k, r := range w.commit(arena) {
			if r.Event < 0 || r.Event >= len(b.Events) || !abi.ValidName(r.Reason) || !utf8.ValidString(r.Detail) {
				t.Errorf("reject %d is %+v", k, r)
			}
		}
		for _, s := range b.Slots {
			if len(s.Lines) != 64 || len(s.State) > 4_096 || len(s.CarryOut) > 32 {
				t.Errorf("a slot became %+v", s)
			}
		}
	})
}
