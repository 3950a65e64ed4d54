package plugins

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tollway/tollway/plugins/fuel"
)

// Inspection is what can be said about a module without running it.
type Inspection struct {
	Digest  string   // "sha256:" and 64 hexadecimal digits
	Size    int      // bytes
	Imports []string // "module.name (i32) -> ()"
	Exports []string // "name (i32) -> (i32)", or "name memory"
	// Manifest is the module's manifest. It is nil when the module has none or it cannot be
	// read; Problems then says why.
	Manifest *Manifest
	// MemoryMinBytes is the memory the module starts with.
	MemoryMinBytes int64
	// Problems are the reasons for which a runtime would refuse the module; empty for a module
	// that loads, unless a function body or its types are at fault.
	Problems []error
}

// Digest returns the identity of a module: "sha256:" and the hexadecimal sha256 of its bytes.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// FloatFunctions names the functions of a module that compute with floating point
// numbers, as the name section does, or "function 7" where it does not. A module
// that Go has compiled always has some, in Go's own library.
//
// # Errors
//
// The bytes are not a module that a runtime would take.
func FloatFunctions(wasm []byte) ([]string, error) {
	m, err := fuel.Parse(wasm)
	if err != nil {
		return nil, err
	}
	indices, err := m.FloatFunctions()
	if err != nil {
		return nil, err
	}
	names := m.FunctionNames()
	found := make([]string, len(indices))
	for k, i := range indices {
		if found[k] = names[uint32(i)]; found[k] == "" {
			found[k] = fmt.Sprintf("function %d", i)
		}
	}
	return found, nil
}

// Inspect describes a module without running or compiling it. It is an error when the bytes are
// not a WebAssembly module that can be read; a module that is no tariff is described, with the
// reasons in Problems.
func Inspect(wasm []byte) (*Inspection, error) {
	m, err := fuel.Parse(wasm)
	if err != nil {
		return nil, err
	}
	in := &Inspection{Digest: Digest(wasm), Size: len(wasm)}
	for _, i := range m.Imports() {
		text := i.Module + "." + i.Name + " " + i.Kind.String()
		if i.Kind == fuel.KindFunction {
			text = i.Module + "." + i.Name + " " + i.Type.String()
		}
		in.Imports = append(in.Imports, text)
	}
	for _, e := range m.Exports() {
		text := e.Name + " " + e.Kind.String()
		if e.Kind == fuel.KindFunction {
			text = e.Name + " " + e.Type.String()
		}
		in.Exports = append(in.Exports, text)
	}
	pages, _ := m.MemoryPages()
	in.MemoryMinBytes = int64(pages) * pageSize
	if err := validate(m); err != nil {
		in.Problems = append(in.Problems, err)
	}
	manifest, err := readManifest(m)
	if err != nil {
		in.Problems = append(in.Problems, err)
		return in, nil
	}
	in.Manifest = &manifest
	return in, nil
}
