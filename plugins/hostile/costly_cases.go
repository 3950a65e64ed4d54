package hostile

import (
	"slices"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
	"github.com/tollway/tollway/sdk/abi"
)

// costlyCases are made of instructions that take the processor far longer than others, each with the most fuel that a
// plugin may have without its operator's leave: what fuel costs has to bring them to an end in time too.
func costlyCases() []Case {
	c := func(name string, t tariff) Case {
		t.fuel = mostFuel
		return rejects("costly", name, "tariff_trap", outOfFuel, t)
	}
	grown := func(name string, code ...[]byte) Case {
		return c(name, tariff{bad: w.Cat(w.I32Const(960), w.MemoryGrow(), w.Op(w.Drop), w.Cat(code...))})
	}
	loads := func(name string, offset uint32, code ...[]byte) Case {
		return grown("loads that miss every cache, "+name, chain(offset), chase(code...))
	}
	lane := w.Op(0xfd, 0x1b, 0)                                                       // i32x4.extract_lane
	kept := w.Cat(w.LocalSet(wide), w.I32Const(free), w.LocalGet(wide), w.Store64(0)) // so that it is not left out
	keptVector := w.Cat(w.LocalSet(vector), w.I32Const(free), w.LocalGet(vector), w.Op(0xfd, 0x0b, 4, 0))
	copied := w.Cat(w.LocalSet(scratch), w.I32Const(free), w.LocalGet(scratch), w.I32Const(4), w.MemoryCopy(), w.I32Const(free), w.Load32(0))
	return []Case{
		loads("of 32 bits", 0, w.Load32(0)),
		loads("of 64 bits", 0, w.Load64(0), w.Op(0xa7)), // i32.wrap_i64
		loads("of vectors", 0, vectorLoad(0x00), lane),
		loads("of vectors from a half", 0, vectorLoad(0x05), lane),
		loads("across two lines", 62, w.Load32(62)),
		loads("across two pages", 4_094, w.Load32(4_094)),
		loads("by copies of four bytes", 0, copied),
		grown("stores that miss every cache", storesAnywhere()),
		grown("stores across two pages", spin(repeat(100, randomAddress(), w.I32Const(4_095), w.Op(0x72), w.I64Const(1), w.Store64(0)))), // or
		grown("stores of a byte behind each other's page", spin(repeat(100, randomAddress(), w.LocalGet(scratch), w.Op(0x3a, 0), w.U32(0)))),
		grown("stores of vectors", spin(repeat(100, randomAddress(), w.LocalGet(vector), w.Op(0xfd, 0x0b, 4), w.U32(0)))),
		grown("fills of one byte", spin(repeat(100, randomAddress(), w.I32Const(1), w.I32Const(1), w.MemoryFill()))),
		grown("fills of four kilobytes", spin(repeat(100, randomAddress(), w.I32Const(1), w.I32Const(4_096), w.MemoryFill()))),
		grown("copies of one byte", spin(repeat(100, randomAddress(), randomAddress(), w.I32Const(1), w.MemoryCopy()))),
		grown("copies of all memory", copiesOfAll()),
		c("calls of functions that no cache holds", tariff{bad: spin(w.Call(funcFirst)), funcs: coldFunctions(w.Call)}),
		c("calls through a table that no cache holds", coldTable()),
		c("numbers too small to be normal", tariff{bad: spin(tiny(), repeat(200, w.Op(0x44, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f), w.Op(0xa2)), w.Op(0xbd), kept)}),
		c("square roots", tariff{bad: spin(w.LocalGet(wide), w.Op(0xbf), repeat(200, w.Op(0x9f)), w.Op(0xbd), kept)}),
		c("vectors of numbers too small to be normal", tariff{bad: spin(
			tiny(), w.Op(0xfd, 0x14), w.LocalSet(vector), // f64x2.splat
			w.LocalGet(vector), repeat(200, w.Op(0x44, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f), w.Op(0xfd, 0x14), w.Op(0xfd, 0xf2, 0x01)), keptVector)}),
		c("quotients of vectors", tariff{bad: spin(w.LocalGet(vector), repeat(200, w.LocalGet(vector), w.Op(0xfd, 0xf3, 0x01)), keptVector)}),
		c("remainders", tariff{bad: spin(w.I64Const(-5), repeat(100, w.I64Const(-3), w.Op(0x81), w.I64Const(-7), w.Op(0x84)), kept)}),
		c("branches by a table that no processor foresees", tariff{bad: randomBranches()}),
	}
}

// missing is a function that does what the costly cases do, in all of the memory: for calls that have no events.
func missing(code ...[]byte) []w.Func {
	return []w.Func{{
		Locals: slices.Concat(slices.Repeat([]byte{w.I32}, int(scratch2)+1), []byte{w.I64, w.I64, w.V128}),
		Code:   w.Cat(w.I32Const(960), w.MemoryGrow(), w.Op(w.Drop), w.Cat(code...), w.Op(w.End)),
	}}
}

func storesAnywhere() []byte {
	return spin(repeat(100, randomAddress(), w.I32Const(1), w.Store32(0)))
}

func copiesOfAll() []byte {
	return spin(w.I32Const(1<<25), w.I32Const(1<<21), w.I32Const(1<<25), w.MemoryCopy())
}

// mostFuel is the most that anybody's plugin may have for an event.
const mostFuel = abi.FuelPerEvent

// spin repeats code without end.
func spin(body ...[]byte) []byte { return w.Loop(w.Void, w.Cat(body...), w.Br(0)) }

// vectorLoad is v128.load or one of its kin, from the address on the stack.
func vectorLoad(sub byte) []byte { return w.Op(0xfd, sub, 3, 0) }

// tiny leaves the smallest normal number of 64 bits on the stack: half of it is not.
func tiny() []byte { return w.Op(0x44, 0, 0, 0, 0, 0, 0, 0x10, 0) }

// randomAddress leaves the address of a line anywhere in the memory on the stack.
func randomAddress() []byte {
	return w.Cat(w.LocalGet(scratch), w.I32Const(1_103_515_245), w.Op(w.I32Mul), w.I32Const(12_345), w.Op(w.I32Add), w.LocalTee(scratch),
		w.I32Const(6), w.Op(0x76), w.I32Const(1<<26-1-8_191), w.Op(0x71)) // shr_u, and: below the last page
}

// The pieces of a chain are two pages apart: to write them all takes a quarter of the fuel, each needs an entry of its
// own in the tables of pages, and so few places of a cache hold addresses that far apart that none is met again.
const (
	chainPieces = 1 << 13
	chainSize   = 1 << 13
)

// chain writes a chain of addresses through all of the memory by a generator of full period. The address stands at
// an offset of the piece.
func chain(offset uint32) []byte {
	next := w.Cat(w.LocalGet(scratch), w.I32Const(0x5851f42d), w.Op(w.I32Mul), w.I32Const(0x12345677), w.Op(w.I32Add),
		w.I32Const(chainPieces-1), w.Op(0x71), w.I32Const(chainSize), w.Op(w.I32Mul)) // and
	at := w.Cat(w.LocalGet(scratch), w.I32Const(chainSize), w.Op(w.I32Mul))
	return w.Loop(w.Void, at, next, w.Store32(offset),
		w.LocalGet(scratch), w.I32Const(1), w.Op(w.I32Add), w.LocalTee(scratch), w.I32Const(chainPieces), w.Op(w.I32LtU), w.BrIf(0))
}

// chase walks along the chain by the code given, which turns one address into the next: each needs the one before.
func chase(code ...[]byte) []byte {
	return w.Loop(w.Void, w.LocalGet(scratch2), repeat(200, w.Cat(code...)), w.LocalSet(scratch2), w.Br(0))
}

// Functions whose code no cache holds together: so many, each of a few lines of machine code.
const coldMany = 60_000

// coldFunctions are functions of which the first ones call the others in an order that has nothing to do with where
// they stand, a thousand each.
func coldFunctions(call func(uint32) []byte) []w.Func {
	const each = 1_000
	callers := coldMany / each
	leaf := w.Func{Code: w.Op(w.End)}
	out := make([]w.Func, 0, coldMany+callers+1)
	first := funcFirst + 1 + uint32(callers) // of the leaves
	all := w.Func{}
	n := uint32(0)
	for c := range callers {
		all.Code = append(all.Code, w.Call(funcFirst+1+uint32(c))...)
		f := w.Func{}
		for range each {
			n = (n*48_271 + 11) % coldMany
			f.Code = append(f.Code, call(first+n)...)
		}
		f.Code = append(f.Code, w.End)
		out = append(out, f)
	}
	all.Code = append(all.Code, w.End)
	out = append([]w.Func{all}, out...)
	for range coldMany {
		out = append(out, leaf)
	}
	return out
}

// coldTable calls functions through a table at random.
func coldTable() tariff {
	t := tariff{}
	for n := range uint32(1 << 15) {
		t.funcs = append(t.funcs, w.Func{Code: w.Op(w.End)})
		t.table = append(t.table, funcFirst+n)
	}
	t.bad = spin(repeat(50, nextRandom(), w.I32Const(1<<15-1), w.Op(0x71), w.Op(0x11, typeVoid, 0)))
	return t
}

// randomBranches jumps to places of a function that nobody foresees.
func randomBranches() []byte {
	const places = 62
	table := w.Cat(w.Op(0x0e), w.U32(places))
	for n := range uint32(places + 1) {
		table = append(table, w.U32(n)...)
	}
	code := w.Cat(repeat(places+1, w.Op(2, w.Void)), nextRandom(), w.I32Const(63), w.Op(0x71), table)
	for n := range places + 1 {
		code = w.Cat(code, w.Op(w.End), w.I32Const(int32(n)), w.LocalGet(scratch2), w.Op(w.I32Add), w.LocalSet(scratch2), w.Br(uint32(places-n)))
	}
	return w.Loop(w.Void, code)
}
