package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlant sees that every mutant can still be planted, as a change of the code
// may need a change of the list.
func TestPlant(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "..", ".."))
	names := map[string]bool{}
	for _, m := range mutants {
		if names[m.name] {
			t.Errorf("two mutants are called %q", m.name)
		}
		names[m.name] = true
		overlay, err := plant(t.TempDir(), m)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if _, err := os.Stat(overlay); err != nil {
			t.Error(err)
		}
	}
	if len(names) < 15 {
		t.Errorf("%d mutants", len(names))
	}
}

// A mutant whose place has changed is not passed over.
func TestPlantNoMore(t *testing.T) {
	t.Chdir(filepath.Join("..", "..", "..", ".."))
	_, err := plant(t.TempDir(), mutant{"none", []edit{{"host/commit.go", "no such text", ""}}})
	if err == nil || !strings.Contains(err.Error(), "cannot be planted any more") {
		t.Error(err)
	}
}

func TestRead(t *testing.T) {
	f, err := read([]byte("sim: seed 1\nsim: seed 2\nsim: seed 2 P1 counters\n--- FAIL\n"))
	if err != nil || f != (found{"2", "P1 counters"}) {
		t.Errorf("%+v, %v", f, err)
	}
	f, err = read([]byte("sim: seed 1\npanic: deadlock\n"))
	if err != nil || f != (found{"1", "panic: deadlock"}) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err = read([]byte("FAIL")); err == nil {
		t.Error("what has not run is taken for found")
	}
}
