package checkpoint

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// The bounds of a fold.
const (
	// foldInputsMax is the most runs merged at once, one segment of each in
	// memory.
	foldInputsMax = 32

	// foldTxnBytes is what a fold writes in one transaction: little, since a
	// commit that comes meanwhile waits for it.
	foldTxnBytes = 2 * SegmentMaxBytes

	// logRunBytes is the size above which a log's run is not merged any more:
	// there is nothing to gain, its entries do not change.
	logRunBytes = 64 << 20

	// foldPause is how long the fold rests after it failed.
	foldPause = 10 * time.Second

	// foldCheckEvery is how many entries are merged between two looks at
	// whether the store is closing.
	foldCheckEvery = 1024
)

// errEnding says that a fold gave up since the store is closing. What it wrote
// is swept at the next open, as after a crash.
var errEnding = errors.New("the store is closing")

// errOvertaken says that the runs of a fold were trimmed meanwhile.
var errOvertaken = errors.New("the runs were trimmed")

// folder is the store's goroutine that folds. Its fields without a comment are
// set by start and constant after it.
type folder struct {
	store  *Store
	wakeup chan struct{} // holds one: there may be something to fold
	ending atomic.Bool
	done   chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	doomed []doomed // runs to delete; guarded by mu

	writer writer    // owned by the goroutine
	rest   time.Time // fold nothing before it; owned by the goroutine
	after  uint16    // the partition folded last; owned by the goroutine
}

func (f *folder) start(s *Store) {
	f.store = s
	f.wakeup = make(chan struct{}, 1)
	f.done = make(chan struct{})
	if s.options.foldByHand {
		close(f.done)
		return
	}
	go f.loop()
	f.wake()
}

// wake says that there may be something to fold. It never waits.
func (f *folder) wake() {
	select {
	case f.wakeup <- struct{}{}:
	default:
	}
}

// end stops the goroutine and waits for it.
func (f *folder) end() {
	f.ending.Store(true)
	f.wake()
	<-f.done
}

// loop folds while there is something to fold, then sleeps until woken.
func (f *folder) loop() {
	defer close(f.done)
	for range f.wakeup {
		for !f.ending.Load() && f.once() {
		}
		if f.ending.Load() {
			return
		}
	}
}

// once deletes a trimmed run, or a dead file, or folds the first range of runs that is due,
// going round the partitions, and reports whether there may be more.
func (f *folder) once() bool {
	now := f.store.options.Now()
	if now.Before(f.rest) {
		return false
	}
	if found, err := f.reapOne(); found {
		return f.worked("delete of a trimmed run", err)
	}
	if did, err := f.collect(); did || err != nil {
		return f.worked("collection of value files", err)
	}
	job, ok := f.due()
	if !ok {
		return false
	}
	f.after = job.partition.number
	err := f.fold(job)
	if err == nil {
		f.store.counters.folds.Add(1)
		f.store.counters.lastFold.Store(int64(f.store.options.Now().Sub(now)))
	}
	return f.worked("fold", err, "partition", job.partition.number)
}

// worked notes how a piece of work ended and reports whether there may be more.
func (f *folder) worked(what string, err error, where ...any) bool {
	switch {
	case err == nil || errors.Is(err, errOvertaken):
		return true
	case errors.Is(err, errEnding):
		return false
	}
	f.store.counters.foldErrors.Add(1)
	f.store.log.Error("checkpoint: "+what+" failed", append(where, "error", err)...)
	f.rest = f.store.options.Now().Add(foldPause)
	return false
}

// foldJob is a range of neighbouring runs to merge into one.
type foldJob struct {
	partition *Partition
	family    family
	runs      []run
	oldest    bool // the range starts with the family's oldest run
	resets    uint64
}

// due finds work, beginning after the partition folded last.
func (f *folder) due() (foldJob, bool) {
	for _, p := range f.open(f.after) {
		if p.failed.Load() != nil {
			continue
		}
		resets := p.resets.Load() // before the state, which goes with it or a later one
		current := p.state.Load()
		for i := range current.families {
			fam := &current.families[i]
			if fam.kind == kindLog && f.store.journals[fam.table] {
				continue
			}
			from, to := foldRange(fam, f.store.options)
			if to-from >= 2 {
				return foldJob{partition: p, family: fam.family, runs: fam.runs[from:to], oldest: from == 0, resets: resets}, true
			}
		}
	}
	return foldJob{}, false
}

// open returns the open partitions, beginning after one.
func (f *folder) open(after uint16) []*Partition {
	f.store.mu.Lock()
	open := make([]*Partition, 0, len(f.store.partitions))
	for _, p := range f.store.partitions {
		open = append(open, p)
	}
	f.store.mu.Unlock()
	slices.SortFunc(open, func(a, b *Partition) int {
		// Numbers above after come first: as uint16 the distance wraps around.
		return int(a.number-after-1) - int(b.number-after-1)
	})
	return open
}

// foldRange chooses the runs to merge, from up to but not including to; none
// when fewer than two.
//
// A table is folded whole when what came after its oldest run outweighs it:
// so at most half of what is stored is outdated. Otherwise, when there are too
// many runs, the newest are merged: from the end backwards as long as a run is
// not larger than all behind it together, so that a large run is not rewritten
// for the sake of a few small ones, but at least half of the bound.
func foldRange(f *familyState, o Options) (from, to int) {
	runs := f.runs
	floor := 0
	if f.kind == kindLog {
		for i, r := range runs {
			if r.bytes >= logRunBytes {
				floor = i + 1
			}
		}
	} else if len(runs) > 1 {
		var delta uint64
		for _, r := range runs[1:] {
			delta += r.bytes
		}
		if delta >= runs[0].bytes && delta >= uint64(o.FoldMinBytes) {
			return 0, min(len(runs), foldInputsMax)
		}
	}
	if len(runs)-floor <= o.FoldRunsMax {
		return 0, 0
	}
	from = len(runs) - 1
	behind := runs[from].bytes
	least := max(2, o.FoldRunsMax/2)
	for from > floor && (runs[from-1].bytes <= behind || len(runs)-from < least) {
		from--
		behind += runs[from].bytes
	}
	return from, min(len(runs), from+foldInputsMax)
}

// fold merges the runs of a job into one and swaps it for them.
func (f *folder) fold(job foldJob) error {
	s := f.store
	var size uint64
	for _, r := range job.runs {
		size += r.bytes
	}
	if err := s.checkSpace(int64(size)); err != nil {
		return err
	}
	failpoint.Hit("merge.before")
	f.writer.begin(s, cost{tree: s.txnLimit.tree, files: min(s.txnLimit.files, foldTxnBytes)})
	merged, err := f.merge(job)
	f.writer.release()
	failpoint.Hit("merge.before-swap")
	if err == nil {
		err = f.swap(job, merged)
	}
	if err != nil {
		if f.overtaken(job) {
			err = errOvertaken
		}
		return f.abandon(job, err)
	}
	s.counters.foldBytesRead.Add(size)
	s.counters.foldBytesWritten.Add(merged.bytes)
	failpoint.Hit("merge.after-swap")
	old := make([]doomed, len(job.runs))
	for i, r := range job.runs {
		old[i] = doomed{family: job.family, run: r.id}
	}
	return s.deleteRuns(old)
}

// overtaken reports whether a run of a job was trimmed. It waits for a commit in
// progress, so that what its transaction did is in the state.
func (f *folder) overtaken(job foldJob) bool {
	p := job.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	return (job.family.kind == kindLog || p.resets.Load() != job.resets) && p.state.Load().indexOf(job) < 0
}

// indexOf returns where the runs of a job are among those of their family, -1
// when not all are there.
func (s *state) indexOf(job foldJob) int {
	f := s.find(job.family)
	if f == nil {
		return -1
	}
	at := slices.IndexFunc(f.runs, func(r run) bool { return r.id == job.runs[0].id })
	if at < 0 || !slices.Equal(f.runs[at:min(len(f.runs), at+len(job.runs))], job.runs) {
		return -1
	}
	return at
}

// abandon tidies up after a fold that failed before its swap, and stops the
// partition when it is damaged.
func (f *folder) abandon(job foldJob, err error) error {
	var damage *CorruptError
	if errors.As(err, &damage) && job.partition.resets.Load() == job.resets {
		job.partition.stop(err)
	}
	if errors.Is(err, errEnding) || errors.Is(err, ErrUncertain) || !f.writer.split {
		return err
	}
	return errors.Join(err, f.store.deleteRuns(f.writer.runs))
}

// merge writes all segments of the merged run.
func (f *folder) merge(job foldJob) (run, error) {
	at := f.store.moment()
	defer at.end()
	k := newPacker(&f.writer, job.family, job.runs[0].first)
	join := f.mergeTable
	if job.family.kind == kindLog {
		join = f.mergeLog
	}
	if err := join(&at, job, &k); err != nil {
		return run{}, err
	}
	merged, err := k.finish()
	if err != nil {
		return run{}, err
	}
	return merged, f.writer.flush()
}

// mergeTable packs the newest value of every key. Deletions are kept as long as
// an older run may have the key.
func (f *folder) mergeTable(at *moment, job foldJob, k *packer) error {
	m, err := newMerger(at, job.family, job.runs)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%foldCheckEvery == 0 && f.ending.Load() {
			return errEnding
		}
		key, value, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if value == nil && job.oldest {
			continue
		}
		if err := k.table(key, value); err != nil {
			return err
		}
	}
}

// mergeLog packs the entries of one run after the other.
func (f *folder) mergeLog(at *moment, job foldJob, k *packer) error {
	n := 0
	for _, r := range job.runs {
		reader := runReader{at: at, family: job.family, run: r, next: r.first}
		for {
			if n++; n%foldCheckEvery == 0 && f.ending.Load() {
				return errEnding
			}
			_, entry, ok, err := reader.logEntry()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := k.log(entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// swap replaces the runs of a job by the merged one, in one transaction which
// dooms them. Commits may have added runs behind them since.
func (f *folder) swap(job foldJob, merged run) error {
	p := job.partition
	p.mu.Lock()
	defer p.mu.Unlock()
	if stopped := p.failed.Load(); stopped != nil {
		return stopped.err
	}
	current := p.state.Load()
	at := current.indexOf(job)
	if at < 0 {
		if job.family.kind == kindLog || p.resets.Load() != job.resets {
			return errOvertaken
		}
		err := errors.New("checkpoint: the runs to fold are not those of the record")
		p.stop(err)
		return err
	}
	folded := *current.find(job.family)
	next := slices.Clone(folded.runs[:at])
	if merged.entries > 0 {
		next = append(next, merged)
	}
	folded.runs = append(next, folded.runs[at+len(job.runs):]...)
	result := current.with(folded)
	writes := []write{p.recordWrite(result)}
	for _, r := range job.runs {
		writes = append(writes, markDoomed(doomed{family: job.family, run: r.id}))
	}
	if err := f.writer.finish(writes...); err != nil {
		err = fmt.Errorf("checkpoint: partition %d: fold: %w: %w", p.number, ErrUncertain, err)
		p.stop(err)
		return err
	}
	p.state.Store(result)
	return nil
}
