package trial

import (
	"fmt"
	"strings"
	"time"

	"github.com/tollway/tollway/host/internal/bench"
)

// goal is a figure that is promised, beside what was measured.
type goal struct {
	name     string
	bound    string // that the figure must keep
	aim      string
	measured string
	met      bool
	because  string // what to look at when it is missed
}

// atLeast and atMost hold a figure against its bound; text writes either of them.
func atLeast(name string, measured, bound, aim int64, text func(int64) string) goal {
	return goal{name: name, bound: "at least " + text(bound), aim: text(aim), measured: text(measured), met: measured >= bound}
}

func atMost(name string, measured, bound, aim int64, text func(int64) string) goal {
	return goal{name: name, bound: "at most " + text(bound), aim: text(aim), measured: text(measured), met: measured <= bound}
}

// hundredths, milliseconds and mebibytesText write figures of goals.
func hundredths(n int64) string    { return bench.Hundredths(n).String() }
func milliseconds(n int64) string  { return millis(time.Duration(n)) + " ms" }
func mebibytesText(n int64) string { return thousands(n>>20) + " MiB" }

// goalTable shows goals: medians of the rounds. sizes says on what they were measured.
func goalTable(goals []goal, sizes string) Table {
	t := Table{Title: "Promised and measured", Columns: []string{"figure", "promised", "aim", "measured", "met"}, Note: sizes}
	var missed []string
	for _, g := range goals {
		met := "yes"
		if !g.met {
			met = "no"
			missed = append(missed, fmt.Sprintf("%s: %s", g.name, g.because))
		}
		t.add(g.name, g.bound, g.aim, g.measured, met)
	}
	if len(missed) > 0 {
		t.Note = strings.TrimSpace(t.Note + " Missed, and where to see why: " + strings.Join(missed, "; ") + ".")
	}
	return t
}

// The bounds and aims of the goals. Ratios and allocations are in hundredths.
const (
	goalRate, aimRate               = 800_000, 1_500_000
	goalDatabase, aimDatabase       = 500, 1200
	goalMaps, aimMaps               = 40, 70
	goalSingle, aimSingle           = 60, 80
	goalStall, aimStall             = int64(5 * time.Millisecond), int64(time.Millisecond)
	goalAllocations, aimAllocations = 5, 0
	goalCommitted, aimCommitted     = int64(150 * time.Millisecond), int64(50 * time.Millisecond)
	goalLatest, aimLatest           = int64(20 * time.Millisecond), int64(5 * time.Millisecond)
	goalRecovery, aimRecovery       = int64(2 * time.Second), int64(500 * time.Millisecond)
	goalMemory, aimMemory           = 1536 << 20, 600 << 20
	goalGrowth, aimGrowth           = 200, 130
	goalIngest                      = 300_000
)

// What says why a goal is missed.
const (
	becauseStages      = "the processor time by stage"
	becauseAllocations = "the allocations by stage"
)

// goals holds what was measured against what is promised of the pipeline.
func (r *PipelineReport) goals() []goal {
	var goals []goal
	if host := r.row(r.First + "/" + subjectHost); host != nil {
		_, steady := host.Allocations()
		goals = append(goals,
			because(atLeast("packed: events a second", host.Rate().Median, goalRate, aimRate, thousands), becauseStages),
			because(atMost("packed: allocations an event, in the second half", int64(steady), goalAllocations, aimAllocations, hundredths), becauseAllocations))
		if host.Rounds[0].Checkpoints != nil {
			stall := host.median(func(f Figures) int64 { return int64(f.Checkpoints.Stall.P99) })
			goals = append(goals, because(atMost("packed: a partition's stall for a checkpoint, p99", stall, goalStall, aimStall, milliseconds), becauseStages))
		}
	}
	if host := r.row(r.First + "/" + subjectHostSeparate); host != nil {
		_, steady := host.Allocations()
		goals = append(goals, because(atMost("packed: allocations an event, in the second half, server apart", int64(steady), goalAllocations, aimAllocations, hundredths), becauseAllocations))
	}
	for _, want := range []struct {
		name, of, by string
		bound, aim   int64
	}{
		{"packed ÷ PostgreSQL on both cores, synchronous_commit off", r.First + "/" + subjectHost, r.First + "/" + databaseSubject(2, false), goalDatabase, aimDatabase},
		{"packed ÷ plain Go maps", r.First + "/" + subjectHost, r.First + "/" + subjectMap, goalMaps, aimMaps},
		{"single JSON ÷ raw read", "single/" + subjectHost, "single/" + subjectRead, goalSingle, aimSingle},
		{"single JSON ÷ raw read, server apart", "single/" + subjectHostSeparate, "single/" + subjectReadSeparate, goalSingle, aimSingle},
	} {
		if x, ok := ratio(want.name, "", r.row(want.of), r.row(want.by)); ok {
			goals = append(goals, because(atLeast(want.name, int64(x.Median), want.bound, want.aim, hundredths), becauseStages))
		}
	}
	return goals
}

func because(g goal, why string) goal {
	g.because = why
	return g
}

// goalTable is that of the pipeline.
func (r *PipelineReport) goalTable() Table {
	killed := "There was no run with a kill -9."
	if r.Killed != "" {
		killed = "Kill -9 in the middle: " + r.Killed + "."
	}
	sizes := fmt.Sprintf("Medians of %d rounds. Every total of every run was equal to its known sum. %s", r.Rounds, killed)
	if row := r.row(r.First + "/" + subjectHost); row != nil {
		sizes = fmt.Sprintf("Packed: %s events of %s accounts with ten subtotals each. ", thousands(int64(row.Events)), strings.TrimPrefix(r.First, "packed-")) + sizes
	}
	return goalTable(r.goals(), sizes)
}

// goals holds latencies at half load against what is promised of them.
func (r *LatencyReport) goals() []goal {
	const half = 50
	for i, level := range r.Rounds[0].Levels {
		if level.Percent != half {
			continue
		}
		p99 := func(of func(LatencyLevel) LatencySpread) int64 {
			return spread(r.Rounds, func(f LatencyFigures) int64 { return int64(of(f.Levels[i]).P99) }).Median
		}
		goals := []goal{because(atMost("accepted to committed at half load, p99",
			p99(func(l LatencyLevel) LatencySpread { return l.Committed }), goalCommitted, aimCommitted, milliseconds), becauseStages)}
		if level.Latest != nil {
			goals = append(goals, because(atMost("accepted to latest at half load, p99",
				p99(func(l LatencyLevel) LatencySpread { return *l.Latest }), goalLatest, aimLatest, milliseconds), becauseStages))
		}
		return goals
	}
	return nil
}

// goals holds recovery and memory against what is promised of them.
func (r *RecoveryReport) goals() []goal {
	killed := spread(r.Killed, func(d time.Duration) int64 { return int64(d) }).Median
	return []goal{
		because(atMost("kill -9 to the first answer", killed, goalRecovery, aimRecovery, milliseconds), "reading the state back, in docs/recovery.md"),
		because(atMost("memory of the host without NATS, at most", r.Figures.PeakRSS, goalMemory, aimMemory, mebibytesText), "bytes a key and an identity, in the table of growth"),
	}
}

// goals holds the cost of many keys against that of few.
func (r *GrowthReport) goals() []goal {
	if len(r.Keys) < 2 {
		return nil
	}
	first, last := &r.Keys[0], &r.Keys[len(r.Keys)-1]
	name := fmt.Sprintf("an event with %s keys ÷ one with %s", thousands(int64(last.Size)), thousands(int64(first.Size)))
	return []goal{because(atMost(name, last.cpu()*100/max(1, first.cpu()), goalGrowth, aimGrowth, hundredths), becauseStages)}
}
