package fuel

import "fmt"

// FloatFunctions returns the indices of the functions that compute with floating
// point numbers, in their order: that load, store, compare, convert or make them,
// alone or in vectors. What a function is called by counts too; an unused function
// is one as well.
//
// # Errors
//
// A function body that a rewriting would refuse.
func (m *Module) FloatFunctions() ([]int, error) {
	w := &rewriter{m: m, options: Options{MemoryPagesMax: 1 << 16}}
	if err := w.plan(); err != nil {
		return nil, err
	}
	b := &body{module: m, remap: w.remap, imports: len(w.kept)}
	var found []int
	for i, raw := range m.code {
		r := &reader{data: raw}
		b.scan(r, m.types[m.functions[i]])
		if r.err != nil {
			return nil, fmt.Errorf("function %d is not acceptable: %w", m.importedFunctions+i, r.err)
		}
		if b.floats {
			found = append(found, m.importedFunctions+i)
		}
	}
	return found, nil
}

// floatOps are the opcodes of one byte that have to do with floating point.
var floatOps = makeFloatOps()

func makeFloatOps() (t [256]bool) {
	set := func(from, to int) {
		for i := from; i <= to; i++ {
			t[i] = true
		}
	}
	set(0x2a, 0x2b) // loads
	set(0x38, 0x39) // stores
	set(0x43, 0x44) // constants
	set(0x5b, 0x66) // comparisons
	set(0x8b, 0xa6) // arithmetic
	set(0xa8, 0xab) // i32.trunc
	set(0xae, 0xbf) // i64.trunc, converts, demotion, promotion, reinterpretation
	return t
}

// floatVector reports whether a vector instruction computes with floating point.
func floatVector(sub uint32) bool {
	switch {
	case sub == 19, sub == 20, // splats
		sub >= 31 && sub <= 34, // lanes in and out
		sub >= 65 && sub <= 76, // comparisons
		sub == 94, sub == 95,   // demotion, promotion
		sub >= 103 && sub <= 106,                       // f32x4 rounding
		sub == 116, sub == 117, sub == 122, sub == 148, // f64x2 rounding
		sub >= 224 && sub <= 255: // arithmetic, conversions
		return true
	}
	return false
}
