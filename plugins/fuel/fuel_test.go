package fuel_test

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins/fuel"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

var (
	options = fuel.Options{MemoryPagesMax: 16, BeginModule: "tollway_v1", BeginName: "begin", BeginManyName: "begin_many"}
	none    = w.Sig{}
	unary   = w.Sig{Params: []byte{w.I32}, Results: []byte{w.I32}}
	sink    = w.Sig{Params: []byte{w.I32}}
)

// oneFunc is a module of one function of type (i32) -> (i32).
func oneFunc(code ...[]byte) *w.Module {
	return &w.Module{
		MemoryMin: 1,
		Funcs:     []w.Func{{Sig: unary, Code: w.Cat(w.Cat(code...), w.Op(w.End))}},
		Exports:   []w.Export{{Name: "f"}},
	}
}

func rewrite(t *testing.T, wasm []byte) *fuel.Result {
	t.Helper()
	m, err := fuel.Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	res, err := m.Rewrite(options)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRewriteIsDeterministic(t *testing.T) {
	m := oneFunc(w.LocalGet(0), w.Loop(w.Void, w.LocalGet(0), w.BrIf(0)))
	m.Globals = []w.Global{{Type: w.I32, Mutable: true, Init: w.Cat(w.I32Const(1), w.Op(w.End))}}
	wasm := m.Bytes()
	before := bytes.Clone(wasm)
	first, second := rewrite(t, wasm), rewrite(t, wasm)
	if !bytes.Equal(first.Wasm, second.Wasm) {
		t.Error("two rewritings of one module differ")
	}
	if !bytes.Equal(before, wasm) {
		t.Error("the module given was changed")
	}
	if want := []string{"__g0", "__pages"}; !slices.Equal(first.State, want) {
		t.Errorf("state globals are %q, want %q", first.State, want)
	}
}

func TestRewriteReplacesBegin(t *testing.T) {
	m := &w.Module{
		Imports: []w.Import{
			{Module: "env", Name: "abort", Sig: none},
			{Module: "tollway_v1", Name: "begin", Sig: sink},
			{Module: "wasi_snapshot_preview1", Name: "sched_yield", Sig: none},
		},
		Funcs:     []w.Func{{Sig: none, Code: w.Cat(w.I32Const(0), w.Call(1), w.Call(2), w.Op(w.End))}},
		Table:     []uint32{0, 1, 2, 3},
		Exports:   []w.Export{{Name: "f", Index: 3}, {Name: "begin", Index: 1}},
		MemoryMin: 2,
	}
	res := rewrite(t, m.Bytes())
	if !res.HasBegin {
		t.Error("begin was not seen")
	}
	out, err := fuel.Parse(res.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range out.Imports() {
		names = append(names, i.Module+"."+i.Name)
	}
	if want := []string{"env.abort", "wasi_snapshot_preview1.sched_yield"}; !slices.Equal(names, want) {
		t.Errorf("imports are %q, want %q", names, want)
	}
	if e, _ := out.Export("begin"); e.Type.String() != "(i32) -> ()" {
		t.Errorf("begin is %s now", e.Type)
	}
	if lo, hi := out.MemoryPages(); lo != 16 || hi != 16 {
		t.Errorf("memory of %d to %d pages, want 16", lo, hi)
	}
}

func TestRewriteDropsCustomSections(t *testing.T) {
	m := oneFunc(w.LocalGet(0))
	m.Custom = map[string][]byte{"name": {1, 2, 3}}
	wasm := m.Bytes()
	parsed, err := fuel.Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	if c := parsed.CustomSections(); len(c) != 1 || c[0].Name != "name" || !bytes.Equal(c[0].Data, []byte{1, 2, 3}) {
		t.Errorf("custom sections %v", c)
	}
	out, err := fuel.Parse(rewrite(t, wasm).Wasm)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(out.CustomSections()); n != 0 {
		t.Errorf("%d custom sections are left", n)
	}
}

// TestRefused holds every module that is refused, with the words that the error must contain.
func TestRefused(t *testing.T) {
	raw := func(b ...byte) []byte { return append([]byte("\x00asm\x01\x00\x00\x00"), b...) }
	code := func(c ...[]byte) []byte { return oneFunc(c...).Bytes() }
	exporting := func(name string) []byte {
		m := oneFunc(w.LocalGet(0))
		m.Exports[0].Name = name
		return m.Bytes()
	}
	section := func(id byte, content ...byte) []byte { return raw(w.Section(id, content)...) }
	vector := func(sub uint32) []byte { return append([]byte{0xfd}, w.U32(sub)...) }
	deep := w.Cat(bytes.Repeat([]byte{2, w.Void}, fuel.NestingMax), bytes.Repeat([]byte{w.End}, fuel.NestingMax))

	for _, c := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"empty", nil, "it is empty"},
		{"script", []byte("#!/bin/sh\necho hello"), `not a WebAssembly module (starts with "#!/bin/sh`},
		{"cut preamble", []byte("\x00asm\x01"), "ends in the middle"},
		{"component", []byte("\x00asm\x0d\x00\x01\x00"), "a WebAssembly component"},
		{"version", []byte("\x00asm\x02\x00\x00\x00"), "unknown version"},
		{"too large", append(raw(), make([]byte, fuel.ModuleBytesMax)...), "the limit is 16777216"},
		{"cut section", raw(1, 100), "ends in the middle"},
		{"section kind", section(77), "a section of unknown kind 77"},
		{"section twice", append(section(1, 0), w.Section(1, []byte{0})...), "repeated or out of order"},
		{"section order", append(section(3, 0), w.Section(1, []byte{0})...), "repeated or out of order"},
		{"section rest", section(1, 0, 0), "1 bytes too many"},
		{"long number", section(1, 0xff, 0xff, 0xff, 0xff, 0x7f), "longer than its type allows"},
		{"start", append(oneFunc(w.LocalGet(0)).Bytes()[:8], w.Section(8, []byte{0})...), "start section"},
		{"tags", section(13, 0), "exceptions are not supported"},
		{"types", section(1, w.U32(fuel.TypesMax+1)...), "20001 types, the limit is 20000"},
		{"struct type", section(1, 1, 0x5f, 0, 0), "not a function type"},
		{"value type", section(1, 1, 0x60, 1, 0x55, 0), "0x55 is not a value type"},
		{"memory64", section(5, 1, 4, 1), "64-bit memories"},
		{"shared memory", section(5, 1, 3, 1, 1), "threads"},
		{"two memories", section(5, 2, 0, 1, 0, 1), "several memories"},
		{"limits", section(5, 1, 1, 2, 1), "below its minimum"},
		{"memory start", section(5, 1, 0, 17), "needs 1088 KiB of memory to start, the limit is 1024 KiB"},
		{"table", section(4, w.Cat([]byte{1, 0x70, 0}, w.U32(fuel.TableElementsMax+1))...), "1000001 elements, the limit is 1000000"},
		{"typed table", section(4, 1, 0x63, 0, 1), "not a reference type"},
		{"mutable v128", section(6, 1, w.V128, 1), "mutable v128"},
		{"mutable reference", section(6, 1, 0x70, 1, 0xd0, 0x70, w.End), "mutable funcref"},
		{"long initializer", section(6, 1, w.I32, 0, 0x41, 1, 0x41, 1, w.I32Add, w.End), "more than one instruction"},
		{"initializer call", section(6, 1, w.I32, 0, 0x10, 0, w.End), "not a constant"},
		{"import memory", section(2, 1, 1, 'e', 1, 'm', 2, 0, 1), "imports the memory e.m"},
		{"import global", section(2, 1, 1, 'e', 1, 'g', 3, w.I32, 0), "imports the global e.g"},
		{"import table", section(2, 1, 1, 'e', 1, 't', 1, 0x70, 0, 1), "imports the table e.t"},
		{"import untyped", section(2, 1, 1, 'e', 1, 'f', 0, 9), "has no type"},
		{"name bytes", section(2, 1, 1, 0xff), "not valid UTF-8"},
		{"long name", section(2, w.Cat([]byte{1}, w.U32(fuel.NameBytesMax+1))...), "1001 bytes long, the limit is 1000"},
		{"begin type", (&w.Module{Imports: []w.Import{{Module: "tollway_v1", Name: "begin", Sig: unary}}}).Bytes(), "must be (i32) -> ()"},
		{"reserved fuel", exporting("__fuel"), `"__fuel", a name that the engine reserves`},
		{"reserved pool", exporting("__fuel_pool"), "reserves"},
		{"reserved state", exporting("__g12"), `"__g12"`},
		{"export missing", (&w.Module{Exports: []w.Export{{Name: "f", Index: 3}}}).Bytes(), "function 3, which is not there"},
		{"export added global", (&w.Module{Exports: []w.Export{{Name: "g", Kind: 3, Index: 0}}}).Bytes(), "global 0, which is not there"},
		{"missing code", section(3, 0)[:8:8], ""},
		{"tail call", code(w.Op(0x12, 0)), "return_call (tail calls)"},
		{"tail call indirect", code(w.Op(0x13, 0, 0)), "return_call_indirect (tail calls)"},
		{"throw", code(w.Op(0x08, 0)), "throw (exceptions)"},
		{"try_table", code(w.Op(0x1f)), "try_table (exceptions)"},
		{"atomics", code(w.Op(0xfe, 0)), "threads"},
		{"gc", code(w.Op(0xfb, 0)), "garbage collection"},
		{"call_ref", code(w.Op(0x14, 0)), "typed function references"},
		{"table.set", code(w.Op(0x26, 0)), "table.set"},
		{"table.grow", code(w.Op(0xfc, 15, 0)), "table.grow"},
		{"table.init", code(w.Op(0xfc, 12, 0, 0)), "table.init"},
		{"data.drop", code(w.Op(0xfc, 9, 0)), "data.drop"},
		{"elem.drop", code(w.Op(0xfc, 13, 0)), "elem.drop"},
		{"wide arithmetic", code(w.Op(0xfc, 19)), "wide arithmetic"},
		{"unknown prefix", code(w.Op(0xfc, 99)), "unknown opcode 0xfc 0x63"},
		{"unknown opcode", code(w.Op(0x27)), "unknown opcode 0x27"},
		{"relaxed simd", code(vector(0x100)), "relaxed SIMD"},
		{"local not there", code(w.LocalGet(1)), "local 1 is not there"},
		{"added local", code(w.LocalGet(0), w.LocalSet(2)), "local 2 is not there"},
		{"added global", code(w.GlobalGet(0)), "global 0 is not there"},
		{"added function", code(w.LocalGet(0), w.Call(1)), "function 1 is not there"},
		{"label past function", code(w.Br(1)), "branch target 1 is not there"},
		{"label past block", code(w.Block(w.Void, w.BrIf(2))), "branch target 2 is not there"},
		{"br_table label", code(w.Op(0x0e, 1, 0, 1)), "branch target 1 is not there"},
		{"block type", code(w.Op(2), w.U32(9)), "block type 9 is not there"},
		{"memory index", code(w.Op(0x3f, 1)), "several memories"},
		{"memory alignment", code(w.LocalGet(0), w.Op(0x28, 0x42, 0, 0)), "several memories"},
		{"no memory", (&w.Module{MemoryMin: -1, Funcs: []w.Func{{Sig: unary, Code: w.Cat(w.LocalGet(0), w.Load32(0), w.Op(w.End))}}}).Bytes(), "the module has none"},
		{"nesting", code(deep), "blocks nest deeper than 65536"},
		{"no end", code(w.Op(2, w.Void)), "ends in the middle"},
		{"behind end", code(w.Op(w.End)), "behind the end"},
		{"locals", (&w.Module{Funcs: []w.Func{{Sig: none, Locals: bytes.Repeat([]byte{w.I32}, fuel.LocalsMax+1), Code: w.Op(w.End)}}}).Bytes(), "the limit is 4096"},
		{"locals in one group", raw(w.Cat(w.Section(1, []byte{1, 0x60, 0, 0}), w.Section(3, []byte{1, 0}),
			w.Section(10, []byte{1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, w.I32, w.End}))...), "more than 4096 locals"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := fuel.Parse(c.wasm)
			if err == nil {
				_, err = m.Rewrite(options)
			}
			if c.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestErrorsNameTheFunction(t *testing.T) {
	m := &w.Module{
		Imports: []w.Import{{Module: "env", Name: "abort", Sig: none}},
		Funcs: []w.Func{
			{Sig: none, Code: w.Op(w.End)},
			{Sig: none, Code: w.Op(0x27, w.End)},
		},
	}
	parsed, err := fuel.Parse(m.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = parsed.Rewrite(options); err == nil || !strings.HasPrefix(err.Error(), "function 2 is not acceptable") {
		t.Errorf("error %v does not name function 2", err)
	}
}

func TestExports(t *testing.T) {
	m, err := fuel.Parse(oneFunc(w.LocalGet(0)).Bytes())
	if err != nil {
		t.Fatal(err)
	}
	e, ok := m.Export("f")
	if !ok || e.Type.String() != "(i32) -> (i32)" || e.Kind.String() != "function" {
		t.Errorf("export %+v, %v", e, ok)
	}
	if _, ok := m.Export("g"); ok {
		t.Error("an export that is not there was found")
	}
	if lo, hi := m.MemoryPages(); lo != 1 || hi != fuel.MemoryPagesMax {
		t.Errorf("memory of %d to %d pages", lo, hi)
	}
	if m.Size() != len(oneFunc(w.LocalGet(0)).Bytes()) {
		t.Errorf("size %d", m.Size())
	}
}

func TestCauseOf(t *testing.T) {
	for _, c := range []struct {
		fuel, depth int64
		trap        int32
		want        fuel.Cause
	}{
		{5, 5, 0, fuel.CauseGuest},
		{-1, 5, 0, fuel.CauseFuel},
		{5, -1, 0, fuel.CauseDepth},
		{5, 5, 1, fuel.CauseCursor},
		{5, 5, 2, fuel.CausePool},
	} {
		if got := fuel.CauseOf(c.fuel, c.depth, c.trap); got != c.want {
			t.Errorf("CauseOf(%d, %d, %d) = %s, want %s", c.fuel, c.depth, c.trap, got, c.want)
		}
	}
}

// FuzzRewrite holds that no bytes make the rewriter panic, that its output is a function of its
// input, and that the output can be read again but not rewritten again, since it exports the
// reserved names.
func FuzzRewrite(f *testing.F) {
	f.Add(oneFunc(w.LocalGet(0)).Bytes())
	f.Add(oneFunc(w.LocalGet(0), w.Loop(w.Void, w.LocalGet(0), w.BrIf(0)), w.MemoryGrow(), w.Call(0)).Bytes())
	f.Add(oneFunc(w.I32Const(0), w.I32Const(1), w.LocalGet(0), w.MemoryFill(), w.MemorySize(), w.Op(w.Return)).Bytes())
	f.Add((&w.Module{
		Imports: []w.Import{{Module: "tollway_v1", Name: "begin", Sig: sink}},
		Funcs:   []w.Func{{Sig: none, Code: w.Cat(w.I32Const(0), w.Call(0), w.Op(w.End))}},
		Table:   []uint32{0, 1},
		Globals: []w.Global{{Type: w.I64, Mutable: true, Init: w.Cat(w.I64Const(-7), w.Op(w.End))}},
		Data:    []w.Data{{Offset: 3, Bytes: []byte("abc")}},
		Custom:  map[string][]byte{"x": {1}},
	}).Bytes())
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := fuel.Parse(wasm)
		if err != nil {
			return
		}
		first, err := m.Rewrite(options)
		if err != nil {
			return
		}
		if second, err := m.Rewrite(options); err != nil || !bytes.Equal(first.Wasm, second.Wasm) {
			t.Fatalf("a second rewriting differs (%v)", err)
		}
		again, err := fuel.Parse(first.Wasm)
		if err != nil {
			t.Fatalf("the output cannot be read: %v", err)
		}
		if _, err := again.Rewrite(options); err == nil {
			t.Fatal("the output was rewritten again")
		}
	})
}

// TestNumbers reads numbers at the edges of their types through the only door there is: constants
// in a body survive a rewriting byte for byte.
func TestNumbers(t *testing.T) {
	for _, v := range []int64{0, 63, 64, -64, -65, 1 << 31, -1 << 31, 1<<62 + 1, -1 << 63, 1<<63 - 1} {
		body := w.Cat(w.I64Const(v), w.Op(w.Drop), w.LocalGet(0))
		if out := rewrite(t, oneFunc(body).Bytes()); !bytes.Contains(out.Wasm, body) {
			t.Errorf("%d did not survive", v)
		}
	}
	for _, bad := range [][]byte{
		{0x41, 0xff, 0xff, 0xff, 0xff, 0x4f}, // i32.const whose last byte does not repeat the sign
		{0x41, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00},
		binary.AppendUvarint([]byte{0x42}, 1<<63),
	} {
		m, err := fuel.Parse(oneFunc(bad, w.LocalGet(0)).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Rewrite(options); err == nil {
			t.Errorf("% x was accepted", bad)
		}
	}
}

// TestFloatFunctions tries every instruction that has to do with floating point,
// and their neighbours that have not.
func TestFloatFunctions(t *testing.T) {
	names := w.Cat([]byte{1, 7}, w.U32(1), w.U32(0), w.U32(4), []byte("main"))
	floats := func(code ...[]byte) []int {
		t.Helper()
		module := oneFunc(append(code, w.Op(0x00))...) // unreachable
		module.Custom = map[string][]byte{"name": names}
		m, err := fuel.Parse(module.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := m.FunctionNames()[0]; got != "main" {
			t.Fatalf("function 0 is called %q", got)
		}
		found, err := m.FloatFunctions()
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	address := []byte{2, 0}
	with := [][]byte{
		w.Cat(w.Op(0x2a), address), w.Cat(w.Op(0x2b), address), w.Cat(w.Op(0x38), address), w.Cat(w.Op(0x39), address),
		w.Cat(w.Op(0x43), make([]byte, 4)), w.Cat(w.Op(0x44), make([]byte, 8)),
		w.Op(0x5b), w.Op(0x66), w.Op(0x8b), w.Op(0xa6), w.Op(0xa8), w.Op(0xab), w.Op(0xae), w.Op(0xbf), w.Op(0xfc, 0), w.Op(0xfc, 7),
	}
	for _, sub := range []uint32{19, 20, 65, 76, 94, 95, 103, 106, 116, 117, 122, 148, 224, 255} {
		with = append(with, w.Cat(w.Op(0xfd), w.U32(sub)))
	}
	for _, code := range with {
		if got := floats(code); !slices.Equal(got, []int{0}) {
			t.Errorf("% x: functions %v", code, got)
		}
	}
	without := [][]byte{
		w.Cat(w.Op(0x29), address), w.Cat(w.Op(0x2c), address), w.Cat(w.Op(0x37), address), w.Cat(w.Op(0x3a), address), w.I64Const(1),
		w.Op(0x5a), w.Op(0x67), w.Op(0x8a), w.Op(0xa7), w.Op(0xac), w.Op(0xad), w.Op(0xc0), w.MemoryCopy(),
	}
	for _, sub := range []uint32{18, 55, 64, 77, 96, 102, 107, 115, 118, 121, 123, 147, 149, 223} {
		without = append(without, w.Cat(w.Op(0xfd), w.U32(sub)))
	}
	for _, code := range without {
		if got := floats(code); len(got) != 0 {
			t.Errorf("% x: functions %v", code, got)
		}
	}
}
