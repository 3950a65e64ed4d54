package fuel

// editKind says how a span of a function body is replaced.
type editKind uint8

const (
	editCharge editKind = iota // insert the charge of region value
	editReturn                 // return becomes a branch to the wrapper block, value levels up
	editCall                   // call function value (already of the new index space)
	editRef                    // ref.func value (likewise)
	editSize                   // memory.size
	editGrow                   // memory.grow
	editBulk                   // charge a bulk operation by its length, keep the instruction
	editEnd                    // the end of the function
)

// edit replaces body[from:to].
type edit struct {
	from, to int
	kind     editKind
	value    uint32
}

// body is one function body: what was read of it, and where it must change. Its slices are kept
// from function to function.
type body struct {
	module *Module
	remap  []uint32 // new index of every function
	// imports is the number of functions that stay imported: the first of the new index space.
	imports int

	params int
	locals int // parameters included
	groups int // declared groups of locals
	code   int // offset of the first group
	first  int // offset of the first instruction
	edits  []edit
	total  int    // instructions
	calls  bool   // calls another function
	bulk   bool   // has a bulk operation with a length
	floats bool   // computes with floating point
	asks   effort // of the compiler

	paths
}

// scan reads the body of a function of the given type and collects the edits.
func (b *body) scan(r *reader, t FuncType) {
	b.params, b.locals = len(t.Params), len(t.Params)
	b.edits = b.edits[:0]
	b.total, b.calls, b.bulk, b.floats, b.asks = 0, false, false, false, effort{}
	b.scanLocals(r)
	b.first = r.at
	b.paths.begin()
	b.head(r.at)
	b.step(HeadCost)
	for len(b.blocks) > 0 {
		if r.done() {
			r.fail(errTruncated)
			return
		}
		b.instruction(r)
		if r.err != nil {
			return
		}
	}
	if !r.done() {
		r.failf("%d bytes stand behind the end of the function", len(r.data)-r.at)
	}
}

func (b *body) scanLocals(r *reader) {
	b.groups = r.count("groups of locals", LocalsMax)
	b.code = r.at
	for range b.groups {
		n := r.u32()
		if int64(b.locals)+int64(n) > LocalsMax {
			r.failf("more than %d locals", LocalsMax)
		}
		if t := r.byte(); !valueType(t) {
			r.failf("a local has the unknown type 0x%02x", t)
		}
		if r.err != nil {
			return
		}
		b.locals += int(n)
	}
}

// head notes that the charge of the region that just began goes here.
func (b *body) head(at int) {
	b.edits = append(b.edits, edit{from: at, to: at, kind: editCharge, value: uint32(b.region)})
}

// instruction reads one instruction.
func (b *body) instruction(r *reader) {
	at := r.at
	op := r.byte()
	b.total++
	b.step(uint64(costs[op]))
	b.floats = b.floats || floatOps[op]
	switch kind := operands[op]; kind {
	case opNone:
		b.plain(r, op, at)
	case opBlock:
		b.blockType(r)
		if len(b.blocks) >= NestingMax {
			r.failf("blocks nest deeper than %d", NestingMax)
			return
		}
		b.open(op)
		b.asks.opened++
		if op == opcLoop {
			b.asks.loops++
			b.head(r.at)
			b.step(HeadCost)
		}
	case opLabel:
		b.label(r)
		b.dead = b.dead || op == opcBr
	case opLabels:
		for range r.count("branch targets", BodyBytesMax) {
			b.label(r)
		}
		b.label(r)
		b.dead = true
	case opFunc:
		b.function(r, op, at)
	case opCallIndirect:
		b.calls = true
		b.asks.called++
		b.index(r, "type", len(b.module.types))
		r.u32()
	case opLocal:
		b.index(r, "local", b.locals)
	case opGlobal:
		b.index(r, "global", len(b.module.globals)) // none are imported: see plan
	case opTable:
		r.u32()
	case opMemory:
		b.memoryOperand(r)
	case opMemoryByte:
		b.memorySize(r, op, at)
	case opPrefix:
		b.prefixed(r, op, at)
	case opUnknown:
		b.refuse(r, op)
	default:
		immediate(r, kind)
	}
}

// immediate skips the operands that concern nobody.
func immediate(r *reader, kind operand) {
	switch kind {
	case opI32:
		r.sleb(32)
	case opI64:
		r.sleb(64)
	case opF32:
		r.skip(4)
	case opF64:
		r.skip(8)
	case opRefType:
		if t := r.byte(); !referenceType(t) {
			r.failf("0x%02x is not a reference type of WebAssembly 2.0", t)
		}
	case opSelect:
		r.valueTypes("types of a select")
	default: // instruction deals with the others
	}
}

func (b *body) plain(r *reader, op byte, at int) {
	switch op {
	case opcEnd:
		if len(b.blocks) == 1 {
			b.edits = append(b.edits, edit{from: at, to: r.at, kind: editEnd})
		}
		b.close()
	case opcElse:
		if !b.otherwise() {
			r.failf("an else stands without its if")
		}
	case opcReturn:
		levels := uint32(len(b.blocks) - 1)
		b.edits = append(b.edits, edit{from: at, to: r.at, kind: editReturn, value: levels})
		b.dead = true
	case opcUnreachable:
		b.dead = true
	}
}

func (b *body) index(r *reader, what string, count int) uint32 {
	i := r.u32()
	if r.err == nil && int64(i) >= int64(count) {
		r.failf("%s %d is not there", what, i)
	}
	return i
}

// label reads the target of a branch. The check matters: one level more would leave the block
// that the rewriter wraps around the function, and so skip the end of the count of its depth.
func (b *body) label(r *reader) {
	b.asks.targets++
	level := b.index(r, "branch target", len(b.blocks))
	if r.err == nil {
		b.branch(int(level))
	}
}

func (b *body) blockType(r *reader) {
	if r.at < len(r.data) {
		if t := r.data[r.at]; t == blockVoid || valueType(t) {
			r.at++
			return
		}
	}
	i := r.sleb(33)
	if r.err == nil && (i < 0 || i >= int64(len(b.module.types))) {
		r.failf("block type %d is not there", i)
	}
}

func (b *body) function(r *reader, op byte, at int) {
	i := b.index(r, "function", len(b.remap))
	if r.err != nil {
		return
	}
	kind := editRef
	if op == opcCall {
		kind, b.calls = editCall, true
		b.asks.called++
		if int64(b.remap[i]) < int64(b.imports) {
			b.step(HostCallCost)
		}
	}
	b.edits = append(b.edits, edit{from: at, to: r.at, kind: kind, value: b.remap[i]})
}

func (b *body) memoryOperand(r *reader) {
	if align := r.u32(); align >= 0x40 {
		r.failf("several memories are not supported")
	}
	r.u32()
	b.needsMemory(r)
}

func (b *body) needsMemory(r *reader) {
	if b.module.memory == nil {
		r.failf("an instruction uses a memory, but the module has none")
	}
}

func (b *body) memoryByte(r *reader) {
	if r.byte() != 0 {
		r.failf("several memories are not supported")
	}
	b.needsMemory(r)
}

func (b *body) memorySize(r *reader, op byte, at int) {
	b.memoryByte(r)
	kind := editSize
	if op == opcMemoryGrow {
		kind, b.calls = editGrow, true
	}
	b.edits = append(b.edits, edit{from: at, to: r.at, kind: kind})
}

func (b *body) prefixed(r *reader, op byte, at int) {
	sub := r.u32()
	if r.err != nil {
		return
	}
	if op == opcVector {
		b.floats = b.floats || floatVector(sub)
		vector(r, b, sub)
		return
	}
	if sub == miscMemoryInit || sub == miscMemoryCopy || sub == miscMemoryFill {
		b.step(BulkCost)
	}
	switch {
	case sub <= 7: // saturating conversions
		b.floats = true
	case sub == miscMemoryInit:
		r.u32()
		b.memoryByte(r)
		b.lengthCharge(at)
	case sub == miscMemoryCopy:
		b.memoryByte(r)
		b.memoryByte(r)
		b.lengthCharge(at)
	case sub == miscMemoryFill:
		b.memoryByte(r)
		b.lengthCharge(at)
	case sub == miscTableSize:
		r.u32()
	default:
		if name, ok := refusedMisc[sub]; ok {
			r.failf("it uses %s", name)
			return
		}
		r.failf("it uses the unknown opcode 0xfc 0x%02x", sub)
	}
}

// lengthCharge inserts a charge by length in front of a bulk operation.
func (b *body) lengthCharge(at int) {
	b.bulk = true
	b.edits = append(b.edits, edit{from: at, to: at, kind: editBulk})
}

// vector reads the operands of a SIMD instruction.
func vector(r *reader, b *body, sub uint32) {
	switch {
	case sub <= 11, sub == 92, sub == 93: // loads and the store
		b.memoryOperand(r)
	case sub == vectorConst, sub == 13: // v128.const, i8x16.shuffle
		r.skip(16)
	case sub >= 21 && sub <= 34: // lanes in and out
		r.byte()
	case sub >= 84 && sub <= 91: // loads and stores of a lane
		b.memoryOperand(r)
		r.byte()
	case sub > 255:
		r.failf("it uses a relaxed SIMD instruction (0xfd 0x%02x), whose result may differ between machines", sub)
	}
}

func (b *body) refuse(r *reader, op byte) {
	if name, ok := refused[op]; ok {
		r.failf("it uses %s", name)
		return
	}
	r.failf("it uses the unknown opcode 0x%02x", op)
}
