package builtin

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
)

func TestModules(t *testing.T) {
	found, err := modules(fstest.MapFS{
		"placeholder.wasm": {},
		"standard.wasm":    {Data: []byte("\x00asm")},
		"builtin.txt":      {Data: []byte("no module")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 1 || found[0].Name != "standard" || string(found[0].Wasm) != "\x00asm" {
		t.Errorf("modules %v", found)
	}
}

func TestModulesMissing(t *testing.T) {
	_, err := modules(fstest.MapFS{"placeholder.wasm": {}})
	if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "make tariffs") {
		t.Errorf("error %v does not say what to do", err)
	}
}

// TestEmbedded holds that the package builds and answers with or without modules.
func TestEmbedded(t *testing.T) {
	found, err := Modules()
	if err != nil && !errors.Is(err, ErrMissing) {
		t.Fatal(err)
	}
	for _, m := range found {
		if !strings.HasPrefix(string(m.Wasm), "\x00asm") {
			t.Errorf("module %s is no WebAssembly", m.Name)
		}
	}
}
