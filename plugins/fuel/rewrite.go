package fuel

import (
	"fmt"
	"regexp"
	"strconv"
)

// Names of the globals that rewriting exports. A module that exports one of these names itself,
// or a name of the form __g and digits, is refused.
const (
	// GlobalFuel (i64) is the fuel left for the current unit of work.
	GlobalFuel = "__fuel"
	// GlobalFuelPerUnit (i64) is what a unit gets when it begins.
	GlobalFuelPerUnit = "__fuel_per_unit"
	// GlobalPool (i64) is the fuel left for the units to come: the bound on a whole call.
	GlobalPool = "__fuel_pool"
	// GlobalCursor (i32) is the last of the units that began last, -1 before the first.
	GlobalCursor = "__cursor"
	// GlobalFirst (i32) is the first of the units that began last: not GlobalCursor when several began
	// together.
	GlobalFirst = "__first"
	// GlobalBegun (i32) counts the units that have begun in the call.
	GlobalBegun = "__begun"
	// GlobalUnits (i32) is the number of units of the call.
	GlobalUnits = "__units"
	// GlobalDepth (i64) is the call depth left.
	GlobalDepth = "__depth"
	// GlobalTrap (i32) tells more about a trap; see [CauseOf].
	GlobalTrap = "__trap"
	// GlobalPages (i32) is the size of the memory as the module sees it, in pages of 64 KiB.
	GlobalPages = "__pages"
)

// Options are the parameters of a rewriting.
type Options struct {
	// MemoryPagesMax is the largest memory that the module may have, in pages of 64 KiB. The
	// rewritten memory is declared at this size, or at the module's own maximum if that is
	// lower, and never grows.
	MemoryPagesMax uint32
	// BeginModule and BeginName name the import that announces a unit of work, a function
	// (i32) -> (). It is replaced; a module need not have it. BeginManyName, of the same module, is one
	// that announces several units at once, (i32, i32) -> (): the first, and how many.
	BeginModule, BeginName, BeginManyName string
}

// Result is a rewritten module.
type Result struct {
	// Wasm is the rewritten module, without custom sections.
	Wasm []byte
	// State names the exported globals that, beside the memory, hold the state of an instance:
	// the module's own mutable globals and [GlobalPages]. The other globals of this package are
	// parameters of a call, to be set before each.
	State []string
	// PagesMax is the size of the declared memory in pages of 64 KiB.
	PagesMax uint32
	// HasBegin says whether the module imports begin.
	HasBegin bool
	// Functions is the number of functions that the module defines.
	Functions int
}

// rewriter holds what a rewriting needs while it runs.
type rewriter struct {
	m       *Module
	options Options
	out     writer

	types   []FuncType // of the module and those added
	remap   []uint32   // new index of every function of the module
	begin   uint32     // new index of the added begin
	many    uint32     // new index of the added begin_many
	grow    uint32     // new index of the added memory.grow
	kept    []int      // imports that stay
	globals added
	pages   uint32 // declared size of the memory
	state   []string
	effort  uint64            // see spend
	byShape map[string]uint32 // types by parameters and results, see typeIndex
}

// added holds the indices of the added globals.
type added struct {
	fuel, perUnit, pool, cursor, first, units, depth, trap, pages, begun uint32
}

// Rewrite returns the module with fuel, depth and units counted. The error is a sentence that
// says what the module does that is not allowed.
func (m *Module) Rewrite(o Options) (*Result, error) {
	w := &rewriter{m: m, options: o, types: append([]FuncType(nil), m.types...)}
	if err := w.plan(); err != nil {
		return nil, err
	}
	hasBegin := len(w.kept) < len(m.imports)
	// Charges add about a quarter to a module of small functions.
	w.out.b = make([]byte, 0, m.size+m.size/4+1024)
	w.out.bytes([]byte{0, 'a', 's', 'm', 1, 0, 0, 0})
	if err := w.sections(); err != nil {
		return nil, err
	}
	return &Result{
		Wasm: w.out.b, State: w.state, PagesMax: w.pages, HasBegin: hasBegin, Functions: len(m.functions),
	}, nil
}

// plan lays out the new index spaces.
func (w *rewriter) plan() error {
	m := w.m
	for i := range m.imports {
		e := &m.imports[i]
		if e.Kind != KindFunction {
			return fmt.Errorf("it imports the %s %s.%s; only functions may be imported", e.Kind, e.Module, e.Name)
		}
		_, want, ok := w.announces(e)
		if !ok {
			w.kept = append(w.kept, i)
			continue
		}
		if e.Type.String() != want {
			return fmt.Errorf("it imports %s.%s as %s, which must be %s", e.Module, e.Name, e.Type, want)
		}
	}
	total := uint32(len(w.kept) + len(m.functions))
	w.begin, w.many, w.grow = total, total+1, total+2
	w.remap = make([]uint32, m.functionCount())
	next := uint32(0)
	for i := range w.remap {
		if i < len(m.imports) {
			if index, _, ok := w.announces(&m.imports[i]); ok {
				w.remap[i] = index
				continue
			}
		}
		w.remap[i] = next
		next++
	}
	if err := w.planMemory(); err != nil {
		return err
	}
	return w.planGlobals()
}

// announces tells whether an import announces units, as what function it is added, and the type that it must
// have.
func (w *rewriter) announces(e *importEntry) (index uint32, want string, ok bool) {
	switch {
	case e.Module != w.options.BeginModule:
	case e.Name == w.options.BeginName:
		return w.begin, "(i32) -> ()", true
	case e.Name == w.options.BeginManyName:
		return w.many, "(i32, i32) -> ()", true
	}
	return 0, "", false
}

func (w *rewriter) planMemory() error {
	if w.m.memory == nil {
		return nil
	}
	lo, hi := w.m.MemoryPages()
	w.pages = min(hi, w.options.MemoryPagesMax)
	if lo > w.pages {
		return fmt.Errorf("it needs %d KiB of memory to start, the limit is %d KiB", uint64(lo)*64, uint64(w.options.MemoryPagesMax)*64)
	}
	return nil
}

var reservedName = regexp.MustCompile(`^__g[0-9]+$`)

// reserved tells whether an export may not have this name.
func reserved(name string) bool {
	switch name {
	case GlobalFuel, GlobalFuelPerUnit, GlobalPool, GlobalCursor, GlobalFirst, GlobalBegun, GlobalUnits, GlobalDepth, GlobalTrap, GlobalPages:
		return true
	}
	return reservedName.MatchString(name)
}

func (w *rewriter) planGlobals() error {
	for _, e := range w.m.exports {
		if reserved(e.Name) {
			return fmt.Errorf("it exports %q, a name that the engine reserves for itself", e.Name)
		}
	}
	n := uint32(len(w.m.globals))
	w.globals = added{
		fuel: n, perUnit: n + 1, pool: n + 2, cursor: n + 3, first: n + 4, units: n + 5, depth: n + 6, trap: n + 7, pages: n + 8,
		begun: n + 9,
	}
	for i := range w.m.globals {
		if w.m.globals[i].mutable {
			w.state = append(w.state, stateName(i))
		}
	}
	w.state = append(w.state, GlobalPages)
	return nil
}

// stateName is the reserved name under which global i is exported.
func stateName(i int) string { return "__g" + strconv.Itoa(i) }

// typeIndex returns the index of a function type, adding it if the module has none like it.
func (w *rewriter) typeIndex(params, results []byte) uint32 {
	if w.byShape == nil {
		w.byShape = make(map[string]uint32, len(w.types)+3)
		for i := len(w.types) - 1; i >= 0; i-- { // of several like it, the first
			w.byShape[shape(w.types[i].Params, w.types[i].Results)] = uint32(i)
		}
	}
	key := shape(params, results)
	i, ok := w.byShape[key]
	if ok {
		return i
	}
	var raw writer
	raw.raw(typeFunction)
	raw.vec(params)
	raw.vec(results)
	w.types = append(w.types, FuncType{Params: params, Results: results, raw: raw.b})
	i = uint32(len(w.types) - 1)
	w.byShape[key] = i
	return i
}

// shape is a function type as a key: 0 is no value type.
func shape(params, results []byte) string { return string(params) + "\x00" + string(results) }
