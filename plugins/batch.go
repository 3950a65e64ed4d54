package plugins

import (
	"errors"
	"fmt"

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
	// Values are the texts of the events' dimensions; Values[0] is the empty string.
	Values []string
}

// Slot is what is priced together: one subscription, tariff version, period and group. Times are
// unix nanoseconds. State, Lines and CarryOut are replaced by a successful [Instance.Price], by
// new slices where they changed: the slices given are never written to.
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
	Lines []Line
	// CarryIn is what the period before left; CarryOut is what a final slot leaves.
	CarryIn, CarryOut []byte
}

// Event is one usage event as a tariff sees it.
type Event struct {
	// Slot is the index of the slot in the batch.
	Slot int
	// Time is the event's own time, unix nanoseconds.
	Time     int64
	Quantity billing.Decimal
	// Amount is money that the event carries, if HasAmount is set.
	Amount    billing.Decimal
	HasAmount bool
	// Dims are indices into the batch's Values, in the order of the plan's Dimensions.
	Dims []uint32
}

// Line is a line item so far.
type Line struct{ Quantity, Amount billing.Decimal }

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

// valueBytesMax is the most text that the dimensions of one event may hold together.
const valueBytesMax = 64 << 10

// check reports what is wrong with a batch. All of it are mistakes of the caller, not of the
// plugin or of an event.
func (i *Instance) check(b *Batch) error {
	var dims []string
	for s := range b.Slots {
		if err := i.checkSlot(&b.Slots[s]); err != nil {
			return fmt.Errorf("plugins: slot %d %w", s, err)
		}
		p := b.Slots[s].Plan
		if s == 0 {
			dims = p.Dimensions
		}
		if !sameStrings(dims, p.Dimensions) {
			return fmt.Errorf("plugins: slots 0 and %d have different dimensions", s)
		}
	}
	if len(dims) > 0 && (len(b.Values) == 0 || b.Values[0] != "") {
		return errors.New("plugins: the first value of a batch must be the empty string")
	}
	for e := range b.Events {
		ev := &b.Events[e]
		if ev.Slot < 0 || ev.Slot >= len(b.Slots) || len(ev.Dims) != len(dims) {
			return fmt.Errorf("plugins: event %d has no slot or not %d dimensions", e, len(dims))
		}
		for _, id := range ev.Dims {
			if int64(id) >= int64(len(b.Values)) {
				return fmt.Errorf("plugins: event %d has a dimension without a value", e)
			}
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
	case len(s.Lines) != len(p.Lines) && !(s.New && len(s.Lines) == 0):
		return fmt.Errorf("has %d lines, tariff %s has %d", len(s.Lines), p.Tariff, len(p.Lines))
	case len(s.CarryIn) > abi.CarryMax:
		return fmt.Errorf("has %d bytes carried in, the limit is %d", len(s.CarryIn), abi.CarryMax)
	}
	return nil
}

func sameStrings(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	if len(a) == 0 || &a[0] == &b[0] {
		return true
	}
	for k := range a {
		if a[k] != b[k] {
			return false
		}
	}
	return true
}
