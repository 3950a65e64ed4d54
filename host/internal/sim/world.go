package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/stream"
)

// Options are what all runs share.
type Options struct {
	// Dir is a folder in which each run has one of its own, for the sets of usage that
	// its hosts try; nothing else is written there.
	Dir string
	// Tries has clients ask for previews and try sets of usage, and catalogs reprice.
	Tries bool
	// BuiltIns are compiled already, outside of the bubble.
	BuiltIns *host.BuiltIns
	// Log gets what the hosts log; nil: nobody.
	Log *slog.Logger
	// Note is told what happens, step by step; nil: nobody.
	Note func(text string)
}

// Outcome is what a run came to.
type Outcome struct {
	// Violation says which promise was broken, by its name and with what was seen;
	// empty when none was. What names the assertion.
	What, Violation string
	// Trace is a digest of all steps: the same seed has the same.
	Trace uint64
	// Events, Messages, Crashes and Steps say how much happened.
	Events, Messages, Crashes, Steps int
}

// world is one run. Its fields belong to the scheduler's goroutine, but for those
// that say otherwise.
type world struct {
	*rand.Rand
	Options
	seed       uint64
	dir        string
	log        *slog.Logger
	partitions int
	journal    *journal
	gates      gates
	watch      watch

	mu     sync.Mutex // guards what follows
	ahead  time.Duration
	faults bool
	broken [2]string // the first violation
	trace  uint64

	billing   engineBilling
	catalogs  []*oracle.Catalog          // drawn, oldest first
	revisions map[uint64]*oracle.Catalog // stored
	applied   bool                       // the newest is in force, or was refused
	reprices  map[*oracle.Catalog]bool   // drawn to reach back
	progress  time.Time                  // of usage
	events    int
	sent      []oracle.Event
	batches   [][]oracle.Event

	disks     []*disk
	processes []*process
	lives     int
	crashes   int
	steps     int
	current   *process
	client    chan error // a client's call in progress
	reached   map[*disk]map[int]uint64
	answers   []shown
	previews  []previewed
	sets      map[string][]oracle.Event // that were tried, by name
	set       string                    // the newest, while it is neither committed nor dropped
	tried     []triedSet
}

// Run makes the run of a seed, of about so many steps. It must be called in a
// bubble of testing/synctest.
func Run(seed uint64, steps int, o Options) Outcome {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 17)), Options: o, seed: seed, dir: o.Dir, log: o.Log,
		revisions: map[uint64]*oracle.Catalog{}, progress: begin, reached: map[*disk]map[int]uint64{}, faults: true,
		sets: map[string][]oracle.Event{}, reprices: map[*oracle.Catalog]bool{},
	}
	dir, err := os.MkdirTemp(o.Dir, "world-")
	if err != nil {
		return Outcome{What: "folder", Violation: err.Error()}
	}
	w.dir = dir
	w.journal = newJournal(w.now)
	w.watch = watch{world: w, seen: map[int]map[uint64]record{}, stood: map[int]record{}}
	w.partitions = pick(w, 1, 1, 2, 3)
	w.journal.store(stream.Ledger, stream.Message{Subject: "ledger.genesis", Data: fmt.Appendf(nil, `{"identity_seed":"%x","partitions":%d}`, seed, w.partitions)})
	w.setClock(begin)
	w.drawCatalog()
	w.disks = []*disk{newDisk("disk A"), newDisk("disk B")}
	w.current = w.start(w.disks[0], false)
	for range steps {
		if w.act(); w.What() != "" {
			break
		}
	}
	if w.What() == "" {
		w.settleDown()
	}
	for _, p := range slices.Clone(w.processes) {
		w.end(p)
	}
	synctest.Wait()
	if w.What() == "" {
		w.compare()
	}
	if err := os.RemoveAll(dir); err != nil && w.What() == "" {
		w.violated("folder", "%v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return Outcome{What: w.broken[0], Violation: w.broken[1], Trace: w.trace, Events: w.events, Messages: len(w.batches), Crashes: w.crashes, Steps: w.steps}
}

// What names the first promise that was broken, "" while none was.
func (w *world) What() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken[0]
}

// violated notes a broken promise.
func (w *world) violated(what, format string, args ...any) {
	w.mu.Lock()
	if w.broken[0] == "" {
		w.broken = [2]string{what, fmt.Sprintf(format, args...)}
	}
	w.mu.Unlock()
	w.note("VIOLATED %s: %s", what, fmt.Sprintf(format, args...))
}

// note takes a step into the trace.
func (w *world) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	h := fnv.New64a()
	w.mu.Lock()
	fmt.Fprint(h, w.trace, text)
	w.trace = h.Sum64()
	w.mu.Unlock()
	if w.Note != nil {
		w.Note(text)
	}
}

// act makes one step.
func (w *world) act() {
	synctest.Wait()
	w.steps++
	w.look()
	if w.What() != "" {
		return
	}
	waiting := w.gates.list()
	switch n := w.IntN(100); {
	case n < 55 && len(waiting) > 0:
		w.pass(waiting[w.IntN(len(waiting))])
	case n < 78:
		w.produce()
		w.setClock(w.progress.Add(time.Duration(w.IntN(600)-60) * time.Minute)) // machines' clocks jump
	case n < 93:
		w.sleep(pick(w, time.Millisecond, 45*time.Millisecond, 45*time.Millisecond, time.Second))
	case n < 98:
		w.call()
	default:
		w.fault()
	}
}

// pass lets a call through its gate.
func (w *world) pass(p *parked) {
	v := verdict{number: w.Uint64(), fail: w.faults && w.chance(12)}
	w.note("pass %s fail=%v", p.label, v.fail)
	p.pass <- v
	synctest.Wait()
}

// sleep lets time pass.
func (w *world) sleep(d time.Duration) {
	w.note("sleep %v", d)
	time.Sleep(d)
	synctest.Wait()
}

// look takes note of what has ended, and asks what a reader would.
func (w *world) look() {
	select {
	case err := <-w.client:
		w.client = nil
		w.note("client: %v", err)
	default:
	}
	for _, p := range slices.Clone(w.processes) {
		select {
		case err := <-p.ended:
			w.ended(p, err)
		default:
		}
	}
	h := w.current.opened()
	if h == nil || w.current.alive() != nil {
		return
	}
	positions := map[int]uint64{}
	for _, p := range h.Queries().AsOf().Positions {
		positions[p.Partition] = p.Sequence
	}
	w.answered(w.current.disk, positions)
	if w.chance(2) {
		w.ask(h)
	}
}

// ended deals with a life that ended by itself: only one that another has taken
// the log from may.
func (w *world) ended(p *process, err error) {
	w.processes = slices.DeleteFunc(w.processes, func(o *process) bool { return o == p })
	switch {
	case p != w.current && errors.Is(err, stream.ErrFenced):
		w.note("%s is fenced", p.name)
	case p == w.current && p.opened() == nil && errors.Is(err, stream.ErrUnavailable):
		w.current = w.start(p.disk, true) // the log could not be asked; who runs it tries again
		return
	default:
		w.violated("the host goes on", "%s: %v", p.name, err)
	}
	close(p.dead)
	p.stop()
}

// end crashes a life, if it has not ended by itself.
func (w *world) end(p *process) {
	if p.alive() != nil {
		return
	}
	err := p.crash()
	w.crashes++
	w.processes = slices.DeleteFunc(w.processes, func(o *process) bool { return o == p })
	if err != nil && !errors.Is(err, stream.ErrFenced) && !errors.Is(err, stream.ErrUnavailable) && w.What() == "" {
		w.violated("the host goes on", "%s: %v", p.name, err)
	}
	if p == w.current && w.client != nil {
		<-w.client // it has met the crash
		w.client = nil
	}
}

// call has a client ask for something, one at a time.
func (w *world) call() {
	p := w.current
	h := p.opened()
	if h == nil || w.client != nil {
		return
	}
	done := make(chan error, 1)
	w.client = done
	catalogs := 30
	if w.kind() == kindFees {
		catalogs = 70
	}
	if len(w.revisions) == 0 || !w.applied || w.chance(catalogs) {
		if w.applied {
			w.catalogs, w.applied = append(w.catalogs, w.nextCatalog()), false
		}
		newest := w.catalogs[len(w.catalogs)-1]
		w.note("apply catalog %d, reprice=%v", len(w.catalogs), w.reprices[newest])
		go func() { done <- w.apply(p.ctx, h, newest) }()
		return
	}
	if w.Tries && w.chance(45) {
		w.try(p, h, done)
		return
	}
	request := host.SettleRequest{Discard: w.chance(15), By: "operator"}
	request.Filter.Reason = pick(w, "", "no_subscription", "period_closed", "identity_conflict")
	w.note("settle %+v", request)
	go func() {
		_, err := h.SettleLetters(p.ctx, request)
		done <- err
	}()
}

// stored notes the catalog of a revision that the log has.
func (w *world) stored(body []byte) {
	var r struct{ Revision uint64 }
	if err := json.Unmarshal(body, &r); err != nil {
		w.violated("revision", "%v", err)
	}
	w.revisions[r.Revision] = w.catalogs[len(w.catalogs)-1]
}

// apply applies a catalog until the log has it or the host refuses it.
func (w *world) apply(ctx context.Context, h *host.Host, c *oracle.Catalog) error {
	applied, err := h.Apply(ctx, host.ApplyRequest{Files: []catalog.File{{Name: "catalog.json", Data: w.encode(c)}}, At: w.now(), Reprice: w.reprices[c]})
	var refused *host.Fault
	switch {
	case len(applied.Problems) > 0:
		w.violated("apply", "%v", applied.Problems)
	case err == nil:
		w.applied = true
	case errors.As(err, &refused) && refused.Reason() == host.ReasonReachesBack:
		w.catalogs, w.applied = w.catalogs[:len(w.catalogs)-1], true
	}
	return err
}

// fault has something go wrong.
func (w *world) fault() {
	p := w.current
	switch n := w.IntN(100); {
	case n < 55:
		w.end(p)
		w.current = w.start(p.disk, false)
	case n < 65: // the end of the database's log is damaged
		w.end(p)
		n := w.IntN(w.partitions)
		if p.disk.rollBack(n) {
			w.note("partition %d of %s is rolled back", n, p.disk.id)
			delete(w.reached, p.disk)
		}
		w.current = w.start(p.disk, false)
	case n < 85: // another host takes the log; this one does not know yet
		w.takeOver(p)
	default:
		w.damageLog(p)
	}
}

// takeOver starts a second host while the first goes on.
func (w *world) takeOver(p *process) {
	if w.client != nil || len(w.processes) > 1 || p.opened() == nil {
		return
	}
	other := w.disks[0]
	if p.disk == other {
		other = w.disks[1]
	}
	var owned *stream.OwnedError
	if err := w.tryToStart(other, false); !errors.As(err, &owned) {
		w.violated("P7 one writer", "a host opened a log that another owns: %v", err)
	}
	w.current = w.start(other, true)
}

// tryToStart starts a host that must not come up, and returns why it has not.
func (w *world) tryToStart(d *disk, takeOver bool) (err error) {
	p := w.start(d, takeOver)
	synctest.Wait() // nothing on this way stops at a gate
	w.processes = slices.DeleteFunc(w.processes, func(o *process) bool { return o == p })
	select {
	case err = <-p.ended:
		close(p.dead)
		p.stop()
	default:
		if crashed := p.crash(); crashed != nil {
			w.note("%v", crashed)
		}
	}
	w.note("not started: %v", err)
	return err
}

// damageLog damages the stream of a partition while no host runs, sees that the
// host refuses it, and mends it.
func (w *world) damageLog(p *process) {
	for _, o := range slices.Clone(w.processes) {
		w.end(o)
	}
	n := w.IntN(w.partitions)
	s := w.journal.stream(stream.Usage(n))
	last, farthest := w.position(p.disk, n), w.watch.farthest(n)
	restart := func() { w.current = w.start(p.disk, true) }
	switch kind := pick(w, "tail", "tail", "other", "unread", "gap"); {
	case last == 0:
	case kind == "tail" && last > 0:
		whole := s.list
		s.list = s.list[:last-1]
		w.refused(p.disk, "the log has lost its tail")
		s.list = whole
	case kind == "other":
		whole := s.list
		s.list = slices.Clone(whole)
		s.list[last-1].Data = append([]byte(" "), whole[last-1].Data...)
		w.refused(p.disk, "is not the log that this state was made from")
		s.list = whole
	case kind == "unread" && farthest < uint64(len(s.list)):
		w.note("partition %d loses what nobody has read, from %d", n, farthest+1)
		s.list = s.list[:farthest]
		w.forgetTrials(n, farthest)
	case kind == "gap" && last+1 < uint64(len(s.list)):
		s.gone[last+1] = true
		w.note("partition %d has a gap at %d", n, last+1)
		restart()
		w.untilEnded()
		clear(s.gone)
	}
	restart()
}

// position is that of a disk's newest checkpoint.
func (w *world) position(d *disk, partition int) uint64 {
	return positionOf(d.now(partition))
}

// refused sees that a host does not open a log.
func (w *world) refused(d *disk, why string) {
	if err := w.tryToStart(d, true); err == nil || !strings.Contains(err.Error(), why) {
		w.violated("a damaged log is refused", "want %q, have %v", why, err)
	}
}

// untilEnded lets the newest host work until it stops by itself.
func (w *world) untilEnded() {
	p := w.current
	for range 2_000 {
		synctest.Wait()
		select {
		case err := <-p.ended:
			var gap *stream.GapError
			if !errors.As(err, &gap) {
				w.violated("a gap stops the host", "%v", err)
			}
			w.processes = slices.DeleteFunc(w.processes, func(o *process) bool { return o == p })
			close(p.dead)
			p.stop()
			return
		default:
		}
		if waiting := w.gates.list(); len(waiting) > 0 {
			w.pass(waiting[w.IntN(len(waiting))])
		} else {
			w.sleep(50 * time.Millisecond)
		}
	}
	w.violated("a gap stops the host", "it goes on")
}
