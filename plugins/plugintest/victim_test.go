package plugintest_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tollway/tollway/plugins"
	w "github.com/tollway/tollway/plugins/internal/wasmtest"
	"github.com/tollway/tollway/plugins/plugintest"
)

// victimVariable makes TestVictim run, in a process of its own, since it must fail.
const victimVariable = "PLUGINTEST_VICTIM"

// victim is a tariff of one slot whose line grows by the square of the number of events of each
// batch: what it comes to hangs on how events are cut into batches.
func victim(t *testing.T) []byte {
	t.Helper()
	const (
		events, slots, slotOff     = 12, 16, 28      // in the header
		flags, lineOff, lineAmount = 36, 44, 16      // in a slot row, in a line
		arena, n, i                = 0, 1, uint32(2) // locals
	)
	row := w.Cat(w.LocalGet(arena), w.LocalGet(arena), w.Load32(slotOff), w.Op(w.I32Add))
	line := w.Cat(w.LocalGet(arena), row, w.Load32(lineOff), w.Op(w.I32Add))
	wide := w.Cat(w.LocalGet(n), w.Op(w.I64ExtendU))
	m := w.Tariff(`{"lines":[{"id":"sum"}],"state_size":0}`,
		w.LocalGet(arena), w.Load32(events), w.LocalSet(n),
		w.Block(w.Void, w.Loop(w.Void,
			w.LocalGet(i), w.LocalGet(n), w.Op(0x4f), w.BrIf(1), // ge_u
			w.LocalGet(i), w.Call(w.FuncBegin),
			w.LocalGet(i), w.I32Const(1), w.Op(w.I32Add), w.LocalSet(i), w.Br(0))),
		row, w.Load32(flags), w.I32Const(2), w.Op(0x71), // and
		w.If(w.Void, w.LocalGet(n), w.Call(w.FuncBegin)),
		line, line, w.Load64(lineAmount), wide, wide, w.Op(w.I64Mul), w.Op(w.I64Add), w.Store64(lineAmount),
	)
	wasm, err := plugins.AppendManifest(m.Bytes(), plugins.Manifest{
		Name: "victim", Version: "1", ABI: "1.0",
		Tariffs: []plugins.ManifestTariff{{Name: "victim", ParamsSchema: json.RawMessage(`{}`)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestVictim fails, where it is asked to.
func TestVictim(t *testing.T) {
	if os.Getenv(victimVariable) == "" {
		t.Skip("it is run by TestFaultsAreFound")
	}
	plugintest.Run(t, victim(t), []plugintest.Case{{
		Tariff: "victim", Events: quantities("1", "1", "1", "1"),
		Want: map[string]string{"sum": "0.000000000000000015", "none": "1"}, Rejects: 1,
	}})
}

// TestFaultsAreFound holds that the kit finds what is wrong with a tariff, and nothing else.
func TestFaultsAreFound(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("nothing was found:\n%s", out)
	}
	for _, want := range []string{
		"--- FAIL: TestVictim/victim/the_same_in_steps",
		"--- PASS: TestVictim/victim/the_same_in_another_instance",
		"--- PASS: TestVictim/victim/the_same_after_many_calls",
		"--- PASS: TestVictim/victim/final_without_events",
		"line sum comes to 0.000000000000000016, want 0.000000000000000015",
		`there is no line "none"`,
		"0 events are rejected, want 1",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output does not contain %q:\n%s", want, out)
		}
	}
}
