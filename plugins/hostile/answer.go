package hostile

import (
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

const announcing = "announce"

// announceCases announce other work than there is.
func announceCases() []Case {
	c := func(name, text string, t tariff) Case { return rejects(announcing, name, "tariff_fault", text, t) }
	again := func(code ...[]byte) tariff { return tariff{bad: w.Cat(w.Cat(code...), w.Call(w.FuncBegin))} }
	// Announces an event unless it is the one that triggers, and takes the row at which it looks from the events.
	skipping := w.Cat(
		w.LocalGet(arenaAt), w.LocalGet(arenaAt), w.Load32(headerEventOff), w.Op(w.I32Add),
		w.LocalGet(index), w.LocalGet(arenaAt), w.Load32(headerStride), w.Op(w.I32Mul), w.Op(w.I32Add),
		w.Load64(8), w.I64Const(Trigger), w.Op(0x52), // ne
		w.If(w.Void, w.LocalGet(index), w.Call(w.FuncBegin)))
	return []Case{
		c("an event announced twice", "begin out of order", again(w.LocalGet(index))),
		c("the event before", "begin out of order", again(w.LocalGet(index), w.I32Const(1), w.Op(w.I32Sub))),
		c("an event beyond the last", "begin out of order", again(w.I32Const(1<<30))),
		c("an event below zero", "begin out of order", again(w.I32Const(-2))),
		c("the finish of a slot that is not final", "not call begin for each", again(w.LocalGet(events))),
		c("an event that is not announced", "not call begin for each", tariff{begin: skipping}),
		{
			Name: "nothing announced at all", Group: announcing, Want: Rejected, Reason: "tariff_fault", Text: "not call begin for each",
			wasm: tariff{begin: w.Op(w.Nop)}.packed, All: true,
		},
		{
			Name: "a loop before the first announcement", Group: announcing, Want: Rejected, Reason: "tariff_fault", Text: outOfFuel,
			wasm: tariff{begin: forever()}.packed, All: true,
		},
		{
			Name: "all events in one announcement", Group: announcing, Want: Rejected, Reason: "tariff_trap", Text: outOfFuel,
			wasm: func() ([]byte, error) {
				// It ignores units_max, and spends the fuel of all at one.
				t := tariff{
					imports: []w.Import{{Module: "tollway_v1", Name: "begin_many", Sig: w.Sig{Params: []byte{w.I32, w.I32}}}},
					begin:   w.Cat(w.LocalGet(index), w.Op(w.I32Eqz), w.If(w.Void, w.I32Const(0), w.LocalGet(events), w.Call(1))),
					bad:     forever(),
				}
				m := t.module()
				// Finishes still announce themselves, by function 0.
				return packed(m.Bytes(), 0)
			},
		},
	}
}

// answerCases write what cannot be, where the host reads it.
func answerCases() []Case {
	c := func(name, text string, t tariff) Case {
		return rejects("answer", "answer: "+name, "tariff_fault", text, t)
	}
	// Remembers in a global that the event was there and acts when the batch is done, on the slot of the event.
	late := func(code ...[]byte) tariff {
		return tariff{
			bad:     w.Cat(w.LocalGet(slot), w.GlobalSet(0)),
			done:    w.Cat(w.GlobalGet(0), w.If(w.Void, w.Cat(code...))),
			globals: []w.Global{i32Global()},
		}
	}
	inSlot := func(offset uint32, value int32) []byte {
		return w.Cat(w.GlobalGet(0), w.I32Const(value), w.Store32(offset))
	}
	code := func(v int32) []byte { return w.Cat(w.I32Const(v), w.Op(w.Return)) }
	reject := func(n int32, event []byte, lengths int32, text byte) []byte {
		table := w.Cat(w.LocalGet(arenaAt), w.LocalGet(arenaAt), w.Load32(headerRejectOff), w.Op(w.I32Add), w.LocalTee(scratch))
		var rows []byte
		for k := range n {
			rows = w.Cat(rows, table, event, w.Store32(uint32(k)*192), w.LocalGet(scratch), w.I32Const(lengths), w.Store32(uint32(k)*192+4),
				w.LocalGet(scratch), w.I32Const(int32(text)*0x01010101), w.Store32(uint32(k)*192+8))
		}
		return w.Cat(rows, store(arenaAt, headerRejects, n))
	}
	first := w.I32Const(0)
	return []Case{
		c("an unknown code", "unknown code 42", late(code(42))),
		c("a code below zero", "unknown code -1", late(code(-1))),
		c("a fault without a text", "broke its contract", late(code(1))),
		c("a fault of 4 GiB of text", "broke its contract", late(store(arenaAt, headerErrLen, -1), code(1))),
		c("a state longer than its place", "state is longer than its place", late(inSlot(slotStateLen, 9))),
		c("a state of 4 GiB", "state is longer than its place", late(inSlot(slotStateLen, -1))),
		c("more state, for nobody", "for no slot", late(code(2))),
		c("more state than there is", "breaks the ABI", late(inSlot(slotStateNeed, 1<<20), code(2))),
		c("less state than there is", "breaks the ABI", late(inSlot(slotStateNeed, 1), code(2))),
		c("a full table of rejects", "table of rejects is full", late(code(3))),
		c("two billion rejects", "more rejects than the table holds", late(store(arenaAt, headerRejects, 1<<31-1))),
		c("rejects of 4 GiB", "more rejects than the table holds", late(store(arenaAt, headerRejects, -1))),
		c("an event rejected twice", "twice or out of order", late(reject(2, first, 1, 'x'))),
		c("an event rejected that is not there", "twice or out of order", late(reject(1, w.I32Const(1<<20), 1, 'x'))),
		c("a reason that is no name", "reject reason is not of the form", late(reject(1, first, 1, '='))),
		c("a reject without a reason", "reject reason is not of the form", late(reject(1, first, 0, 'x'))),
		c("a reason longer than its row", "reject", late(reject(1, first, 0x7fff, 'x'))),
		c("lengths that overflow", "reject", late(reject(1, first, -1, 'x'))),
		unfinished("a carry longer than its place", "carry", tariff{finish: store(slot, slotCarryOutLen, 1)}),
		unfinished("a carry of 4 GiB", "carry", tariff{finish: store(slot, slotCarryOutLen, -1)}),
		unfinished("a state of 4 GiB at the finish", "state is longer", tariff{finish: store(slot, slotStateLen, -1)}),
		unfinished("an unknown code at the finish", "unknown code 9", tariff{finish: code(9)}),
	}
}
