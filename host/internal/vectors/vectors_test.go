package vectors_test

import (
	"os"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/internal/vectors"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
)

func builtins(t *testing.T) []*plugins.Module {
	t.Helper()
	modules, err := builtin.Modules()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := plugins.NewRuntime(t.Context(), plugins.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	var loaded []*plugins.Module
	for _, m := range modules {
		module, err := runtime.Load(t.Context(), m.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, module)
	}
	return loaded
}

// The cases in testdata are facts (inputs and expected numbers) from the test
// suites of Lago and OpenMeter, named in each case, and cases of our own that
// are wrong on purpose.
func TestRun(t *testing.T) {
	m := builtins(t)
	for _, c := range []struct {
		file string
		want vectors.Tally
		says []string
	}{
		{"cases.jsonl", vectors.Tally{Passed: 13}, []string{"13 passed, 0 failed, 0 unsupported\n"}},
		{"own.jsonl", vectors.Tally{Passed: 11}, nil},
		{"unsupported.jsonl", vectors.Tally{Unsupported: 2}, nil},
		{"wrong.jsonl", vectors.Tally{Failed: 6}, []string{
			"FAIL amount\n  amount: want 11, got 10\n",
			"FAIL units\n  units: want 3, got 2\n",
			"FAIL cumulative\n  cumulative[1]: want 3, got 2\n",
			"FAIL tier\n  lines[0].usage_amount: want 1, got 2\n",
			"FAIL params\n  tariff per_unit: params.unit_price: ",
			"FAIL numbers\n  1 events, and numbers for 2\n",
			"0 passed, 6 failed, 0 unsupported\n",
		}},
	} {
		file, err := os.Open("testdata/" + c.file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		var out strings.Builder
		got, err := vectors.Run(t.Context(), m, file, &out)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v\n%s", c.file, got, err, c.want, out.String())
		}
		for _, text := range c.says {
			if !strings.Contains(out.String(), text) {
				t.Errorf("%s: output lacks %q:\n%s", c.file, text, out.String())
			}
		}
	}
	if _, err := vectors.Run(t.Context(), m, strings.NewReader("not JSON\n"), &strings.Builder{}); err == nil {
		t.Error("a file that is not JSON was read")
	}
}
