package tariff

import (
	"encoding/binary"
	"strconv"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
)

var le = binary.LittleEndian

// guest is a module at work: its arena and its configurations. In the engine there is one, and
// the exports call it; natively a test makes its own.
type guest struct {
	module  *Module
	arena   []byte
	configs []*configuration
	unit    uint32 // the unit of work that comes next
	begun   uint32 // the units before it have been announced
	ahead   uint32 // how many to announce at once, next time
	cursor  uint32 // natively: the unit announced last
	rejects uint32
	finals  []uint32 // the final slots of the batch
}

// configuration is a tariff with its parameters.
type configuration struct {
	pricer    Pricer
	finisher  Finisher // nil when the pricer is none
	rungs     *rungs   // nil when runs cannot price it
	lines     uint32
	lineBytes uint32
	stateSize uint32
	dims      uint32
	carried   []uint32
	carrySize uint32
	keyed     *Keyed // nil without one
}

// holds says whether so many bytes are a state of this configuration.
func (c *configuration) holds(s *Slot) bool {
	return s.stateLen == c.stateSize || s.stateLen == 0 || c.keyed != nil && c.keyed.sound(s)
}

// takes says whether so many bytes are a carry of this configuration.
func (c *configuration) takes(carry uint32) bool {
	return carry == c.carrySize || carry == 0 || c.keyed != nil && c.keyed.carryFits(carry)
}

// accept says that a slot has a state now.
func (s *Slot) accept(c *configuration) {
	s.stateLen = c.stateSize
	if c.keyed != nil {
		s.stateLen = c.keyed.stateLen(s)
		undoneBytes = undoneBytes[:0]
	}
}

func newGuest(m *Module) *guest {
	if bigEndian() {
		panic("tariff: tariffs run on little-endian machines only")
	}
	return &guest{module: m}
}

// newArena makes the arena, aligned as the contract asks. It returns nil for a size that the
// contract does not know.
func (g *guest) newArena(size uint32) []byte {
	if size < abi.ArenaMinBytes || size > abi.ArenaMaxBytes {
		return nil
	}
	room := make([]byte, size+abi.Align)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(room))) & (abi.Align - 1)
	g.arena = room[skip : skip+uintptr(size) : skip+uintptr(size)]
	return g.arena
}

// price prices the batch in the arena and returns an abi.RC*.
func (g *guest) price() int32 {
	h, err := abi.ReadHeader(g.arena)
	if err != nil {
		return g.fault("batch: " + err.Error())
	}
	arena, header, configs, undone = unsafe.Pointer(unsafe.SliceData(g.arena)), h, g.configs, 0
	undoneBytes = undoneBytes[:0]
	batch++
	g.unit, g.begun, g.rejects, g.ahead = 0, 0, 0, aheadMin
	if problem := g.findFinals(); problem != "" {
		return g.fault(problem)
	}
	for g.unit < h.Events {
		if rc := g.priceEvents(); rc != abi.RCOK {
			return rc
		}
	}
	for _, s := range g.finals {
		if rc := g.finish(s); rc != abi.RCOK {
			return rc
		}
	}
	le.PutUint32(g.arena[abi.HeaderRejects:], g.rejects)
	return abi.RCOK
}

// slotAt returns a slot row.
func slotAt(index uint32) *Slot { return (*Slot)(at(header.SlotOff + index*header.SlotStride)) }

// findFinals finds the final slots, before the first event: a look at all slots later on would be paid
// from the fuel of the last. What it returns is a fault of the host, "" when there is none.
func (g *guest) findFinals() (problem string) {
	g.finals = g.finals[:0]
	if (header.EventOff|header.EventStride|header.SlotOff|header.SlotStride|header.ValueOff)&(abi.Align-1) != 0 {
		return "batch: rows are not aligned"
	}
	if header.Finals == 0 {
		return ""
	}
	for i := range header.Slots {
		s := slotAt(i)
		if s.flags&abi.SlotFlagFinal == 0 {
			continue
		}
		if s.handle >= uint32(len(configs)) || !g.open(s) {
			return "slot " + decimal(i) + ": " + s.problem()
		}
		g.finals = append(g.finals, i)
	}
	return ""
}

// misfit is 0 for a slot row that is one of a configuration, but for the state, and inside the arena. It is
// short, so that it is put in place, and has no branches, for the reason that is given in run.go.
func (s *Slot) misfit(c *configuration) uint64 {
	outside := uint64(header.ArenaSize-c.lineBytes) - uint64(s.lineOff) | uint64(header.ArenaSize-c.stateSize) - uint64(s.stateOff)
	return outside>>63 | uint64(s.lines^c.lines|c.dims^header.Dims)
}

// open holds a slot row against its configuration and the arena, and gives a slot without a state its
// first. It says false for a row that cannot be.
func (g *guest) open(s *Slot) bool {
	c := configs[s.handle]
	if !s.fits(c) {
		return false
	}
	if s.stateLen == 0 && c.stateSize > 0 {
		s.start(c)
	}
	return true
}

// start writes the first state of a slot: zero, and what was carried. Its length stays 0 until
// an event is accepted: a slot of rejected events only is as it was.
func (s *Slot) start(c *configuration) {
	clear(unsafe.Slice((*byte)(at(s.stateOff)), c.stateSize))
	if s.carryInLen == 0 {
		return
	}
	for i, cell := range c.carried {
		*s.cell(cell) = *(*wide)(at(s.carryInOff + uint32(i)*cellSize))
	}
}

// fits says whether a slot row is one of a configuration, with everything inside the arena.
func (s *Slot) fits(c *configuration) bool {
	lineEnd := uint64(s.lineOff) + uint64(c.lines)*abi.LineSize
	stateEnd := uint64(s.stateOff) + uint64(s.stateCap)
	inEnd := uint64(s.carryInOff) + uint64(s.carryInLen)
	outEnd := uint64(s.carryOutOff) + uint64(s.carryOutCap)
	return s.lines == c.lines && c.dims == header.Dims && c.stateSize <= s.stateCap &&
		c.holds(s) && c.takes(s.carryInLen) &&
		(s.carryOutCap >= c.carrySize || s.flags&abi.SlotFlagFinal == 0) &&
		(s.lineOff|s.stateOff|s.carryInOff|s.carryOutOff)&(abi.Align-1) == 0 &&
		max(lineEnd, stateEnd, inEnd, outEnd) <= uint64(header.ArenaSize)
}

// problem says why a slot row does not fit.
func (s *Slot) problem() string {
	if s.handle >= uint32(len(configs)) {
		return "configuration " + decimal(s.handle) + " is unknown"
	}
	c, h := configs[s.handle], &header
	switch {
	case s.lines != c.lines:
		return decimal(s.lines) + " lines, the tariff has " + decimal(c.lines)
	case c.dims != h.Dims:
		return "events of " + decimal(h.Dims) + " dimensions, the tariff asks for " + decimal(c.dims)
	case c.stateSize > s.stateCap, !c.holds(s):
		return "state of " + decimal(s.stateLen) + " bytes in " + decimal(s.stateCap) + ", the tariff keeps " + decimal(c.stateSize)
	case !c.takes(s.carryInLen):
		return "carry of " + decimal(s.carryInLen) + " bytes, the tariff carries " + decimal(c.carrySize)
	case s.carryOutCap < c.carrySize && s.flags&abi.SlotFlagFinal != 0:
		return "no room for a carry of " + decimal(c.carrySize) + " bytes"
	}
	return "lines, state or carry lie outside the arena or are not aligned"
}

// priceEvents prices the events from g.unit on, to the last or to the first that panics, whose
// rejection ends the call: a deferred function per event would cost more than most tariffs do.
func (g *guest) priceEvents() (rc int32) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case errStateNeed:
			rc = abi.RCStateNeed
		default:
			rc = g.reject(abi.ReasonPanic, panicText(p))
		}
	}()
	for g.unit < header.Events {
		i := g.unit
		e := (*Event)(at(header.EventOff + i*header.EventStride))
		if e.slot >= header.Slots {
			return g.fault("event " + decimal(i) + " names slot " + decimal(e.slot) + " of " + decimal(header.Slots))
		}
		s := slotAt(e.slot)
		if s.handle >= uint32(len(configs)) {
			return g.fault("slot " + decimal(e.slot) + ": " + s.problem())
		}
		c := configs[s.handle]
		if i >= g.begun {
			g.announce(i, c)
		} else if c.rungs == nil {
			g.ahead = aheadMin
		}
		if c.rungs != nil && header.UnitsMax > 1 { // one by one is by Price
			if left := run(i, g.begun); left > i {
				g.unit = left
				continue
			}
		}
		if (s.misfit(c) != 0 || s.stateLen != c.stateSize) && !g.open(s) {
			return g.fault("slot " + decimal(e.slot) + ": " + s.problem())
		}
		g.unit = i + 1
		if err := c.pricer.Price(s, e); err != nil {
			if rc := g.reject(rejection(err)); rc != abi.RCOK {
				return rc
			}
			continue
		}
		undone = 0
		s.accept(c)
	}
	return abi.RCOK
}

// aheadMin is how many events are announced at once where the last ones were not all for runs.
const aheadMin = 4

// announce announces event i. One that a run can price is announced with those behind it, as far
// as the engine allows: most will be of that kind. But events of other tariffs may need much of
// the fuel that they then share, so where there were some, few are announced, and twice as many
// each time that there were none.
func (g *guest) announce(i uint32, c *configuration) {
	n := min(header.UnitsMax, header.Events-i, g.ahead)
	if c.rungs == nil || n < 2 {
		g.begin(i)
		g.begun = i + 1
		return
	}
	g.beginMany(i, n)
	g.begun = i + n
	g.ahead = min(2*g.ahead, header.Events)
}

// finish closes a final slot.
func (g *guest) finish(index uint32) (rc int32) {
	s := slotAt(index)
	defer func() {
		switch p := recover(); p {
		case nil:
		case errStateNeed:
			rc = abi.RCStateNeed
		default:
			rc = g.fault("finish of slot " + decimal(index) + ": panic: " + panicText(p))
		}
	}()
	g.begin(header.Events + index)
	c := g.configs[s.handle]
	if c.finisher != nil {
		if err := c.finisher.Finish(s); err != nil {
			return g.fault("finish of slot " + decimal(index) + ": " + err.Error())
		}
	}
	for i, cell := range c.carried {
		*(*wide)(at(s.carryOutOff + uint32(i)*cellSize)) = *s.cell(cell)
	}
	s.carryOutLen = uint32(len(c.carried) * cellSize)
	if c.keyed != nil {
		s.carryOutLen += c.keyed.writeCarry(s)
	}
	undone = 0
	s.accept(c)
	return abi.RCOK
}

// reject undoes the event at hand and notes why.
func (g *guest) reject(reason, detail string) int32 {
	rollBack()
	if g.rejects >= header.RejectsMax {
		return abi.RCRejectFull
	}
	row := g.arena[header.RejectOff+g.rejects*header.RejectStride:]
	abi.PutReject(row, g.unit-1, reason, valid(detail))
	g.rejects++
	return abi.RCOK
}

// fault writes why the call is refused as a whole.
func (g *guest) fault(text string) int32 {
	if len(g.arena) < abi.HeaderSize {
		return abi.RCFault
	}
	text = abi.Cut(valid(text), min(abi.TextMax, len(g.arena)-abi.HeaderSize))
	copy(g.arena[abi.HeaderSize:], text)
	le.PutUint32(g.arena[abi.HeaderErrLen:], uint32(len(text)))
	return abi.RCFault
}

// decimal is a number in a text.
func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
