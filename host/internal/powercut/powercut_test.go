package powercut

import (
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/tollway/tollway/host/internal/faultfs"
)

var (
	cuts = flag.Int("cuts", 6, "power cuts of TestPowerCuts, shared between the kinds of disks")
	seed = flag.Uint64("cutseed", 1, "seed of what goes wrong; 0 draws one, which is printed")
)

// changesMax bounds how many changes of the disk a life makes before the power
// fails: many at its start, and some after its last event.
const changesMax = 260

// TestPowerCuts cuts the power of a host's disk at any of its changes: while the
// data directory is made, while usage is priced, while a period is closed, while it
// starts after the cut before. What was said to be durable is there and adds up to
// the same digest, and in the end everything that was sent was billed once.
func TestPowerCuts(t *testing.T) {
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	t.Logf("to repeat this run: go test ./host/internal/powercut -run TestPowerCuts -cuts %d -cutseed %d", *cuts, from)
	kinds := map[string]struct {
		options faultfs.Options
		logHere bool
	}{
		"state":         {faultfs.Options{}, false},
		"state, strict": {faultfs.Options{Strict: true}, false},
		"state and log": {faultfs.Options{}, true},
	}
	each := (*cuts + len(kinds) - 1) / len(kinds)
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, kind.options, kind.logHere)
			chance := rand.New(rand.NewPCG(from, 0xc07))
			for range each {
				w.cut(life{Until: w.taken + 10*batchEvents}, 1+chance.Uint64N(changesMax), chance.Uint64())
				if t.Failed() {
					return
				}
			}
			w.finish()
			if !kind.options.Strict && w.older > 0 {
				t.Errorf("%d times a partition was behind what had been durable", w.older)
			}
			t.Logf("%d power cuts, %d changes of the disk, %d events: %+v lost of what was not synced; %d partitions were behind, %d made again at the start",
				each, w.disk.Changes(), w.sent, w.losses, w.older, w.rebuilt)
		})
	}
}
