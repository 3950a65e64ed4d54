package plugins_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tollway/tollway/plugins/fuel"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
)

// These tests run what plugins/fuel makes: that package may not import the runtime.

var (
	engines = map[string]wazero.RuntimeConfig{
		"compiler":    wazero.NewRuntimeConfigCompiler(),
		"interpreter": wazero.NewRuntimeConfigInterpreter(),
	}
	rewriteOptions = fuel.Options{MemoryPagesMax: 16, BeginModule: "tollway_v1", BeginName: "begin", BeginManyName: "begin_many"}
	i32x1          = w.Sig{Params: []byte{w.I32}, Results: []byte{w.I32}}
)

func rewritten(t testing.TB, wasm []byte) []byte {
	t.Helper()
	m, err := fuel.Parse(wasm)
	if err != nil {
		t.Fatal(err)
	}
	res, err := m.Rewrite(rewriteOptions)
	if err != nil {
		t.Fatal(err)
	}
	return res.Wasm
}

// instance is a module that runs without the rest of this package.
type instance struct {
	t   testing.TB
	api api.Module
}

func instantiate(t testing.TB, c wazero.RuntimeConfig, wasm []byte) *instance {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, c)
	t.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithStartFunctions())
	if err != nil {
		t.Fatal(err)
	}
	return &instance{t, m}
}

func (i *instance) set(name string, v int64) {
	i.t.Helper()
	i.api.ExportedGlobal(name).(api.MutableGlobal).Set(uint64(v))
}

func (i *instance) get(name string) int64 { return int64(i.api.ExportedGlobal(name).Get()) }

func (i *instance) get32(name string) int32 { return int32(i.get(name)) }

// grant gives a call its fuel and depth.
func (i *instance) grant(amount int64) {
	i.set(fuel.GlobalFuel, amount)
	i.set(fuel.GlobalDepth, fuel.DepthMax)
	i.set(fuel.GlobalTrap, 0)
	i.set(fuel.GlobalCursor, -1)
}

func (i *instance) call(name string, args ...uint64) (string, error) {
	results, err := i.api.ExportedFunction(name).Call(context.Background(), args...)
	return fmt.Sprint(results), err
}

func (i *instance) cause() fuel.Cause {
	return fuel.CauseOf(i.get(fuel.GlobalFuel), i.get(fuel.GlobalDepth), i.get32(fuel.GlobalTrap))
}

// exported gives every function of a module a name: f0, f1, and so on.
func exported(m *w.Module) *w.Module {
	for k := range m.Funcs {
		m.Exports = append(m.Exports, w.Export{Name: fmt.Sprintf("f%d", k), Index: uint32(len(m.Imports) + k)})
	}
	return m
}

// programs are functions f0 of an i32 that use what a rewriting touches.
func programs() map[string]*w.Module {
	one := func(sig w.Sig, locals []byte, code ...[]byte) w.Func {
		return w.Func{Sig: sig, Locals: locals, Code: w.Cat(w.Cat(code...), w.Op(w.End))}
	}
	pair := w.Sig{Params: []byte{w.I32}, Results: []byte{w.I32, w.I64}}
	fib := one(i32x1, nil,
		w.LocalGet(0), w.I32Const(2), w.Op(w.I32LtU), w.If(w.Void, w.LocalGet(0), w.Op(w.Return)),
		w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.Call(0),
		w.LocalGet(0), w.I32Const(2), w.Op(w.I32Sub), w.Call(0), w.Op(w.I32Add))
	sum := one(i32x1, []byte{w.I32},
		w.Block(w.Void, w.Loop(w.Void,
			w.LocalGet(0), w.Op(w.I32Eqz), w.BrIf(1),
			w.LocalGet(1), w.LocalGet(0), w.Op(w.I32Add), w.LocalSet(1),
			w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.LocalSet(0), w.Br(0))),
		w.LocalGet(1))
	choose := one(i32x1, nil,
		w.Block(w.Void, w.Block(w.Void, w.Block(w.Void,
			w.LocalGet(0), w.Op(0x0e, 2, 0, 1, 2)), // br_table 0 1, default 2
			w.I32Const(100), w.Op(w.Return)),
			w.I32Const(200), w.Call(0), w.Op(w.Drop), w.I32Const(201), w.Op(w.Return)),
		w.I32Const(300))
	memory := one(i32x1, nil,
		w.I32Const(10), w.I32Const(7), w.LocalGet(0), w.MemoryFill(),
		w.I32Const(500), w.I32Const(8), w.LocalGet(0), w.MemoryCopy(),
		w.I32Const(0), w.I32Const(1_024), w.I32Const(3), w.Op(0xfc, 10, 0, 0),
		w.I32Const(500), w.Load32(0), w.MemorySize(), w.Op(w.I32Add),
		w.LocalGet(0), w.MemoryGrow(), w.Op(w.I32Add), w.MemorySize(), w.Op(w.I32Add),
		w.I32Const(100_000), w.MemoryGrow(), w.Op(w.I32Add))
	values := one(pair, nil, w.LocalGet(0), w.LocalGet(0), w.Op(w.I64ExtendU), w.LocalGet(0), w.Op(w.I32Eqz),
		w.If(w.Void, w.I32Const(5), w.I64Const(-5), w.Op(w.Return)))
	caller := one(i32x1, []byte{w.I64}, w.LocalGet(0), w.Call(0), w.LocalSet(1), w.LocalGet(1), w.Op(0xa7), w.Op(w.I32Add))
	indirect := one(i32x1, nil, w.LocalGet(0), w.LocalGet(0), w.Op(0x11, 0, 0)) // call_indirect type 0
	double := one(i32x1, nil, w.LocalGet(0), w.I32Const(2), w.Op(w.I32Mul))
	globals := one(i32x1, nil, w.GlobalGet(1), w.LocalGet(0), w.Op(w.I32Add), w.GlobalSet(1), w.GlobalGet(1), w.GlobalGet(0), w.Op(w.I32Mul))
	reference := one(i32x1, nil, w.Op(0xd2, 1), w.Op(0xd1), w.LocalGet(0), w.Op(w.I32Add)) // ref.func 1, ref.is_null
	dead := one(i32x1, nil, w.Block(w.Void, w.LocalGet(0), w.BrIf(0), w.I32Const(1), w.Op(w.Return), w.Loop(w.Void, w.Br(0)), w.Op(w.Nop)), w.I32Const(2))
	simd := one(i32x1, nil, w.LocalGet(0), w.Op(0xfd, 17), w.LocalGet(0), w.Op(0xfd, 17), w.Op(0xfd, 0xae, 1), w.Op(0xfd, 27, 3)) // splat, splat, i32x4.add, extract_lane 3
	constant := func(v int32) w.Global {
		return w.Global{Type: w.I32, Init: w.Cat(w.I32Const(v), w.Op(w.End))}
	}
	return map[string]*w.Module{
		"recursion": {Funcs: []w.Func{fib}, MemoryMin: -1},
		"loop":      {Funcs: []w.Func{sum}},
		"branches":  {Funcs: []w.Func{choose}},
		"memory":    {Funcs: []w.Func{memory}, MemoryMin: 2, MemoryMax: 9, Data: []w.Data{{Offset: 1_024, Bytes: []byte("abc")}}},
		"values":    {Funcs: []w.Func{values, caller}},
		"indirect":  {Funcs: []w.Func{indirect, double, double}, Table: []uint32{1, 2, 1}},
		"globals":   {Funcs: []w.Func{globals}, Globals: []w.Global{constant(7), {Type: w.I32, Mutable: true, Init: constant(3).Init}}},
		"reference": {Funcs: []w.Func{reference, double}, Table: []uint32{1}},
		"dead code": {Funcs: []w.Func{dead}},
		"simd":      {Funcs: []w.Func{simd}},
	}
}

// TestRewriteKeepsMeaning runs programs before and after rewriting, in both engines.
func TestRewriteKeepsMeaning(t *testing.T) {
	for name, m := range programs() {
		t.Run(name, func(t *testing.T) {
			wasm := exported(m).Bytes()
			for engine, config := range engines {
				before := instantiate(t, config, wasm)
				after := instantiate(t, config, rewritten(t, wasm))
				for _, arg := range []uint64{0, 1, 2, 3, 10, 3, 2} {
					for k := range m.Funcs {
						after.grant(1_000_000)
						f := fmt.Sprintf("f%d", k)
						want, errBefore := before.call(f, arg)
						got, errAfter := after.call(f, arg)
						if got != want || (errBefore == nil) != (errAfter == nil) {
							t.Errorf("%s: %s(%d) = %s, %v; before it was %s, %v", engine, f, arg, got, errAfter, want, errBefore)
						}
						if errAfter == nil && after.get(fuel.GlobalDepth) != fuel.DepthMax {
							t.Errorf("%s: %s(%d) did not give all its depth back", engine, f, arg)
						}
					}
				}
			}
		})
	}
}

// TestFuelIsExact finds the least fuel with which a call succeeds: with one unit less it traps, in
// both engines and every time, and what it uses does not depend on what it was given.
func TestFuelIsExact(t *testing.T) {
	for name, m := range programs() {
		t.Run(name, func(t *testing.T) {
			wasm := rewritten(t, exported(m).Bytes())
			used := map[string]int64{}
			for engine, config := range engines {
				i := instantiate(t, config, wasm)
				i.grant(1_000_000)
				if _, err := i.call("f0", 2); err != nil {
					t.Skip("it traps by itself")
				}
				used[engine] = 1_000_000 - i.get(fuel.GlobalFuel)
				for _, budget := range []int64{used[engine], used[engine] - 1, 0} {
					fresh := instantiate(t, config, wasm)
					fresh.grant(budget)
					_, err := fresh.call("f0", 2)
					if (err == nil) != (budget == used[engine]) {
						t.Errorf("%s: with %d units, of which it uses %d: %v", engine, budget, used[engine], err)
					}
					if err != nil && fresh.cause() != fuel.CauseFuel {
						t.Errorf("%s: the cause is %s, want fuel", engine, fresh.cause())
					}
				}
			}
			if used["compiler"] != used["interpreter"] || used["compiler"] <= 0 {
				t.Errorf("fuel used: %v", used)
			}
		})
	}
}

// TestFuelCountsWork holds the charges against programs whose instructions can be counted by hand.
func TestFuelCountsWork(t *testing.T) {
	i := instantiate(t, engines["compiler"], rewritten(t, exported(programs()["loop"]).Bytes()))
	cost := func(arg uint64) int64 {
		i.grant(1_000_000)
		if _, err := i.call("f0", arg); err != nil {
			t.Fatal(err)
		}
		return 1_000_000 - i.get(fuel.GlobalFuel)
	}
	// A pass of the loop is twelve instructions and its head.
	const want = 12 + fuel.HeadCost
	if first, second := cost(10)-cost(9), cost(1_000)-cost(999); first != want || second != want {
		t.Errorf("one pass more costs %d and %d, want %d", first, second, want)
	}
	memory := instantiate(t, engines["compiler"], rewritten(t, exported(programs()["memory"]).Bytes()))
	i = memory
	// 400 bytes more in a fill and in a copy, at four bytes a unit.
	if got := cost(800) - cost(400); got != 200 {
		t.Errorf("800 bytes more cost %d, want 200", got)
	}
	if got := cost(0); got < 2*fuel.GrowCost {
		t.Errorf("two memory.grow cost %d, want more than %d", got, 2*fuel.GrowCost)
	}
}

// TestEndless runs what would never end, or would take down the host.
func TestEndless(t *testing.T) {
	self := w.Cat(w.LocalGet(0), w.Call(0))
	for name, c := range map[string]struct {
		code []byte
		want fuel.Cause
	}{
		"loop":            {w.Cat(w.Loop(w.Void, w.Br(0)), w.LocalGet(0)), fuel.CauseFuel},
		"recursion":       {self, fuel.CauseDepth},
		"call tree":       {w.Cat(w.LocalGet(0), w.Op(w.I32Eqz), w.If(w.Void, w.I32Const(0), w.Op(w.Return)), w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.Call(0), w.Op(w.Drop), w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.Call(0)), fuel.CauseFuel},
		"fill":            {w.Cat(w.Loop(w.Void, w.I32Const(0), w.I32Const(1), w.I32Const(60_000), w.MemoryFill(), w.Br(0)), w.LocalGet(0)), fuel.CauseFuel},
		"fill too long":   {w.Cat(w.I32Const(0), w.I32Const(1), w.I32Const(-1), w.MemoryFill(), w.LocalGet(0)), fuel.CauseFuel},
		"grow":            {w.Cat(w.Loop(w.Void, w.I32Const(1), w.MemoryGrow(), w.Op(w.Drop), w.Br(0)), w.LocalGet(0)), fuel.CauseFuel},
		"unreachable":     {w.Op(w.Unreachable), fuel.CauseGuest},
		"division":        {w.Cat(w.LocalGet(0), w.I32Const(0), w.Op(w.I32DivU)), fuel.CauseGuest},
		"address":         {w.Cat(w.I32Const(-4), w.Load32(0)), fuel.CauseGuest},
		"gives up memory": {w.Cat(w.I32Const(100), w.MemoryGrow(), w.Op(w.Drop), w.Op(w.Unreachable)), fuel.CauseMemory},
	} {
		t.Run(name, func(t *testing.T) {
			m := exported(&w.Module{MemoryMin: 1, Funcs: []w.Func{{Sig: i32x1, Code: w.Cat(c.code, w.Op(w.End))}}})
			wasm := rewritten(t, m.Bytes())
			for engine, config := range engines {
				i := instantiate(t, config, wasm)
				for range 3 { // an instance goes on after a trap
					i.grant(1_000_000)
					if _, err := i.call("f0", 60); err == nil || i.cause() != c.want {
						t.Errorf("%s: ended with %v, cause %s, want %s", engine, err, i.cause(), c.want)
					}
				}
			}
		})
	}
}

// TestDepth counts how deep calls may nest, also where a function leaves by all kinds of exits.
func TestDepth(t *testing.T) {
	// f(n) = n == 0 ? 0 : 1 + f(n-1), returning from inside of blocks.
	f := w.Func{Sig: i32x1, Code: w.Cat(
		w.Block(w.Void, w.LocalGet(0), w.BrIf(0), w.I32Const(0), w.Op(w.Return)),
		w.Block(w.I32, w.LocalGet(0), w.I32Const(1), w.Op(w.I32Sub), w.Call(0), w.I32Const(1), w.Op(w.I32Add), w.Br(1)),
		w.Op(w.End),
	)}
	wasm := rewritten(t, exported(&w.Module{Funcs: []w.Func{f}}).Bytes())
	for engine, config := range engines {
		i := instantiate(t, config, wasm)
		for _, c := range []struct {
			arg uint64
			ok  bool
		}{{fuel.DepthMax - 1, true}, {fuel.DepthMax, false}, {5, true}} {
			i.grant(1_000_000)
			got, err := i.call("f0", c.arg)
			if (err == nil) != c.ok || (c.ok && got != fmt.Sprintf("[%d]", c.arg)) {
				t.Errorf("%s: f(%d) = %s, %v", engine, c.arg, got, err)
			}
			if !c.ok && i.cause() != fuel.CauseDepth {
				t.Errorf("%s: cause %s, want depth", engine, i.cause())
			}
		}
	}
}

// TestDepthOfLargeFrames holds that functions which compute many values may nest less deep: the
// native stack is bounded by the same count.
func TestDepthOfLargeFrames(t *testing.T) {
	var body []byte
	for range 40_000 {
		body = w.Cat(body[:len(body):len(body)], w.LocalGet(0), w.I32Const(1), w.Op(w.I32Add), w.LocalSet(0))
		if len(body) > 100_000 {
			break
		}
	}
	f := w.Func{Sig: i32x1, Code: w.Cat(body, w.LocalGet(0), w.Call(0), w.Op(w.End))}
	i := instantiate(t, engines["compiler"], rewritten(t, exported(&w.Module{Funcs: []w.Func{f}}).Bytes()))
	i.grant(1_000_000_000)
	if _, err := i.call("f0", 0); err == nil || i.cause() != fuel.CauseDepth {
		t.Fatalf("it ended with %v, cause %s", err, i.cause())
	}
	if used := 1_000_000_000 - i.get(fuel.GlobalFuel); used > 200*60_000 {
		t.Errorf("%d instructions ran before the depth was used up: the frames were not weighed", used)
	}
}

// TestBegin calls begin in and out of order, with and without fuel in the pool.
func TestBegin(t *testing.T) {
	m := &w.Module{
		Imports: []w.Import{{Module: "tollway_v1", Name: "begin", Sig: w.Sig{Params: []byte{w.I32}}}},
		Funcs:   []w.Func{{Sig: w.Sig{Params: []byte{w.I32}}, Code: w.Cat(w.LocalGet(0), w.Call(0), w.Op(w.End))}},
	}
	wasm := rewritten(t, exported(m).Bytes())
	const call = 3 + fuel.HeadCost // three instructions, and the entry
	for engine, config := range engines {
		i := instantiate(t, config, wasm)
		i.grant(1_000)
		i.set(fuel.GlobalUnits, 5)
		i.set(fuel.GlobalFuelPerUnit, 200)
		i.set(fuel.GlobalPool, 300)
		for _, step := range []struct {
			unit       int64
			fuel, pool int64 // left afterwards
			cause      fuel.Cause
			ok         bool
		}{
			{0, 200, 1_100 - call, 0, true}, // what was left of the 1,000 went to the pool
			{2, 200, 1_100 - 2*call, 0, true},
			{2, 200 - call, 1_100 - 2*call, fuel.CauseCursor, false},
			{1, 200 - 2*call, 1_100 - 2*call, fuel.CauseCursor, false},
			{-1, 200 - 3*call, 1_100 - 2*call, fuel.CauseCursor, false},
			{5, 200 - 4*call, 1_100 - 2*call, fuel.CauseCursor, false},
			{4, 200, 1_100 - 7*call, 0, true},
		} {
			i.set(fuel.GlobalTrap, 0)
			_, err := i.call("f0", uint64(uint32(step.unit)))
			if (err == nil) != step.ok || i.get(fuel.GlobalFuel) != step.fuel || i.get(fuel.GlobalPool) != step.pool || i.cause() != step.cause {
				t.Errorf("%s: begin(%d): %v, fuel %d, pool %d, cause %s; want %+v", engine, step.unit, err,
					i.get(fuel.GlobalFuel), i.get(fuel.GlobalPool), i.cause(), step)
			}
			i.set(fuel.GlobalDepth, fuel.DepthMax)
		}
		if i.get32(fuel.GlobalBegun) != 3 {
			t.Errorf("%s: %d units have begun, want 3", engine, i.get32(fuel.GlobalBegun))
		}
		i.grant(20)
		i.set(fuel.GlobalPool, 100)
		if _, err := i.call("f0", 0); err == nil || i.cause() != fuel.CausePool || i.get32(fuel.GlobalCursor) != 0 {
			t.Errorf("%s: an empty pool: %v, cause %s, cursor %d", engine, err, i.cause(), i.get32(fuel.GlobalCursor))
		}
	}
}

// TestBeginMany holds that units announced together are checked as single ones, and get the fuel of one.
func TestBeginMany(t *testing.T) {
	two := w.Sig{Params: []byte{w.I32, w.I32}}
	m := &w.Module{
		Imports: []w.Import{{Module: "tollway_v1", Name: "begin_many", Sig: two}},
		Funcs:   []w.Func{{Sig: two, Code: w.Cat(w.LocalGet(0), w.LocalGet(1), w.Call(0), w.Op(w.End))}},
	}
	wasm := rewritten(t, exported(m).Bytes())
	for engine, config := range engines {
		i := instantiate(t, config, wasm)
		i.grant(1_000)
		i.set(fuel.GlobalUnits, 9)
		i.set(fuel.GlobalFuelPerUnit, 200)
		i.set(fuel.GlobalPool, 1_000)
		for _, step := range []struct {
			unit, count int32
			first, last int32 // afterwards
			cause       fuel.Cause
			ok          bool
		}{
			{0, 3, 0, 2, 0, true},
			{2, 1, 0, 2, fuel.CauseCursor, false},
			{-1, 5, 0, 2, fuel.CauseCursor, false},
			{3, 0, 0, 2, fuel.CauseCursor, false},
			{3, -1, 0, 2, fuel.CauseCursor, false},
			{3, 7, 0, 2, fuel.CauseCursor, false},
			{3, 1<<31 - 1, 0, 2, fuel.CauseCursor, false},
			{9, 1, 0, 2, fuel.CauseCursor, false},
			{1<<31 - 1, 1, 0, 2, fuel.CauseCursor, false},
			{1<<31 - 1, 1<<31 - 1, 0, 2, fuel.CauseCursor, false},
			{4, 1, 4, 4, 0, true},
			{5, 4, 5, 8, 0, true},
		} {
			i.set(fuel.GlobalTrap, 0)
			_, err := i.call("f0", uint64(uint32(step.unit)), uint64(uint32(step.count)))
			if (err == nil) != step.ok || i.cause() != step.cause || i.get32(fuel.GlobalFirst) != step.first || i.get32(fuel.GlobalCursor) != step.last {
				t.Errorf("%s: begin_many(%d, %d): %v, cause %s, units %d to %d; want %+v", engine, step.unit, step.count, err,
					i.cause(), i.get32(fuel.GlobalFirst), i.get32(fuel.GlobalCursor), step)
			}
			if step.ok && i.get(fuel.GlobalFuel) != 200 {
				t.Errorf("%s: %d units have %d of fuel, want 200", engine, step.count, i.get(fuel.GlobalFuel))
			}
			i.set(fuel.GlobalDepth, fuel.DepthMax)
		}
	}
}

// TestNothingRunsWithoutFuel holds that a fresh instance can do nothing.
func TestNothingRunsWithoutFuel(t *testing.T) {
	i := instantiate(t, engines["compiler"], rewritten(t, exported(programs()["loop"]).Bytes()))
	if _, err := i.call("f0", 1); err == nil {
		t.Error("a call ran without fuel")
	}
}

// FuzzRewriteKeepsValidity holds that a valid module stays valid, and that an invalid one does not
// become valid.
func FuzzRewriteKeepsValidity(f *testing.F) {
	for _, m := range programs() {
		f.Add(exported(m).Bytes())
	}
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := fuel.Parse(wasm)
		if err != nil || len(m.CustomSections()) > 0 {
			return // a broken name section makes a module invalid, and is dropped
		}
		res, err := m.Rewrite(rewriteOptions)
		if err != nil {
			return
		}
		before, after := compile(t, wasm), compile(t, res.Wasm)
		if (before == nil) != (after == nil) {
			t.Fatalf("before: %v\nafter: %v", before, after)
		}
	})
}

// compile returns the error with which the runtime refuses a module.
func compile(t *testing.T, wasm []byte) error {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(api.CoreFeaturesV2))
	m, err := r.CompileModule(ctx, wasm)
	if err == nil {
		err = m.Close(ctx)
	}
	if closeErr := r.Close(ctx); closeErr != nil {
		t.Fatal(errors.Join(err, closeErr))
	}
	return err
}
