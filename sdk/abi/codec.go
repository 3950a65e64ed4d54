package abi

import (
	"encoding/binary"

	"github.com/tollway/tollway/sdk/billing"
)

var le = binary.LittleEndian

// Header is the head of an arena in Go's words. The first group is the host's, the last three
// fields are the guest's answer.
type Header struct {
	Events, EventOff, EventStride       uint32
	Slots, SlotOff, SlotStride          uint32
	Dims                                uint32
	Values, ValueOff                    uint32
	StringOff, StringLen                uint32
	RejectOff, RejectStride, RejectsMax uint32
	ArenaSize, UnitsMax, Finals         uint32
	RejectCount, ReplyLen, ErrLen       uint32
}

// Put writes the header of this version at the start of arena, reserved bytes zero. The arena
// must hold HeaderSize bytes.
func (h *Header) Put(arena []byte) {
	b := arena[:HeaderSize]
	clear(b)
	le.PutUint32(b[HeaderMagic:], Magic)
	le.PutUint16(b[HeaderMajor:], Major)
	le.PutUint16(b[HeaderMinor:], Minor)
	le.PutUint32(b[HeaderHeaderSize:], HeaderSize)
	le.PutUint32(b[HeaderEvents:], h.Events)
	le.PutUint32(b[HeaderSlots:], h.Slots)
	le.PutUint32(b[HeaderEventOff:], h.EventOff)
	le.PutUint32(b[HeaderEventStride:], h.EventStride)
	le.PutUint32(b[HeaderSlotOff:], h.SlotOff)
	le.PutUint32(b[HeaderSlotStride:], h.SlotStride)
	le.PutUint32(b[HeaderDims:], h.Dims)
	le.PutUint32(b[HeaderValueOff:], h.ValueOff)
	le.PutUint32(b[HeaderValues:], h.Values)
	le.PutUint32(b[HeaderStringOff:], h.StringOff)
	le.PutUint32(b[HeaderStringLen:], h.StringLen)
	le.PutUint32(b[HeaderRejectOff:], h.RejectOff)
	le.PutUint32(b[HeaderRejectStride:], h.RejectStride)
	le.PutUint32(b[HeaderRejectsMax:], h.RejectsMax)
	le.PutUint32(b[HeaderArenaSize:], h.ArenaSize)
	le.PutUint32(b[HeaderUnitsMax:], h.UnitsMax)
	le.PutUint32(b[HeaderFinals:], h.Finals)
	le.PutUint32(b[HeaderRejects:], h.RejectCount)
	le.PutUint32(b[HeaderReplyLen:], h.ReplyLen)
	le.PutUint32(b[HeaderErrLen:], h.ErrLen)
}

// ReadHeader reads the header of an arena and checks that every region lies inside it, so that
// rows may be addressed by their index without further checks.
//
// # Errors
//
// [ErrShort], [ErrMagic], [ErrMajor], [ErrStride] or [ErrRegion].
func ReadHeader(arena []byte) (Header, error) {
	if len(arena) < HeaderSize {
		return Header{}, ErrShort
	}
	b := arena[:HeaderSize]
	if le.Uint32(b[HeaderMagic:]) != Magic {
		return Header{}, ErrMagic
	}
	if le.Uint16(b[HeaderMajor:]) != Major || le.Uint32(b[HeaderHeaderSize:]) < HeaderSize {
		return Header{}, ErrMajor
	}
	h := Header{
		Events:       le.Uint32(b[HeaderEvents:]),
		Slots:        le.Uint32(b[HeaderSlots:]),
		EventOff:     le.Uint32(b[HeaderEventOff:]),
		EventStride:  le.Uint32(b[HeaderEventStride:]),
		SlotOff:      le.Uint32(b[HeaderSlotOff:]),
		SlotStride:   le.Uint32(b[HeaderSlotStride:]),
		Dims:         le.Uint32(b[HeaderDims:]),
		ValueOff:     le.Uint32(b[HeaderValueOff:]),
		Values:       le.Uint32(b[HeaderValues:]),
		StringOff:    le.Uint32(b[HeaderStringOff:]),
		StringLen:    le.Uint32(b[HeaderStringLen:]),
		RejectOff:    le.Uint32(b[HeaderRejectOff:]),
		RejectStride: le.Uint32(b[HeaderRejectStride:]),
		RejectsMax:   le.Uint32(b[HeaderRejectsMax:]),
		ArenaSize:    le.Uint32(b[HeaderArenaSize:]),
		UnitsMax:     le.Uint32(b[HeaderUnitsMax:]),
		Finals:       le.Uint32(b[HeaderFinals:]),
		RejectCount:  le.Uint32(b[HeaderRejects:]),
		ReplyLen:     le.Uint32(b[HeaderReplyLen:]),
		ErrLen:       le.Uint32(b[HeaderErrLen:]),
	}
	return h, h.check(len(arena))
}

// check holds the regions against an arena of size bytes.
func (h *Header) check(size int) error {
	if uint64(h.ArenaSize) > uint64(size) {
		return ErrShort
	}
	if h.Dims > DimsMax || uint64(h.EventStride) < EventDims+4*uint64(h.Dims) ||
		h.SlotStride < SlotSize || h.RejectStride < RejectSize {
		return ErrStride
	}
	limit := uint64(h.ArenaSize)
	regions := [...]struct{ off, count, stride uint32 }{
		{h.EventOff, h.Events, h.EventStride},
		{h.SlotOff, h.Slots, h.SlotStride},
		{h.ValueOff, h.Values, ValueSize},
		{h.StringOff, h.StringLen, 1},
		{h.RejectOff, h.RejectsMax, h.RejectStride},
	}
	for _, r := range regions {
		if uint64(r.off)+uint64(r.count)*uint64(r.stride) > limit {
			return ErrRegion
		}
	}
	return nil
}

// Event is an event row in Go's words. Its dimensions are read and written apart
// ([PutEventDim], [EventDim]), since their number is the configuration's.
type Event struct {
	Slot, Flags      uint32
	Time             int64 // unix nanoseconds
	Quantity, Amount billing.Decimal
}

// PutEvent writes the fixed part of an event row.
func PutEvent(row []byte, e *Event) {
	row = row[:EventDims]
	le.PutUint32(row[EventSlot:], e.Slot)
	le.PutUint32(row[EventFlags:], e.Flags)
	le.PutUint64(row[EventTime:], uint64(e.Time))
	e.Quantity.PutLE(row[EventQuantity:])
	e.Amount.PutLE(row[EventAmount:])
}

// ReadEvent reads the fixed part of an event row.
func ReadEvent(row []byte) Event {
	row = row[:EventDims]
	return Event{
		Slot:     le.Uint32(row[EventSlot:]),
		Flags:    le.Uint32(row[EventFlags:]),
		Time:     int64(le.Uint64(row[EventTime:])),
		Quantity: billing.DecimalLE(row[EventQuantity:]),
		Amount:   billing.DecimalLE(row[EventAmount:]),
	}
}

// PutEventDim writes the value id of dimension dim into an event row.
func PutEventDim(row []byte, dim int, id uint32) { le.PutUint32(row[EventDims+4*dim:], id) }

// EventDim reads the value id of dimension dim of an event row.
func EventDim(row []byte, dim int) uint32 { return le.Uint32(row[EventDims+4*dim:]) }

// Slot is a slot row in Go's words. Times are unix nanoseconds, offsets relative to the arena.
type Slot struct {
	PeriodStart, PeriodEnd                int64
	ActiveFrom, ActiveUntil               int64
	Handle, Flags                         uint32
	Lines, LineOff                        uint32
	StateOff, StateLen, StateCap          uint32
	StateNeed                             uint32
	CarryInOff, CarryInLen                uint32
	CarryOutOff, CarryOutLen, CarryOutCap uint32
}

// PutSlot writes a slot row, reserved bytes zero.
func PutSlot(row []byte, s *Slot) {
	row = row[:SlotSize]
	le.PutUint64(row[SlotPeriodStart:], uint64(s.PeriodStart))
	le.PutUint64(row[SlotPeriodEnd:], uint64(s.PeriodEnd))
	le.PutUint64(row[SlotActiveFrom:], uint64(s.ActiveFrom))
	le.PutUint64(row[SlotActiveUntil:], uint64(s.ActiveUntil))
	le.PutUint32(row[SlotHandle:], s.Handle)
	le.PutUint32(row[SlotFlags:], s.Flags)
	le.PutUint32(row[SlotLines:], s.Lines)
	le.PutUint32(row[SlotLineOff:], s.LineOff)
	le.PutUint32(row[SlotStateOff:], s.StateOff)
	le.PutUint32(row[SlotStateLen:], s.StateLen)
	le.PutUint32(row[SlotStateCap:], s.StateCap)
	le.PutUint32(row[SlotStateNeed:], s.StateNeed)
	le.PutUint32(row[SlotCarryInOff:], s.CarryInOff)
	le.PutUint32(row[SlotCarryInLen:], s.CarryInLen)
	le.PutUint32(row[SlotCarryOutOff:], s.CarryOutOff)
	le.PutUint32(row[SlotCarryOutLen:], s.CarryOutLen)
	le.PutUint32(row[SlotCarryOutCap:], s.CarryOutCap)
	clear(row[SlotReserved:])
}

// ReadSlot reads a slot row.
func ReadSlot(row []byte) Slot {
	row = row[:SlotSize]
	return Slot{
		PeriodStart: int64(le.Uint64(row[SlotPeriodStart:])),
		PeriodEnd:   int64(le.Uint64(row[SlotPeriodEnd:])),
		ActiveFrom:  int64(le.Uint64(row[SlotActiveFrom:])),
		ActiveUntil: int64(le.Uint64(row[SlotActiveUntil:])),
		Handle:      le.Uint32(row[SlotHandle:]),
		Flags:       le.Uint32(row[SlotFlags:]),
		Lines:       le.Uint32(row[SlotLines:]),
		LineOff:     le.Uint32(row[SlotLineOff:]),
		StateOff:    le.Uint32(row[SlotStateOff:]),
		StateLen:    le.Uint32(row[SlotStateLen:]),
		StateCap:    le.Uint32(row[SlotStateCap:]),
		StateNeed:   le.Uint32(row[SlotStateNeed:]),
		CarryInOff:  le.Uint32(row[SlotCarryInOff:]),
		CarryInLen:  le.Uint32(row[SlotCarryInLen:]),
		CarryOutOff: le.Uint32(row[SlotCarryOutOff:]),
		CarryOutLen: le.Uint32(row[SlotCarryOutLen:]),
		CarryOutCap: le.Uint32(row[SlotCarryOutCap:]),
	}
}

// Line is a line item so far.
type Line struct {
	Quantity, Amount billing.Decimal
}

// PutLine writes a line.
func PutLine(row []byte, l Line) {
	row = row[:LineSize]
	l.Quantity.PutLE(row[LineQuantity:])
	l.Amount.PutLE(row[LineAmount:])
}

// ReadLine reads a line.
func ReadLine(row []byte) Line {
	row = row[:LineSize]
	return Line{
		Quantity: billing.DecimalLE(row[LineQuantity:]),
		Amount:   billing.DecimalLE(row[LineAmount:]),
	}
}

// PutValue writes a row of the value table: where the value lies among the strings.
func PutValue(row []byte, off, length uint32) {
	row = row[:ValueSize]
	le.PutUint32(row[ValueOff:], off)
	le.PutUint32(row[ValueLen:], length)
}

// PutReject writes a reject row, cutting what does not fit at a character's edge, the detail
// first: a text too long must not lose an event its reason.
func PutReject(row []byte, event uint32, reason, detail string) {
	row = row[:RejectSize]
	reason = Cut(reason, ReasonMax)
	detail = Cut(detail, RejectTextMax-len(reason))
	le.PutUint32(row[RejectEvent:], event)
	le.PutUint16(row[RejectReasonLen:], uint16(len(reason)))
	le.PutUint16(row[RejectDetailLen:], uint16(len(detail)))
	n := copy(row[RejectText:], reason)
	n += copy(row[RejectText+n:], detail)
	clear(row[RejectText+n:])
}

// Cut returns the longest prefix of s of at most limit bytes that does not end inside a
// character.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xC0 == 0x80 {
		limit--
	}
	return s[:limit]
}
