// Package wasmtest assembles small WebAssembly modules for tests.
//
// It is an assembler without opinions: nothing is checked, so that invalid modules can be made as
// well as valid ones.
package wasmtest

import "slices"

// Value types.
const (
	I32  byte = 0x7f
	I64  byte = 0x7e
	F64  byte = 0x7c
	V128 byte = 0x7b
)

// The opcodes that tests use, named as in the text format.
const (
	Unreachable byte = 0x00
	Nop         byte = 0x01
	Void        byte = 0x40 // block type without a result
	Else        byte = 0x05
	End         byte = 0x0b
	Return      byte = 0x0f
	Drop        byte = 0x1a
	Select      byte = 0x1b
	I32Eqz      byte = 0x45
	I32Eq       byte = 0x46
	I32LtU      byte = 0x49
	I32GtU      byte = 0x4b
	I32Add      byte = 0x6a
	I32Sub      byte = 0x6b
	I32Mul      byte = 0x6c
	I32DivU     byte = 0x6e
	I64Add      byte = 0x7c
	I64Mul      byte = 0x7e
	I64Eqz      byte = 0x50
	I64Sub      byte = 0x7d
	I64ExtendU  byte = 0xad
)

// Sig is the signature of a function.
type Sig struct{ Params, Results []byte }

// Func is a function that a module defines. Code ends with its own End.
type Func struct {
	Sig    Sig
	Locals []byte
	Code   []byte
	// RawLocals stands in the place of the locals as it is, if it is not nil.
	RawLocals []byte
}

// Import is an imported function.
type Import struct {
	Module, Name string
	Sig          Sig
}

// Global is a global variable; Init is an initializer with its End.
type Global struct {
	Type    byte
	Mutable bool
	Init    []byte
}

// Export exports item Index of a kind (0 function, 1 table, 2 memory, 3 global).
type Export struct {
	Name  string
	Kind  byte
	Index uint32
}

// Data is an active data segment.
type Data struct {
	Offset int32
	Bytes  []byte
}

// Module is a module to be assembled. MemoryMin and MemoryMax are pages; a MemoryMax of zero
// declares none, a negative MemoryMin makes no memory.
type Module struct {
	Imports              []Import
	Funcs                []Func
	Table                []uint32 // functions in table 0
	MemoryMin, MemoryMax int
	Globals              []Global
	Exports              []Export
	Data                 []Data
	Custom               map[string][]byte
	Raw                  []byte // appended as it is
}

// Bytes assembles the module.
func (m *Module) Bytes() []byte {
	var types []Sig
	index := func(s Sig) uint32 {
		for i, t := range types {
			if slices.Equal(t.Params, s.Params) && slices.Equal(t.Results, s.Results) {
				return uint32(i)
			}
		}
		types = append(types, s)
		return uint32(len(types) - 1)
	}
	for _, i := range m.Imports {
		index(i.Sig)
	}
	for _, f := range m.Funcs {
		index(f.Sig)
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = section(out, 1, vector(types, func(t Sig) []byte {
		return Cat([]byte{0x60}, bytesOf(t.Params), bytesOf(t.Results))
	}))
	if len(m.Imports) > 0 {
		out = section(out, 2, vector(m.Imports, func(i Import) []byte {
			return Cat(bytesOf([]byte(i.Module)), bytesOf([]byte(i.Name)), []byte{0}, U32(index(i.Sig)))
		}))
	}
	out = section(out, 3, vector(m.Funcs, func(f Func) []byte { return U32(index(f.Sig)) }))
	if m.Table != nil {
		out = section(out, 4, Cat([]byte{1, 0x70, 0}, U32(uint32(len(m.Table)))))
	}
	out = m.memory(out)
	if len(m.Globals) > 0 {
		out = section(out, 6, vector(m.Globals, func(g Global) []byte {
			mutable := byte(0)
			if g.Mutable {
				mutable = 1
			}
			return Cat([]byte{g.Type, mutable}, g.Init)
		}))
	}
	if len(m.Exports) > 0 {
		out = section(out, 7, vector(m.Exports, func(e Export) []byte {
			return Cat(bytesOf([]byte(e.Name)), []byte{e.Kind}, U32(e.Index))
		}))
	}
	if m.Table != nil {
		out = section(out, 9, Cat([]byte{1, 0}, I32Const(0), []byte{End}, vector(m.Table, U32)))
	}
	return m.rest(out)
}

func (m *Module) memory(out []byte) []byte {
	switch {
	case m.MemoryMin < 0:
		return out
	case m.MemoryMax > 0:
		return section(out, 5, Cat([]byte{1, 1}, U32(uint32(m.MemoryMin)), U32(uint32(m.MemoryMax))))
	}
	return section(out, 5, Cat([]byte{1, 0}, U32(uint32(m.MemoryMin))))
}

func (m *Module) rest(out []byte) []byte {
	out = section(out, 10, vector(m.Funcs, func(f Func) []byte {
		locals := vector(f.Locals, func(t byte) []byte { return []byte{1, t} })
		if f.RawLocals != nil {
			locals = f.RawLocals
		}
		return bytesOf(Cat(locals, f.Code))
	}))
	if len(m.Data) > 0 {
		out = section(out, 11, vector(m.Data, func(d Data) []byte {
			return Cat([]byte{0}, I32Const(d.Offset), []byte{End}, bytesOf(d.Bytes))
		}))
	}
	for name, data := range m.Custom {
		out = section(out, 0, Cat(bytesOf([]byte(name)), data))
	}
	return append(out, m.Raw...)
}

func section(out []byte, id byte, content []byte) []byte {
	return append(append(out, id), bytesOf(content)...)
}

func bytesOf(b []byte) []byte { return append(U32(uint32(len(b))), b...) }

func vector[T any](items []T, f func(T) []byte) []byte {
	out := U32(uint32(len(items)))
	for _, i := range items {
		out = append(out, f(i)...)
	}
	return out
}

// Section is a section of any kind, for [Module.Raw].
func Section(id byte, content []byte) []byte { return section(nil, id, content) }

// Cat joins code.
func Cat(parts ...[]byte) []byte { return slices.Concat(parts...) }

// Op is opcodes as they are.
func Op(b ...byte) []byte { return b }

// U32 is an unsigned LEB128 number.
func U32(v uint32) []byte {
	var b []byte
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func sleb(v int64) []byte {
	var b []byte
	for {
		c := byte(v) & 0x7f
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func indexed(op byte, i uint32) []byte { return append([]byte{op}, U32(i)...) }

// I32Const is i32.const.
func I32Const(v int32) []byte { return append([]byte{0x41}, sleb(int64(v))...) }

// I64Const is i64.const.
func I64Const(v int64) []byte { return append([]byte{0x42}, sleb(v)...) }

// Call is call.
func Call(i uint32) []byte { return indexed(0x10, i) }

// LocalGet is local.get.
func LocalGet(i uint32) []byte { return indexed(0x20, i) }

// LocalSet is local.set.
func LocalSet(i uint32) []byte { return indexed(0x21, i) }

// LocalTee is local.tee.
func LocalTee(i uint32) []byte { return indexed(0x22, i) }

// GlobalGet is global.get.
func GlobalGet(i uint32) []byte { return indexed(0x23, i) }

// GlobalSet is global.set.
func GlobalSet(i uint32) []byte { return indexed(0x24, i) }

// Br is br.
func Br(i uint32) []byte { return indexed(0x0c, i) }

// BrIf is br_if.
func BrIf(i uint32) []byte { return indexed(0x0d, i) }

// Block is a block with a block type, closed.
func Block(blockType byte, code ...[]byte) []byte {
	return Cat([]byte{0x02, blockType}, Cat(code...), []byte{End})
}

// Loop is a loop, closed.
func Loop(blockType byte, code ...[]byte) []byte {
	return Cat([]byte{0x03, blockType}, Cat(code...), []byte{End})
}

// If is an if without else, closed.
func If(blockType byte, code ...[]byte) []byte {
	return Cat([]byte{0x04, blockType}, Cat(code...), []byte{End})
}

// Load32 is i32.load at an offset.
func Load32(offset uint32) []byte { return append([]byte{0x28, 2}, U32(offset)...) }

// Load64 is i64.load at an offset.
func Load64(offset uint32) []byte { return append([]byte{0x29, 3}, U32(offset)...) }

// Store32 is i32.store at an offset.
func Store32(offset uint32) []byte { return append([]byte{0x36, 2}, U32(offset)...) }

// Store64 is i64.store at an offset.
func Store64(offset uint32) []byte { return append([]byte{0x37, 3}, U32(offset)...) }

// MemorySize is memory.size.
func MemorySize() []byte { return []byte{0x3f, 0} }

// MemoryGrow is memory.grow.
func MemoryGrow() []byte { return []byte{0x40, 0} }

// MemoryFill is memory.fill.
func MemoryFill() []byte { return []byte{0xfc, 11, 0} }

// MemoryCopy is memory.copy.
func MemoryCopy() []byte { return []byte{0xfc, 10, 0, 0} }
