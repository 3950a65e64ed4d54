package trial

import (
	"errors"
	"os"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// meter measures what the process takes from begin to end.
type meter struct {
	worker  *worker
	profile *os.File
	start   time.Time
	before  counts
	half    atomic.Pointer[counts] // when about half of the events were done; nil before
	objects map[string]int64       // allocated before, by stage
	from    uint64                 // events that were done when it began
	failed  error                  // to begin again
}

// counts are what the process has taken since it began.
type counts struct {
	events      uint64
	cpu         time.Duration
	allocations uint64
	bytes       uint64
	written     int64
}

func count(events uint64) counts {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/tiny/allocs:objects"}}
	metrics.Read(samples)
	usage := processUsage()
	return counts{
		events: events, cpu: usage.cpu, written: usage.written,
		allocations: samples[0].Value.Uint64() + samples[2].Value.Uint64(), bytes: samples[1].Value.Uint64(),
	}
}

// begin starts measuring.
func (w *worker) begin() *meter {
	runtime.GC()
	return &meter{worker: w, start: w.now(), before: count(0)}
}

// beginProfile starts measuring, with a profile of the processor time if the job
// wants one.
func (w *worker) beginProfile() (*meter, error) {
	m := w.begin()
	if w.job.ProfileFile == "" || w.job.SecondHalf {
		return m, nil
	}
	return m, m.startProfile()
}

func (m *meter) startProfile() error {
	file, err := os.Create(m.worker.job.ProfileFile)
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(err, file.Close())
	}
	if m.objects, err = allocationStages(); err != nil {
		return errors.Join(err, file.Close())
	}
	m.profile = file
	return nil
}

// passed notes that so many events are done: the first time that this is at
// least half of all, the steady state begins. A job of which the second half is
// measured begins there again. One that is done before it is asked has no such half
// and is measured whole.
func (m *meter) passed(events, all uint64) {
	if m.half.Load() != nil || 2*events < all || events >= all {
		return
	}
	c := count(events)
	m.half.Store(&c)
	if m.worker.job.SecondHalf {
		m.from, m.before, m.start = events, c, m.worker.now()
		m.failed = m.startProfile()
	}
}

// end says what was taken for so many events. It is called once.
func (m *meter) end(events uint64) (Figures, error) {
	if m.failed != nil {
		return Figures{}, m.failed
	}
	took, after, usage := m.worker.now().Sub(m.start), count(events), processUsage()
	f := Figures{
		Events: events - m.from, Took: took, CPU: after.cpu - m.before.cpu,
		Allocations: after.allocations - m.before.allocations, AllocatedBytes: after.bytes - m.before.bytes,
		PeakRSS: usage.peak, RSS: usage.rss, BytesWritten: after.written - m.before.written,
	}
	if half := m.half.Load(); half != nil {
		f.SteadyEvents, f.SteadyAllocation = events-half.events, after.allocations-half.allocations
	}
	if m.profile == nil {
		return f, nil
	}
	pprof.StopCPUProfile()
	if err := m.profile.Close(); err != nil {
		return f, err
	}
	var err error
	if f.Stages, err = stagesOf(m.profile.Name()); err != nil {
		return f, err
	}
	f.AllocationStages, err = allocationStages()
	for stage, n := range m.objects {
		f.AllocationStages[stage] -= n
	}
	return f, err
}

// usage is what the operating system says of this process; 0 where it does not.
type usage struct {
	cpu       time.Duration // of all threads
	rss, peak int64         // bytes of memory
	written   int64         // bytes that it caused to be written to the disk
}
