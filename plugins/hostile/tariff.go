package hostile

import (
	"slices"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// The locals of tariff_price, for code that is put into it.
const (
	arenaAt uint32 = iota // the arena's pointer
	events                // how many
	index                 // of the event
	row                   // of the event
	slot                  // its row
	line                  // its row
	scratch               // i32, for hostile code
	scratch2
	quantity // i64
	wide     // i64, for hostile code
	vector   // v128, likewise
)

// Offsets of the header and of the rows that hostile code writes to, as sdk/ABI.md has them.
const (
	headerEvents, headerSlots       = 12, 16
	headerEventOff, headerStride    = 20, 24
	headerSlotOff, headerSlotStride = 28, 32
	headerRejectOff, headerRejects  = 56, 72
	headerReplyLen, headerErrLen    = 76, 80
	slotFlags, slotLineOff          = 36, 44
	slotStateOff, slotStateLen      = 48, 52
	slotStateCap, slotStateNeed     = 56, 60
	slotCarryOutLen                 = 76
)

const reply = `{"lines":[{"id":"sum","description":"Sum"}],"state_size":8}`

// tariff is a module that prices as it should, the amount of an event being twice its quantity, but for the code that
// is put in. The zero value is honest.
type tariff struct {
	bad     []byte // at the event that triggers it
	finish  []byte // at the finish of a slot
	done    []byte // after the batch
	begin   []byte // instead of the call of begin for each event
	start   []byte // in _initialize
	config  []byte // in tariff_configure, before the answer
	reply   string
	funcs   []w.Func // after those of the tariff, from funcFirst on
	table   []uint32
	globals []w.Global
	imports []w.Import // after begin: they move the other functions
	fuel    int64
	always  bool // bad runs at every event
}

// Functions of a module with one import beside begin, and with none.
const funcFirst = w.FuncNext + 1

// module assembles the tariff.
func (t tariff) module() *w.Module {
	text := t.reply
	if text == "" {
		text = reply
	}
	m := w.Tariff(text)
	m.Globals, m.Table = t.globals, t.table
	price := &m.Funcs[w.FuncPrice-1]
	price.Locals = slices.Concat(slices.Repeat([]byte{w.I32}, int(scratch2)), []byte{w.I64, w.I64, w.V128})
	price.Code = t.price()
	m.Funcs[w.FuncNext-1].Code = w.Cat(t.start, w.Op(w.End))
	if t.config != nil {
		f := &m.Funcs[w.FuncConfigure-1]
		f.Code = w.Cat(t.config, f.Code)
	}
	m.Funcs = append(m.Funcs, t.funcs...)
	if len(t.imports) > 0 {
		shift := uint32(len(t.imports))
		m.Imports = append(m.Imports, t.imports...)
		for k := range m.Exports {
			if m.Exports[k].Kind == 0 {
				m.Exports[k].Index += shift
			}
		}
	}
	return m
}

func (t tariff) price() []byte {
	begin := t.begin
	if begin == nil {
		begin = w.Cat(w.LocalGet(index), w.Call(w.FuncBegin))
	}
	add := w.Op(w.I32Add)
	header := func(offset uint32) []byte { return w.Cat(w.LocalGet(arenaAt), w.Load32(offset)) }
	place := func(first, number, stride []byte) []byte {
		return w.Cat(w.LocalGet(arenaAt), first, add, number, stride, w.Op(w.I32Mul), add)
	}
	sum := func(offset uint32, times int) []byte {
		return w.Cat(w.LocalGet(line), w.LocalGet(line), w.Load64(offset), repeat(times, w.LocalGet(quantity), w.Op(w.I64Add)), w.Store64(offset))
	}
	state := w.Cat(w.LocalGet(arenaAt), w.LocalGet(slot), w.Load32(slotStateOff), add)
	return w.Cat(
		header(headerEvents), w.LocalSet(events),
		w.Block(w.Void, w.Loop(w.Void,
			w.LocalGet(index), w.LocalGet(events), w.Op(0x4f), w.BrIf(1), // ge_u
			begin,
			place(header(headerEventOff), w.LocalGet(index), header(headerStride)), w.LocalSet(row),
			place(header(headerSlotOff), w.Cat(w.LocalGet(row), w.Load32(0)), header(headerSlotStride)), w.LocalSet(slot),
			w.LocalGet(arenaAt), w.LocalGet(slot), w.Load32(slotLineOff), add, w.LocalSet(line),
			w.LocalGet(row), w.Load64(16), w.LocalSet(quantity),
			sum(0, 1), sum(16, 2),
			state, state, w.Load64(0), w.I64Const(1), w.Op(w.I64Add), w.Store64(0),
			w.LocalGet(slot), w.I32Const(8), w.Store32(slotStateLen),
			t.triggered(),
			w.If(w.Void, t.bad),
			w.LocalGet(index), w.I32Const(1), add, w.LocalSet(index), w.Br(0))),
		w.I32Const(0), w.LocalSet(index),
		w.Block(w.Void, w.Loop(w.Void,
			w.LocalGet(index), header(headerSlots), w.Op(0x4f), w.BrIf(1),
			place(header(headerSlotOff), w.LocalGet(index), header(headerSlotStride)), w.LocalSet(slot),
			w.LocalGet(slot), w.Load32(slotFlags), w.I32Const(2), w.Op(0x71), // and
			w.If(w.Void, w.LocalGet(events), w.LocalGet(index), add, w.Call(w.FuncBegin), t.finish),
			w.LocalGet(index), w.I32Const(1), add, w.LocalSet(index), w.Br(0))),
		t.done,
		w.I32Const(0), w.Op(w.End),
	)
}

// triggered leaves on the stack whether the event is one at which the module misbehaves.
func (t tariff) triggered() []byte {
	if t.always {
		return w.I32Const(1)
	}
	return w.Cat(w.LocalGet(row), w.Load64(8), w.I64Const(Trigger), w.Op(0x51)) // eq
}

// Always returns modules that misbehave at every event, by what they do, each with one tariff named hostile: for
// tests of what runs plugins.
func Always() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, t := range map[string]tariff{
		"loop":      {bad: forever()},
		"trap":      {bad: trap()},
		"memory":    {bad: growAll(), fuel: 20_000_000},
		"recursion": {bad: w.Call(funcFirst), funcs: recursion(2)},
		"code":      {bad: w.Cat(w.I32Const(42), w.Op(w.Return))},
		"silent":    {begin: w.Op(w.Nop)},
		"state":     {bad: store(slot, slotStateLen, -1)},
	} {
		t.always = true
		wasm, err := t.packed()
		if err != nil {
			return nil, err
		}
		out[name] = wasm
	}
	return out, nil
}

// rejects makes a case in which the triggering event is rejected.
func rejects(group, name, reason, text string, t tariff) Case {
	return Case{Name: name, Group: group, Want: Rejected, Reason: reason, Text: text, wasm: t.packed}
}

func (t tariff) packed() ([]byte, error) { return packed(t.module().Bytes(), t.fuel) }

// store writes a number to an offset from a local.
func store(local, offset uint32, value int32) []byte {
	return w.Cat(w.LocalGet(local), w.I32Const(value), w.Store32(offset))
}

// trap is what code that must not go on does.
func trap() []byte { return w.Op(w.Unreachable) }

func i32Global() w.Global {
	return w.Global{Type: w.I32, Mutable: true, Init: w.Cat(w.I32Const(0), w.Op(w.End))}
}
