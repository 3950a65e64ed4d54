package hostile

import (
	"strings"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

const (
	starting    = "start"
	configuring = "configure"
	running     = "run"
)

const (
	outOfFuel = "it ran out of fuel"
	tooDeep   = "its calls are nested deeper"
)

// Pieces of hostile code. What they call comes first among the functions of the tariff.
func forever() []byte { return w.Loop(w.Void, w.Br(0)) }

// tree calls itself twice, 60 levels deep: 2^60 calls without a loop.
func tree() w.Func {
	twice := w.Cat(w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.Call(funcFirst))
	return w.Func{Sig: w.Sig{Params: []byte{w.I32}}, Code: w.Cat(w.LocalGet(0), w.If(w.Void, twice, twice), w.Op(w.End))}
}

// recursion are functions of which each calls the next, and the last the first.
func recursion(n int) []w.Func {
	list := make([]w.Func, n)
	for k := range list {
		list[k].Code = w.Cat(w.Call(funcFirst+uint32((k+1)%n)), w.Op(w.End))
	}
	return list
}

// growAll asks for all the memory there is, page by page, and then for one byte more.
func growAll() []byte { return growBy(1) }

// growBy does so by several pages at once.
func growBy(pages int32) []byte {
	return w.Cat(w.Loop(w.Void, w.I32Const(pages), w.MemoryGrow(), w.I32Const(-1), w.Op(0x47), w.BrIf(0)), trap()) // ne
}

// startCases misbehave in _initialize, which is tried when a module is loaded.
func startCases() []Case {
	start := func(name, text string, t tariff) Case {
		return Case{Name: "start: " + name, Group: starting, Want: Refused, Text: text, wasm: t.packed}
	}
	return []Case{
		start("a loop", outOfFuel, tariff{start: forever()}),
		start("a tree of calls", outOfFuel, tariff{start: w.Cat(w.I32Const(60), w.Call(funcFirst)), funcs: []w.Func{tree()}}),
		start("loads that miss every cache", outOfFuel, tariff{start: w.Call(funcFirst), funcs: missing(chain(0), chase(w.Load32(0)))}),
		start("loads across two pages", outOfFuel, tariff{start: w.Call(funcFirst), funcs: missing(chain(4_094), chase(w.Load32(4_094)))}),
		start("stores that miss every cache", outOfFuel, tariff{start: w.Call(funcFirst), funcs: missing(storesAnywhere())}),
		start("copies of all memory", outOfFuel, tariff{start: w.Call(funcFirst), funcs: missing(copiesOfAll())}),
		start("recursion", tooDeep, tariff{start: w.Call(funcFirst), funcs: recursion(1)}),
		start("a trap", "unreachable", tariff{start: trap()}),
		start("all the memory", "more than its 65536 KiB of memory", tariff{start: growAll()}),
		start("an announcement", "begin out of order", tariff{start: w.Cat(w.I32Const(0), w.Call(w.FuncBegin))}),
		changed(starting, "the marker loops", Refused, outOfFuel, func(m *w.Module) { m.Funcs[0].Code = w.Cat(forever(), w.I32Const(0), w.Op(w.End)) }),
		{
			Name: "start: exit", Group: starting, Want: Refused, Text: "ended itself with exit code 3",
			wasm: func() ([]byte, error) {
				return withImport("proc_exit", []byte{w.I32}, nil, startWith, w.I32Const(3), w.Call(1))
			},
		},
	}
}

// configureCases misbehave when they are configured.
func configureCases() []Case {
	c := func(name, text string, t tariff) Case {
		return Case{Name: "configure: " + name, Group: configuring, Want: Unusable, Text: text, wasm: t.packed}
	}
	answer := func(name, text, reply string) Case { return c(name, text, tariff{reply: reply}) }
	arena := func(name string, pointer int32) Case {
		k := changed(configuring, name, Unusable, "gave no usable arena", func(m *w.Module) {
			m.Funcs[w.FuncArena-1].Code = w.Cat(w.I32Const(pointer), w.Op(w.End))
		})
		return k
	}
	code := func(name, text string, price ...[]byte) Case {
		return changed(configuring, name, Unusable, text, func(m *w.Module) { m.Funcs[w.FuncConfigure-1].Code = w.Cat(w.Cat(price...), w.Op(w.End)) })
	}
	lines := func(line string, n int) string {
		return `{"lines":[` + strings.TrimSuffix(strings.Repeat(line+",", n), ",") + `],"state_size":8}`
	}
	return []Case{
		c("a loop", outOfFuel, tariff{config: forever()}),
		c("a tree of calls", outOfFuel, tariff{config: w.Cat(w.I32Const(60), w.Call(funcFirst)), funcs: []w.Func{tree()}}),
		c("loads that miss every cache", outOfFuel, tariff{config: w.Call(funcFirst), funcs: missing(chain(0), chase(w.Load32(0)))}),
		c("loads across two pages", outOfFuel, tariff{config: w.Call(funcFirst), funcs: missing(chain(4_094), chase(w.Load32(4_094)))}),
		c("stores that miss every cache", outOfFuel, tariff{config: w.Call(funcFirst), funcs: missing(storesAnywhere())}),
		c("copies of all memory", outOfFuel, tariff{config: w.Call(funcFirst), funcs: missing(copiesOfAll())}),
		c("a trap", "unreachable", tariff{config: trap()}),
		c("recursion", tooDeep, tariff{config: w.Call(funcFirst), funcs: recursion(2)}),
		c("all the memory", "65536 KiB of memory", tariff{config: growBy(16)}),
		code("an unknown code", "unknown code 77", w.I32Const(77)),
		code("a fault of 4 GiB of text", "failed on a configuration", store32(w.ArenaAt+headerErrLen, -1), w.I32Const(1)),
		code("a reply of 4 GiB", "breaks the ABI", store32(w.ArenaAt+headerReplyLen, -1), w.I32Const(0)),
		code("no reply", "cannot be read", store32(w.ArenaAt+headerReplyLen, 0), w.I32Const(0)),
		answer("text instead of JSON", "cannot be read", "please"),
		answer("half of the JSON", "cannot be read", `{"lines":[`),
		answer("lists in lists", "cannot be read", strings.Repeat("[", 40_000)),
		answer("an unknown member", "unknown field", `{"lines":[],"state_size":0,"discount":100}`),
		answer("a line twice", "is named twice", lines(`{"id":"sum"}`, 2)),
		answer("two thousand lines", "lines", lines(`{"id":"x"}`, 2_000)),
		answer("a line that is no name", "not of the form", lines(`{"id":"=HYPERLINK(1)"}`, 1)),
		answer("a description of 10 KiB", "longer than 200 bytes", lines(`{"id":"x","description":"`+strings.Repeat("x", 10_000)+`"}`, 1)),
		answer("a state of 1 GiB", "state_size", `{"lines":[],"state_size":1073741824}`),
		answer("a state below zero", "state_size", `{"lines":[],"state_size":-8}`),
		answer("a state that shrinks", "state_max", `{"lines":[],"state_size":100,"state_max":8}`),
		answer("a state that grows to 1 GiB", "state_max", `{"lines":[],"state_size":8,"state_max":1073741824}`),
		answer("a carry of 1 GiB", "carry_size", `{"lines":[],"state_size":8,"carry_size":1073741824}`),
		answer("a carry below zero", "carry_size", `{"lines":[],"state_size":8,"carry_size":-1}`),
		answer("a hundred dimensions", "dimensions", `{"lines":[],"state_size":8,"dimensions":[`+strings.TrimSuffix(strings.Repeat(`"a",`, 100), ",")+`]}`),
		answer("a dimension twice", "there twice", `{"lines":[],"state_size":8,"dimensions":["a","a"]}`),
		arena("no arena", 0),
		arena("an arena off by one", w.ArenaAt+1),
		arena("an arena behind the memory", 1<<30),
		arena("an arena across the end of the memory", 64<<16-4_096),
		arena("an arena below zero", -65_536),
	}
}

// store32 stores a number at an address.
func store32(address, value int32) []byte {
	return w.Cat(w.I32Const(address), w.I32Const(value), w.Store32(0))
}

// trapCases never end, or end badly, at one event.
func trapCases() []Case {
	c := func(name, text string, t tariff) Case { return rejects(running, name, "tariff_trap", text, t) }
	bad := func(name, text string, code ...[]byte) Case { return c(name, text, tariff{bad: w.Cat(code...)}) }
	drop := w.Op(w.Drop)
	big := func(t tariff) tariff {
		t.fuel = 50_000_000 // the most that a manifest may ask for
		return t
	}
	void := w.Func{Code: w.Op(w.End)}
	indirect := w.Cat(w.I32Const(0), w.Op(0x11, typeVoid, 0))
	return []Case{
		bad("a loop", outOfFuel, forever()),
		c("a loop with all the fuel there is", outOfFuel, big(tariff{bad: forever()})),
		bad("loops in loops", outOfFuel, repeat(200, w.Op(3, w.Void)), w.Br(199), repeat(200, w.Op(w.End))),
		bad("a loop that branches by a table", outOfFuel, spin(w.LocalGet(arenaAt), w.Op(0x0e, 2, 0, 0, 0), w.Op(w.Nop))),
		c("a tree of calls without a loop", outOfFuel, big(tariff{bad: w.Cat(w.I32Const(60), w.Call(funcFirst)), funcs: []w.Func{tree()}})),
		c("recursion", tooDeep, tariff{bad: w.Call(funcFirst), funcs: recursion(1)}),
		c("recursion of three", tooDeep, tariff{bad: w.Call(funcFirst), funcs: recursion(3)}),
		c("recursion through a table", tooDeep, tariff{
			bad: indirect, table: []uint32{funcFirst}, funcs: []w.Func{{Code: w.Cat(indirect, w.Op(w.End))}},
		}),
		c("recursion with large frames", tooDeep, big(tariff{bad: w.Cat(w.I32Const(1), w.Call(funcFirst), drop), funcs: []w.Func{largeFrame()}})),
		bad("unreachable", "unreachable", trap()),
		bad("division by zero", "divide by zero", w.I32Const(1), w.I32Const(0), w.Op(w.I32DivU), drop),
		bad("division that overflows", "overflow", w.I64Const(-1<<63), w.I64Const(-1), w.Op(0x7f), drop),
		bad("a NaN as a number", "invalid conversion to integer", nan(), w.Op(0xb0), drop),
		bad("a load behind the memory", "out of bounds", w.I32Const(-4), w.Load32(0), drop),
		bad("a load with a large offset", "out of bounds", w.I32Const(-1), w.Load32(1<<32-1), drop),
		bad("a store behind the memory", "out of bounds", w.I32Const(-8), w.I64Const(1), w.Store64(0)),
		bad("a fill behind the memory", "out of bounds", w.I32Const(1<<26-100), w.I32Const(0), w.I32Const(200), w.MemoryFill()),
		c("memory page by page, then one more", "it needs more than its 65536 KiB", big(tariff{bad: growAll()})),
		bad("growth without end", outOfFuel, spin(w.I32Const(1), w.MemoryGrow(), drop)),
		bad("growth by four billion pages", "it needs more than its 65536 KiB", w.I32Const(-1), w.MemoryGrow(), w.I32Const(-1), w.Op(w.I32Eq), w.If(w.Void, trap())),
		bad("fills without end", outOfFuel, spin(w.I32Const(3<<20), w.I32Const(1), w.I32Const(1<<20), w.MemoryFill())),
		bad("copies without end", outOfFuel, spin(w.I32Const(3<<20), w.I32Const(1<<20), w.I32Const(1<<20), w.MemoryCopy())),
		c("copies that overlap without end", outOfFuel, big(tariff{bad: spin(w.I32Const(1<<16+1), w.I32Const(1<<16), w.I32Const(62<<16), w.MemoryCopy())})),
		bad("empty fills without end", outOfFuel, spin(repeat(100, w.I32Const(0), w.I32Const(0), w.I32Const(0), w.MemoryFill()))),
		c("a byte on every page", outOfFuel, tariff{bad: w.Cat(w.I32Const(960), w.MemoryGrow(), drop, touchPages())}),
		c("divisions", outOfFuel, big(tariff{bad: spin(w.I64Const(-5), repeat(100, w.I64Const(3), w.Op(0x80), w.I64Const(-7), w.Op(0x84)), w.LocalSet(wide))})),
		c("calls of an empty function", outOfFuel, big(tariff{bad: spin(repeat(100, w.Call(funcFirst))), funcs: []w.Func{void}})),
		c("calls through a table at random", outOfFuel, big(tariff{
			bad:   spin(repeat(50, nextRandom(), w.I32Const(3), w.Op(0x71), w.Op(0x11, typeVoid, 0))),
			funcs: []w.Func{void, void, void, void}, table: []uint32{funcFirst, funcFirst + 1, funcFirst + 2, funcFirst + 3},
		})),
		c("a call through an empty table", "it crashed (", tariff{bad: indirect, table: []uint32{}}),
		c("a call of another type", "indirect call type mismatch", tariff{bad: indirect, table: []uint32{w.FuncMarker}}),
		host("exit", "ended itself with exit code 3", "proc_exit", []byte{w.I32}, nil, w.I32Const(3), w.Call(1)),
		host("yields without end", outOfFuel, "sched_yield", nil, []byte{w.I32}, spin(w.Call(1), drop)),
		host("random numbers without end", outOfFuel, "random_get", []byte{w.I32, w.I32}, []byte{w.I32}, spin(w.I32Const(0), w.I32Const(60_000), w.Call(1), drop)),
		host("output without end", outOfFuel, "fd_write", []byte{w.I32, w.I32, w.I32, w.I32}, []byte{w.I32},
			spin(store32(0, w.ArenaAt), store32(4, 1<<20), w.I32Const(1), w.I32Const(0), w.I32Const(1), w.I32Const(8), w.Call(1), drop)),
		host("output in a thousand pieces, without end", outOfFuel, "fd_write", []byte{w.I32, w.I32, w.I32, w.I32}, []byte{w.I32},
			spin(w.I32Const(1), w.I32Const(w.ArenaAt), w.I32Const(1_024), w.I32Const(8), w.Call(1), drop)),
		host("sleep without end", outOfFuel, "poll_oneoff", []byte{w.I32, w.I32, w.I32, w.I32}, []byte{w.I32},
			spin(w.I32Const(0), w.I32Const(8_192), w.I32Const(64), w.I32Const(16_384), w.Call(1), drop)),
		{
			Name: "an assertion", Group: running, Want: Rejected, Reason: "tariff_trap", Text: "an assertion failed",
			wasm: func() ([]byte, error) {
				return withImportOf("env", "abort", []byte{w.I32, w.I32, w.I32, w.I32}, nil, badWith, w.I32Const(-1), w.I32Const(-1), w.I32Const(0), w.I32Const(0), w.Call(1))
			},
		},
		unfinished("a finish that loops", outOfFuel, tariff{finish: forever()}),
		unfinished("a finish that traps", "unreachable", tariff{finish: trap()}),
	}
}

func unfinished(name, text string, t tariff) Case {
	return Case{Name: name, Group: running, Want: Unfinished, Text: text, wasm: t.packed}
}

// typeVoid is the index of the type () -> () in a tariff: those of its import and its functions come first.
const typeVoid = 4

// nan leaves 0/0 on the stack.
func nan() []byte {
	zero := w.Op(0x44, 0, 0, 0, 0, 0, 0, 0, 0)
	return w.Cat(zero, zero, w.Op(0xa3))
}

// nextRandom leaves a number on the stack that no branch predictor foresees.
func nextRandom() []byte {
	return w.Cat(w.LocalGet(scratch), w.I32Const(1_103_515_245), w.Op(w.I32Mul), w.I32Const(12_345), w.Op(w.I32Add), w.LocalTee(scratch),
		w.I32Const(16), w.Op(0x76))
}

// largeFrame calls itself with a thousand values alive.
func largeFrame() w.Func {
	return w.Func{Sig: w.Sig{Params: []byte{w.I32}, Results: []byte{w.I32}}, Code: w.Cat(
		repeat(1_000, w.LocalGet(0), w.I32Const(3), w.Op(w.I32Mul), w.LocalTee(0)),
		w.LocalGet(0), w.Call(funcFirst), repeat(1_000, w.Op(w.I32Add)), w.Op(w.End))}
}

// touchPages writes to one byte of every page of the system, again and again.
func touchPages() []byte {
	return w.Loop(w.Void,
		w.LocalGet(scratch), w.I32Const(4_096), w.Op(w.I32Add), w.I32Const(1<<26-4_096), w.Op(0x71), w.LocalTee(scratch),
		w.I32Const(1), w.Store32(0), w.Br(0))
}

// Where code with an import goes.
type place uint8

const (
	startWith place = iota
	badWith
)

// host is a case that calls a function of the host at its event; the function has the index 1.
func host(name, text, function string, params, results []byte, code ...[]byte) Case {
	return Case{Name: name, Group: running, Want: Rejected, Reason: "tariff_trap", Text: text, wasm: func() ([]byte, error) {
		return withImport(function, params, results, badWith, code...)
	}}
}

func withImport(function string, params, results []byte, where place, code ...[]byte) ([]byte, error) {
	return withImportOf("wasi_snapshot_preview1", function, params, results, where, code...)
}

func withImportOf(module, function string, params, results []byte, where place, code ...[]byte) ([]byte, error) {
	t := tariff{imports: []w.Import{{Module: module, Name: function, Sig: w.Sig{Params: params, Results: results}}}}
	if where == startWith {
		t.start = w.Cat(code...)
	} else {
		t.bad = w.Cat(code...)
	}
	return t.packed()
}
