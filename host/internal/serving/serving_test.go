package serving

import (
	"testing"
	"time"
)

// TestRun measures a little of everything.
func TestRun(t *testing.T) {
	config := Config{
		Keys: 500, Events: 2_000, Gets: 50, Watches: 20, Probes: 2, Duration: 2 * time.Second, Partitions: 2, Dir: t.TempDir(),
		Now: time.Now, Progress: func(what string) { t.Log(what) },
	}
	config.Hot = true
	report, err := Run(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", report)
	if report.Seen.Samples == 0 || report.Get.Samples == 0 || report.Events == 0 || report.Updates < int64(report.Seen.Samples) || report.GetFailures != 0 || report.Seen.P99 > report.Seen.Max {
		t.Errorf("report %+v", report)
	}
	if err := (Config{}).Validate(); err == nil {
		t.Error("nothing at all can be measured")
	}
}
