package tariff

import (
	"encoding/binary"
	"strconv"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

var le = binary.LittleEndian

// guest is a module at work: its arena and its configurations. In the engine there is one, and
// the exports call it; natively a test makes its own.
type guest struct {
	module  *Module
	arena   []byte
	configs []*configuration

	header  abi.Header // of the batch at hand
	batch   uint32     // counts batches, for what is cached per batch
	unit    uint32     // the unit of work that comes next
	cursor  uint32     // natively: the unit announced last
	rejects uint32
	bound   uint32 // index of slot
	slot    Slot
	event   Event
	current *configuration // of slot
	fresh   bool           // slot has no state yet
}

// configuration is a tariff with its parameters.
type configuration struct {
	pricer    Pricer
	finisher  Finisher // nil when the pricer is none
	lines     uint32
	cells     uint32
	stateSize uint32
	dims      uint32
	carried   []uint32
	carrySize uint32
}

// undoRoom is how many writes of one unit of work are noted without allocating.
const undoRoom = 64

// unbound is no slot's index.
const unbound = 1<<32 - 1

func newGuest(m *Module) *guest {
	if bigEndian() {
		panic("tariff: tariffs run on little-endian machines only")
	}
	g := &guest{module: m}
	g.event.guest = g
	g.slot.undo = make([]before, 0, undoRoom)
	return g
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
	g.slot.arena = unsafe.Pointer(unsafe.SliceData(g.arena))
	return g.arena
}

// price prices the batch in the arena and returns an abi.RC*.
func (g *guest) price() int32 {
	h, err := abi.ReadHeader(g.arena)
	if err != nil {
		return g.fault("batch: " + err.Error())
	}
	g.header = h
	g.batch++
	g.unit, g.rejects, g.bound = 0, 0, unbound
	if problem := g.checkSlots(); problem != "" {
		return g.fault(problem)
	}
	for g.unit < h.Events {
		if rc := g.priceEvents(); rc != abi.RCOK {
			return rc
		}
	}
	for s := range h.Slots {
		if rc := g.finish(s); rc != abi.RCOK {
			return rc
		}
	}
	le.PutUint32(g.arena[abi.HeaderRejects:], g.rejects)
	return abi.RCOK
}

// at returns a place in the arena. The header and the slot rows, which say where things are,
// have been checked.
func (g *guest) at(off uint32) unsafe.Pointer { return unsafe.Add(g.slot.arena, off) }

func (g *guest) slotRow(index uint32) *slotRow {
	return (*slotRow)(g.at(g.header.SlotOff + index*g.header.SlotStride))
}

// checkSlots holds every slot row against its configuration and the arena, once a batch, so that
// events need not. What it returns is a fault of the host, "" when there is none.
func (g *guest) checkSlots() (problem string) {
	h := &g.header
	if (h.EventOff|h.EventStride|h.SlotOff|h.SlotStride|h.ValueOff)&(abi.Align-1) != 0 {
		return "batch: rows are not aligned"
	}
	for i := range h.Slots {
		row := g.slotRow(i)
		if row.handle >= uint32(len(g.configs)) {
			return "slot " + decimal(i) + ": configuration " + decimal(row.handle) + " is unknown"
		}
		if c := g.configs[row.handle]; !row.fits(c, h) {
			return "slot " + decimal(i) + ": " + row.problem(c, h)
		}
	}
	return ""
}

// fits says whether a slot row is one of a configuration, with everything inside the arena.
func (row *slotRow) fits(c *configuration, h *abi.Header) bool {
	lineEnd := uint64(row.lineOff) + uint64(c.lines)*abi.LineSize
	stateEnd := uint64(row.stateOff) + uint64(c.stateSize)
	inEnd := uint64(row.carryInOff) + uint64(row.carryInLen)
	outEnd := uint64(row.carryOutOff) + uint64(row.carryOutCap)
	return row.lines == c.lines && c.dims == h.Dims && c.stateSize <= row.stateCap &&
		(row.stateLen == c.stateSize || row.stateLen == 0) &&
		(row.carryInLen == c.carrySize || row.carryInLen == 0) &&
		(row.carryOutCap >= c.carrySize || row.flags&abi.SlotFlagFinal == 0) &&
		(row.lineOff|row.stateOff|row.carryInOff|row.carryOutOff)&(abi.Align-1) == 0 &&
		max(lineEnd, stateEnd, inEnd, outEnd) <= uint64(h.ArenaSize)
}

// problem says why a slot row does not fit.
func (row *slotRow) problem(c *configuration, h *abi.Header) string {
	switch {
	case row.lines != c.lines:
		return decimal(row.lines) + " lines, the tariff has " + decimal(c.lines)
	case c.dims != h.Dims:
		return "events of " + decimal(h.Dims) + " dimensions, the tariff asks for " + decimal(c.dims)
	case c.stateSize > row.stateCap, row.stateLen != c.stateSize && row.stateLen != 0:
		return "state of " + decimal(row.stateLen) + " bytes in " + decimal(row.stateCap) + ", the tariff keeps " + decimal(c.stateSize)
	case row.carryInLen != c.carrySize && row.carryInLen != 0:
		return "carry of " + decimal(row.carryInLen) + " bytes, the tariff carries " + decimal(c.carrySize)
	case row.carryOutCap < c.carrySize && row.flags&abi.SlotFlagFinal != 0:
		return "no room for a carry of " + decimal(c.carrySize) + " bytes"
	}
	return "lines, state or carry lie outside the arena or are not aligned"
}

// priceEvents prices the events from g.unit on, to the last or to the first that panics, whose
// rejection ends the call: a deferred function per event would cost more than most tariffs do.
func (g *guest) priceEvents() (rc int32) {
	defer func() {
		if p := recover(); p != nil {
			rc = g.reject(abi.ReasonPanic, panicText(p))
		}
	}()
	e := &g.event
	for g.unit < g.header.Events {
		i := g.unit
		g.unit++
		g.begin(i)
		e.off = g.header.EventOff + i*g.header.EventStride
		row := (*eventRow)(g.at(e.off))
		e.Time = row.time
		e.Quantity = billing.Quantity(row.quantity.decimal())
		if row.slot != g.bound {
			if row.slot >= g.header.Slots {
				return g.fault("event " + decimal(i) + " names slot " + decimal(row.slot) + " of " + decimal(g.header.Slots))
			}
			g.open(row.slot)
		}
		if err := g.current.pricer.Price(&g.slot, e); err != nil {
			if rc := g.reject(rejection(err)); rc != abi.RCOK {
				return rc
			}
			continue
		}
		g.slot.undo = g.slot.undo[:0]
		if g.fresh {
			g.keepState()
		}
	}
	return abi.RCOK
}

// finish closes a slot if it is final.
func (g *guest) finish(index uint32) (rc int32) {
	if g.slotRow(index).flags&abi.SlotFlagFinal == 0 {
		return abi.RCOK
	}
	defer func() {
		if p := recover(); p != nil {
			rc = g.fault("finish of slot " + decimal(index) + ": panic: " + panicText(p))
		}
	}()
	g.begin(g.header.Events + index)
	g.open(index)
	if f := g.current.finisher; f != nil {
		if err := f.Finish(&g.slot); err != nil {
			return g.fault("finish of slot " + decimal(index) + ": " + err.Error())
		}
	}
	g.slot.undo = g.slot.undo[:0]
	g.keepState()
	head := g.slot.head()
	for i, cell := range g.current.carried {
		*(*wide)(g.at(head.carryOutOff + uint32(i)*cellSize)) = *g.slot.cell(cell)
	}
	head.carryOutLen = g.current.carrySize
	return abi.RCOK
}

// open makes a slot the one at hand.
func (g *guest) open(index uint32) {
	off := g.header.SlotOff + index*g.header.SlotStride
	row := (*slotRow)(g.at(off))
	c := g.configs[row.handle]
	s := &g.slot
	s.row, s.lines, s.state = off, row.lineOff, row.stateOff
	s.lineCount, s.cellCount = c.lines, c.cells
	g.current, g.bound = c, index
	if g.fresh = row.stateLen != c.stateSize; g.fresh {
		g.startState()
	}
}

// startState gives a slot without state its first: zero, and what was carried.
func (g *guest) startState() {
	s := &g.slot
	for i := range s.cellCount {
		*s.cell(i) = wide{}
	}
	head := s.head()
	if head.carryInLen == 0 {
		return
	}
	for i, cell := range g.configs[head.handle].carried {
		*s.cell(cell) = *(*wide)(g.at(head.carryInOff + uint32(i)*cellSize))
	}
}

// keepState lets the state of a slot stand that had none before. Until its first event is
// accepted, a slot has none: so a slot of rejected events only is as it was.
func (g *guest) keepState() {
	head := g.slot.head()
	head.stateLen = g.configs[head.handle].stateSize
	g.fresh = false
}

// reject undoes the event at hand and notes why.
func (g *guest) reject(reason, detail string) int32 {
	g.slot.rollBack()
	if g.rejects >= g.header.RejectsMax {
		return abi.RCRejectFull
	}
	row := g.arena[g.header.RejectOff+g.rejects*g.header.RejectStride:]
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

// value returns a value of the batch. It aliases the arena.
func (g *guest) value(id uint32) string {
	if id >= g.header.Values {
		panic("tariff: value " + decimal(id) + " of " + decimal(g.header.Values))
	}
	row := (*valueRow)(g.at(g.header.ValueOff + id*abi.ValueSize))
	text := g.arena[g.header.StringOff:][:g.header.StringLen][row.off:][:row.length]
	return unsafe.String(unsafe.SliceData(text), len(text))
}

// decimal is a number in a text.
func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
