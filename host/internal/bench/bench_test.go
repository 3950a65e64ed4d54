package bench

import (
	"testing"
	"time"
)

// TestRun measures little, but all of it: the totals of the pipelines are
// compared with their known sums.
func TestRun(t *testing.T) {
	report, err := Run(t.Context(), Config{Events: eventsMin, Accounts: 50, Partitions: 2, Rounds: 1, Dir: t.TempDir(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Stages {
		t.Logf("%+v", s)
		if s.Rate.Min <= 0 {
			t.Errorf("%s: no rate", s.Name)
		}
	}
	for _, p := range report.Pipelines {
		t.Logf("%+v", p)
		if p.Read.Min <= 0 || p.EndToEnd.Min <= 0 || p.Messages == 0 {
			t.Errorf("%s: something was not measured", p.Name)
		}
	}
}
