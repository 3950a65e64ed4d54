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

// TestOnly measures what was asked for, and refuses what there is not.
func TestOnly(t *testing.T) {
	config := Config{Events: eventsMin, Accounts: 50, Partitions: 1, Rounds: 1, Dir: t.TempDir(), Now: time.Now, Only: []string{"packed"}}
	report, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Stages) != 0 || len(report.Pipelines) != 1 || report.Pipelines[0].Name != "packed batches" {
		t.Errorf("%+v", report)
	}
	config.Only = []string{"packed", "pakced"}
	if err := config.Validate(); err == nil {
		t.Error("a part that there is not was accepted")
	}
}
