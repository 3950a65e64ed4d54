package fuel

// constExpr reads an initializer: one constant instruction and its end.
func (m *Module) constExpr(r *reader) constExpr {
	start := r.at
	var e constExpr
	switch op := r.byte(); op {
	case opcI32Const:
		r.sleb(32)
	case opcI64Const:
		r.sleb(64)
	case opcF32Const:
		r.skip(4)
	case opcF64Const:
		r.skip(8)
	case opcVector:
		if r.u32() != vectorConst {
			r.failf("an initializer uses an instruction that is not constant")
		}
		r.skip(16)
	case opcGlobalGet:
		if i := r.u32(); int64(i) >= int64(m.globalCount()) {
			r.failf("an initializer names global %d, which is not there", i)
		}
	case opcRefNull:
		r.byte()
	case opcRefFunc:
		e.isFunction = true
		e.function = m.functionIndex(r)
	default:
		r.failf("an initializer uses opcode 0x%02x, which is not a constant of WebAssembly 2.0", op)
	}
	if end := r.byte(); end != opcEnd {
		r.failf("an initializer of more than one instruction is not supported")
	}
	if r.err == nil {
		e.raw = r.data[start:r.at]
	}
	return e
}

// functionIndex reads the index of a function.
func (m *Module) functionIndex(r *reader) uint32 {
	i := r.u32()
	if int64(i) >= int64(m.functionCount()) {
		r.failf("function %d is not there", i)
	}
	return i
}

// The bits of an element segment's flags. The kinds 0 to 7 are their combinations.
const (
	elementNotActive = 1 << 0 // passive or declarative
	elementIndex     = 1 << 1 // names its table; with elementNotActive: declarative
	elementExprs     = 1 << 2 // expressions instead of function indices
)

func (m *Module) readElements(r *reader) {
	n := r.count("element segments", SegmentsMax)
	left := TableElementsMax
	for i := range n {
		var s elementSegment
		s.flags = r.u32()
		if s.flags > 7 {
			r.failf("element segment %d is of unknown kind %d", i, s.flags)
		}
		if s.flags&elementNotActive == 0 {
			if s.flags&elementIndex != 0 {
				s.table = r.u32()
			}
			s.offset = m.constExpr(r)
		}
		if s.flags&(elementNotActive|elementIndex) != 0 {
			s.kind, s.hasKind = r.byte(), true
		}
		entries := r.count("elements", left)
		left -= entries
		for range entries {
			if s.flags&elementExprs != 0 {
				s.exprs = append(s.exprs, m.constExpr(r))
			} else {
				s.functions = append(s.functions, m.functionIndex(r))
			}
			if r.err != nil {
				return
			}
		}
		if r.err != nil {
			return
		}
		m.elements = append(m.elements, s)
	}
}

func (m *Module) readData(r *reader) {
	n := r.count("data segments", SegmentsMax)
	for i := range n {
		start := r.at
		switch flags := r.u32(); flags {
		case 0:
			m.constExpr(r)
		case 1:
		case 2:
			if r.u32() != 0 {
				r.failf("several memories are not supported")
			}
			m.constExpr(r)
		default:
			r.failf("data segment %d is of unknown kind %d", i, flags)
		}
		r.bytes(r.u32())
		if r.err != nil {
			return
		}
		m.data = append(m.data, r.data[start:r.at])
	}
}
