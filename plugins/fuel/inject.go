package fuel

// Cause tells why a call ended in a trap.
type Cause uint8

// The causes of a trap.
const (
	// CauseGuest: the module itself trapped (unreachable, division by zero, a bad address).
	CauseGuest Cause = iota
	// CauseFuel: the unit of work used up its fuel.
	CauseFuel
	// CauseDepth: calls were nested too deep.
	CauseDepth
	// CauseCursor: begin was called out of order, or for a unit that the call does not have.
	CauseCursor
	// CausePool: the units of the call together used up its pool. Fewer units at once will do.
	CausePool
	// CauseMemory: the module itself trapped after memory.grow had no room left.
	CauseMemory
)

// String names the cause as it stands in a report.
func (c Cause) String() string {
	names := [...]string{"guest", "fuel", "depth", "cursor", "pool", "memory"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// CauseOf reads the cause of a trap from the values that the globals have after it. Fuel and
// depth are checked as soon as they are taken, so one below zero is always the cause.
func CauseOf(fuel, depth int64, trap int32) Cause {
	switch {
	case fuel < 0:
		return CauseFuel
	case depth < 0:
		return CauseDepth
	case trap == trapPool:
		return CausePool
	case trap == trapCursor:
		return CauseCursor
	case trap == trapMemory:
		return CauseMemory
	}
	return CauseGuest
}

// Values of the global __trap.
const (
	trapCursor = 1
	trapPool   = 2
	// trapMemory is only noted: a module may live with a memory.grow that fails.
	trapMemory = 3
)

// frameWeight is the depth that a call of the function takes. A native frame has at most one slot
// for each value that the function computes, so functions beyond frameValues count more.
func frameWeight(b *body) int64 { return 1 + int64(b.total+b.locals)/frameValues }

// writeBody writes a body with its edits applied. The layout is
//
//	locals, one or two i64 and perhaps an i32 more
//	charge of the entry: fuel, and depth if the function calls others
//	block (results)            only if the function calls others
//	  the instructions; return is a branch to this block
//	end, depth given back      only if the function calls others
//	end
//
// so that every way out, falling off the end included, gives the depth back.
func (w *rewriter) writeBody(o *writer, b *body, raw []byte, t FuncType) {
	fuelLocal := uint32(b.locals)
	depthLocal, lengthLocal := fuelLocal+1, fuelLocal+1
	groups, longs := b.groups+1, uint32(1)
	if b.calls {
		longs++
		lengthLocal++
	}
	if b.bulk {
		groups++
	}
	o.u32(uint32(groups))
	o.bytes(raw[b.code:b.first])
	o.u32(longs)
	o.raw(typeI64)
	if b.bulk {
		o.raw(1, typeI32)
	}
	from := b.first
	for _, e := range b.edits {
		o.bytes(raw[from:e.from])
		from = e.to
		switch e.kind {
		case editCharge:
			if e.value != 0 || !b.calls {
				w.charge(o, int64(b.regions[e.value]), fuelLocal)
				break
			}
			w.chargeEntry(o, int64(b.regions[0]), frameWeight(b), fuelLocal, depthLocal)
			o.raw(opcBlock)
			w.resultType(o, t)
		case editReturn:
			if b.calls {
				o.op(opcBr, e.value)
			} else {
				o.raw(opcReturn)
			}
		case editCall:
			o.op(opcCall, e.value)
		case editRef:
			o.op(opcRefFunc, e.value)
		case editSize:
			o.op(opcGlobalGet, w.globals.pages)
		case editGrow:
			o.op(opcCall, w.grow)
		case editBulk:
			w.chargeLength(o, fuelLocal, lengthLocal)
		case editEnd:
			if b.calls {
				w.leave(o, frameWeight(b))
			}
			o.raw(opcEnd)
		}
	}
}

// resultType writes the block type of a block that takes nothing and leaves the results.
func (w *rewriter) resultType(o *writer, t FuncType) {
	switch len(t.Results) {
	case 0:
		o.raw(blockVoid)
	case 1:
		o.raw(t.Results[0])
	default:
		o.sleb(int64(w.typeIndex(nil, t.Results)))
	}
}

// charge takes a constant from the fuel and traps when that was too much.
func (w *rewriter) charge(o *writer, cost int64, local uint32) {
	w.take(o, w.globals.fuel, cost, local)
	o.op(opcLocalGet, local)
	trapIfNegative(o)
}

// chargeEntry takes fuel and depth, and traps when either is below zero.
func (w *rewriter) chargeEntry(o *writer, cost, weight int64, fuelLocal, depthLocal uint32) {
	w.take(o, w.globals.fuel, cost, fuelLocal)
	w.take(o, w.globals.depth, weight, depthLocal)
	o.op(opcLocalGet, fuelLocal)
	o.op(opcLocalGet, depthLocal)
	o.raw(opcI64Or) // negative if one of the two is
	trapIfNegative(o)
}

// take subtracts a constant from a global and leaves the rest in a local.
func (w *rewriter) take(o *writer, global uint32, amount int64, local uint32) {
	o.op(opcGlobalGet, global)
	o.i64(amount)
	o.raw(opcI64Sub)
	o.op(opcLocalTee, local)
	o.op(opcGlobalSet, global)
}

// trapIfNegative takes an i64 from the stack.
func trapIfNegative(o *writer) {
	o.i64(0)
	o.raw(opcI64LtS, opcIf, blockVoid, opcUnreachable, opcEnd)
}

// leave closes the wrapper block and gives the depth back. The results stay on the stack below.
func (w *rewriter) leave(o *writer, weight int64) {
	o.raw(opcEnd)
	o.op(opcGlobalGet, w.globals.depth)
	o.i64(weight)
	o.raw(opcI64Add)
	o.op(opcGlobalSet, w.globals.depth)
}

// chargeLength charges for the length on top of the stack and leaves it there.
func (w *rewriter) chargeLength(o *writer, fuelLocal, lengthLocal uint32) {
	o.op(opcLocalSet, lengthLocal)
	o.op(opcGlobalGet, w.globals.fuel)
	o.op(opcLocalGet, lengthLocal)
	o.raw(opcI64ExtendU)
	o.i64(bulkShift)
	o.raw(opcI64ShrU, opcI64Sub)
	o.op(opcLocalTee, fuelLocal)
	o.op(opcGlobalSet, w.globals.fuel)
	o.op(opcLocalGet, fuelLocal)
	trapIfNegative(o)
	o.op(opcLocalGet, lengthLocal)
}

// writeBegin writes the function that replaces the import begin(index i32): the index must be
// above the last and below the number of units.
func (w *rewriter) writeBegin(o *writer) {
	g := w.globals
	o.raw(1, 1, typeI64) // one local: the pool
	o.op(opcLocalGet, 0)
	o.op(opcGlobalGet, g.cursor)
	o.raw(opcI32LeS)
	o.op(opcLocalGet, 0)
	o.op(opcGlobalGet, g.units)
	o.raw(opcI32GeS, opcI32Or)
	w.trapWith(o, trapCursor)

	o.op(opcLocalGet, 0)
	o.op(opcGlobalSet, g.first)
	o.op(opcLocalGet, 0)
	o.op(opcGlobalSet, g.cursor)
	o.op(opcGlobalGet, g.begun)
	o.i32(1)
	o.raw(opcI32Add)
	o.op(opcGlobalSet, g.begun)
	w.refill(o, 1)
	o.raw(opcEnd)
}

// writeBeginMany writes the function that replaces the import begin_many(index i32, count i32): the
// units from index on, of which there is one at least, must be above the last and among the units.
// Together they get the fuel of one, so what they may do together, each of them may do alone.
func (w *rewriter) writeBeginMany(o *writer) {
	g := w.globals
	o.raw(1, 1, typeI64)
	o.op(opcLocalGet, 0)
	o.op(opcGlobalGet, g.cursor)
	o.raw(opcI32LeS)
	o.op(opcLocalGet, 1)
	o.i32(1)
	o.raw(opcI32LtS, opcI32Or)
	o.op(opcLocalGet, 1)
	o.op(opcGlobalGet, g.units)
	o.op(opcLocalGet, 0)
	o.raw(opcI32Sub, opcI32GtS, opcI32Or) // a number below zero where index is too large
	w.trapWith(o, trapCursor)

	o.op(opcLocalGet, 0)
	o.op(opcGlobalSet, g.first)
	o.op(opcLocalGet, 0)
	o.op(opcLocalGet, 1)
	o.raw(opcI32Add)
	o.i32(1)
	o.raw(opcI32Sub)
	o.op(opcGlobalSet, g.cursor)
	o.op(opcGlobalGet, g.begun)
	o.op(opcLocalGet, 1)
	o.raw(opcI32Add)
	o.op(opcGlobalSet, g.begun)
	w.refill(o, 2)
	o.raw(opcEnd)
}

// refill gives what is left of the fuel back to the pool, and the unit that begins its share of it.
func (w *rewriter) refill(o *writer, poolLocal uint32) {
	g := w.globals
	o.op(opcGlobalGet, g.pool)
	o.op(opcGlobalGet, g.fuel)
	o.raw(opcI64Add)
	o.op(opcGlobalGet, g.perUnit)
	o.raw(opcI64Sub)
	o.op(opcLocalTee, poolLocal)
	o.op(opcGlobalSet, g.pool)
	o.op(opcLocalGet, poolLocal)
	o.i64(0)
	o.raw(opcI64LtS)
	w.trapWith(o, trapPool)

	o.op(opcGlobalGet, g.perUnit)
	o.op(opcGlobalSet, g.fuel)
}

// trapWith traps with a cause if the i32 on the stack is not zero.
func (w *rewriter) trapWith(o *writer, cause int32) {
	o.raw(opcIf, blockVoid)
	o.i32(cause)
	o.op(opcGlobalSet, w.globals.trap)
	o.raw(opcUnreachable, opcEnd)
}

// writeGrow writes the function that stands for memory.grow: it moves __pages within the declared
// size, returns the size before, or -1 when there is no room.
func (w *rewriter) writeGrow(o *writer) {
	g := w.globals
	o.raw(1, 1, typeI64)
	w.charge(o, GrowCost, 1)
	o.op(opcLocalGet, 0)
	o.i32(int32(w.pages))
	o.op(opcGlobalGet, g.pages)
	o.raw(opcI32Sub, opcI32GtU, opcIf, typeI32)
	o.i32(trapMemory)
	o.op(opcGlobalSet, g.trap)
	o.i32(-1)
	o.raw(opcElse)
	o.op(opcGlobalGet, g.pages) // the result
	o.op(opcGlobalGet, g.pages)
	o.op(opcLocalGet, 0)
	o.raw(opcI32Add)
	o.op(opcGlobalSet, g.pages)
	o.raw(opcEnd, opcEnd)
}
