package fuel

import "fmt"

// sections writes all sections in order. The code comes first in time, since wrapping bodies may
// add function types.
func (w *rewriter) sections() error {
	beginType := w.typeIndex([]byte{typeI32}, nil)
	manyType := w.typeIndex([]byte{typeI32, typeI32}, nil)
	growType := w.typeIndex([]byte{typeI32}, []byte{typeI32})
	code, err := w.code()
	if err != nil {
		return err
	}
	m := w.m
	w.out.section(sectionType, func(o *writer) {
		o.u32(uint32(len(w.types)))
		for i := range w.types {
			o.bytes(w.types[i].raw)
		}
	})
	if len(w.kept) > 0 {
		w.out.section(sectionImport, w.writeImports)
	}
	w.out.section(sectionFunction, func(o *writer) {
		o.u32(uint32(len(m.functions) + w.addedFunctions()))
		for _, t := range m.functions {
			o.u32(t)
		}
		o.u32(beginType)
		o.u32(manyType)
		if m.memory != nil {
			o.u32(growType)
		}
	})
	writeVector(&w.out, sectionTable, m.tables)
	if m.memory != nil {
		w.out.section(sectionMemory, func(o *writer) {
			o.raw(1, 1)
			o.u32(w.pages)
			o.u32(w.pages)
		})
	}
	w.out.section(sectionGlobal, w.writeGlobals)
	w.out.section(sectionExport, w.writeExports)
	if len(m.elements) > 0 {
		w.out.section(sectionElement, w.writeElements)
	}
	if m.dataCount != nil {
		w.out.section(sectionCount, func(o *writer) { o.bytes(m.dataCount) })
	}
	w.out.raw(sectionCode)
	w.out.vec(code)
	writeVector(&w.out, sectionData, m.data)
	return nil
}

// addedFunctions counts begin and begin_many, and memory.grow where there is a memory.
func (w *rewriter) addedFunctions() int {
	if w.m.memory == nil {
		return 2
	}
	return 3
}

// writeVector writes a section whose elements are copied as they are.
func writeVector(out *writer, id byte, elements [][]byte) {
	if len(elements) == 0 {
		return
	}
	out.section(id, func(o *writer) {
		o.u32(uint32(len(elements)))
		for _, e := range elements {
			o.bytes(e)
		}
	})
}

func (w *rewriter) writeImports(o *writer) {
	o.u32(uint32(len(w.kept)))
	for _, i := range w.kept {
		e := &w.m.imports[i]
		o.name(e.Module)
		o.name(e.Name)
		o.raw(externFunc)
		o.u32(e.typeIndex)
	}
}

func (w *rewriter) writeGlobals(o *writer) {
	o.u32(uint32(len(w.m.globals)) + 10)
	for i := range w.m.globals {
		g := &w.m.globals[i]
		mutable := byte(0)
		if g.mutable {
			mutable = 1
		}
		o.raw(g.valueType, mutable)
		w.writeConst(o, g.init)
	}
	pages := uint32(0)
	if w.m.memory != nil {
		pages = w.m.memory.min
	}
	// The order is that of planGlobals. Everything starts at zero, so an instance that nobody
	// gave fuel to can do nothing.
	for _, t := range [...]byte{typeI64, typeI64, typeI64, typeI32, typeI32, typeI32, typeI64, typeI32} {
		o.raw(t, 1)
		if t == typeI64 {
			o.i64(0)
		} else {
			o.i32(0)
		}
		o.raw(opcEnd)
	}
	for _, v := range [...]int32{int32(pages), 0} {
		o.raw(typeI32, 1)
		o.i32(v)
		o.raw(opcEnd)
	}
}

func (w *rewriter) writeExports(o *writer) {
	names := [...]struct {
		name  string
		index uint32
	}{
		{GlobalFuel, w.globals.fuel},
		{GlobalFuelPerUnit, w.globals.perUnit},
		{GlobalPool, w.globals.pool},
		{GlobalCursor, w.globals.cursor},
		{GlobalFirst, w.globals.first},
		{GlobalUnits, w.globals.units},
		{GlobalDepth, w.globals.depth},
		{GlobalTrap, w.globals.trap},
		{GlobalPages, w.globals.pages},
		{GlobalBegun, w.globals.begun},
	}
	o.u32(uint32(len(w.m.exports) + len(names) + len(w.state) - 1))
	for _, e := range w.m.exports {
		o.name(e.Name)
		o.raw(byte(e.Kind))
		index := e.index
		if e.Kind == KindFunction {
			index = w.remap[index]
		}
		o.u32(index)
	}
	for _, n := range names {
		o.name(n.name)
		o.raw(externGlobal)
		o.u32(n.index)
	}
	for i := range w.m.globals {
		if w.m.globals[i].mutable {
			o.name(stateName(i))
			o.raw(externGlobal)
			o.u32(uint32(i))
		}
	}
}

func (w *rewriter) writeConst(o *writer, e constExpr) {
	if !e.isFunction {
		o.bytes(e.raw)
		return
	}
	o.op(opcRefFunc, w.remap[e.function])
	o.raw(opcEnd)
}

func (w *rewriter) writeElements(o *writer) {
	o.u32(uint32(len(w.m.elements)))
	for i := range w.m.elements {
		s := &w.m.elements[i]
		o.u32(s.flags)
		if s.flags&elementNotActive == 0 {
			if s.flags&elementIndex != 0 {
				o.u32(s.table)
			}
			w.writeConst(o, s.offset)
		}
		if s.hasKind {
			o.raw(s.kind)
		}
		if s.flags&elementExprs != 0 {
			o.u32(uint32(len(s.exprs)))
			for _, e := range s.exprs {
				w.writeConst(o, e)
			}
			continue
		}
		o.u32(uint32(len(s.functions)))
		for _, f := range s.functions {
			o.u32(w.remap[f])
		}
	}
}

// code rewrites all bodies and adds those of the added functions.
func (w *rewriter) code() ([]byte, error) {
	m := w.m
	out := writer{b: make([]byte, 0, m.size+m.size/4)}
	out.u32(uint32(len(m.functions) + w.addedFunctions()))
	b := &body{module: m, remap: w.remap, imports: len(w.kept)}
	var scratch writer
	for i, raw := range m.code {
		t := m.types[m.functions[i]]
		r := &reader{data: raw}
		b.scan(r, t)
		err := r.err
		if err == nil {
			err = w.spend(b)
		}
		if err != nil {
			return nil, fmt.Errorf("function %d is not acceptable: %w", m.importedFunctions+i, err)
		}
		scratch.b = scratch.b[:0]
		w.writeBody(&scratch, b, raw, t)
		out.vec(scratch.b)
	}
	scratch.b = scratch.b[:0]
	w.writeBegin(&scratch)
	out.vec(scratch.b)
	scratch.b = scratch.b[:0]
	w.writeBeginMany(&scratch)
	out.vec(scratch.b)
	if m.memory != nil {
		scratch.b = scratch.b[:0]
		w.writeGrow(&scratch)
		out.vec(scratch.b)
	}
	return out.b, nil
}
