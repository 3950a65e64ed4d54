package hostile

import (
	"bytes"
	"slices"
	"strings"

	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

const (
	form     = "form"
	contract = "contract"
	size     = "size"
	about    = "manifest"
)

func preamble(sections ...[]byte) []byte {
	return w.Cat([]byte("\x00asm\x01\x00\x00\x00"), w.Cat(sections...))
}

// formCases are bytes that are no module, or none that can be read.
func formCases() []Case {
	body := func(code ...[]byte) func(*w.Module) {
		return func(m *w.Module) {
			m.Funcs = append(m.Funcs, w.Func{Sig: w.Sig{}, Locals: []byte{w.I32}, Code: w.Cat(w.Cat(code...), w.Op(w.End))})
		}
	}
	code := func(name, text string, code ...[]byte) Case { return changed(form, name, Refused, text, body(code...)) }
	return []Case{
		raw(form, "nothing", "it is empty", nil),
		raw(form, "a script", "not a WebAssembly module", []byte("#!/bin/sh\nrm -rf /\n")),
		raw(form, "an ELF binary", "not a WebAssembly module", []byte("\x7fELF\x02\x01\x01\x00")),
		raw(form, "a component", "a WebAssembly component", []byte("\x00asm\x0d\x00\x01\x00")),
		raw(form, "a version of the future", "unknown version", []byte("\x00asm\x02\x00\x00\x00")),
		patched(form, "cut in the middle", "ends in the middle", func(b []byte) []byte { return b[:len(b)/2] }),
		patched(form, "cut before the last byte", "ends in the middle", func(b []byte) []byte { return b[:len(b)-1] }),
		raw(form, "a section longer than the file", "ends in the middle", preamble([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})),
		raw(form, "a number of six bytes", "longer than its type allows", preamble([]byte{1, 0x80, 0x80, 0x80, 0x80, 0x80, 0})),
		raw(form, "a number beyond 32 bits", "longer than its type allows", preamble([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x7f})),
		raw(form, "four billion types", "4294967295 types, the limit", preamble(w.Section(1, []byte{0xff, 0xff, 0xff, 0xff, 0x0f}))),
		raw(form, "an unknown section", "unknown kind 99", preamble(w.Section(99, nil))),
		raw(form, "a section twice", "repeated or out of order", preamble(w.Section(1, []byte{0}), w.Section(1, []byte{0}))),
		raw(form, "sections out of order", "repeated or out of order", preamble(w.Section(3, []byte{0}), w.Section(1, []byte{0}))),
		patched(form, "functions without code", "has code for 0", func(b []byte) []byte { return replaced(b, 10, w.Section(10, []byte{0})) }),
		raw(form, "a custom section without a name", "ends in the middle", preamble(w.Section(0, nil))),
		raw(form, "a custom section with a false name", "not valid UTF-8", preamble(w.Section(0, []byte{2, 0xff, 0xfe}))),
		code("types that do not fit", "not valid WebAssembly", w.I64Const(1), w.LocalSet(0)),
		code("an empty operand stack", "not valid WebAssembly", w.Op(w.Drop)),
		code("code without its end", "ends in the middle", w.Op(2, w.Void)),
		code("code behind its end", "behind the end", w.Op(w.End, w.Nop)),
		code("an else without its if", "an else stands without its if", w.Op(w.Else)),
		code("a branch out of the function", "branch target 1 is not there", w.Br(1)),
		code("a function that is not there", "function 7 is not there", w.Call(7)),
		code("a local that is not there", "local 1 is not there", w.LocalGet(1), w.Op(w.Drop)),
		code("the engine's fuel as a global", "global 0 is not there", w.I64Const(1<<40), w.GlobalSet(0)),
		code("atomics", "threads", w.Op(0xfe, 0x03, 0)),
		code("exceptions", "exceptions", w.Op(0x06, w.Void, w.End)),
		code("tail calls", "tail calls", w.Op(0x12, 5)),
		code("garbage collection", "garbage collection", w.Op(0xfb, 0, 0)),
		code("relaxed SIMD", "relaxed SIMD", w.Op(0xfd, 0x80, 2)),
		code("typed references", "typed function references", w.Op(0x14, 0)),
		code("wide arithmetic", "wide arithmetic", w.Op(0xfc, 19)),
		code("an unknown instruction", "unknown opcode 0x27", w.Op(0x27)),
		code("another memory", "several memories", w.Op(0x3f, 1), w.Op(w.Drop)),
		code("table.set", "table.set", w.I32Const(0), w.Op(0xd0, 0x70), w.Op(0x26, 0)),
		code("table.grow", "table.grow", w.Op(0xd0, 0x70), w.I32Const(1<<30), w.Op(0xfc, 15, 0), w.Op(w.Drop)),
		code("table.fill", "table.fill", w.I32Const(0), w.Op(0xd0, 0x70), w.I32Const(9), w.Op(0xfc, 17, 0)),
		code("table.copy", "table.copy", w.I32Const(0), w.I32Const(0), w.I32Const(9), w.Op(0xfc, 14, 0, 0)),
		code("elem.drop", "elem.drop", w.Op(0xfc, 13, 0)),
		code("data.drop", "data.drop", w.Op(0xfc, 9, 0)),
	}
}

// contractCases are modules that are no tariffs, or lie about it.
func contractCases() []Case {
	imports := func(name, text string, list ...w.Import) Case {
		return changed(contract, name, Refused, text, func(m *w.Module) { m.Imports = append(m.Imports, list...) })
	}
	memory := func(name, text string, content ...byte) Case {
		return patched(contract, name, text, func(b []byte) []byte { return replaced(b, 5, w.Section(5, content)) })
	}
	imported := func(name, text string, kind ...byte) Case {
		content := w.Cat([]byte{2, 10}, []byte("tollway_v1"), []byte{5}, []byte("begin"), []byte{0, 0, 3, 'e', 'n', 'v', 1, 'x'}, kind)
		return patched(contract, name, text, func(b []byte) []byte { return replaced(b, 2, w.Section(2, content)) })
	}
	export := func(name, text string, e ...w.Export) Case {
		return changed(contract, name, Refused, text, func(m *w.Module) { m.Exports = append(m.Exports, e...) })
	}
	const wasi = "wasi_snapshot_preview1"
	return []Case{
		imports("sockets", "may not use: "+wasi+".sock_accept, "+wasi+".sock_send", w.Import{Module: wasi, Name: "sock_accept"}, w.Import{Module: wasi, Name: "sock_send"}),
		imports("files", wasi+".path_unlink_file", w.Import{Module: wasi, Name: "path_unlink_file"}),
		imports("processes", wasi+".proc_raise", w.Import{Module: wasi, Name: "proc_raise"}),
		imports("threads from the host", "wasi.thread-spawn", w.Import{Module: "wasi", Name: "thread-spawn"}),
		imports("the environment by another door", "env.getenv", w.Import{Module: "env", Name: "getenv"}),
		imports("a clock by another door", "tollway_v1.now", w.Import{Module: "tollway_v1", Name: "now"}),
		imports("an unknown module", "evil.code", w.Import{Module: "evil", Name: "code"}),
		imports("a clock of another type", "clock_time_get is imported as () -> ()", w.Import{Module: wasi, Name: "clock_time_get"}),
		imported("a memory of the host", "imports what a tariff may not use: env.x", 2, 0, 1),
		imported("a global of the host", "env.x", 3, w.I32, 1),
		imported("a table of the host", "env.x", 1, 0x70, 0, 1),
		changed(contract, "begin of another type", Refused, "must be (i32) -> ()", func(m *w.Module) { m.Imports[0].Sig = w.Sig{} }),
		changed(contract, "no begin", Refused, "does not import tollway_v1.begin", func(m *w.Module) {
			m.Imports[0] = w.Import{Module: wasi, Name: "proc_exit", Sig: w.Sig{Params: []byte{w.I32}}}
		}),
		changed(contract, "no exported memory", Refused, "does not export its memory", func(m *w.Module) { m.Exports = m.Exports[1:] }),
		changed(contract, "no price", Refused, "does not export tariff_price", func(m *w.Module) { m.Exports = slices.Delete(m.Exports, 4, 5) }),
		changed(contract, "a price of another type", Refused, "exports tariff_price as () -> (i32)", func(m *w.Module) { m.Exports[4].Index = w.FuncMarker }),
		changed(contract, "a price that is a memory", Refused, "exports tariff_price as a memory", func(m *w.Module) { m.Exports[4].Kind, m.Exports[4].Index = 2, 0 }),
		changed(contract, "another major", Refused, "built for ABI 7", func(m *w.Module) { m.Exports[1].Name = "tariff_abi_v7" }),
		changed(contract, "a marker of the future", Refused, "built for ABI 1.9", func(m *w.Module) { m.Funcs[0].Code = w.Cat(w.I32Const(9), w.Op(w.End)) }),
		changed(contract, "a marker below zero", Refused, "is not a version", func(m *w.Module) { m.Funcs[0].Code = w.Cat(w.I32Const(-5), w.Op(w.End)) }),
		export("an export twice", "not valid WebAssembly", w.Export{Name: "memory", Kind: 2}),
		export("the engine's own name", "reserves for itself", w.Export{Name: "__fuel", Index: w.FuncNext}),
		export("a name of the engine's state", "reserves for itself", w.Export{Name: "__g0", Index: w.FuncNext}),
		export("an export of nothing", "which is not there", w.Export{Name: "x", Index: 99}),
		patched(contract, "a start section", "start section", func(b []byte) []byte { return before(b, 10, w.Section(8, []byte{5})) }),
		memory("several memories", "several memories", 2, 0, 64, 0, 64),
		memory("a shared memory", "threads", 1, 3, 64, 64),
		memory("a 64-bit memory", "64-bit memories", 1, 4, 64),
		memory("a memory of 4 GiB", "the limit is 65536 KiB", 1, 1, 0x80, 0x80, 4, 0x80, 0x80, 4),
		changed(contract, "a mutable reference", Refused, "mutable externref", func(m *w.Module) {
			m.Globals = []w.Global{{Type: 0x6f, Mutable: true, Init: w.Op(0xd0, 0x6f, w.End)}}
		}),
		changed(contract, "data outside of the memory", Refused, "cannot be instantiated", func(m *w.Module) {
			m.Data = append(m.Data, w.Data{Offset: -4, Bytes: []byte("evil")})
		}),
	}
}

// sizeCases are modules that are large, or that become large for whoever reads or compiles them.
func sizeCases() []Case {
	extra := func(name, text string, locals int, code ...[]byte) Case {
		return changed(size, name, Refused, text, func(m *w.Module) {
			m.Funcs = append(m.Funcs, w.Func{Sig: w.Sig{}, Locals: slices.Repeat([]byte{w.I32}, locals), Code: w.Cat(w.Cat(code...), w.Op(w.End))})
		})
	}
	nest := func(n int, op byte, inner ...[]byte) []byte {
		return w.Cat(repeat(n, w.Op(op, w.Void)), w.Cat(inner...), repeat(n, w.Op(w.End)))
	}
	var touchAll []byte
	for k := range uint32(2_000) {
		touchAll = append(touchAll, w.Cat(w.LocalGet(k), w.Op(w.Drop))...)
	}
	table := func(n uint32) []byte { return w.Cat([]byte{1, 0x70, 0}, w.U32(n)) }
	elements := func(n int) []byte {
		return w.Cat(w.U32(1), w.Op(0x05, 0x70), w.U32(uint32(n)), repeat(n, w.Op(0xd0, 0x70, w.End)))
	}
	return []Case{
		raw(size, "17 MiB", "the limit is 16777216", preamble(w.Section(0, make([]byte, 17<<20)))),
		extra("a giant function", "the limit is 524288", 0, repeat(600_000, w.Op(w.Nop))),
		extra("a hundred thousand locals", "the limit is 4096", 100_000),
		changed(size, "four billion locals in ten bytes", Refused, "more than 4096 locals", func(m *w.Module) {
			m.Raw = nil
			m.Funcs[4].Code = w.Op(w.End)
			m.Funcs[4].Locals = nil
			m.Funcs[4].RawLocals = w.Cat([]byte{1}, w.U32(1<<32-1), []byte{w.I32})
		}),
		extra("blocks a hundred thousand deep", "blocks nest deeper than 65536", 0, nest(100_000, 2)),
		extra("loops in loops around locals", "too large to compile", 2_000, nest(2_000, 3, touchAll)),
		extra("branches around locals", "too large to compile", 2_000, repeat(10_000, w.Block(w.Void, w.LocalGet(0), w.BrIf(0))), touchAll),
		extra("a carpet of loops", "too large to compile", 0, repeat(50_000, w.Loop(w.Void))),
		extra("a branch table of 250,000 targets", "too large to compile", 1,
			w.Block(w.Void, w.LocalGet(0), w.Op(0x0e), w.U32(250_000), repeat(250_001, w.U32(0)))),
		extra("a quarter of a million calls", "too large to compile", 0, repeat(250_000, w.Call(w.FuncNext))),
		changed(size, "many functions of loops", Refused, "too large to compile", func(m *w.Module) {
			f := w.Func{Sig: w.Sig{}, Code: w.Cat(repeat(1_000, w.Loop(w.Void)), w.Op(w.End))}
			m.Funcs = append(m.Funcs, slices.Repeat([]w.Func{f}, 1_000)...)
		}),
		changed(size, "200,000 functions", Refused, "functions, the limit is 99999", func(m *w.Module) {
			m.Funcs = append(m.Funcs, slices.Repeat([]w.Func{{Code: w.Op(w.End)}}, 200_000)...)
		}),
		changed(size, "two million empty sections", Refused, "more than 1000 of them", func(m *w.Module) {
			m.Raw = repeat(2_000_000, w.Section(0, []byte{0}))
		}),
		patched(size, "a table of a hundred million", "elements, the limit is 1000000", func(b []byte) []byte {
			return before(b, 5, w.Section(4, table(100_000_000)))
		}),
		patched(size, "a hundred tables", "100 tables, the limit is 16", func(b []byte) []byte {
			return before(b, 5, w.Section(4, w.Cat([]byte{100}, repeat(100, []byte{0x70, 0, 1}))))
		}),
		patched(size, "three million elements", "elements, the limit is 1000000", func(b []byte) []byte {
			return before(b, 10, w.Section(9, elements(3_000_000)))
		}),
		patched(size, "half a million data segments", "the limit is 100000", func(b []byte) []byte {
			return replaced(b, 11, w.Section(11, w.Cat(w.U32(500_000), repeat(500_000, []byte{1, 0}))))
		}),
		changed(size, "a function of a thousand parameters", Refused, "parameters, the limit is 1000", func(m *w.Module) {
			m.Funcs = append(m.Funcs, w.Func{Sig: w.Sig{Params: slices.Repeat([]byte{w.I64}, 1_001)}, Code: w.Op(w.End)})
		}),
		changed(size, "twenty thousand globals", Refused, "the limit is 10000", func(m *w.Module) {
			m.Globals = slices.Repeat([]w.Global{i32Global()}, 20_000)
		}),
		changed(size, "a name of a megabyte", Refused, "bytes long, the limit is 1000", func(m *w.Module) {
			m.Exports = append(m.Exports, w.Export{Name: strings.Repeat("x", 1<<20), Index: w.FuncNext})
		}),
	}
}

// manifestCases lie in the manifest.
func manifestCases() []Case {
	lie := func(name, text, json string) Case {
		return Case{Name: name, Group: about, Want: Refused, Text: text, wasm: func() ([]byte, error) {
			return withManifest(tariff{}.module().Bytes(), json), nil
		}}
	}
	whole := func(from, to string) string {
		const honest = `{"abi":"1.0","name":"hostile","tariffs":[{"name":"hostile","params_schema":{},"title":""}],"version":"1"}`
		return strings.Replace(honest, from, to, 1)
	}
	return []Case{
		{Name: "no manifest", Group: about, Want: Refused, Text: "has no manifest", wasm: func() ([]byte, error) { return tariff{}.module().Bytes(), nil }},
		patched(about, "two manifests", "two manifests", func(b []byte) []byte { return withManifest(b, whole("", "")) }),
		lie("a manifest that is not JSON", "cannot be read", "name: hostile"),
		lie("a manifest of 2 MiB", "1048576", whole(`"title":""`, `"title":"`+strings.Repeat("x", 2<<20)+`"`)),
		lie("a manifest nested 400,000 deep", "cannot be read", strings.Repeat("[", 400_000)),
		lie("objects nested 100,000 deep", "cannot be read", strings.Repeat(`{"a":`, 100_000)),
		lie("a member twice", `"name" is there twice`, whole(`"name"`, `"name":"honest","name"`)),
		lie("an unknown member", "unknown field", whole(`"name"`, `"trusted":true,"name"`)),
		lie("fuel without end", "fuel_per_event: must be 0 to", whole(`"name"`, `"fuel_per_event":4611686018427387904,"name"`)),
		lie("fuel below zero", "fuel_per_event: must be 0 to", whole(`"name"`, `"fuel_per_event":-1,"name"`)),
		lie("fuel without end for the start", "fuel_start: must be 0 to", whole(`"name"`, `"fuel_start":100000001,"name"`)),
		lie("fuel as a fraction", "cannot be read", whole(`"name"`, `"fuel_per_event":1e30,"name"`)),
		lie("memory without end", "memory_max_bytes", whole(`"name"`, `"memory_max_bytes":1099511627776,"name"`)),
		lie("a name that is a path", "is not of the form", whole(`"name":"hostile","tariffs"`, `"name":"../../etc/passwd","tariffs"`)),
		lie("a name that ends a line", "is not of the form", whole(`"name":"hostile","tariffs"`, `"name":"a\nb","tariffs"`)),
		lie("a tariff twice", "tariffs[1].name", whole(`"tariffs":[`, `"tariffs":[{"name":"hostile","params_schema":{},"title":""},`)),
		lie("no tariffs", "tariffs: must be 1 to", whole(`{"name":"hostile","params_schema":{},"title":""}`, ``)),
		lie("a thousand tariffs", "tariffs: must be 1 to", whole(`"tariffs":[`, `"tariffs":[`+strings.Repeat(`{"name":"x","params_schema":{},"title":""},`, 1_000))),
		lie("another version of the contract", "built for ABI 9.0", whole(`"1.0"`, `"9.0"`)),
		lie("a schema that is a list", "params_schema", whole(`"params_schema":{}`, `"params_schema":[]`)),
		patched(about, "bytes behind the manifest", "cannot be read", func(b []byte) []byte {
			b = bytes.Clone(b)
			b[len(b)-1] = ']'
			return b
		}),
	}
}
