package trial

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/tollway/tollway/host/internal/stage"
)

// The stages of processor time that no label names.
const (
	stageServer  = "server"  // the embedded NATS server
	stageGarbage = "garbage" // the collector's own goroutines
	stageRuntime = "runtime" // looking for goroutines to run, and timers
	stageOther   = "other"
)

// prefixes say to which stage a function belongs, for samples without a label:
// goroutines that no stage was told to, like those of a library. Of a call stack
// the innermost function that is listed decides. A prefix stands behind those
// that it is a prefix of.
var prefixes = [...]struct{ function, stage string }{
	{"github.com/nats-io/nats-server/", stageServer},
	{"github.com/nats-io/", stage.Read.String()},
	{"github.com/tollway/tollway/host/stream.", stage.Read.String()},
	{"github.com/tollway/tollway/host/ingest.", stage.Decode.String()},
	{"github.com/tollway/tollway/host/identity.", stage.Dedup.String()},
	{"github.com/tollway/tollway/host/rate.", stage.Route.String()},
	{"github.com/tollway/tollway/plugins.", stage.Price.String()},
	{"github.com/tetratelabs/wazero", stage.Price.String()},
	{"github.com/tollway/tollway/host/accumulate.", stage.Fold.String()},
	{"github.com/tollway/tollway/host/checkpoint.", stage.Checkpoint.String()},
	{"github.com/dgraph-io/", stage.Checkpoint.String()},
	{"github.com/tollway/tollway/host.(*partition).checkpoint", stage.Checkpoint.String()},
	{"github.com/tollway/tollway/host.(*partition).decode", stage.Decode.String()},
	{"github.com/tollway/tollway/host.(*Host).", stageOther},
	{"github.com/tollway/tollway/host.(*partition).triage", stage.Dedup.String()},
	{"github.com/tollway/tollway/host.", stage.Fold.String()},
	{"runtime.gcBgMarkWorker", stageGarbage},
	{"runtime.bgsweep", stageGarbage},
	{"runtime.bgscavenge", stageGarbage},
	{"runtime.schedule", stageRuntime},
	{"runtime.mcall", stageRuntime},
	{"runtime.mstart", stageRuntime},
	{"runtime.sysmon", stageRuntime},
}

// stageOrder lists all stages as a table shows them.
func stageOrder() []string {
	var list []string
	for _, s := range stage.All() {
		list = append(list, s.String())
	}
	return append(list, stageServer, stageGarbage, stageRuntime, stageOther)
}

// allocationStages counts the objects that the process has allocated, by stages: an
// estimate, since the runtime notes one object in so many bytes.
func allocationStages() (map[string]int64, error) {
	runtime.GC() // what is noted is shown a collection later
	runtime.GC()
	var b bytes.Buffer
	if err := pprof.Lookup("allocs").WriteTo(&b, 0); err != nil {
		return nil, err
	}
	p, err := profile.Parse(&b)
	if err != nil {
		return nil, fmt.Errorf("profile of allocations: %w", err)
	}
	stages := map[string]int64{}
	for _, s := range p.Sample {
		stages[stageOf(s)] += s.Value[0] // alloc_objects
	}
	return stages, nil
}

// stagesOf divides the processor time in a profile by stages.
func stagesOf(file string) (map[string]time.Duration, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	p, err := profile.Parse(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", file, err)
	}
	return stagesIn(p), nil
}

func stagesIn(p *profile.Profile) map[string]time.Duration {
	nanoseconds := len(p.SampleType) - 1 // the last value of a sample is its time
	stages := map[string]time.Duration{}
	for _, s := range p.Sample {
		stages[stageOf(s)] += time.Duration(s.Value[nanoseconds])
	}
	return stages
}

// stageOf is the label of a sample, or what its functions say.
func stageOf(s *profile.Sample) string {
	if label := s.Label[stage.Key]; len(label) > 0 {
		return label[0]
	}
	for _, location := range s.Location { // from the innermost
		for _, line := range location.Line {
			for _, p := range prefixes {
				if line.Function != nil && strings.HasPrefix(line.Function.Name, p.function) {
					return p.stage
				}
			}
		}
	}
	return stageOther
}
