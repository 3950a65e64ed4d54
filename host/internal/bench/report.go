package bench

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// Report is what a run has measured.
type Report struct {
	CPUs       int        `json:"cpus"`
	Go         string     `json:"go"`
	Platform   string     `json:"platform"`
	Accounts   int        `json:"accounts"`
	Meters     int        `json:"meters"`
	Partitions int        `json:"partitions"`
	Rounds     int        `json:"rounds"`
	Stages     []Stage    `json:"stages"`
	Pipelines  []Pipeline `json:"pipelines"`
}

// Stage is one stage alone, in memory and on one core.
type Stage struct {
	Name        string     `json:"name"`
	Unit        string     `json:"unit"` // what is counted: "event" or "entry"
	Rate        Spread     `json:"per_second"`
	CPU         int64      `json:"cpu_ns_per_unit"`
	Allocations Hundredths `json:"allocations_per_unit"`
	Bytes       int64      `json:"bytes_per_unit"`
}

// Pipeline is the whole way of events in one body format.
type Pipeline struct {
	Name         string `json:"name"`
	Events       int    `json:"events"`
	Accounts     int    `json:"accounts"`
	Messages     int    `json:"messages"`
	MessageBytes int    `json:"message_bytes"` // of an average message's body
	// Read is the rate at which the stream's events are read and dropped; EndToEnd
	// the rate from the start of the host to the last checkpoint; Ratio the median
	// of EndToEnd divided by Read, round by round.
	Read     Spread     `json:"read_per_second"`
	EndToEnd Spread     `json:"events_per_second"`
	Ratio    Hundredths `json:"ratio_to_read"`
	// CPU, Allocations and Bytes are per event, of the server as well; ReadCPU,
	// ReadAllocations and ReadBytes are what the raw read takes of them. CPU is
	// processor time in nanoseconds, which a busy machine distorts less than rates;
	// 0 where the system does not tell it.
	CPU             int64      `json:"cpu_ns_per_event"`
	ReadCPU         int64      `json:"read_cpu_ns_per_event"`
	Allocations     Hundredths `json:"allocations_per_event"`
	Bytes           int64      `json:"bytes_per_event"`
	ReadAllocations Hundredths `json:"read_allocations_per_event"`
	ReadBytes       int64      `json:"read_bytes_per_event"`
}

// Spread is a rate in units a second over the rounds.
type Spread struct {
	Median int64 `json:"median"`
	Min    int64 `json:"min"`
	Max    int64 `json:"max"`
}

// Hundredths is a number with two decimal places: 84 is 0.84.
type Hundredths int64

// String writes the number with both places.
func (h Hundredths) String() string {
	sign, n := "", int64(h)
	if n < 0 {
		sign, n = "-", -n
	}
	digits := strconv.FormatInt(n%100, 10)
	if len(digits) < 2 {
		digits = "0" + digits
	}
	return sign + strconv.FormatInt(n/100, 10) + "." + digits
}

// MarshalText makes the number a decimal string in JSON.
func (h Hundredths) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// hundredths divides, rounding down.
func hundredths(n, by int64) Hundredths {
	if by == 0 {
		return 0
	}
	return Hundredths(n * 100 / by)
}

// perSecond is the sample's rate.
func (s sample) perSecond() int64 {
	return int64(s.units) * int64(time.Second) / max(1, int64(s.took))
}

func (s sample) cpuPerUnit() int64 { return int64(s.cpu) / int64(max(1, s.units)) }

func (s sample) allocationsPerUnit() Hundredths {
	return hundredths(int64(s.allocations), int64(s.units))
}

func (s sample) bytesPerUnit() int64 { return int64(s.bytes) / int64(max(1, s.units)) }

// median returns the middle of a list, the smaller one of two.
func median[T cmp.Ordered](list []T) T {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)/2]
}

// each collects one figure of all samples.
func each[T any](samples []sample, figure func(sample) T) []T {
	list := make([]T, len(samples))
	for i, s := range samples {
		list[i] = figure(s)
	}
	return list
}

// spread is the rate of samples, one a round.
func spread(samples []sample) Spread {
	rates := each(samples, sample.perSecond)
	return Spread{Median: median(rates), Min: slices.Min(rates), Max: slices.Max(rates)}
}

// newStage sums up the rounds of a stage.
func newStage(name, unit string, samples []sample) Stage {
	return Stage{
		Name: name, Unit: unit, Rate: spread(samples), CPU: median(each(samples, sample.cpuPerUnit)),
		Allocations: median(each(samples, sample.allocationsPerUnit)), Bytes: median(each(samples, sample.bytesPerUnit)),
	}
}

// sumUp fills in what the rounds of a pipeline have measured.
func (p *Pipeline) sumUp(read, endToEnd []sample) {
	p.Read, p.EndToEnd = spread(read), spread(endToEnd)
	ratios := make([]Hundredths, len(read))
	for i := range read {
		ratios[i] = hundredths(endToEnd[i].perSecond(), read[i].perSecond())
	}
	p.Ratio = median(ratios)
	p.CPU, p.ReadCPU = median(each(endToEnd, sample.cpuPerUnit)), median(each(read, sample.cpuPerUnit))
	p.Allocations, p.Bytes = median(each(endToEnd, sample.allocationsPerUnit)), median(each(endToEnd, sample.bytesPerUnit))
	p.ReadAllocations, p.ReadBytes = median(each(read, sample.allocationsPerUnit)), median(each(read, sample.bytesPerUnit))
}
