package fuel

// operand says what follows an opcode.
type operand uint8

const (
	opUnknown operand = iota
	opNone
	opBlock        // block type
	opLabel        // label index
	opLabels       // vector of label indices and one more
	opFunc         // function index
	opCallIndirect // type index, table index
	opLocal        // local index
	opGlobal       // global index
	opTable        // table index
	opMemory       // alignment, offset
	opMemoryByte   // reserved memory index
	opI32          // signed number of 32 bits
	opI64          // signed number of 64 bits
	opF32          // four bytes
	opF64          // eight bytes
	opRefType      // reference type
	opSelect       // vector of value types
	opPrefix       // another opcode
)

// The opcodes that the rewriter looks at or emits.
const (
	opcUnreachable  = 0x00
	opcBlock        = 0x02
	opcLoop         = 0x03
	opcIf           = 0x04
	opcElse         = 0x05
	opcEnd          = 0x0b
	opcBr           = 0x0c
	opcReturn       = 0x0f
	opcCall         = 0x10
	opcCallIndirect = 0x11
	opcLocalGet     = 0x20
	opcLocalSet     = 0x21
	opcLocalTee     = 0x22
	opcGlobalGet    = 0x23
	opcGlobalSet    = 0x24
	opcMemorySize   = 0x3f
	opcMemoryGrow   = 0x40
	opcI32Const     = 0x41
	opcI64Const     = 0x42
	opcF32Const     = 0x43
	opcF64Const     = 0x44
	opcI32LtS       = 0x48
	opcI32GtS       = 0x4a
	opcI32LeS       = 0x4c
	opcI32GtU       = 0x4b
	opcI32GeS       = 0x4e
	opcI64LtS       = 0x53
	opcI32Add       = 0x6a
	opcI32Sub       = 0x6b
	opcI32Or        = 0x72
	opcI64Add       = 0x7c
	opcI64Sub       = 0x7d
	opcI64Or        = 0x84
	opcI64ExtendU   = 0xad
	opcI64ShrU      = 0x88
	opcRefNull      = 0xd0
	opcRefFunc      = 0xd2
	opcMisc         = 0xfc
	opcVector       = 0xfd

	miscMemoryInit  = 8
	miscMemoryCopy  = 10
	miscMemoryFill  = 11
	miscTableSize   = 16
	vectorConst     = 12
	blockVoid       = 0x40
	typeI32         = 0x7f
	typeI64         = 0x7e
	typeF32         = 0x7d
	typeF64         = 0x7c
	typeV128        = 0x7b
	typeFuncref     = 0x70
	typeExternref   = 0x6f
	typeFunction    = 0x60
	externFunc      = 0
	externTable     = 1
	externMemory    = 2
	externGlobal    = 3
	externTag       = 4
	sectionCustom   = 0
	sectionType     = 1
	sectionImport   = 2
	sectionFunction = 3
	sectionTable    = 4
	sectionMemory   = 5
	sectionGlobal   = 6
	sectionExport   = 7
	sectionStart    = 8
	sectionElement  = 9
	sectionCode     = 10
	sectionData     = 11
	sectionCount    = 12
	sectionTag      = 13
)

// operands holds the operand of every opcode of one byte that a module may use.
var operands = makeOperands()

func makeOperands() (t [256]operand) {
	set := func(from, to int, o operand) {
		for i := from; i <= to; i++ {
			t[i] = o
		}
	}
	set(0x00, 0x01, opNone)  // unreachable, nop
	set(0x02, 0x04, opBlock) // block, loop, if
	t[opcElse], t[opcEnd] = opNone, opNone
	set(0x0c, 0x0d, opLabel) // br, br_if
	t[0x0e] = opLabels       // br_table
	t[opcReturn] = opNone
	t[opcCall], t[opcCallIndirect] = opFunc, opCallIndirect
	set(0x1a, 0x1b, opNone) // drop, select
	t[0x1c] = opSelect
	set(0x20, 0x22, opLocal)
	set(0x23, 0x24, opGlobal)
	t[0x25] = opTable         // table.get
	set(0x28, 0x3e, opMemory) // loads and stores
	set(0x3f, 0x40, opMemoryByte)
	t[opcI32Const], t[opcI64Const], t[opcF32Const], t[opcF64Const] = opI32, opI64, opF32, opF64
	set(0x45, 0xc4, opNone) // comparisons, arithmetic, conversions, sign extension
	t[opcRefNull], t[0xd1], t[opcRefFunc] = opRefType, opNone, opFunc
	t[opcMisc], t[opcVector] = opPrefix, opPrefix
	return t
}

// refused names the opcodes that are known but not accepted, with the reason.
var refused = map[byte]string{
	0x06: "try (exceptions)", 0x07: "catch (exceptions)", 0x08: "throw (exceptions)",
	0x09: "rethrow (exceptions)", 0x0a: "throw_ref (exceptions)", 0x18: "delegate (exceptions)",
	0x19: "catch_all (exceptions)", 0x1f: "try_table (exceptions)",
	0x12: "return_call (tail calls)", 0x13: "return_call_indirect (tail calls)",
	0x14: "call_ref (typed function references)", 0x15: "return_call_ref (tail calls)",
	0xd4: "ref.as_non_null (typed function references)", 0xd5: "br_on_null (typed function references)",
	0xd6: "br_on_non_null (typed function references)",
	0x26: "table.set, which changes a table behind the back of a snapshot",
	0xfb: "an instruction of the garbage collection proposal",
	0xfe: "an atomic instruction (threads)",
}

// refusedMisc names the refused opcodes behind the prefix 0xfc.
var refusedMisc = map[uint32]string{
	9:  "data.drop, which changes data behind the back of a snapshot",
	12: "table.init, which changes a table behind the back of a snapshot",
	13: "elem.drop, which changes data behind the back of a snapshot",
	14: "table.copy, which changes a table behind the back of a snapshot",
	15: "table.grow, which changes a table behind the back of a snapshot",
	17: "table.fill, which changes a table behind the back of a snapshot",
	18: "memory.discard (memory control)",
	19: "i64.add128 (wide arithmetic)", 20: "i64.sub128 (wide arithmetic)",
	21: "i64.mul_wide_s (wide arithmetic)", 22: "i64.mul_wide_u (wide arithmetic)",
}

func valueType(b byte) bool {
	switch b {
	case typeI32, typeI64, typeF32, typeF64, typeV128, typeFuncref, typeExternref:
		return true
	}
	return false
}

func referenceType(b byte) bool { return b == typeFuncref || b == typeExternref }

func valueTypeName(b byte) string {
	switch b {
	case typeI32:
		return "i32"
	case typeI64:
		return "i64"
	case typeF32:
		return "f32"
	case typeF64:
		return "f64"
	case typeV128:
		return "v128"
	case typeFuncref:
		return "funcref"
	case typeExternref:
		return "externref"
	}
	return "unknown"
}
