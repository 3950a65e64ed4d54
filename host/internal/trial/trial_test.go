package trial

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/tollway/tollway/host/internal/postgres"
)

// envWorker makes the test binary a process of a measurement.
const envWorker = "TOLLWAY_TEST_BENCH_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(envWorker) == "" {
		os.Exit(m.Run())
	}
	if err := Work(context.Background(), os.Stdin, os.Stdout, time.Now); err != nil {
		os.Exit(1)
	}
}

// common is a small measurement in processes of the test binary.
func common(t *testing.T) Common {
	return Common{
		Launch: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), envWorker+"=1")
			return cmd
		},
		Partitions: 2, Rounds: 1, Now: time.Now, Progress: func(what string) { t.Log(what) },
	}
}

// TestPipeline measures little, but all of it, the kill included: the totals of
// everything are compared with their known sums.
func TestPipeline(t *testing.T) {
	config := PipelineConfig{Common: common(t), Events: 2 * eventsMin, Accounts: []int{100}, PerMessage: 30, DatabaseEvents: eventsMin}
	report, err := Pipeline(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, row := range report.Rows {
		rows[row.Key] = true
		if row.Rate().Min <= 0 || len(row.Rounds) != 1 {
			t.Errorf("%s was not measured: %+v", row.Key, row.Rounds)
		}
	}
	want := 15
	if postgres.Available() == nil {
		want += 4
	}
	if len(rows) != want || report.Killed == "" {
		t.Errorf("%d rows, not %d; killed: %s; %v", len(rows), want, report.Killed, rows)
	}
	if host := report.row("packed-100/host"); host == nil || len(host.Rounds[0].Stages) == 0 || host.Rounds[0].BytesWritten < 0 {
		t.Errorf("the host was not measured: %+v", host)
	}
	var b strings.Builder
	if err := WriteText(&b, report.Tables()); err != nil || !strings.Contains(b.String(), "single JSON, 10 accounts, engine") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// TestIngest sends little through RPC; each event is accepted, and the table says
// what is promised.
func TestIngest(t *testing.T) {
	report, err := Ingest(t.Context(), IngestConfig{Common: common(t), Accounts: 100, Events: eventsMin})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteText(&b, report.Tables()); err != nil || !strings.Contains(b.String(), "at least 300,000") || report.Rounds[0].Events != eventsMin {
		t.Errorf("%v: %s", err, b.String())
	}
}

// A figure is held against its bound from the right side, and one that misses it says
// where to look.
func TestGoals(t *testing.T) {
	goals := []goal{
		atLeast("rate", 800, 800, 1500, thousands), because(atLeast("ratio", 39, 40, 70, hundredths), "stages"),
		atMost("stall", 5, 5, 1, thousands), because(atMost("memory", 6, 5, 1, thousands), "keys"),
	}
	table := goalTable(goals, "All.")
	var met []string
	for _, row := range table.Rows {
		met = append(met, row[len(row)-1])
	}
	if got := strings.Join(met, " "); got != "yes no yes no" || table.Note != "All. Missed, and where to see why: ratio: stages; memory: keys." {
		t.Errorf("%s: %s", got, table.Note)
	}
}

// A job that cannot be done says why.
func TestFailedJob(t *testing.T) {
	c := common(t)
	if _, err := c.Launch.run(t.Context(), job{Kind: "sleep"}); err == nil || !strings.Contains(err.Error(), `no job "sleep"`) {
		t.Error(err)
	}
	if _, err := c.Launch.run(t.Context(), job{Kind: jobRead, Log: Log{URL: "nats://127.0.0.1:1", SeedFile: "/nowhere"}}); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Error(err)
	}
}

func TestValidate(t *testing.T) {
	config := PipelineConfig{Accounts: []int{1, 20_000_000}, Only: []string{"packt"}}
	err := config.Validate()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{"0 partitions", "0 rounds", "0 events", "1 accounts", "20000000 accounts", "0 events in a message", `"packt"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestSpreadAndRatio(t *testing.T) {
	row := func(rates ...int64) *Row {
		r := &Row{}
		for _, rate := range rates {
			r.Rounds = append(r.Rounds, Figures{Events: uint64(rate), Took: time.Second})
		}
		return r
	}
	of, by := row(100, 300, 200, 400), row(50, 100, 200, 100)
	if s := of.Rate(); s != (Spread{Min: 100, Median: 200, Max: 400}) {
		t.Errorf("%+v", s)
	}
	if r, ok := ratio("x", "", of, by); !ok || r.Min != 100 || r.Median != 200 || r.Max != 400 {
		t.Errorf("%+v", r)
	}
	if _, ok := ratio("x", "", of, nil); ok {
		t.Error("a ratio to nothing")
	}
}

// A sample belongs to its label, or to the innermost function that is known.
func TestStageOf(t *testing.T) {
	stack := func(label string, functions ...string) *profile.Sample {
		s := &profile.Sample{}
		if label != "" {
			s.Label = map[string][]string{"stage": {label}}
		}
		for _, f := range functions {
			s.Location = append(s.Location, &profile.Location{Line: []profile.Line{{Function: &profile.Function{Name: f}}}})
		}
		return s
	}
	const host = "github.com/tollway/tollway/host."
	for _, c := range []struct {
		want   string
		sample *profile.Sample
	}{
		{"price", stack("price", "runtime.mallocgc", "github.com/tollway/tollway/host/ingest.(*Decoder).Decode")},
		{"decode", stack("", "runtime.mallocgc", "github.com/tollway/tollway/host/ingest.(*Decoder).Decode", host+"(*partition).step")},
		{"checkpoint", stack("", "syscall.Syscall", "github.com/dgraph-io/badger/v4.(*DB).Update", host+"(*partition).checkpoint")},
		{"fold", stack("", host+"(*partition).settle", host+"(*partition).step", host+"(*Host).Run.func1")},
		{"server", stack("", "github.com/nats-io/nats-server/v2/server.(*consumer).deliver")},
		{"read", stack("", "github.com/nats-io/nats.go.(*Conn).readLoop")},
		{"garbage", stack("", "runtime.scanobject", "runtime.gcBgMarkWorker")},
		{"other", stack("", "main.main")},
	} {
		if got := stageOf(c.sample); got != c.want {
			t.Errorf("%s, not %s: %v", got, c.want, c.sample.Location)
		}
	}
}

func TestReplaceSection(t *testing.T) {
	const page = "a\n<!-- begin bench x -->\nold\n<!-- end bench x -->\nb\n"
	got, err := replaceSection(page, "x", "new\n")
	if want := strings.Replace(page, "old\n", "new\n\n", 1); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if again, err := replaceSection(got, "x", "new\n"); err != nil || again != got {
		t.Errorf("not the same the second time: %q, %v", again, err)
	}
	for _, broken := range []string{"", "<!-- end bench x --><!-- begin bench x -->\n"} {
		if _, err := replaceSection(broken, "x", "new"); err == nil {
			t.Errorf("%q has no section, and one was written", broken)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
	if got := millis(12*time.Millisecond + 345*time.Microsecond); got != "12.34" {
		t.Error(got)
	}
}
