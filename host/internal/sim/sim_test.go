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
	tries   = flag.String("tries", "some", "in which worlds clients ask for previews and try sets of usage, and catalogs reprice: some (one of four), all, none")
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

// world is one to run: its seed, and whether clients try what would be billed.
type world struct {
	seed  uint64
	tries bool
}

// worldOf is the world that a seed stands for where nothing else is said: trying makes a
// world slow, so one of four does.
func worldOf(seed uint64) world { return world{seed, seed%4 == 0} }

// chosen is the world of a seed as the flags have it.
func chosen(seed uint64) world {
	w := worldOf(seed)
	switch *tries {
	case "all":
		w.tries = true
	case "none":
		w.tries = false
	}
	return w
}

// repeat are the flags that run the world again.
func (w world) repeat() string {
	flags := fmt.Sprintf("-seed=%d", w.seed)
	switch {
	case w == worldOf(w.seed):
	case w.tries:
		flags += " -tries=all"
	default:
		flags += " -tries=none"
	}
	return flags
}

// run makes the run of a world in a bubble of its own.
func run(t *testing.T, w world, o sim.Options) (out sim.Outcome) {
	t.Helper()
	seed := w.seed
	o.Tries = w.tries
	synctest.Test(t, func(*testing.T) { out = sim.Run(seed, *steps, o) })
	return out
}

// TestSimulation runs the engine through the worlds of many seeds, with their
// crashes, and compares what it came to with what the log alone says.
func TestSimulation(t *testing.T) {
	o := sim.Options{Dir: t.TempDir(), BuiltIns: builtIns(t)}
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
		list = append(list, chosen(*from+n))
	}
	if *oneSeed != 0 {
		list = []world{chosen(*oneSeed)}
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
		for _, w := range list {
			t.Run(strconv.FormatUint(w.seed, 10), func(t *testing.T) {
				t.Parallel()
				if out := run(t, w, o); out.Violation != "" {
					t.Errorf("%s: %s\nto repeat: go test ./host/internal/sim -run TestSimulation -v %s", out.What, out.Violation, w.repeat())
				}
			})
		}
	})
}

// oneByOne counts the seeds on the standard output, for a program to read.
func oneByOne(t *testing.T, list []world, o sim.Options) {
	t.Helper()
	for n, w := range list {
		fmt.Printf("sim: seed %d\n", n+1) // before: the program may end
		if out := run(t, w, o); out.Violation != "" {
			fmt.Printf("sim: seed %d %s\n", n+1, out.What)
			t.Fatalf("%s: %s: %s", w.repeat(), out.What, out.Violation)
		}
	}
}

// readSeeds reads a file of seeds, one a line, with "tries" behind those of worlds in
// which clients try, and what each is about behind a #.
func readSeeds(t *testing.T, file string) (list []world) {
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
		number, tries := strings.CutSuffix(text, " tries")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, world{seed, tries})
	}
	return list
}

// A seed makes the same run each time.
func TestSameSeedSameRun(t *testing.T) {
	o := sim.Options{Dir: t.TempDir(), BuiltIns: builtIns(t)}
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			first, second := run(t, worldOf(seed), o), run(t, worldOf(seed), o)
			if first != second {
				t.Errorf("%+v\n%+v", first, second)
			}
			t.Logf("%+v", first)
		})
	}
}
