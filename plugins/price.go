package plugins

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tollway/tollway/plugins/fuel"
	"github.com/tollway/tollway/sdk/abi"
)

// Price prices a batch. On success it replaces State, Lines and CarryOut of the slots, see [Slot] for
// how long they are valid, and returns the events that were not priced, sorted. On an error nothing
// of the batch was touched. Batches of any size may be given: they are priced in as many calls as
// need be, which changes no result. It allocates nothing, but for rejects and errors, once it has
// seen a batch of the size.
//
// # Errors
//
// A *[FaultError] when the plugin failed at the finish of a slot, which cannot be rejected; the error of the
// context; an error of another kind when the batch itself makes no sense.
func (i *Instance) Price(ctx context.Context, b *Batch) ([]Reject, error) {
	if i.api == nil {
		return nil, errInstanceClosed
	}
	if err := i.check(b); err != nil {
		return nil, err
	}
	i.work.begin(b)
	i.fuelUsed = 0
	if err := i.priceAll(ctx); err != nil {
		i.work.release()
		return nil, err
	}
	return i.work.commit(i.arena), nil
}

// After a trap the next stretches are short, so that a batch with many traps is not encoded anew
// and anew as a whole; each success doubles them.
const unitsAfterTrap = 64

// outcome is how the call for a stretch ended.
type outcome uint8

const (
	priced   outcome = iota // the stretch is done
	tooLarge                // it may fit if it is cut in half
	needsMore
	trapped // at the unit that began last
	faulted // it broke the contract; which unit is to blame is not known
	tooWide // its first unit does not fit into the arena
)

// priceAll prices the units of the batch, stretch by stretch. A trap names a unit: what stands
// before it is priced without it, and then it alone. Only what it does alone counts, since there
// no neighbour can have caused the trap. Units that began together are priced again one by one. A
// fault names no unit that could be trusted, so the stretch is cut in half until one is left.
func (i *Instance) priceAll(ctx context.Context) error {
	w := &i.work
	next, limit, alone, single := 0, abi.BatchEventsDefault, -1, 0
	fit := limit // as many as the pool was enough for, when it was not enough
	growths := 0
	for next < w.units() {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := limit
		switch {
		case alone == next:
			n = 1
		case alone > next:
			n = min(n, alone-next)
		case single > next:
			n = min(n, single-next)
		}
		w.unitsMax = i.unitsMax()
		if n == 1 || single > next {
			w.unitsMax = 1
		}
		result, t := i.priceStretch(next, n)
		n = w.to - w.from
		if result == needsMore && growths == growthsMax {
			result, t, growths = faulted, &trap{text: "it asks for more state again and again"}, 0
		}
		switch result {
		case tooWide:
			if err := i.tooWide(next); err != nil {
				return err
			}
			next++
		case priced:
			next, growths = w.to, 0
			limit = min(2*limit, fit)
		case needsMore:
			growths++
		case tooLarge, faulted, trapped:
			switch {
			case n == 1:
				if err := i.reject(next, result, t); err != nil {
					return err
				}
				next, growths = next+1, 0
			case t.cause == fuel.CausePool && i.paidFor() > 0:
				limit = i.paidFor()
				fit = limit
			case result != trapped:
				limit = max(1, n/2)
			case i.together():
				single = next + i.cursor0() + 1
			default:
				alone = next + i.cursor0()
				limit = min(limit, unitsAfterTrap)
			}
		}
	}
	return nil
}

// unitsMax is how many units may begin together, and so share the fuel of one. Those that need no
// more than an even share are priced so; for others the attempt is lost, hence the bound.
func (i *Instance) unitsMax() int {
	return int(max(1, min(i.module.fuelPerUnit/fuelTogether, unitsTogether)))
}

const (
	fuelTogether  = 16_384 // of each of the units that begin together
	unitsTogether = 256
)

// growthsMax bounds how often one stretch may come back for more state. Room doubles each time,
// but different slots may ask one after the other.
const growthsMax = 4_096

// cursor0 is the place of the unit that trapped within the stretch.
func (i *Instance) cursor0() int {
	w := &i.work
	c := i.cursor()
	if c < w.events {
		return c
	}
	// The finish of a slot of the stretch: its place among the finishes there.
	slot := int(w.sent[c-w.events].slot)
	for unit := max(w.from, len(w.batch.Events)); unit < w.to; unit++ {
		if w.slotOf(unit) == slot {
			return unit - w.from
		}
	}
	return w.to - w.from - 1
}

// paidFor is how many units of the stretch the pool of the last call was enough for, 0 when that is not known.
func (i *Instance) paidFor() int {
	if first := int(int32(uint32(i.control.first.Get()))); first < i.work.events {
		return max(0, first)
	}
	return i.cursor0()
}

// priceStretch makes one call for units from the given one on, at most limit. Of what went wrong the trap tells.
func (i *Instance) priceStretch(from, limit int) (outcome, *trap) {
	w := &i.work
	w.keep(i.arena)
	i.restoreMemory()
	units, used := w.encode(i.arena, from, limit)
	if units == 0 {
		i.used = max(i.used, used)
		return tooWide, nil
	}
	i.zeroBehind(used)
	i.stack[0] = uint64(i.arenaPtr)
	i.calls++
	code, err := i.callPrice(w.events + len(w.sent))
	if err != nil {
		return i.trapOutcome(err)
	}
	switch code {
	case abi.RCOK:
		if text := i.cursorFault(); text != "" {
			return faulted, &trap{text: text}
		}
		if err := w.decode(i.arena); err != nil {
			return faulted, &trap{text: "its answer breaks the ABI: " + err.Error()}
		}
		return priced, nil
	case abi.RCStateNeed:
		if err := w.growStates(i.arena); err != nil {
			return faulted, &trap{text: "its answer breaks the ABI: " + err.Error()}
		}
		return needsMore, nil
	case abi.RCRejectFull:
		return tooLarge, &trap{text: "its table of rejects is full"}
	case abi.RCFault:
		return faulted, &trap{text: i.faultText()}
	}
	return faulted, &trap{text: fmt.Sprintf("it answered with the unknown code %d", code)}
}

// trapOutcome sorts a trap.
func (i *Instance) trapOutcome(err error) (outcome, *trap) {
	var t *trap
	if !errors.As(err, &t) {
		return faulted, &trap{text: err.Error()}
	}
	switch {
	case t.cause == fuel.CauseCursor:
		return faulted, t
	case t.cause == fuel.CausePool, i.cursor() < 0:
		return tooLarge, t
	case i.together() && i.work.unitsMax == 1:
		return faulted, &trap{text: "it announced units together that were to begin one by one"}
	}
	return trapped, t
}

// cursorFault holds that the plugin announced each of its units. Without that, the fuel of one unit would have
// paid for others, and how a batch is cut could decide a price.
func (i *Instance) cursorFault() string {
	w := &i.work
	if begun := int(int32(uint32(i.control.begun.Get()))); begun != w.to-w.from {
		return fmt.Sprintf("it did not call begin for each unit of work (for %d of %d)", begun, w.to-w.from)
	}
	last := w.events - 1
	if w.to > w.from+w.events {
		for n := range w.sent {
			if w.sent[n].final {
				last = w.events + n
			}
		}
	}
	if got := i.cursor(); got != last {
		return fmt.Sprintf("it called begin for other units of work than there are (the last was %d, not %d)", got, last)
	}
	return ""
}

// reject makes a reject of an event that was priced alone and failed. A finish cannot be rejected: it is an error.
func (i *Instance) reject(unit int, how outcome, t *trap) error {
	reason, text := abi.ReasonTrap, "the tariff failed: "+t.text
	switch how {
	case tooLarge:
		reason, text = ReasonFault, "one unit of work does not fit into a call: "+t.text
	case faulted:
		reason, text = ReasonFault, "the tariff broke its contract: "+t.text
	default: // trapped
	}
	if unit >= len(i.work.batch.Events) {
		return i.faultAt(unit, strings.TrimPrefix(text, "the tariff failed: "))
	}
	i.work.rejects = append(i.work.rejects, Reject{Event: unit, Reason: reason, Detail: abi.Cut(text, abi.RejectTextMax)})
	return nil
}

// tooWide deals with a unit that does not fit into the arena, which is made for the largest state
// of every plan: only the text of an event's dimensions can be the cause.
func (i *Instance) tooWide(unit int) error {
	w := &i.work
	if unit >= len(w.batch.Events) {
		return i.faultAt(unit, "its finish does not fit into the arena")
	}
	w.rejects = append(w.rejects, Reject{
		Event: unit, Reason: ReasonValueTooLong,
		Detail: fmt.Sprintf("its dimensions hold more than %d bytes of text", valueBytesMax),
	})
	return nil
}

// faultAt is a fault at a unit of the batch.
func (i *Instance) faultAt(unit int, text string) error {
	f := &FaultError{Plugin: i.module.label(), Slot: i.work.slotOf(unit), Event: -1, Text: text}
	if unit < len(i.work.batch.Events) {
		f.Event = unit
	}
	return f
}
