package plugins

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Batch is a number of events to be priced together. All plans of its slots must have the same
// list of dimensions.
type Batch struct {
	// Slots are the slots that the events fall into. A slot without events that is not final
	// stays as it is.
	Slots []Slot
	// Events are in the order of the log.
	Events []Event
	// Dims are indices into Values: for each event in order as many as the plans have Dimensions,
	// in the order of those.
	Dims []uint32
	// Values are the texts of the events' dimensions; Values[0] is the empty string. Without
	// dimensions they are not looked at.
	Values []string
}

// Slot is what is priced together: one subscription, tariff version, period and group. Times are
// unix nanoseconds.
//
// A successful [Instance.Price] replaces State, Lines and CarryOut of the slots that had events or
// were final, by slices of the instance's own memory: they are valid until its next Price,
// Configure or Close, must not be written to, and cannot be given to it again. Copy what is to
// stay, or call [Slot.Keep]. The slices given are never written to.
type Slot struct {
	Plan                    *Plan
	PeriodStart, PeriodEnd  int64
	ActiveFrom, ActiveUntil int64
	// New says that nothing was priced in the slot before: its State is then empty and its Lines
	// are zero or absent.
	New bool
	// Final asks for the finish of the period after the events.
	Final bool
	State []byte
	// Lines are the line items so far, abi.LineSize bytes each as [AppendLine] writes them, in the
	// order of the plan's. Empty in a new slot: all are zero.
	Lines []byte
	// CarryIn is what the period or the version before left; CarryOut is what a final slot leaves.
	CarryIn, CarryOut []byte
}

// Keep makes copies of what the last Price left in the slot, so that it stays valid and can be
// priced again.
func (s *Slot) Keep() {
	s.State, s.Lines, s.CarryOut = bytes.Clone(s.State), bytes.Clone(s.Lines), bytes.Clone(s.CarryOut)
}

// Line returns line n of the slot: zero where there are none yet. It panics when the plan has no
// such line.
func (s *Slot) Line(n int) Line {
	if len(s.Lines) == 0 && n >= 0 && n < len(s.Plan.Lines) {
		return Line{}
	}
	return Line(abi.ReadLine(s.Lines[n*abi.LineSize:]))
}

// Event is one usage event as a tariff sees it.
type Event struct {
	// Slot is the index of the slot in the batch.
	Slot int32
	// HasAmount says that the event carries money: Amount.
	HasAmount bool
	// Time is the event's own time, unix nanoseconds.
	Time     int64
	Quantity billing.Decimal
	Amount   billing.Decimal
}

// Line is a line item so far.
type Line struct{ Quantity, Amount billing.Decimal }

// AppendLine appends a line as it stands in [Slot.Lines].
func AppendLine(b []byte, l Line) []byte {
	n := len(b)
	b = append(b, make([]byte, abi.LineSize)...)
	abi.PutLine(b[n:], abi.Line(l))
	return b
}

// AppendLines appends the lines that b holds, as they stand in [Slot.Lines], to dst. Bytes behind
// the last whole line are left out.
func AppendLines(dst []Line, b []byte) []Line {
	for ; len(b) >= abi.LineSize; b = b[abi.LineSize:] {
		dst = append(dst, Line(abi.ReadLine(b)))
	}
	return dst
}

// Reject is an event that was not priced. Its slot is as if the event had not been there.
type Reject struct {
	// Event is its index in the batch.
	Event int
	// Reason is of the form [a-z][a-z0-9_]{0,62}. tariff_trap and value_too_long are the
	// engine's own.
	Reason string
	// Detail is text for people, valid UTF-8, at most 184 bytes.
	Detail string
}

// ReasonValueTooLong is the reason of an event whose dimensions hold more text than an arena has
// room for.
const ReasonValueTooLong = "value_too_long"

// ReasonFault is the reason of an event at which a plugin broke the contract: it answered with a code or an
// output that cannot be, did not announce its work, or gave up. It was priced alone, so nothing else can be the
// cause.
const ReasonFault = "tariff_fault"

// valueBytesMax is the most text that the dimensions of one event may hold together.
const valueBytesMax = 64 << 10

// check reports what is wrong with a batch. All of it are mistakes of the caller, not of the
// plugin or of an event.
func (i *Instance) check(b *Batch) error {
	var last *Plan
	for s := range b.Slots {
		slot := &b.Slots[s]
		if err := i.checkSlot(slot); err != nil {
			return fmt.Errorf("plugins: slot %d %w", s, err)
		}
		if slot.Plan == last {
			continue
		}
		if last != nil && !slices.Equal(slot.Plan.Dimensions, last.Dimensions) {
			return fmt.Errorf("plugins: slots 0 and %d have different dimensions", s)
		}
		last = slot.Plan
	}
	for e := range b.Events {
		if uint(b.Events[e].Slot) >= uint(len(b.Slots)) {
			return fmt.Errorf("plugins: event %d has no slot", e)
		}
	}
	if last == nil || len(last.Dimensions) == 0 {
		return nil
	}
	return b.checkValues(len(last.Dimensions))
}

// checkValues reports what is wrong with the dimensions of a batch that has some.
func (b *Batch) checkValues(dims int) error {
	if len(b.Values) == 0 || b.Values[0] != "" {
		return errors.New("plugins: the first value of a batch must be the empty string")
	}
	if len(b.Dims) != dims*len(b.Events) {
		return fmt.Errorf("plugins: %d events of %d dimensions have %d values", len(b.Events), dims, len(b.Dims))
	}
	for k, id := range b.Dims {
		if uint(id) >= uint(len(b.Values)) {
			return fmt.Errorf("plugins: event %d has a dimension without a value", k/dims)
		}
	}
	return nil
}

func (i *Instance) checkSlot(s *Slot) error {
	p := s.Plan
	switch {
	case p == nil || p.instance != i:
		return errors.New("has no plan of this instance")
	case s.New && len(s.State) > 0:
		return errors.New("is new but has a state")
	case len(s.State) > p.StateMax:
		return fmt.Errorf("has a state of %d bytes, tariff %s takes %d", len(s.State), p.Tariff, p.StateMax)
	case len(s.Lines) != p.lineBytes && !(s.New && len(s.Lines) == 0):
		return fmt.Errorf("has %d bytes of lines, tariff %s has %d", len(s.Lines), p.Tariff, p.lineBytes)
	case len(s.CarryIn) > p.CarrySize:
		return fmt.Errorf("has %d bytes carried in, tariff %s takes %d", len(s.CarryIn), p.Tariff, p.CarrySize)
	case within(s.State, i.arena) || within(s.Lines, i.arena) || within(s.State, i.work.store) || within(s.Lines, i.work.store):
		return errors.New("has a state or lines in the instance's own memory: keep a copy")
	}
	return nil
}

// within tells whether a slice lies in a piece of memory.
func within(b, memory []byte) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) - uintptr(unsafe.Pointer(unsafe.SliceData(memory)))
	return len(b) > 0 && at < uintptr(cap(memory))
}
