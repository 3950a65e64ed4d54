package fuel

// writer appends a module's binary form.
type writer struct {
	b []byte
}

func (w *writer) raw(p ...byte)  { w.b = append(w.b, p...) }
func (w *writer) bytes(p []byte) { w.b = append(w.b, p...) }

func (w *writer) u32(v uint32) {
	for v >= 0x80 {
		w.b = append(w.b, byte(v)|0x80)
		v >>= 7
	}
	w.b = append(w.b, byte(v))
}

func (w *writer) sleb(v int64) {
	for {
		b := byte(v) & 0x7f
		v >>= 7
		if (v == 0 && b&0x40 == 0) || (v == -1 && b&0x40 != 0) {
			w.b = append(w.b, b)
			return
		}
		w.b = append(w.b, b|0x80)
	}
}

func (w *writer) name(s string) {
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

// vec writes a length-prefixed byte string.
func (w *writer) vec(p []byte) {
	w.u32(uint32(len(p)))
	w.bytes(p)
}

// op writes an opcode with one index.
func (w *writer) op(opcode byte, index uint32) {
	w.b = append(w.b, opcode)
	w.u32(index)
}

func (w *writer) i32(v int32) {
	w.b = append(w.b, opcI32Const)
	w.sleb(int64(v))
}

func (w *writer) i64(v int64) {
	w.b = append(w.b, opcI64Const)
	w.sleb(v)
}

// section writes a section with the content that f writes.
func (w *writer) section(id byte, f func(*writer)) {
	var content writer
	f(&content)
	w.b = append(w.b, id)
	w.vec(content.b)
}

// AppendCustomSection returns the module's bytes with a custom section at their end. Custom
// sections may stand anywhere in a module. The bytes given stay as they are.
func AppendCustomSection(wasm []byte, name string, data []byte) []byte {
	w := writer{b: make([]byte, 0, len(wasm)+len(name)+len(data)+16)}
	w.bytes(wasm)
	w.section(sectionCustom, func(o *writer) {
		o.name(name)
		o.bytes(data)
	})
	return w.b
}
