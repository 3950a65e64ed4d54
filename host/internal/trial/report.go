package trial

import (
	"bufio"
	"cmp"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host/internal/bench"
)

// Machine says where figures were taken.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	Memory   int64  `json:"memory_bytes"` // 0 where the system does not tell
	Platform string `json:"platform"`
	Go       string `json:"go"`
	Date     string `json:"date"`
}

// thisMachine describes the machine.
func thisMachine(now time.Time) Machine {
	m := Machine{
		CPU: "unknown processor", Cores: runtime.GOMAXPROCS(0), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Date: now.UTC().Format(time.DateOnly),
	}
	m.Memory = fields("/proc/meminfo")["MemTotal"] << 10
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m // not Linux
	}
	defer file.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// Spread is a figure over the rounds.
type Spread struct {
	Min    int64 `json:"min"`
	Median int64 `json:"median"`
	Max    int64 `json:"max"`
}

// spread sums up one figure of all rounds.
func spread[T any](rounds []T, figure func(T) int64) Spread {
	if len(rounds) == 0 {
		return Spread{}
	}
	list := make([]int64, len(rounds))
	for i, r := range rounds {
		list[i] = figure(r)
	}
	slices.Sort(list)
	return Spread{Min: list[0], Median: middle(list), Max: list[len(list)-1]}
}

// middle is the median of a sorted list, the smaller one of two.
func middle[T cmp.Ordered](sorted []T) T { return sorted[(len(sorted)-1)/2] }

// Row is one thing measured, over all rounds.
type Row struct {
	Name   string    `json:"name"`
	Key    string    `json:"key"`
	Events int       `json:"events"`
	Rounds []Figures `json:"rounds"`
}

// Rate is the events per second.
func (r *Row) Rate() Spread { return spread(r.Rounds, Figures.perSecond) }

// CPU is the processor time per event, nanoseconds.
func (r *Row) CPU() int64 {
	return r.median(func(f Figures) int64 { return f.perEvent(int64(f.CPU)) })
}

// Allocations are those per event, and those of the second half of the run.
func (r *Row) Allocations() (all, steady bench.Hundredths) {
	ratio := func(n, by uint64) int64 { return int64(n * 100 / max(1, by)) }
	return bench.Hundredths(r.median(func(f Figures) int64 { return ratio(f.Allocations, f.Events) })),
		bench.Hundredths(r.median(func(f Figures) int64 { return ratio(f.SteadyAllocation, f.SteadyEvents) }))
}

func (r *Row) median(figure func(Figures) int64) int64 { return spread(r.Rounds, figure).Median }

// Ratio is one rate by another, round by round, in hundredths.
type Ratio struct {
	Name   string           `json:"name"`
	Min    bench.Hundredths `json:"min"`
	Median bench.Hundredths `json:"median"`
	Max    bench.Hundredths `json:"max"`
	Goal   string           `json:"goal,omitempty"` // the least, and the aim
}

// ratio divides the rates of two rows; ok is false if either was not measured.
func ratio(name, goal string, of, by *Row) (Ratio, bool) {
	if of == nil || by == nil || len(of.Rounds) == 0 || len(of.Rounds) != len(by.Rounds) {
		return Ratio{}, false
	}
	list := make([]int64, len(of.Rounds))
	for i := range of.Rounds {
		list[i] = of.Rounds[i].perSecond() * 100 / max(1, by.Rounds[i].perSecond())
	}
	s := spread(list, func(n int64) int64 { return n })
	return Ratio{Name: name, Min: bench.Hundredths(s.Min), Median: bench.Hundredths(s.Median), Max: bench.Hundredths(s.Max), Goal: goal}, true
}
