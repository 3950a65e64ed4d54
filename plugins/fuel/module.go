package fuel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// FuncType is the signature of a function. Each byte is a value type as in the binary format.
type FuncType struct {
	Params, Results []byte
	raw             []byte
}

// String writes the signature as "(i32, i32) -> (i32)".
func (t FuncType) String() string {
	list := func(types []byte) string {
		names := make([]string, len(types))
		for i, b := range types {
			names[i] = valueTypeName(b)
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	return list(t.Params) + " -> " + list(t.Results)
}

// Kind is what an import or export is.
type Kind uint8

// The kinds of imports and exports.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
	KindTag
)

// String names the kind.
func (k Kind) String() string {
	names := [...]string{"function", "table", "memory", "global", "tag"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown"
}

// Import is one import of a module. Type is set for functions.
type Import struct {
	Module, Name string
	Kind         Kind
	Type         FuncType
}

// Export is one export of a module. Type is set for functions.
type Export struct {
	Name string
	Kind Kind
	Type FuncType
	// index is the place in the index space of the kind.
	index uint32
}

// CustomSection is a section that does not affect execution.
type CustomSection struct {
	Name string
	Data []byte
}

// global is a global variable that the module defines.
type global struct {
	valueType byte
	mutable   bool
	init      constExpr
}

// constExpr is an initializer. function is set for ref.func, the only operand that rewriting
// moves.
type constExpr struct {
	raw        []byte
	isFunction bool
	function   uint32
}

// elementSegment fills a table, or declares functions as referenced.
type elementSegment struct {
	flags     uint32
	table     uint32
	offset    constExpr
	kind      byte
	hasKind   bool
	functions []uint32
	exprs     []constExpr
}

// Module is a module that was read but not rewritten. Types are not checked: that is left to the
// runtime, which compiles the rewritten module. A Module is not changed after [Parse] and may be
// used by several goroutines.
type Module struct {
	types     []FuncType
	imports   []importEntry
	functions []uint32 // type index of each defined function
	tables    [][]byte
	memory    *memory
	globals   []global
	exports   []Export
	elements  []elementSegment
	dataCount []byte
	code      [][]byte
	data      [][]byte
	custom    []CustomSection
	size      int
	// importedFunctions and importedGlobals count the imports of these kinds, which come first
	// in their index spaces.
	importedFunctions, importedGlobals int
}

type importEntry struct {
	Import
	typeIndex uint32
}

// memory is the module's own memory, in pages of 64 KiB.
type memory struct {
	min, max uint32
	hasMax   bool
}

var magic = []byte("\x00asm")

// Parse reads the structure of a module: everything but the function bodies, which are read when
// the module is rewritten. The bytes must not change while the Module is in use. The error is a
// sentence that says what is wrong or not allowed.
func Parse(wasm []byte) (*Module, error) {
	if err := checkPreamble(wasm); err != nil {
		return nil, err
	}
	m := &Module{size: len(wasm)}
	r := &reader{data: wasm, at: 8}
	order := 0
	for !r.done() && r.err == nil {
		id := r.byte()
		size := r.u32()
		body := &reader{data: r.bytes(size)}
		if r.err != nil {
			break
		}
		if id != sectionCustom {
			place := sectionPlace(id)
			if place == 0 {
				return nil, fmt.Errorf("the module has a section of unknown kind %d", id)
			}
			if place <= order {
				return nil, fmt.Errorf("the %s section is repeated or out of order", sectionName(id))
			}
			order = place
		}
		if err := m.section(id, body); err != nil {
			return nil, fmt.Errorf("in the %s section: %w", sectionName(id), err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(m.code) != len(m.functions) {
		return nil, fmt.Errorf("the module declares %d functions and has code for %d", len(m.functions), len(m.code))
	}
	return m, nil
}

// nextStep is what whoever gave something else than a module can do.
const nextStep = ": build the tariff with `tollway plugin build FOLDER` and give the .wasm file that it writes"

func checkPreamble(wasm []byte) error {
	if len(wasm) == 0 {
		return errors.New("not a WebAssembly module (it is empty)" + nextStep)
	}
	if !bytes.HasPrefix(wasm, magic) {
		return fmt.Errorf("not a WebAssembly module (starts with %q)%s", wasm[:min(len(wasm), 12)], nextStep)
	}
	if len(wasm) < 8 {
		return errTruncated
	}
	if wasm[6] == 1 {
		return errors.New("a WebAssembly component, not a core module: build a core module")
	}
	if !bytes.Equal(wasm[4:8], []byte{1, 0, 0, 0}) {
		return fmt.Errorf("a WebAssembly module of an unknown version (% x)", wasm[4:8])
	}
	if len(wasm) > ModuleBytesMax {
		return fmt.Errorf("the module is %d bytes long, the limit is %d", len(wasm), ModuleBytesMax)
	}
	return nil
}

// Imports lists the imports in the module's order.
func (m *Module) Imports() []Import {
	list := make([]Import, len(m.imports))
	for i := range m.imports {
		list[i] = m.imports[i].Import
	}
	return list
}

// Exports lists the exports in the module's order.
func (m *Module) Exports() []Export { return append([]Export(nil), m.exports...) }

// Export returns the export of the given name.
func (m *Module) Export(name string) (Export, bool) {
	for _, e := range m.exports {
		if e.Name == name {
			return e, true
		}
	}
	return Export{}, false
}

// CustomSections lists the custom sections in the module's order. Their data is part of the
// bytes given to [Parse].
func (m *Module) CustomSections() []CustomSection {
	return append([]CustomSection(nil), m.custom...)
}

// nameFunctions is the part of the name section that names functions.
const nameFunctions = 1

// FunctionNames returns what the name section calls functions, by their index. A
// name section is for people: one that cannot be read names nothing.
func (m *Module) FunctionNames() map[uint32]string {
	names := map[uint32]string{}
	for _, c := range m.custom {
		if c.Name != "name" {
			continue
		}
		for r := (&reader{data: c.Data}); !r.done() && r.err == nil; {
			kind, size := r.byte(), r.u32()
			part := &reader{data: r.bytes(size)}
			if kind != nameFunctions {
				continue
			}
			for range part.count("function names", FunctionsMax) {
				if i, name := part.u32(), part.name(); part.err == nil {
					names[i] = name
				}
			}
		}
	}
	return names
}

// Size is the length of the module in bytes.
func (m *Module) Size() int { return m.size }

// MemoryPages returns the initial size of the module's memory in pages of 64 KiB and its declared
// maximum, which is [MemoryPagesMax] when none is declared. Both are zero without a memory.
func (m *Module) MemoryPages() (minimum, maximum uint32) {
	if m.memory == nil {
		return 0, 0
	}
	return m.memory.min, m.memory.max
}

// functionType returns the type of a function of the index space.
func (m *Module) functionType(index uint32) (FuncType, bool) {
	i := uint32(0)
	for k := range m.imports {
		if m.imports[k].Kind != KindFunction {
			continue
		}
		if i == index {
			return m.imports[k].Type, true
		}
		i++
	}
	index -= i
	if uint64(index) >= uint64(len(m.functions)) {
		return FuncType{}, false
	}
	return m.types[m.functions[index]], true
}

func (m *Module) functionCount() int { return m.importedFunctions + len(m.functions) }

func sectionName(id byte) string {
	names := [...]string{
		"custom", "type", "import", "function", "table", "memory", "global", "export",
		"start", "element", "code", "data", "data count", "tag",
	}
	if int(id) < len(names) {
		return names[id]
	}
	return fmt.Sprintf("unknown (%d)", id)
}

// sectionPlace gives the order in which sections must stand, from 1; 0 is unknown.
func sectionPlace(id byte) int {
	switch id {
	case sectionType, sectionImport, sectionFunction, sectionTable, sectionMemory:
		return int(id)
	case sectionTag:
		return 6
	case sectionGlobal, sectionExport, sectionStart, sectionElement:
		return int(id) + 1
	case sectionCount:
		return 11
	case sectionCode:
		return 12
	case sectionData:
		return 13
	}
	return 0
}
