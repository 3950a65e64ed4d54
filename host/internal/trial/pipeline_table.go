package trial

import (
	"fmt"
	"strings"
	"time"
)

// Tables shows the report.
func (r *PipelineReport) Tables() []Table {
	return []Table{r.goalTable(), r.ratioTable(), r.rateTable(), r.costTable(), r.stageTable(), r.allocationTable()}
}

func (r *PipelineReport) ratioTable() Table {
	t := Table{
		Title:   "Whole pipeline: ratios within one round",
		Columns: []string{"ratio", "min", "median", "max", "goal"},
	}
	for _, x := range r.Ratios {
		t.add(x.Name, x.Min.String(), x.Median.String(), x.Max.String(), x.Goal)
	}
	return t
}

func (r *PipelineReport) rateTable() Table {
	t := Table{
		Title:   "Events per second",
		Columns: []string{"what", "events", "min", "median", "max"},
		Note: fmt.Sprintf("Machine: %s. %d partitions, %d events in an array or packed batch, rounds: %d. %s.",
			r.Machine, r.Partitions, r.PerMessage, r.Rounds, strings.TrimSuffix(r.Database, ".")),
	}
	for _, row := range r.Rows {
		s := row.Rate()
		t.add(row.Name, thousands(int64(row.Events)), thousands(s.Min), thousands(s.Median), thousands(s.Max))
	}
	return t
}

// costTable shows what an event takes. Checkpoint times are of the round whose
// p99 is the median of all.
func (r *PipelineReport) costTable() Table {
	t := Table{
		Title: "What an event takes, of the process alone (medians)",
		Columns: []string{
			"what", "CPU ns", "allocations", "in the second half", "peak RSS MiB", "written B", "to the store B", "store B",
			"checkpoint p50 / p99 ms", "stall p50 / p99 ms",
		},
	}
	for _, row := range r.Rows {
		all, steady := row.Allocations()
		cells := []string{
			row.Name, thousands(row.CPU()), all.String(), "–", mebibytes(row.median(func(f Figures) int64 { return f.PeakRSS })),
			orDash(row.median(func(f Figures) int64 { return f.perEvent(f.BytesWritten) })),
			orDash(row.median(func(f Figures) int64 { return f.perEvent(f.StoreWritten) })),
			orDash(row.median(func(f Figures) int64 { return f.perEvent(f.StoreBytes) })), "–", "–",
		}
		if row.Rounds[0].SteadyEvents > 0 {
			cells[3] = steady.String()
		}
		if row.Rounds[0].Checkpoints != nil {
			at := func(figure func(Figures) time.Duration) time.Duration {
				return time.Duration(row.median(func(f Figures) int64 { return int64(figure(f)) }))
			}
			cells[8] = millis(at(func(f Figures) time.Duration { return f.Checkpoints.Duration.P50 })) + " / " +
				millis(at(func(f Figures) time.Duration { return f.Checkpoints.Duration.P99 }))
			cells[9] = millis(at(func(f Figures) time.Duration { return f.Checkpoints.Stall.P50 })) + " / " +
				millis(at(func(f Figures) time.Duration { return f.Checkpoints.Stall.P99 }))
		}
		t.add(cells...)
	}
	return t
}

// stageTable divides the processor time of the hosts.
func (r *PipelineReport) stageTable() Table {
	t := stageTable("Processor time per event by stage, ns (profile labels; medians)")
	for _, row := range r.Rows {
		t.stages(row.Name, row.Rounds, func(f Figures, name string) int64 { return f.perEvent(int64(f.Stages[name])) })
	}
	return t
}

// allocationTable divides what the hosts allocate.
func (r *PipelineReport) allocationTable() Table {
	t := stageTable("Allocations per 1,000 events by stage, the start included (sampled; medians)")
	t.Note = "By the innermost function of a stage: allocations have no labels."
	for _, row := range r.Rows {
		t.stages(row.Name, row.Rounds, func(f Figures, name string) int64 { return f.perEvent(f.AllocationStages[name] * 1000) })
	}
	return t
}

// stageTable is an empty table with a column for each stage.
func stageTable(title string) Table {
	return Table{
		Title: title, Columns: append([]string{"what"}, stageOrder()...),
		Note: "server is the NATS server where it is in the process, garbage the collector's own goroutines, runtime the scheduler. " +
			"Samples without a label count for the stage of the innermost function that is known.",
	}
}

// stages adds a row with the median of a figure for each stage, where there was a
// profile.
func (t *Table) stages(name string, rounds []Figures, figure func(f Figures, stage string) int64) {
	if len(rounds) == 0 || len(rounds[0].Stages) == 0 {
		return
	}
	cells := []string{name}
	for _, stage := range stageOrder() {
		cells = append(cells, orDash(spread(rounds, func(f Figures) int64 { return figure(f, stage) }).Median))
	}
	t.add(cells...)
}
