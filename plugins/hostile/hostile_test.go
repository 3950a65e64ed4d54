package hostile_test

import (
	"testing"

	"github.com/tollway/tollway/plugins/hostile"
)

// TestCorpus runs all cases. How long calls take is left to `make hostile`: this machine may be busy.
func TestCorpus(t *testing.T) {
	cases := hostile.Corpus()
	if len(cases) < 60 {
		t.Errorf("the corpus has %d cases", len(cases))
	}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		names[c.Name] = true
	}
	report, err := hostile.Run(t.Context(), hostile.Config{CacheDir: t.TempDir(), Each: func(r *hostile.Result) {
		for _, p := range r.Problems {
			t.Errorf("%s: %s (it ended: %s)", r.Case.Name, p, r.Got)
		}
	}}, cases)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("calls that fuel ended: %s; the honest tariff alone: %s; beside: %s", report.Calls, report.Alone, report.Beside)
}
