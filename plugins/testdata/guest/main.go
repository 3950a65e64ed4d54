//go:build wasip1

// Command guest is a tariff with bad habits, for the tests of the engine. It is written against
// sdk/abi alone, so that it can break every rule.
//
// It sums quantities: the state is the number of events and the sum so far, line 0 the sum and
// its double. What else it does, an event's time decides (see the constants), and the name of the
// tariff decides what it does wrong with a whole batch.
package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"time"
	"unsafe"

	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// What an event with such a time makes the tariff do.
const (
	doLoop       = -1 // never end
	doTree       = -2 // call itself 2^60 times, without a loop
	doRecurse    = -3 // call itself without end
	doMemory     = -4 // allocate without end
	doCrash      = -5 // read from nil
	doExit       = -6
	doReject     = -7
	doSleep      = -8
	doBackwards  = -9  // begin the unit before
	doBeyond     = -10 // begin a unit that is not there
	doClock      = -11 // write clock and random numbers into the line
	doRemember   = -12 // write what was remembered into the line, and remember more
	doGrow       = -13 // grow the memory, and write its size into the line
	doBadUTF8    = -14 // reject with a detail that is not UTF-8
	doPrint      = -15
	doWork       = -16 // the quantity's low half is how often to do a little work
	doTable      = -17 // write the text of dimension 0, and its local id, into the line
	doMapOrder   = -18 // write the order of a map into the line
	doBadReason  = -19
	doSkipBegin  = -20 // handled by the loop: do not announce this event
	doRejectLate = -21 // change state and line, then reject
	doLieRC      = -22
	doFault      = -23
	doLieReply   = -24 // handled at the end: a state longer than its room
	doLieRejects = -25 // handled at the end: more rejects than there can be
	doLieOrder   = -26 // handled at the end: rejects out of order
	doScribble   = -27 // write to all of the arena behind the batch, and read it first
)

//go:wasmimport tollway_v1 begin
func begin(index int32)

//go:wasmimport tollway_v1 begin_many
func beginMany(index, count int32)

var (
	arena      []byte
	plans      = map[uint32]string{}
	remembered int64
	sink       int
)

//go:wasmexport tariff_abi_v1
func marker() int32 { return abi.Minor }

//go:wasmexport tariff_arena
func makeArena(size int32) int32 {
	b := make([]byte, size+abi.Align)
	p := (uintptr(unsafe.Pointer(&b[0])) + abi.Align - 1) &^ (abi.Align - 1)
	arena = unsafe.Slice((*byte)(unsafe.Pointer(p)), int(size))
	return int32(p)
}

//go:wasmexport tariff_configure
func configure(handle, length int32) int32 {
	request := arena[abi.HeaderSize : abi.HeaderSize+length]
	name := field(request, `"tariff":"`)
	plans[uint32(handle)] = name
	reply := `{"lines":[{"id":"sum","description":"Sum"}],"state_size":24}`
	switch name {
	case "dims":
		reply = `{"lines":[{"id":"sum","description":"Sum"}],"state_size":24,"dimensions":["sku","region"]}`
	case "variable":
		reply = `{"lines":[{"id":"sum","description":"Sum"}],"state_size":24,"state_max":1048576,"carry_size":64}`
	case "refuses":
		reply = `{"error":"params.x: must be kind"}`
	case "babbles":
		reply = `{"lines":[],"state_size":24,"colour":"blue"}`
	case "greedy":
		reply = `{"lines":[],"state_size":5000}`
	case "lies":
		binary.LittleEndian.PutUint32(arena[abi.HeaderReplyLen:], 1<<31)
		return abi.RCOK
	case "loops":
		for {
			sink++
		}
	case "faults":
		n := copy(arena[abi.HeaderSize:], "out of ideas")
		binary.LittleEndian.PutUint32(arena[abi.HeaderErrLen:], uint32(n))
		return abi.RCFault
	}
	n := copy(arena[abi.HeaderSize:], reply)
	binary.LittleEndian.PutUint32(arena[abi.HeaderReplyLen:], uint32(n))
	return abi.RCOK
}

func field(request []byte, key string) string {
	_, rest, _ := bytes.Cut(request, []byte(key))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

type batch struct {
	h       abi.Header
	begun   int32 // events before it have been announced
	rejects []abi.Reject
	rc      int32
	done    func()
}

//go:wasmexport tariff_price
func price(int32) int32 {
	h, err := abi.ReadHeader(arena)
	if err != nil {
		return 77
	}
	b := &batch{h: h}
	for e := range h.Events {
		b.event(int32(e))
		if b.rc != abi.RCOK {
			return b.rc
		}
	}
	for s := range h.Slots {
		b.finish(int32(h.Events), s)
	}
	if len(b.rejects) > int(h.RejectsMax) {
		return abi.RCRejectFull
	}
	for i, r := range b.rejects {
		row := arena[h.RejectOff+uint32(i)*h.RejectStride:]
		abi.PutReject(row, r.Event, string(r.Reason), string(r.Detail))
	}
	binary.LittleEndian.PutUint32(arena[abi.HeaderRejects:], uint32(len(b.rejects)))
	if b.done != nil {
		b.done()
	}
	return b.rc
}

func (b *batch) slot(i uint32) ([]byte, abi.Slot) {
	row := arena[b.h.SlotOff+i*b.h.SlotStride:]
	return row, abi.ReadSlot(row)
}

func (b *batch) finish(first int32, i uint32) {
	row, s := b.slot(i)
	if s.Flags&abi.SlotFlagFinal == 0 {
		return
	}
	begin(first + int32(i))
	if plans[s.Handle] == "badfinish" {
		recurse(1)
	}
	line := arena[s.LineOff:]
	l := abi.ReadLine(line)
	l.Amount, _ = l.Amount.Add(billing.DecimalFromInt(1000))
	abi.PutLine(line, l)
	if s.CarryOutCap > 0 {
		n := copy(arena[s.CarryOutOff:s.CarryOutOff+s.CarryOutCap], "carried:")
		n += copy(arena[s.CarryOutOff+uint32(n):s.CarryOutOff+s.CarryOutCap], arena[s.CarryInOff:s.CarryInOff+s.CarryInLen])
		binary.LittleEndian.PutUint32(row[abi.SlotCarryOutLen:], uint32(n))
	}
}

func (b *batch) reject(e int32, reason, detail string) {
	b.rejects = append(b.rejects, abi.Reject{Event: uint32(e), Reason: []byte(reason), Detail: []byte(detail)})
}

func (b *batch) event(e int32) {
	row := arena[b.h.EventOff+uint32(e)*b.h.EventStride:]
	ev := abi.ReadEvent(row)
	slotRow, s := b.slot(ev.Slot)
	switch {
	case plans[s.Handle] == "together" && e >= b.begun:
		n := min(int32(max(b.h.UnitsMax, 1)), int32(b.h.Events)-e)
		beginMany(e, n)
		b.begun = e + n
	case ev.Time != doSkipBegin && e >= b.begun:
		begin(e)
	}
	if plans[s.Handle] == "variable" && !b.grow(slotRow, &s) {
		return
	}
	l := abi.ReadLine(arena[s.LineOff:])
	before := l
	state := arena[s.StateOff : s.StateOff+s.StateCap]
	if s.StateLen == 0 {
		binary.LittleEndian.PutUint32(slotRow[abi.SlotStateLen:], 24)
	}
	l.Quantity, _ = l.Quantity.Add(ev.Quantity)
	l.Amount, _ = l.Quantity.Add(l.Quantity)
	if !b.act(e, row, ev, &l) {
		if ev.Time == doRejectLate {
			l = before
		} else {
			return
		}
	} else {
		binary.LittleEndian.PutUint64(state, binary.LittleEndian.Uint64(state)+1)
		l.Quantity.PutLE(state[8:])
	}
	abi.PutLine(arena[s.LineOff:], l)
}

// grow keeps the count of events in a state that becomes 100 bytes longer with each.
func (b *batch) grow(row []byte, s *abi.Slot) bool {
	if s.StateLen == 0 {
		s.StateLen = 24
	}
	if s.StateLen+100 > s.StateCap {
		binary.LittleEndian.PutUint32(row[abi.SlotStateNeed:], s.StateLen+100)
		b.rc = abi.RCStateNeed
		return false
	}
	binary.LittleEndian.PutUint32(row[abi.SlotStateLen:], s.StateLen+100)
	for i := range uint32(100) {
		arena[s.StateOff+s.StateLen+i] = byte(s.StateLen / 100)
	}
	return true
}

// act does what the event's time says, and tells whether the event is priced.
func (b *batch) act(e int32, row []byte, ev abi.Event, l *abi.Line) bool {
	switch ev.Time {
	case doLoop:
		for {
			sink++
		}
	case doTree:
		tree(60)
	case doRecurse:
		recurse(1)
	case doMemory:
		for {
			keep = append(keep, make([]byte, 16<<20))
		}
	case doCrash:
		var p *[1 << 20]byte
		sink = int(p[sink])
	case doExit:
		os.Exit(3)
	case doReject, doRejectLate:
		b.reject(e, "no_price", "no price for this")
		return false
	case doSleep:
		time.Sleep(time.Hour)
	case doBackwards:
		begin(e - 1)
	case doBeyond:
		begin(int32(b.h.Events + b.h.Slots))
	case doClock:
		l.Amount = billing.DecimalFromInt(time.Now().UnixNano())
	case doRemember:
		remembered++
		l.Amount = billing.DecimalFromInt(remembered)
	case doGrow:
		keep = append(keep, make([]byte, 1<<20))
		l.Amount = billing.DecimalFromInt(int64(uintptr(unsafe.Pointer(&keep[len(keep)-1][0]))))
	case doBadUTF8:
		b.reject(e, "no_price", "broken \xff\xfe text")
		return false
	case doPrint:
		println("printed by a tariff")
	case doWork:
		for range ev.Quantity.Lo {
			sink++
		}
	case doTable:
		id := abi.EventDim(row, 0)
		at := arena[b.h.ValueOff+id*abi.ValueSize:]
		off, n := binary.LittleEndian.Uint32(at[abi.ValueOff:]), binary.LittleEndian.Uint32(at[abi.ValueLen:])
		text := arena[b.h.StringOff+off : b.h.StringOff+off+n]
		l.Amount = billing.DecimalFromInt(int64(len(text)))
		for i := 0; i < len(text); i += 97 {
			l.Amount, _ = l.Amount.Add(billing.DecimalFromInt(int64(text[i])))
		}
	case doMapOrder:
		m := map[int]bool{}
		for i := range 100 {
			m[i] = true
		}
		order := int64(0)
		for k := range m {
			order = order*31 + int64(k)
		}
		l.Amount = billing.DecimalFromInt(order)
	default:
		return b.lie(e, ev, l)
	}
	return true
}

var keep [][]byte

// lie breaks the rules of the ABI.
func (b *batch) lie(e int32, ev abi.Event, l *abi.Line) bool {
	switch ev.Time {
	case doBadReason:
		b.reject(e, "No Price!", "")
		return false
	case doLieRC:
		b.rc = 42
	case doFault:
		n := copy(arena[abi.HeaderSize:], "I give up")
		binary.LittleEndian.PutUint32(arena[abi.HeaderErrLen:], uint32(n))
		b.rc = abi.RCFault
	case doLieReply:
		b.done = func() {
			row, s := b.slot(ev.Slot)
			binary.LittleEndian.PutUint32(row[abi.SlotStateLen:], s.StateCap+1)
		}
	case doLieRejects:
		b.done = func() { binary.LittleEndian.PutUint32(arena[abi.HeaderRejects:], 1<<31) }
	case doLieOrder:
		b.done = func() {
			binary.LittleEndian.PutUint32(arena[abi.HeaderRejects:], 2)
			abi.PutReject(arena[b.h.RejectOff:], uint32(e), "no_price", "")
			abi.PutReject(arena[b.h.RejectOff+b.h.RejectStride:], uint32(e), "no_price", "")
		}
	case doScribble:
		end := b.h.RejectOff + b.h.RejectsMax*b.h.RejectStride
		seen := 0
		for i := end; i < b.h.ArenaSize; i += 997 {
			seen += int(arena[i])
			arena[i] = 0xaa
		}
		l.Amount = billing.DecimalFromInt(int64(seen))
	}
	return true
}

//go:noinline
func tree(n int) {
	if n > 0 {
		tree(n - 1)
		tree(n - 1)
	}
}

//go:noinline
func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n+1) + 1
}

func main() {}
