package powercut

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tollway/tollway/host/internal/faultfs"
)

var faults = flag.Int("faults", 1, "runs of each test of a disk that fails or fills")

// grown is a world whose host has lived without trouble and has ended.
func grown(t *testing.T, chance *rand.Rand) *world {
	t.Helper()
	w := newWorld(t, faultfs.Options{}, false)
	w.quiet(life{Until: octoberUntil + (2+chance.IntN(5))*batchEvents})
	return w
}

// quiet lets a life come to its end.
func (w *world) quiet(l life) {
	w.t.Helper()
	folder, detach := faultfs.MustAttach(w.t, w.disk)
	defer detach()
	r := w.begin(folder, l)
	if err := r.follow(nil, nil); err != nil {
		w.t.Fatalf("the life ends: %v\n%s\n%s", err, strings.Join(r.said, "\n"), r.stderr)
	}
}

// A sync that fails ends the process, which says so, since nobody knows what the
// disk has; the next start finds everything that was promised.
func TestFailedSyncEndsTheProcess(t *testing.T) {
	chance := rand.New(rand.NewPCG(*seed, 0xf5))
	for range *faults {
		w := grown(t, chance)
		folder, detach := faultfs.MustAttach(t, w.disk)
		fault := faultfs.Fault{Op: faultfs.OpSync, Path: "badger", Skip: 4 + chance.IntN(40), Err: syscall.EIO}
		if chance.IntN(2) == 0 { // which is synced for large values alone
			fault.Path, fault.Skip = "values", 0
		}
		w.disk.Inject(fault)
		r := w.begin(folder, life{Until: w.taken + 40*batchEvents})
		if err := r.follow(nil, nil); err == nil {
			t.Fatalf("the host goes on after a sync of %+v has failed:\n%s\n%s", fault, strings.Join(r.said, "\n"), r.stderr)
		}
		if text := r.stderr.String(); !strings.Contains(text, "the host ends:") || !strings.Contains(text, "input/output error") && !strings.Contains(text, "could not be synced") {
			t.Errorf("the host does not say why it ends:\n%s", text)
		}
		detach()
		w.disk.Heal()
		w.disk.CutAfter(0) // what was not synced may be gone as well
		w.disk.PowerOn(chance.Uint64())
		w.finish()
	}
}

// What cannot be read is made again from the log, or ends the process with a word;
// nothing wrong is served, and when the disk can be read again all is there.
func TestUnreadableDisk(t *testing.T) {
	chance := rand.New(rand.NewPCG(*seed, 0xead))
	outcomes := map[string]int{}
	for range *faults {
		w := grown(t, chance)
		folder, detach := faultfs.MustAttach(t, w.disk)
		kind := []string{".values", ".sst", ".mem", "MANIFEST"}[chance.IntN(4)]
		w.disk.Inject(faultfs.Fault{Op: faultfs.OpRead, Path: kind, Skip: chance.IntN(6), Fail: 1 + chance.IntN(2), Err: syscall.EIO})
		r := w.begin(folder, life{Until: w.taken + 5*batchEvents, Scrub: true})
		err := r.follow(nil, nil)
		text := r.stderr.String()
		switch {
		case err == nil && strings.Contains(text, "made again"):
			outcomes["made again"]++
		case err == nil:
			outcomes["nothing to see"]++
		case strings.Contains(text, "the host ends:"):
			outcomes["the process ends"]++
		case strings.Contains(text, "SIGBUS"):
			outcomes["a signal ends the process"]++
		default:
			t.Errorf("%s cannot be read, and the host ends without a word: %v\n%s", kind, err, text)
		}
		detach()
		w.disk.Heal()
		w.finish()
	}
	t.Logf("%d runs: %v", *faults, outcomes)
}

// A disk that fills up stops the pricing before anything breaks; the host says so,
// serves what it has and goes on by itself when there is space.
func TestFullDisk(t *testing.T) {
	const free = 64 << 20
	chance := rand.New(rand.NewPCG(*seed, 0xf11))
	for range *faults {
		w := grown(t, chance)
		folder, detach := faultfs.MustAttach(t, w.disk)
		r := w.begin(folder, life{Until: w.taken + 30*batchEvents, Free: free})
		full := make(chan struct{})
		go func() {
			time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
			w.disk.Resize(w.disk.Used() + free - 1 - chance.Int64N(free))
			close(full)
		}()
		healed := make(chan struct{})
		go func() {
			<-full
			for n := 0; n < 500 && !strings.Contains(r.stderr.String(), "the disk is full"); n++ {
				time.Sleep(10 * time.Millisecond) // it may have sent all before
			}
			w.disk.Resize(1 << 40)
			close(healed)
		}()
		err := r.follow(nil, nil)
		<-healed
		text := r.stderr.String()
		if err != nil {
			t.Fatalf("the life on a full disk ends: %v\n%s\n%s", err, strings.Join(r.said, "\n"), text)
		}
		if strings.Contains(text, "the disk is full") != strings.Contains(text, "the disk has space again") {
			t.Errorf("the host does not say that it goes on:\n%s", text)
		}
		t.Log("said:", fmt.Sprint(strings.Count(text, "the disk is full")), "times that the disk is full")
		detach()
		w.finish()
	}
}
