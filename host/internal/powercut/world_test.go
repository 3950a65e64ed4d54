package powercut

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/host/internal/faultfs"
)

// world is a disk, and what hosts have promised while they lived on it.
type world struct {
	t    *testing.T
	disk *faultfs.Disk
	log  string // folder of the streams, on another disk; "" when they are on this one

	taken, sent int                // events known to be in the log; and tried to be
	durable     [partitions]stands // what was said to be durable last
	digests     map[string]string  // of each partition's state, by position
	older       int                // starts at which a partition was behind what was durable
	rebuilt     int                // starts at which one was made again
	losses      faultfs.Losses     // of all cuts
	lives       []*running         // all that there were
}

// stands is where a partition is.
type stands struct {
	position uint64
	digest   string
}

func newWorld(t *testing.T, o faultfs.Options, logHere bool) *world {
	w := &world{t: t, disk: faultfs.New(o), digests: map[string]string{}}
	if !logHere {
		w.log = t.TempDir()
	}
	return w
}

// running is a life that has begun.
type running struct {
	w      *world
	c      *exec.Cmd
	lines  chan string // closed when it has ended
	stderr *saying
	said   []string
}

// saying collects what a life says to its operator.
type saying struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements [io.Writer].
func (s *saying) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// String returns all of it.
func (s *saying) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// begin starts a life on a folder that the disk is in.
func (w *world) begin(folder string, l life) *running {
	w.t.Helper()
	l.Data, l.Log, l.From = folder+"/data", w.log, w.taken
	text, err := json.Marshal(l)
	if err != nil {
		w.t.Fatal(err)
	}
	r := &running{w: w, c: exec.Command(os.Args[0]), lines: make(chan string, 1000), stderr: &saying{}}
	r.c.Env = append(os.Environ(), "POWERCUT_LIFE="+string(text))
	r.c.Stderr = r.stderr
	out, err := r.c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := r.c.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.kill)
	go r.read(out)
	w.lives = append(w.lives, r)
	return r
}

func (r *running) read(out io.Reader) {
	defer close(r.lines)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		r.lines <- lines.Text()
	}
}

// kill ends the life as kill -9 does, if it has not ended.
func (r *running) kill() { _ = r.c.Process.Kill() }

// lifeMax is far more than any life takes.
const lifeMax = 2 * time.Minute

// follow notes what the life promises until it ends, or until act, which is called
// when the channel is closed and may be nil, has been; it returns how the process
// ended.
func (r *running) follow(when <-chan struct{}, act func()) error {
	r.w.t.Helper()
	limit := time.NewTimer(lifeMax)
	defer limit.Stop()
	for {
		select {
		case line, more := <-r.lines:
			if !more {
				return r.c.Wait()
			}
			r.said = append(r.said, line)
			r.w.note(line)
		case <-when:
			when = nil
			act()
		case <-limit.C:
			r.kill()
			r.w.t.Fatalf("the life does not end:\n%s\n%s", strings.Join(r.said, "\n"), r.stderr)
		}
	}
}

// note takes down what a line promises, and holds it against what was promised.
func (w *world) note(line string) {
	w.t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "sending":
		w.sent = max(w.sent, number(w.t, rest))
	case "taken":
		w.taken = max(w.taken, number(w.t, rest))
	case "opened", "durable", "settled":
		var p, rebuilds int
		var position uint64
		var digest, condition string
		if _, err := fmt.Sscan(rest, &p, &position, &digest, &condition, &rebuilds); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		if position < w.durable[p].position && condition == "serving" {
			w.t.Errorf("partition %d serves position %d, %d was durable", p, position, w.durable[p].position)
		}
		if kind == "opened" && position < w.durable[p].position {
			w.older++
		}
		if kind == "opened" && rebuilds > 0 {
			w.rebuilt++
		}
		at := fmt.Sprint(p, " ", position)
		if before := w.digests[at]; before != "" && before != digest {
			w.t.Errorf("partition %d at position %d has digest %s, it had %s", p, position, digest, before)
		}
		w.digests[at] = digest
		if condition == "serving" {
			w.durable[p] = stands{position, digest}
		}
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

// cut runs a life until the power fails after so many changes, or, when it has sent
// what it should before, until its end; either way the power is cut then.
func (w *world) cut(l life, changes, seed uint64) {
	w.t.Helper()
	folder, detach := faultfs.MustAttach(w.t, w.disk)
	w.disk.CutAfter(changes)
	off := w.disk.Off()
	r := w.begin(folder, l)
	err := r.follow(off, r.kill)
	select {
	case <-off:
	default:
		if err != nil {
			w.t.Fatalf("a life with power ends: %v\n%s\n%s", err, strings.Join(r.said, "\n"), r.stderr)
		}
		w.disk.CutAfter(0)
	}
	detach()
	lost := w.disk.PowerOn(seed)
	w.losses.Writes += lost.Writes
	w.losses.Sectors += lost.Sectors
	w.losses.SectorsLost += lost.SectorsLost
	w.losses.SectorsTorn += lost.SectorsTorn
	w.losses.Names += lost.Names
	w.losses.NamesLost += lost.NamesLost
}

// finish runs a last life, which sends what may not have arrived, and compares all
// that it says with the sums that are known.
func (w *world) finish() {
	w.t.Helper()
	folder, detach := faultfs.MustAttach(w.t, w.disk)
	defer detach()
	r := w.begin(folder, life{Until: max(w.sent, octoberUntil+batchEvents)})
	if err := r.follow(nil, nil); err != nil {
		w.t.Fatalf("the last life ends: %v\n%s\n%s", err, strings.Join(r.said, "\n"), r.stderr)
	}
	w.compare(r.said)
}

// compare holds what a life that has settled says against sums that are known.
func (w *world) compare(said []string) {
	w.t.Helper()
	october, november := map[string]int{}, map[string]int{}
	for n := range w.sent {
		if n < octoberUntil {
			october[account(n)] += minutes(n)
		} else {
			november[account(n)] += minutes(n)
		}
	}
	var want []string
	for a, cents := range october {
		want = append(want, fmt.Sprintf("invoice %s %d.%02d", a, cents/100, cents%100))
	}
	for a, cents := range november {
		want = append(want, fmt.Sprintf("subtotal %s %d.%02d", a, cents/100, cents%100))
	}
	want = append(want, fmt.Sprintf("counts %d 0 0", w.sent))
	var got []string
	for _, line := range said {
		if kind, _, _ := strings.Cut(line, " "); kind == "invoice" || kind == "subtotal" || kind == "counts" {
			got = append(got, line)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		for n, r := range w.lives {
			w.t.Logf("life %d:\n%s\n%s", n, strings.Join(r.said, "\n"), r.stderr)
		}
		w.t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
