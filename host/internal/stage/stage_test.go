package stage_test

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/internal/stage"
)

// The label of a goroutine is what its last Enter said, and nothing after Leave.
func TestEnter(t *testing.T) {
	defer stage.Leave()
	for _, s := range stage.All() {
		s.Enter()
		if want := fmt.Sprintf("labels: {%q:%q}", stage.Key, s); !strings.Contains(goroutines(t), want) {
			t.Errorf("no goroutine has %s", want)
		}
	}
	stage.Leave()
	if text := goroutines(t); strings.Contains(text, `"`+stage.Key+`":`) {
		t.Errorf("a stage was left and is still there:\n%s", text)
	}
}

func goroutines(t *testing.T) string {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestNamesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range stage.All() {
		if s.String() == "" || seen[s.String()] {
			t.Errorf("stage %d is named %q", s, s)
		}
		seen[s.String()] = true
	}
}

func TestEnterAllocatesNothing(t *testing.T) {
	defer stage.Leave()
	if n := testing.AllocsPerRun(100, func() { stage.Decode.Enter(); stage.Price.Enter() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEnter(b *testing.B) {
	defer stage.Leave()
	for b.Loop() {
		stage.Fold.Enter()
	}
}
