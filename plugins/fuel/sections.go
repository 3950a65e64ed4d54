package fuel

import (
	"errors"
	"fmt"
)

// section reads one section. The order of sections guarantees that what a section refers to has
// been read before, except for the functions, which have no section of their own names.
func (m *Module) section(id byte, r *reader) error {
	switch id {
	case sectionCustom:
		if len(m.custom) == CustomsMax {
			return fmt.Errorf("the module has more than %d of them", CustomsMax)
		}
		m.custom = append(m.custom, CustomSection{Name: r.name(), Data: r.data[r.at:]})
		return r.err
	case sectionType:
		m.readTypes(r)
	case sectionImport:
		m.readImports(r)
	case sectionFunction:
		m.readFunctions(r)
	case sectionTable:
		m.readTables(r)
	case sectionMemory:
		m.readMemory(r)
	case sectionGlobal:
		m.readGlobals(r)
	case sectionExport:
		m.readExports(r)
	case sectionStart:
		return errors.New("a start section runs before the module has fuel: use an exported _initialize")
	case sectionElement:
		m.readElements(r)
	case sectionCount:
		m.dataCount = r.data
		r.u32()
	case sectionCode:
		m.readCode(r)
	case sectionData:
		m.readData(r)
	case sectionTag:
		return errors.New("exceptions are not supported")
	}
	if r.err == nil && !r.done() {
		return fmt.Errorf("%d bytes too many", len(r.data)-r.at)
	}
	return r.err
}

func (m *Module) readTypes(r *reader) {
	n := r.count("types", TypesMax)
	m.types = make([]FuncType, 0, n)
	for range n {
		start := r.at
		if form := r.byte(); form != typeFunction && r.err == nil {
			r.failf("type %d is not a function type (form 0x%02x)", len(m.types), form)
		}
		t := FuncType{Params: r.valueTypes("parameters"), Results: r.valueTypes("results")}
		if r.err != nil {
			return
		}
		t.raw = r.data[start:r.at]
		m.types = append(m.types, t)
	}
}

func (r *reader) valueTypes(what string) []byte {
	n := r.count(what, TypeValuesMax)
	types := r.bytes(uint32(n))
	for _, b := range types {
		if !valueType(b) {
			r.failf("0x%02x is not a value type", b)
		}
	}
	return types
}

func (m *Module) readImports(r *reader) {
	n := r.count("imports", ImportsMax)
	for range n {
		e := importEntry{Import: Import{Module: r.name(), Name: r.name()}}
		kind := r.byte()
		switch kind {
		case externFunc:
			e.typeIndex = r.u32()
			if r.err == nil && int64(e.typeIndex) >= int64(len(m.types)) {
				r.failf("import %s.%s has no type", e.Module, e.Name)
				return
			}
			if r.err == nil {
				e.Type = m.types[e.typeIndex]
			}
		case externTable:
			r.byte()
			r.limits()
		case externMemory:
			r.limits()
		case externGlobal:
			r.skip(2)
		case externTag:
			r.byte()
			r.u32()
		default:
			r.failf("import %s.%s is of unknown kind %d", e.Module, e.Name, kind)
		}
		if r.err != nil {
			return
		}
		e.Kind = Kind(kind)
		switch e.Kind {
		case KindFunction:
			m.importedFunctions++
		case KindGlobal:
			m.importedGlobals++
		default: // refused when the module is rewritten
		}
		m.imports = append(m.imports, e)
	}
}

func (m *Module) readFunctions(r *reader) {
	n := r.count("functions", FunctionsMax-m.importedFunctions)
	m.functions = make([]uint32, n)
	for i := range m.functions {
		m.functions[i] = r.u32()
		if int64(m.functions[i]) >= int64(len(m.types)) {
			r.failf("function %d has no type", i)
			return
		}
	}
}

// limits reads the limits of a table or memory.
func (r *reader) limits() (minimum, maximum uint32, hasMax bool) {
	switch flags := r.byte(); {
	case flags&0x04 != 0:
		r.failf("64-bit memories and tables are not supported")
	case flags&0x02 != 0:
		r.failf("shared memories (threads) are not supported")
	case flags > 1:
		r.failf("limits of unknown form 0x%02x", flags)
	case flags == 1:
		hasMax = true
	}
	minimum = r.u32()
	if hasMax {
		maximum = r.u32()
		if maximum < minimum {
			r.failf("a maximum (%d) is below its minimum (%d)", maximum, minimum)
		}
	}
	return minimum, maximum, hasMax
}

func (m *Module) readTables(r *reader) {
	n := r.count("tables", TablesMax)
	for range n {
		start := r.at
		if t := r.byte(); !referenceType(t) && r.err == nil {
			r.failf("table %d holds 0x%02x, which is not a reference type of WebAssembly 2.0", len(m.tables), t)
		}
		size, _, _ := r.limits()
		if size > TableElementsMax {
			r.failf("table %d has %d elements, the limit is %d", len(m.tables), size, TableElementsMax)
		}
		if r.err != nil {
			return
		}
		m.tables = append(m.tables, r.data[start:r.at])
	}
}

func (m *Module) readMemory(r *reader) {
	n := r.u32()
	if n > 1 {
		r.failf("several memories are not supported")
	}
	if n == 0 || r.err != nil {
		return
	}
	lo, hi, hasMax := r.limits()
	if !hasMax {
		hi = MemoryPagesMax
	}
	if lo > MemoryPagesMax || hi > MemoryPagesMax {
		r.failf("a memory of more than %d pages is not possible", MemoryPagesMax)
	}
	m.memory = &memory{min: lo, max: hi, hasMax: hasMax}
}

func (m *Module) readGlobals(r *reader) {
	n := r.count("globals", GlobalsMax)
	for i := range n {
		g := global{valueType: r.byte()}
		if !valueType(g.valueType) {
			r.failf("global %d has the unknown type 0x%02x", i, g.valueType)
		}
		switch r.byte() {
		case 0:
		case 1:
			g.mutable = true
		default:
			r.failf("global %d is neither mutable nor constant", i)
		}
		if g.mutable && (g.valueType == typeV128 || referenceType(g.valueType)) {
			r.failf("global %d is a mutable %s, which a host cannot restore", i, valueTypeName(g.valueType))
		}
		g.init = m.constExpr(r)
		if r.err != nil {
			return
		}
		m.globals = append(m.globals, g)
	}
}

func (m *Module) readExports(r *reader) {
	n := r.count("exports", ExportsMax)
	for range n {
		e := Export{Name: r.name()}
		kind := r.byte()
		e.index = r.u32()
		if r.err != nil {
			return
		}
		if kind > externGlobal {
			r.failf("export %q is of unknown kind %d", e.Name, kind)
			return
		}
		e.Kind = Kind(kind)
		ok := true
		switch kind {
		case externFunc:
			e.Type, ok = m.functionType(e.index)
		case externGlobal:
			ok = int64(e.index) < int64(m.globalCount())
		}
		if !ok {
			r.failf("export %q names %s %d, which is not there", e.Name, e.Kind, e.index)
			return
		}
		m.exports = append(m.exports, e)
	}
}

func (m *Module) globalCount() int { return m.importedGlobals + len(m.globals) }

func (m *Module) readCode(r *reader) {
	n := r.count("function bodies", FunctionsMax)
	m.code = make([][]byte, 0, n)
	for i := range n {
		size := r.u32()
		if size > BodyBytesMax {
			r.failf("function %d is %d bytes long, the limit is %d", m.importedFunctions+i, size, BodyBytesMax)
		}
		body := r.bytes(size)
		if r.err != nil {
			return
		}
		m.code = append(m.code, body)
	}
}
