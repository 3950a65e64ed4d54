package plugins_test

import (
	"fmt"
	"testing"

	"github.com/tollway/tollway/plugins/fuel"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// A generator of modules that are valid by construction, from bytes that a fuzzer mutates. Each has functions from an
// i32 to an i32, a memory, a table, and globals; every function may call those before it, so calls end, and loops
// are bounded by a global. Blocks are well typed because every statement leaves the stack as it found it, and every
// expression leaves one i32.
type generator struct {
	seed      []byte
	at        int
	functions int // that may be called: 0 to functions-1
	loops     []bool
	left      int // statements and expressions still to write
}

// pick takes a number below n from the seed; behind its end it is 0.
func (g *generator) pick(n int) int {
	if g.at >= len(g.seed) {
		return 0
	}
	g.at++
	return int(g.seed[g.at-1]) % n
}

// expression writes code that leaves an i32.
func (g *generator) expression() []byte {
	if g.left--; g.left < 0 {
		return w.I32Const(1)
	}
	switch g.pick(14) {
	case 0:
		return w.LocalGet(0)
	case 1:
		return w.LocalGet(1)
	case 2:
		return w.GlobalGet(1)
	case 3:
		return w.Cat(g.expression(), g.expression(), w.Op(w.I32Add+byte(g.pick(15)))) // add to rotr, divisions too
	case 4:
		return w.Cat(g.expression(), g.expression(), w.Op(0x46+byte(g.pick(10)))) // comparisons
	case 5:
		return w.Cat(g.address(), w.Load32(uint32(g.pick(64))))
	case 6:
		return w.MemorySize()
	case 7:
		return w.Cat(w.I32Const(int32(g.pick(4))), w.MemoryGrow())
	case 8:
		if g.functions > 0 {
			return w.Cat(g.expression(), w.Call(uint32(g.pick(g.functions))))
		}
	case 9: // through the table, whose entries are functions before this one, or others of another type
		if g.functions > 0 {
			return w.Cat(g.expression(), w.I32Const(int32(g.pick(g.functions))), w.Op(0x11, 0, 0))
		}
	case 10:
		return w.Cat(w.Op(0x02, w.I32), g.inside(false, g.expression), w.Op(w.End))
	case 11:
		return w.Cat(g.expression(), w.Op(0x04, w.I32), g.inside(false, g.expression), w.Op(w.Else), g.inside(false, g.expression), w.Op(w.End))
	case 12:
		return w.Cat(g.expression(), g.expression(), g.expression(), w.Op(w.Select))
	}
	return w.I32Const(int32(g.pick(256)) - 128)
}

// address is an expression that lies in the first page.
func (g *generator) address() []byte {
	return w.Cat(g.expression(), w.I32Const(0xf000), w.Op(0x71)) // and
}

// inside writes code within a block.
func (g *generator) inside(loop bool, f func() []byte) []byte {
	g.loops = append(g.loops, loop)
	code := f()
	g.loops = g.loops[:len(g.loops)-1]
	return code
}

// statement writes code that leaves nothing.
func (g *generator) statement() []byte {
	if g.left--; g.left < 0 {
		return w.Op(w.Nop)
	}
	switch g.pick(12) {
	case 0:
		return w.Cat(g.expression(), w.LocalSet(uint32(g.pick(2))))
	case 1:
		return w.Cat(g.expression(), w.GlobalSet(1))
	case 2:
		return w.Cat(g.address(), g.expression(), w.Store32(uint32(g.pick(64))))
	case 3:
		return w.Cat(g.expression(), w.Op(w.Drop))
	case 4:
		return w.Cat(w.Op(0x02, w.Void), g.inside(false, g.statements), w.Op(w.End))
	case 5:
		// Runs again while the budget of all loops lasts and the condition says so.
		again := w.Cat(w.GlobalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.GlobalSet(0), w.GlobalGet(0), w.I32Const(0), w.Op(0x4a), w.BrIf(0))
		return w.Cat(w.Op(0x03, w.Void), g.inside(true, g.statements), again, w.Op(w.End))
	case 6:
		return w.Cat(g.expression(), w.Op(0x04, w.Void), g.inside(false, g.statements), w.Op(w.End))
	case 7:
		return w.Cat(g.expression(), w.Op(0x04, w.Void), g.inside(false, g.statements), w.Op(w.Else), g.inside(false, g.statements), w.Op(w.End))
	case 8:
		if targets := g.forward(); len(targets) > 0 {
			return w.Cat(g.expression(), w.BrIf(targets[g.pick(len(targets))]))
		}
	case 9:
		if targets := g.forward(); len(targets) > 0 {
			pick := func() []byte { return w.U32(targets[g.pick(len(targets))] + 1) }
			return w.Block(w.Void, g.expression(), w.Op(0x0e, 2, 0), pick(), pick())
		}
	case 10:
		return w.Cat(g.address(), g.expression(), w.I32Const(int32(g.pick(200))), w.MemoryFill())
	case 11:
		return w.Cat(g.expression(), w.Op(0x04, w.Void), w.LocalGet(0), w.Op(w.Return, w.End))
	}
	return w.Op(w.Nop)
}

func (g *generator) statements() []byte {
	var code []byte
	for range 1 + g.pick(4) {
		code = append(code, g.statement()...)
	}
	return code
}

// forward are the open blocks without a result that a branch may end: all but loops. Blocks with a result are
// opened within expressions, where no statement stands.
func (g *generator) forward() []uint32 {
	var targets []uint32
	for level := range g.loops {
		if !g.loops[len(g.loops)-1-level] {
			targets = append(targets, uint32(level))
		}
	}
	return targets
}

// module makes a module.
func (g *generator) module() *w.Module {
	m := &w.Module{
		MemoryMin: 1 + g.pick(2), MemoryMax: 3 + g.pick(3),
		Globals: []w.Global{
			{Type: w.I32, Mutable: true, Init: w.Cat(w.I32Const(60), w.Op(w.End))},
			{Type: w.I32, Mutable: true, Init: w.Cat(w.I32Const(5), w.Op(w.End))},
		},
		Data: []w.Data{{Offset: 64, Bytes: []byte("the quick brown fox")}},
	}
	for n := range 1 + g.pick(4) {
		g.functions, g.left, g.loops = n, 60, nil
		code := g.statements()
		m.Funcs = append(m.Funcs, w.Func{Sig: i32x1, Locals: []byte{w.I32}, Code: w.Cat(code, g.expression(), w.Op(w.End))})
		m.Table = append(m.Table, uint32(n))
	}
	return m
}

// state is all that a module has made of itself: its globals and a sum of its memory.
func (i *instance) state(names ...string) string {
	size := uint32(1 << 16)
	memory, _ := i.api.Memory().Read(0, size)
	sum := uint64(14_695_981_039_346_656_037) // FNV-1a
	for _, b := range memory {
		sum = (sum ^ uint64(b)) * 1_099_511_628_211
	}
	out := fmt.Sprintf("memory %x", sum)
	for _, name := range names {
		out += fmt.Sprintf(" %s %d", name, i.get32(name))
	}
	return out
}

// FuzzRewriting makes a module and holds: the rewritten one is valid where the original is, and does the same while
// fuel lasts, in both engines; with less fuel it stops, at the same place each time and in both engines, and the cause
// is fuel.
func FuzzRewriting(f *testing.F) {
	for seed := range 40 {
		bytes := make([]byte, 300)
		x := uint64(seed)*0x9e3779b97f4a7c15 + 1
		for k := range bytes {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			bytes[k] = byte(x >> 32)
		}
		f.Add(bytes, uint16(seed*37))
	}
	f.Fuzz(func(t *testing.T, seed []byte, part uint16) {
		g := &generator{seed: seed}
		m := exported(g.module())
		m.Exports = append(m.Exports, w.Export{Name: "a", Kind: 3, Index: 0}, w.Export{Name: "b", Kind: 3, Index: 1}, w.Export{Name: "memory", Kind: 2})
		wasm := m.Bytes()
		after := rewritten(t, wasm)
		last := fmt.Sprintf("f%d", len(m.Funcs)-1)
		used, ended := map[string]int64{}, map[string]string{}
		for engine, config := range engines {
			plain, counted := instantiate(t, config, wasm), instantiate(t, config, after)
			const plenty = 1 << 40
			for arg := range uint64(2) {
				want, errBefore := plain.call(last, arg)
				counted.grant(plenty)
				got, errAfter := counted.call(last, arg)
				if (errBefore == nil) != (errAfter == nil) || errBefore == nil && got != want {
					t.Fatalf("%s: %s, %v; before it was %s, %v", engine, got, errAfter, want, errBefore)
				}
				if a, b := plain.state("a", "b"), counted.state("a", "b"); a != b {
					t.Fatalf("%s: it left %s; before it was %s", engine, b, a)
				}
				used[engine] += plenty - counted.get(fuel.GlobalFuel)
			}
			least := max(0, used[engine]*int64(part)>>16-1)
			for range 2 {
				short := instantiate(t, config, after)
				short.grant(least)
				text, err := short.call(last, 0)
				if err == nil && short.get(fuel.GlobalFuel) < 0 || err != nil && short.get(fuel.GlobalFuel) < 0 && short.cause() != fuel.CauseFuel {
					t.Fatalf("%s: with %d units it ended with %s, %v, fuel %d", engine, least, text, err, short.get(fuel.GlobalFuel))
				}
				end := fmt.Sprint(text, err != nil, short.get(fuel.GlobalFuel), short.state("a", "b"))
				if before, ok := ended[""]; ok && before != end {
					t.Fatalf("%s: with %d units it ended with %s; before with %s", engine, least, end, before)
				}
				ended[""] = end
			}
		}
		if used["compiler"] != used["interpreter"] {
			t.Fatalf("fuel used: %v", used)
		}
	})
}
