package sim_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/sim"
	"github.com/tollway/tollway/plugins"
)

var (
	oneSeed = flag.Uint64("seed", 0, "the one seed that TestSimulation runs, told step by step with -v; 0 runs those kept and the first -seeds")
	seeds   = flag.Uint64("seeds", 0, "how many seeds TestSimulation runs; 0 is 1000, with -short 100, and 40 under the race detector")
	from    = flag.Uint64("from", 1, "the first of them")
	alone   = flag.Bool("onebyone", false, "run one seed after the other and stop at the first that fails, as the search for mutants does")
	tries   = flag.Bool("tries", false, "have clients ask for previews and try sets of usage, and catalogs reprice")
	steps   = flag.Int("steps", 300, "about how many steps a run makes before the faults end")
)

// builtIns compiles the built-in plugins once for all runs.
func builtIns(t *testing.T) *host.BuiltIns {
	t.Helper()
	runtime, err := plugins.NewRuntime(t.Context(), plugins.Config{CacheDir: host.UserPluginCache()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := runtime.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b, err := host.LoadBuiltIns(t.Context(), runtime)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run makes the run of a seed in a bubble of its own.
func run(t *testing.T, seed uint64, o sim.Options) (out sim.Outcome) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { out = sim.Run(seed, *steps, o) })
	return out
}

// TestSimulation runs the engine through the worlds of many seeds, with their
// crashes, and compares what it came to with what the log alone says.
func TestSimulation(t *testing.T) {
	o := sim.Options{Dir: t.TempDir(), BuiltIns: builtIns(t), Tries: *tries}
	list := readSeeds(t, "testdata/seeds.txt")
	count := *seeds
	switch {
	case count > 0:
	case raceDetector:
		count = 40
	case testing.Short():
		count = 100
	default:
		count = 1000
	}
	for n := range count {
		list = append(list, *from+n)
	}
	if *oneSeed != 0 {
		list = []uint64{*oneSeed}
		o.Note = func(text string) { t.Log(text) }
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
		if !testing.Verbose() {
			o.Note, o.Log = nil, nil
		}
	}
	if *alone {
		oneByOne(t, list, o)
		return
	}
	t.Run("seeds", func(t *testing.T) {
		for _, seed := range list {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				if out := run(t, seed, o); out.Violation != "" {
					t.Errorf("%s: %s\nto repeat: go test ./host/internal/sim -run TestSimulation -v -seed=%d", out.What, out.Violation, seed)
				}
			})
		}
	})
}

// oneByOne counts the seeds on the standard output, for a program to read.
func oneByOne(t *testing.T, list []uint64, o sim.Options) {
	t.Helper()
	for n, seed := range list {
		fmt.Printf("sim: seed %d\n", n+1) // before: the program may end
		if out := run(t, seed, o); out.Violation != "" {
			fmt.Printf("sim: seed %d %s\n", n+1, out.What)
			t.Fatalf("%d: %s: %s", seed, out.What, out.Violation)
		}
	}
}

// readSeeds reads a file of seeds, one a line, with what each is about behind a #.
func readSeeds(t *testing.T, file string) (list []uint64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, seed)
	}
	return list
}

// A seed makes the same run each time.
func TestSameSeedSameRun(t *testing.T) {
	o := sim.Options{Dir: t.TempDir(), BuiltIns: builtIns(t), Tries: *tries}
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			first, second := run(t, seed, o), run(t, seed, o)
			if first != second {
				t.Errorf("%+v\n%+v", first, second)
			}
			t.Logf("%+v", first)
		})
	}
}
