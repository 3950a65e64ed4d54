package chaos

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Outcome is what a campaign has found.
type Outcome struct {
	Fault  string
	Runs   int   // times that the fault was made
	Events int64 // that were sent beside them, each counted once
	// Lost and Doubled are events, as the invoices count them.
	Lost, Doubled int64
	// Wrong are lines of invoices, or answers, that were not what they should be.
	Wrong    int
	Recovery []time.Duration // from the start of the process, or the end of the fault, to the first answer
	Took     time.Duration
	Problems []string // everything that was not as it must be
	Notes    []string // figures that are good to know
	Repeat   string   // the command that makes the same kind of run
	Kept     string   // the directory, when something was found
}

// Failed reports whether anything was not as it must be.
func (o *Outcome) Failed() bool {
	return o.Lost != 0 || o.Doubled != 0 || o.Wrong != 0 || len(o.Problems) > 0
}

// take adds what a comparison has found.
func (o *Outcome) take(v verdict) {
	o.Lost += v.lost
	o.Doubled += v.doubled
	o.Wrong += v.wrong
	o.Problems = append(o.Problems, v.problems...)
}

// fail notes an error; nil is none.
func (o *Outcome) fail(err error) {
	if err != nil {
		o.Problems = append(o.Problems, err.Error())
	}
}

// note notes a figure.
func (o *Outcome) note(format string, args ...any) {
	o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
}

// spread returns quantiles, or dashes when nothing was measured.
func spread(list []time.Duration) (p50, p99, most string) {
	if len(list) == 0 {
		return "-", "-", "-"
	}
	sorted := slices.Sorted(slices.Values(list))
	n := len(sorted)
	at := func(i int) string { return sorted[min(i, n-1)].Round(10 * time.Millisecond).String() }
	return at(n / 2), at(n * 99 / 100), at(n - 1)
}

// columns of the table.
var heads = [...]string{"fault", "runs", "events", "lost", "doubled", "wrong totals", "recovery p50", "p99", "max", "took", ""}

func (o *Outcome) row() []string {
	verdict := "ok"
	if o.Failed() {
		verdict = "FAILED"
	}
	p50, p99, most := spread(o.Recovery)
	return []string{
		o.Fault, fmt.Sprint(o.Runs), fmt.Sprint(o.Events), fmt.Sprint(o.Lost), fmt.Sprint(o.Doubled), fmt.Sprint(o.Wrong), p50, p99, most,
		o.Took.Round(time.Second).String(), verdict,
	}
}

// Print writes a table of outcomes, what is good to know, and what was wrong.
func Print(w io.Writer, list []Outcome) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, strings.Join(heads[:], "\t")+"\t")
	for i := range list {
		fmt.Fprintln(t, strings.Join(list[i].row(), "\t")+"\t")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range list {
		o := &list[i]
		for _, n := range o.Notes {
			fmt.Fprintf(w, "%s: %s\n", o.Fault, n)
		}
		if !o.Failed() {
			continue
		}
		for _, p := range o.Problems {
			fmt.Fprintf(w, "%s: WRONG: %s\n", o.Fault, p)
		}
		fmt.Fprintf(w, "%s: to repeat: %s\n%s: kept: %s\n", o.Fault, o.Repeat, o.Fault, o.Kept)
	}
	return nil
}

// Markdown writes the same table for a page.
func Markdown(w io.Writer, list []Outcome) {
	row := func(cells []string) { fmt.Fprintln(w, "| "+strings.Join(cells, " | ")+" |") }
	row(heads[:])
	row(slices.Repeat([]string{"---"}, len(heads)))
	for i := range list {
		row(list[i].row())
	}
}

// Machine says on what a run was made.
func Machine() string {
	return fmt.Sprintf("%s/%s, %d CPUs, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}
