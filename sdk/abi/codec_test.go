package abi

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tollway/tollway/sdk/billing"
)

// sample is a header whose regions fill an arena of 4096 bytes without overlap.
func sample() Header {
	return Header{
		Slots: 2, SlotOff: 128, SlotStride: SlotSize,
		Events: 3, EventOff: 512, EventStride: uint32(EventStride(2)), Dims: 2,
		Values: 2, ValueOff: 1024, StringOff: 1040, StringLen: 5,
		RejectOff: 2048, RejectStride: RejectSize, RejectsMax: 4,
		ArenaSize: 4096,
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	arena := bytes.Repeat([]byte{0xff}, 4096)
	h := sample()
	h.Put(arena)
	got, err := ReadHeader(arena)
	if err != nil || got != h {
		t.Fatalf("ReadHeader = %+v, %v; want %+v", got, err, h)
	}
	if !bytes.Equal(arena[HeaderReserved:HeaderSize], make([]byte, HeaderSize-HeaderReserved)) {
		t.Error("reserved bytes are not zero")
	}
}

func TestReadHeaderRefuses(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(h *Header)           // before it is written
		bytes func(arena []byte) []byte // after it
		want  error
	}{
		{"no header", nil, func(a []byte) []byte { return a[:100] }, ErrShort},
		{"arena cut", nil, func(a []byte) []byte { return a[:4095] }, ErrShort},
		{"magic", nil, func(a []byte) []byte { a[0] = 'X'; return a }, ErrMagic},
		{"major", nil, func(a []byte) []byte { a[HeaderMajor] = 2; return a }, ErrMajor},
		{"header size", nil, func(a []byte) []byte { a[HeaderHeaderSize] = 64; return a }, ErrMajor},
		{"event stride", func(h *Header) { h.EventStride = 48 }, nil, ErrStride},
		{"slot stride", func(h *Header) { h.SlotStride = 95 }, nil, ErrStride},
		{"reject stride", func(h *Header) { h.RejectStride = 8 }, nil, ErrStride},
		{"dimensions", func(h *Header) { h.Dims, h.EventStride = 17, 128 }, nil, ErrStride},
		{"events outside", func(h *Header) { h.Events = 1 << 31 }, nil, ErrRegion},
		{"slots outside", func(h *Header) { h.SlotOff = 4095 }, nil, ErrRegion},
		{"sum wraps", func(h *Header) { h.StringOff, h.StringLen = 1<<32-1, 1<<32-1 }, nil, ErrRegion},
		{"product wraps", func(h *Header) { h.RejectsMax, h.RejectStride = 1<<31, 1<<31 }, nil, ErrRegion},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, arena := sample(), make([]byte, 4096)
			if c.spoil != nil {
				c.spoil(&h)
			}
			h.Put(arena)
			if c.bytes != nil {
				arena = c.bytes(arena)
			}
			if _, err := ReadHeader(arena); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

func TestRowsRoundTrip(t *testing.T) {
	row := bytes.Repeat([]byte{0xff}, SlotSize)
	s := Slot{
		PeriodStart: -1, PeriodEnd: 2, ActiveFrom: 3, ActiveUntil: 4, Handle: 5, Flags: SlotFlagFinal, Lines: 6,
		LineOff: 7, StateOff: 8, StateLen: 9, StateCap: 10, StateNeed: 11, CarryInOff: 12, CarryInLen: 13,
		CarryOutOff: 14, CarryOutLen: 15, CarryOutCap: 16,
	}
	PutSlot(row, &s)
	if got := ReadSlot(row); got != s {
		t.Errorf("slot %+v, want %+v", got, s)
	}
	e := Event{
		Slot: 1, Flags: EventFlagAmount, Time: -5,
		Quantity: billing.MustDecimal("-1.5"), Amount: billing.MustDecimal("0.000000000000000001"),
	}
	row = make([]byte, EventStride(2))
	PutEvent(row, &e)
	PutEventDim(row, 1, 77)
	if got := ReadEvent(row); got != e || EventDim(row, 1) != 77 || EventDim(row, 0) != 0 {
		t.Errorf("event %+v, want %+v", got, e)
	}
	l := Line{Quantity: billing.MustDecimal("3"), Amount: billing.MustDecimal("-4")}
	PutLine(row, l)
	if got := ReadLine(row); got != l {
		t.Errorf("line %+v, want %+v", got, l)
	}
	PutValue(row, 3, 4)
	if !bytes.Equal(row[:ValueSize], []byte{3, 0, 0, 0, 4, 0, 0, 0}) {
		t.Errorf("value row % x", row[:ValueSize])
	}
	for dims, want := range []int{48, 64, 64, 64, 64, 80} {
		if EventStride(dims) != want {
			t.Errorf("EventStride(%d) = %d, want %d", dims, EventStride(dims), want)
		}
	}
}

func TestRejectRows(t *testing.T) {
	h, arena := sample(), make([]byte, 4096)
	h.Put(arena)
	rows := func(i int) []byte { return arena[int(h.RejectOff)+i*RejectSize:] }
	PutReject(rows(0), 0, "no_price", `sku "x"`)
	PutReject(rows(1), 2, "overflow", strings.Repeat("ü", 200))
	le.PutUint32(arena[HeaderRejects:], 2)
	got, err := ReadRejects(arena, &h, nil)
	if err != nil || len(got) != 2 {
		t.Fatalf("ReadRejects = %v, %v", got, err)
	}
	if string(got[0].Reason) != "no_price" || string(got[0].Detail) != `sku "x"` || got[1].Event != 2 {
		t.Errorf("got %+v", got)
	}
	if string(got[1].Detail) != strings.Repeat("ü", 88) { // 176 bytes are left beside "overflow"
		t.Errorf("long detail cut to %d bytes", len(got[1].Detail))
	}

	spoil := []struct {
		name string
		do   func()
		want error
	}{
		{"too many", func() { le.PutUint32(arena[HeaderRejects:], 5) }, ErrRejects},
		{"same event twice", func() { le.PutUint32(rows(1), 0) }, ErrRejectRow},
		{"event outside", func() { le.PutUint32(rows(1), 3) }, ErrRejectRow},
		{"reason's form", func() { rows(0)[RejectText] = 'N' }, ErrReason},
		{"texts too long", func() { le.PutUint16(rows(0)[RejectDetailLen:], 184) }, ErrRejectText},
		{"detail not UTF-8", func() { rows(0)[RejectText+8] = 0xff }, ErrText},
	}
	before := bytes.Clone(arena)
	for _, s := range spoil {
		copy(arena, before)
		s.do()
		if _, err := ReadRejects(arena, &h, nil); !errors.Is(err, s.want) {
			t.Errorf("%s: error %v, want %v", s.name, err, s.want)
		}
	}
}

func TestGuestWrittenNumbers(t *testing.T) {
	sent := Slot{StateCap: 32, CarryOutCap: 8, Flags: SlotFlagFinal}
	row := make([]byte, SlotSize)
	PutSlot(row, &Slot{StateLen: 32, CarryOutLen: 8})
	if out, err := ReadSlotOut(row, &sent); err != nil || out != (SlotOut{32, 8}) {
		t.Errorf("ReadSlotOut = %+v, %v", out, err)
	}
	PutSlot(row, &Slot{StateLen: 33})
	if _, err := ReadSlotOut(row, &sent); !errors.Is(err, ErrStateLen) {
		t.Errorf("state of 33 in 32: %v", err)
	}
	PutSlot(row, &Slot{CarryOutLen: 9})
	if _, err := ReadSlotOut(row, &sent); !errors.Is(err, ErrCarryLen) {
		t.Errorf("carry of 9 in 8: %v", err)
	}
	sent.Flags = 0
	if out, err := ReadSlotOut(row, &sent); err != nil || out.CarryOutLen != 0 {
		t.Errorf("carry of a slot that is not final: %+v, %v", out, err)
	}
	for need, want := range map[uint32]error{0: nil, 32: ErrStateNeed, 33: nil, StateMax: nil, StateMax + 1: ErrStateNeed} {
		PutSlot(row, &Slot{StateNeed: need})
		if got, err := ReadStateNeed(row, &sent); !errors.Is(err, want) || err == nil && got != need {
			t.Errorf("ReadStateNeed of %d = %d, %v", need, got, err)
		}
	}
}

func TestReplyAndFaultText(t *testing.T) {
	arena := make([]byte, HeaderSize+8192)
	copy(arena[HeaderSize:], strings.Repeat("é", 4000))
	le.PutUint32(arena[HeaderReplyLen:], 4)
	if got, err := Reply(arena); err != nil || string(got) != "éé" {
		t.Errorf("Reply = %q, %v", got, err)
	}
	le.PutUint32(arena[HeaderReplyLen:], 8193)
	if _, err := Reply(arena); !errors.Is(err, ErrReply) {
		t.Errorf("reply beyond the arena: %v", err)
	}
	le.PutUint32(arena[HeaderErrLen:], 8000)
	if got, err := FaultText(arena); err != nil || len(got) != TextMax {
		t.Errorf("FaultText: %d bytes, %v", len(got), err)
	}
	le.PutUint32(arena[HeaderErrLen:], 3)
	if _, err := FaultText(arena); !errors.Is(err, ErrText) {
		t.Errorf("text that ends inside a character: %v", err)
	}
	if _, err := Reply(arena[:5]); !errors.Is(err, ErrShort) {
		t.Errorf("arena of 5 bytes: %v", err)
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "no_price": true, "t1": true, strings.Repeat("a", 63): true,
		"": false, "1a": false, "_a": false, "No": false, "a-b": false, "é": false, strings.Repeat("a", 64): false,
	} {
		if ValidName(name) != want || ValidName([]byte(name)) != want {
			t.Errorf("ValidName(%q) = %v", name, !want)
		}
	}
}

func TestCutKeepsCharacters(t *testing.T) {
	for _, c := range []struct {
		text  string
		limit int
		want  string
	}{{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 2, "a"}, {"é", 1, ""}, {"€€", 5, "€"}} {
		if got := Cut(c.text, c.limit); got != c.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", c.text, c.limit, got, c.want)
		}
	}
}

func TestCodecDoesNotAllocate(t *testing.T) {
	h, arena := sample(), make([]byte, 4096)
	h.Put(arena)
	rejects := make([]Reject, 0, 4)
	row := make([]byte, SlotSize)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := ReadHeader(arena); err != nil {
			t.Fatal(err)
		}
		PutReject(arena[h.RejectOff:], 0, "overflow", "text")
		if _, err := ReadRejects(arena, &h, rejects[:0]); err != nil {
			t.Fatal(err)
		}
		s := ReadSlot(row)
		PutSlot(row, &s)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
