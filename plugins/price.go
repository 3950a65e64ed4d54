package plugins

import (
	"context"
	"errors"
	"fmt"

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
// A *[FaultError] when the plugin failed in a way that no event explains; the error of the context;
// an error of another kind when the batch itself makes no sense.
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
	tooWide // its first unit does not fit into the arena
)

// priceAll prices the units of the batch, stretch by stretch. A trap names a unit: what stands
// before it is priced without it, and then it alone. Only what it does alone counts, since there
// no neighbour can have caused the trap. Units that began together are priced again one by one.
func (i *Instance) priceAll(ctx context.Context) error {
	w := &i.work
	next, limit, alone, single := 0, abi.BatchEventsDefault, -1, 0
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
		result, t, err := i.priceStretch(next, n)
		if err != nil {
			return err
		}
		n = w.to - w.from
		switch result {
		case tooWide:
			if err := i.tooWide(next); err != nil {
				return err
			}
			next++
		case priced:
			next, growths = w.to, 0
			limit = min(2*limit, abi.BatchEventsDefault)
		case needsMore:
			if growths++; growths > growthsMax {
				return i.faultAt(next, "it asks for more state again and again")
			}
		case tooLarge:
			if n == 1 {
				return i.faultAt(next, "one unit of work does not fit into a call: "+t.text)
			}
			limit = max(1, n/2)
		case trapped:
			if n == 1 {
				if err := i.reject(next, t); err != nil {
					return err
				}
				next, growths = next+1, 0
				break
			}
			if i.together() {
				if w.unitsMax == 1 {
					return i.faultHere("it announced units together that were to begin one by one")
				}
				single = next + i.cursor0() + 1
				break
			}
			alone = next + i.cursor0()
			limit = min(limit, unitsAfterTrap)
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

// priceStretch makes one call for units from the given one on, at most limit.
func (i *Instance) priceStretch(from, limit int) (outcome, *trap, error) {
	w := &i.work
	w.keep(i.arena)
	i.restoreMemory()
	units, used := w.encode(i.arena, from, limit)
	if units == 0 {
		i.used = max(i.used, used)
		return tooWide, nil, nil
	}
	i.zeroBehind(used)
	i.stack[0] = uint64(i.arenaPtr)
	i.calls++
	code, err := i.call(i.price, budget{fuel: abi.FuelBase, pool: callPool, units: w.events + len(w.sent)})
	if err != nil {
		return i.trapOutcome(err)
	}
	switch code {
	case abi.RCOK:
		if err := i.checkCursor(); err != nil {
			return 0, nil, err
		}
		if err := w.decode(i.arena); err != nil {
			return 0, nil, i.faultAt(w.from, "its answer breaks the ABI: "+err.Error())
		}
		return priced, nil, nil
	case abi.RCStateNeed:
		if err := w.growStates(i.arena); err != nil {
			return 0, nil, i.faultAt(w.from, "its answer breaks the ABI: "+err.Error())
		}
		return needsMore, nil, nil
	case abi.RCRejectFull:
		return tooLarge, &trap{text: "its table of rejects is full"}, nil
	case abi.RCFault:
		return 0, nil, i.faultHere(i.faultText())
	}
	return 0, nil, i.faultHere(fmt.Sprintf("it answered with the unknown code %d", code))
}

// trapOutcome sorts a trap.
func (i *Instance) trapOutcome(err error) (outcome, *trap, error) {
	var t *trap
	if !errors.As(err, &t) {
		return 0, nil, err
	}
	switch {
	case t.cause == fuel.CauseCursor:
		return 0, nil, i.faultHere(t.text)
	case t.cause == fuel.CausePool, i.cursor() < 0:
		return tooLarge, t, nil
	}
	return trapped, t, nil
}

// checkCursor holds that the plugin announced its units up to the last. Without that, the fuel of
// one unit would have paid for others, and how a batch is cut could decide a price.
func (i *Instance) checkCursor() error {
	w := &i.work
	last := w.events - 1
	if w.to > w.from+w.events {
		for n := range w.sent {
			if w.sent[n].final {
				last = w.events + n
			}
		}
	}
	if got := i.cursor(); got != last {
		return i.faultHere(fmt.Sprintf("it did not call begin for each unit of work (the last was %d, not %d)", got, last))
	}
	return nil
}

// reject makes a reject of the trap of an event that was priced alone. A finish cannot be
// rejected: it is a fault.
func (i *Instance) reject(unit int, t *trap) error {
	if unit >= len(i.work.batch.Events) {
		return i.faultAt(unit, t.text)
	}
	i.work.rejects = append(i.work.rejects, Reject{
		Event: unit, Reason: abi.ReasonTrap, Detail: abi.Cut("the tariff failed: "+t.text, abi.RejectTextMax),
	})
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

// faultHere is a fault at the unit that began last.
func (i *Instance) faultHere(text string) error {
	w := &i.work
	if c := i.cursor(); c >= 0 && c < w.events+len(w.sent) {
		return i.faultAt(w.from+i.cursor0(), text)
	}
	return i.fault("%s", text)
}

// faultAt is a fault at a unit of the batch.
func (i *Instance) faultAt(unit int, text string) error {
	f := &FaultError{Plugin: i.module.label(), Slot: i.work.slotOf(unit), Event: -1, Text: text}
	if unit < len(i.work.batch.Events) {
		f.Event = unit
	}
	return f
}
