package trial

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestGrowth measures small steps, and draws them.
func TestGrowth(t *testing.T) {
	config := GrowthConfig{Common: common(t), Accounts: []int{20, 200}, Events: eventsMin, PerMessage: 50, Identities: []int{60_000, 150_000}}
	report, err := Growth(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Keys) != 2 || len(report.Identities) != 2 {
		t.Fatalf("%+v", report)
	}
	for _, s := range append(report.Keys, report.Identities...) {
		if len(s.Rounds) != 1 || s.Rounds[0].Took <= 0 {
			t.Errorf("%d was not measured: %+v", s.Size, s.Rounds)
		}
	}
	// So few may be done before anybody looks how far they are: then it is all of them.
	if n := report.Keys[1].Rounds[0].Events; n < 1 || n > eventsMin {
		t.Errorf("%d events were measured, not some of the %d behind the sweep", n, eventsMin)
	}
	report.Plot = "growth.svg"
	if text := markdown(report.Tables()); !strings.Contains(text, "| 2,000 |") || !strings.Contains(text, "(growth.svg)") || !strings.Contains(text, "| 150,000 |") {
		t.Error(text)
	}
	for decoder := xml.NewDecoder(strings.NewReader(string(report.Drawing()))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecovery kills and stops a host, each more than once.
func TestRecovery(t *testing.T) {
	config := RecoveryConfig{Common: common(t), Accounts: 100, Events: 30_000, PerMessage: 50}
	report, err := Recovery(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Killed) != 2 || len(report.Stopped) != 1 {
		t.Errorf("%+v", report)
	}
	if text := markdown(report.Tables()); !strings.Contains(text, "| kill -9 | 2 |") {
		t.Error(text)
	}
}

// TestLatency sends for a moment at each level.
func TestLatency(t *testing.T) {
	config := LatencyConfig{Common: common(t), Accounts: 100, LatencyLoad: LatencyLoad{
		Batch: 50, Senders: 4, Duration: 300 * time.Millisecond, Percents: []int{50},
	}}
	report, err := Latency(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rounds) != 1 || len(report.Rounds[0].Levels) != 2 {
		t.Fatalf("%+v", report)
	}
	for _, l := range report.Rounds[0].Levels {
		if l.Reached <= 0 || l.Committed.Samples == 0 || l.Committed.P50 > l.Committed.P99 || l.Committed.P99 > l.Committed.Max {
			t.Errorf("%+v", l)
		}
	}
	if text := markdown(report.Tables()); !strings.Contains(text, "| 50 % |") {
		t.Error(text)
	}
}

func TestConfigsAreChecked(t *testing.T) {
	for _, c := range []interface{ Validate() error }{
		&GrowthConfig{Common: common(t), Events: 1},
		&GrowthConfig{Common: common(t), Events: eventsMin, PerMessage: 1, Accounts: []int{0}},
		&GrowthConfig{Common: common(t), Events: eventsMin, PerMessage: 1, Identities: []int{100_000, 100_000}},
		&RecoveryConfig{Common: common(t), Accounts: 10_000, Events: 150_000, PerMessage: 1},
		&LatencyConfig{Common: common(t), Accounts: 1, LatencyLoad: LatencyLoad{Batch: 1, Senders: 1, Duration: time.Second, Percents: []int{101}}},
		&LatencyConfig{Common: common(t)},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[int64]int64{0: 4, 3: 4, 4: 8, 11: 12, 13: 20, 20: 40, 199: 200, 4_321: 8_000} {
		if got := roundUp(n); got != want || got <= n {
			t.Errorf("%d: %d, not %d", n, got, want)
		}
	}
}
