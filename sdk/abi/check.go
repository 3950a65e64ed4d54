package abi

import (
	"errors"
	"unicode/utf8"
)

// What can be wrong with bytes of the other side. They are wrapped by whoever knows the module.
var (
	ErrShort      = errors.New("arena is shorter than it says")
	ErrMagic      = errors.New("arena does not start with TWL1")
	ErrMajor      = errors.New("arena is of another major version")
	ErrStride     = errors.New("rows are narrower than this version's")
	ErrRegion     = errors.New("a region ends outside the arena")
	ErrReply      = errors.New("reply is longer than the arena")
	ErrText       = errors.New("text is not UTF-8")
	ErrRejects    = errors.New("more rejects than the table holds")
	ErrRejectRow  = errors.New("reject row names an event outside the batch, twice or out of order")
	ErrRejectText = errors.New("reject row has texts outside its row")
	ErrReason     = errors.New("reject reason is not of the form [a-z][a-z0-9_]{0,62}")
	ErrStateLen   = errors.New("state is longer than its place")
	ErrStateNeed  = errors.New("state asked for is not between the present place and 1 MiB")
	ErrCarryLen   = errors.New("carry is longer than its place")
)

// ValidName says whether s has the form [a-z][a-z0-9_]{0,62}, that of reasons, lines, tariffs
// and dimensions.
func ValidName[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > ReasonMax || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// Reply returns the guest's reply to a configure call: reply_len bytes behind the header. The
// slice aliases arena.
//
// # Errors
//
// [ErrShort] or [ErrReply].
func Reply(arena []byte) ([]byte, error) { return replyPlace(arena, HeaderReplyLen) }

// FaultText returns the text that came with RCFault, cut to TextMax bytes. The slice aliases
// arena. An empty text is not an error.
//
// # Errors
//
// [ErrShort], [ErrReply] or [ErrText].
func FaultText(arena []byte) ([]byte, error) {
	text, err := replyPlace(arena, HeaderErrLen)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(text) {
		return nil, ErrText
	}
	if len(text) > TextMax {
		text = text[:TextMax]
		for len(text) > 0 && !utf8.Valid(text) {
			text = text[:len(text)-1]
		}
	}
	return text, nil
}

func replyPlace(arena []byte, field int) ([]byte, error) {
	if len(arena) < HeaderSize {
		return nil, ErrShort
	}
	n := le.Uint32(arena[field:])
	if uint64(n) > uint64(len(arena)-HeaderSize) {
		return nil, ErrReply
	}
	return arena[HeaderSize : HeaderSize+int(n)], nil
}

// Reject is a reject row in Go's words; Reason and Detail alias the arena.
type Reject struct {
	Event          uint32
	Reason, Detail []byte
}

// ReadRejects appends the rejects that a guest wrote to dst and checks each: in range, in order,
// once, well named. sent is the header as the host wrote it; the guest's own copy of it in the
// arena is not looked at but for the count.
//
// # Errors
//
// [ErrShort], [ErrRegion], [ErrRejects], [ErrRejectRow], [ErrRejectText], [ErrReason] or
// [ErrText]; nothing of the batch may then be used.
func ReadRejects(arena []byte, sent *Header, dst []Reject) ([]Reject, error) {
	if err := sent.check(len(arena)); err != nil {
		return dst, err
	}
	if len(arena) < HeaderSize {
		return dst, ErrShort
	}
	count := le.Uint32(arena[HeaderRejects:])
	if count > sent.RejectsMax {
		return dst, ErrRejects
	}
	next := uint64(0) // the least event that the next row may name
	for i := range uint64(count) {
		off := uint64(sent.RejectOff) + i*uint64(sent.RejectStride)
		r, err := readReject(arena[off : off+RejectSize])
		if err != nil {
			return dst, err
		}
		if uint64(r.Event) < next || r.Event >= sent.Events {
			return dst, ErrRejectRow
		}
		next = uint64(r.Event) + 1
		dst = append(dst, r)
	}
	return dst, nil
}

func readReject(row []byte) (Reject, error) {
	reason := int(le.Uint16(row[RejectReasonLen:]))
	detail := int(le.Uint16(row[RejectDetailLen:]))
	if reason+detail > RejectTextMax {
		return Reject{}, ErrRejectText
	}
	text := row[RejectText:]
	r := Reject{
		Event:  le.Uint32(row[RejectEvent:]),
		Reason: text[:reason],
		Detail: text[reason : reason+detail],
	}
	if !ValidName(r.Reason) {
		return Reject{}, ErrReason
	}
	if !utf8.Valid(r.Detail) {
		return Reject{}, ErrText
	}
	return r, nil
}

// SlotOut is what a guest may change in a slot row.
type SlotOut struct {
	StateLen, CarryOutLen uint32
}

// ReadSlotOut reads what the guest wrote into a slot row after RCOK and holds it against the
// row that the host sent. Carry counts only where the slot is final; elsewhere it is none.
//
// # Errors
//
// [ErrStateLen] or [ErrCarryLen].
func ReadSlotOut(row []byte, sent *Slot) (SlotOut, error) {
	out := SlotOut{StateLen: le.Uint32(row[SlotStateLen:])}
	if out.StateLen > sent.StateCap {
		return SlotOut{}, ErrStateLen
	}
	if sent.Flags&SlotFlagFinal == 0 {
		return out, nil
	}
	out.CarryOutLen = le.Uint32(row[SlotCarryOutLen:])
	if out.CarryOutLen > sent.CarryOutCap {
		return SlotOut{}, ErrCarryLen
	}
	return out, nil
}

// ReadStateNeed reads how many bytes of state a slot asks for after RCStateNeed; 0 = it has
// enough.
//
// # Errors
//
// [ErrStateNeed] when the number is not above the present place or above StateMax.
func ReadStateNeed(row []byte, sent *Slot) (uint32, error) {
	need := le.Uint32(row[SlotStateNeed:])
	if need == 0 {
		return 0, nil
	}
	if need <= sent.StateCap || need > StateMax {
		return 0, ErrStateNeed
	}
	return need, nil
}
