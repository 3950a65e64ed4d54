package hostile

import (
	"slices"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// fillFrom overwrites what a local points to.
func fillFrom(local uint32, length int32) []byte {
	return w.Cat(w.LocalGet(local), w.I32Const(0x5a), w.I32Const(length), w.MemoryFill())
}

// harmlessCases do what they like with their own memory, and get nothing for it.
func harmlessCases() []Case {
	c := func(name string, adds uint64, t tariff) Case {
		return Case{Name: name, Group: "harmless", Want: Harmless, Adds: adds, wasm: t.packed}
	}
	bad := func(name string, code ...[]byte) Case { return c(name, 0, tariff{bad: w.Cat(code...)}) }
	next := w.Cat(w.GlobalGet(0), w.I32Const(1), w.Op(w.I32Add), w.GlobalSet(0))
	return []Case{
		c("a count in a global", 1, tariff{bad: w.Cat(next, addWide(w.GlobalGet(0), w.Op(w.I64ExtendU))), globals: []w.Global{i32Global()}}),
		c("a count in memory", 1, tariff{bad: w.Cat(
			w.I32Const(free), w.I32Const(free), w.Load64(0), w.I64Const(1), w.Op(w.I64Add), w.Store64(0), addWide(w.I32Const(free), w.Load64(0)))}),
		c("a count in memory that it grows into", 65, tariff{bad: w.Cat(
			w.I32Const(1), w.MemoryGrow(), w.LocalTee(scratch), w.I32Const(16), w.Op(0x74), w.LocalTee(scratch), // shl
			w.LocalGet(scratch), w.Load64(0), w.I64Const(1), w.Op(w.I64Add), w.Store64(0),
			addWide(w.LocalGet(scratch), w.Load64(0), w.LocalGet(scratch), w.I32Const(16), w.Op(0x76), w.Op(w.I64ExtendU), w.Op(w.I64Add)))}),
		c("a count behind the arena's end", 1, tariff{bad: w.Cat(
			w.LocalGet(arenaAt), w.LocalGet(arenaAt), w.Load64(1<<20), w.I64Const(1), w.Op(w.I64Add), w.Store64(1<<20),
			addWide(w.LocalGet(arenaAt), w.Load64(1<<20)))}),
		bad("its own rows", fillFrom(row, 48)),
		bad("the header", w.LocalGet(arenaAt), w.I32Const(0), w.I32Const(8), w.MemoryFill(), store(arenaAt, 68, -1), store(arenaAt, 60, 0)),
		bad("the number of slots", store(arenaAt, headerSlots, 0)),
		bad("offsets of the slot", store(slot, slotLineOff, -1), store(slot, slotStateOff, 0), store(slot, slotStateCap, -1)),
		bad("a final flag", store(slot, slotFlags, 1), store(slot, slotCarryOutLen, 1<<20)),
		bad("the code of its own answer", w.I32Const(w.ReplyAt), w.I32Const(0), w.I32Const(100), w.MemoryFill()),
		bad("all memory below the arena", w.I32Const(0), w.I32Const(0xff), w.I32Const(w.ArenaAt), w.MemoryFill()),
		bad("a NaN", nan(), w.Op(0xbd), w.LocalSet(wide)),
		c("the bits of a NaN", 0xfff8000000000000, tariff{bad: addWide(nan(), w.Op(0xbd))}),
		c("SIMD", 42, tariff{bad: addWide(w.I64Const(40), w.Op(0xfd, 18), w.I64Const(2), w.Op(0xfd, 18), w.Op(0xfd, 0xce, 1), w.Op(0xfd, 29, 0))}),
		changed("harmless", "a name section that lies", Harmless, "", func(m *w.Module) {
			m.Custom = map[string][]byte{"name": w.Cat([]byte{1}, w.U32(1<<31), w.U32(1<<31), make([]byte, 4<<20))}
		}),
		changed("harmless", "sections named like ours", Harmless, "", func(m *w.Module) {
			m.Custom = map[string][]byte{"tollway.manifest ": []byte("{}"), "tollway.fuel": []byte("1000000000"), "producers": {0xff}}
		}),
		{Name: "elements outside of the table", Group: "harmless", Want: Harmless, wasm: func() ([]byte, error) {
			// The runtime below drops such a segment, every time.
			b := before(tariff{}.module().Bytes(), 5, w.Section(4, []byte{1, 0x70, 0, 1}))
			return packed(before(b, 10, w.Section(9, w.Cat([]byte{1, 0}, w.I32Const(5), []byte{w.End, 1, 1}))), 0)
		}},
		changed("harmless", "exported globals", Harmless, "", func(m *w.Module) {
			m.Globals = []w.Global{i32Global()}
			m.Exports = append(m.Exports, w.Export{Name: "__heap_base", Kind: 3}, w.Export{Name: "fuel", Kind: 3})
		}),
		changed("harmless", "begin as an export, and in a table", Harmless, "", func(m *w.Module) {
			m.Exports = append(m.Exports, w.Export{Name: "begin", Index: w.FuncBegin})
			m.Table = []uint32{w.FuncBegin, w.FuncPrice}
		}),
	}
}

// free is an address below the arena that nobody else uses.
const free = 32_768

// addWide adds a number to the amount of the event's line.
func addWide(code ...[]byte) []byte {
	return w.Cat(w.LocalGet(line), w.LocalGet(line), w.Load64(16), w.Cat(code...), w.Op(w.I64Add), w.Store64(16))
}

// worldCases ask the host for what a tariff may not know. They get constants.
func worldCases() []Case {
	wasi := func(name, function string, adds uint64, params []byte, code ...[]byte) Case {
		return Case{Name: name, Group: "harmless", Want: Harmless, Adds: adds, wasm: func() ([]byte, error) {
			return withImport(function, params, []byte{w.I32}, badWith, code...)
		}}
	}
	i := func(n int) []byte { return slices.Repeat([]byte{w.I32}, n) }
	drop := w.Op(w.Drop)
	return []Case{
		wasi("the clock", "clock_time_get", 1_640_995_200_000_000_000, []byte{w.I32, w.I64, w.I32},
			w.I32Const(0), w.I64Const(1), w.I32Const(free), w.Call(1), drop, addWide(w.I32Const(free), w.Load64(0))),
		wasi("a random number", "random_get", 0xfeed714440598b00, i(2),
			w.I32Const(free), w.I32Const(8), w.Call(1), drop, addWide(w.I32Const(free), w.Load64(0))),
		wasi("more random numbers than there are", "random_get", 28, i(2), addWide(w.I32Const(0), w.I32Const(65_537), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("the size of the environment", "environ_sizes_get", 2, i(2),
			w.I32Const(free), w.I32Const(free+8), w.Call(1), drop, addWide(w.I32Const(free), w.Load32(0), w.Op(w.I64ExtendU))),
		wasi("arguments", "args_sizes_get", 0, i(2), w.I32Const(free), w.I32Const(free+8), w.Call(1), drop, addWide(w.I32Const(free), w.Load32(0), w.Op(w.I64ExtendU))),
		wasi("a file", "path_open", 52, []byte{w.I32, w.I32, w.I32, w.I32, w.I32, w.I64, w.I64, w.I32, w.I32},
			addWide(repeat(5, w.I32Const(3)), w.I64Const(-1), w.I64Const(-1), w.I32Const(0), w.I32Const(free), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("a descriptor", "fd_read", 8, i(4), addWide(w.I32Const(0), w.I32Const(0), w.I32Const(1), w.I32Const(free), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("output to a file", "fd_write", 8, i(4), addWide(w.I32Const(7), w.I32Const(0), w.I32Const(1), w.I32Const(free), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("output from behind the memory", "fd_write", 28, i(4),
			store32(free, -1), store32(free+4, -1), addWide(w.I32Const(1), w.I32Const(free), w.I32Const(1), w.I32Const(free+8), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("output in four billion pieces", "fd_write", 28, i(4),
			addWide(w.I32Const(1), w.I32Const(free), w.I32Const(-1), w.I32Const(free+8), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("64 MiB of output", "fd_write", 0, i(4), store32(free, 0), store32(free+4, 64<<16),
			w.I32Const(1), w.I32Const(free), w.I32Const(1), w.I32Const(free+8), w.Call(1), drop),
		wasi("a pointer behind the memory", "clock_time_get", 28, []byte{w.I32, w.I64, w.I32},
			addWide(w.I32Const(0), w.I64Const(1), w.I32Const(-4), w.Call(1), w.Op(w.I64ExtendU))),
		wasi("a thousand sleeps at once", "poll_oneoff", 28, i(4),
			addWide(w.I32Const(0), w.I32Const(0), w.I32Const(1_000), w.I32Const(free), w.Call(1), w.Op(w.I64ExtendU))),
	}
}
