package billing

import (
	"errors"
	"time"
)

// Period is a span of time that is billed together: from Start up to, not including, End. Both are instants; the
// location they carry is the zone that the period was made in, and the period's name depends on it.
type Period struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Contains reports whether the instant t lies in the period: Start is in, End is not.
func (p Period) Contains(t time.Time) bool { return !t.Before(p.Start) && t.Before(p.End) }

// ID names the period by the date on which it starts, in its zone: "2026-10-01".
func (p Period) ID() string { return p.Start.Format(time.DateOnly) }

// Equal reports whether both periods are the same instants, whatever zone they are written in.
func (p Period) Equal(q Period) bool { return p.Start.Equal(q.Start) && p.End.Equal(q.End) }

// Calendar divides time into billing months. The zero value is calendar months in UTC. A Calendar is a plain
// value; any number of goroutines may use it.
type Calendar struct {
	// Zone is where the account keeps its days; nil is UTC.
	Zone *time.Location
	// AnchorDay is the day of the month, 1 to 31, on which periods start; 0 is 1. Where a month is shorter, the
	// period starts on its last day: the anchor 31 gives Jan 31, Feb 28, Mar 31.
	AnchorDay int
}

// What can be wrong with a calendar or the name of a period.
var (
	ErrAnchorDay  = errors.New("anchor day must be 1 to 31")
	ErrPeriodText = errors.New("a period is written as the day it starts on (2026-10-01) or the month it starts in (2026-10)")
	ErrNoPeriod   = errors.New("no period of this calendar starts on that day")
)

// Validate returns [ErrAnchorDay] when the anchor day is not a day of a month.
func (c Calendar) Validate() error {
	if c.AnchorDay < 0 || c.AnchorDay > 31 {
		return ErrAnchorDay
	}
	return nil
}

// PeriodOf returns the period that contains t. Periods follow each other without gap or overlap, whatever the
// zone's clocks do. It looks the zone up several times; code that prices events asks [Period.Contains] of the last
// period first.
func (c Calendar) PeriodOf(t time.Time) Period {
	year, month, _ := t.In(c.zone()).Date()
	// t's local date says which month's start is near. Whether t lies before or behind it, instants decide: on
	// the day of a clock change, a local date may come twice.
	start := c.start(year, month)
	for t.Before(start) {
		month--
		start = c.start(year, month)
	}
	for {
		month++
		end := c.start(year, month)
		if t.Before(end) {
			return Period{Start: start, End: end}
		}
		start = end
	}
}

// Next returns the period behind p.
func (c Calendar) Next(p Period) Period { return c.PeriodOf(p.End) }

// Prev returns the period in front of p.
func (c Calendar) Prev(p Period) Period { return c.PeriodOf(p.Start.Add(-1)) }

// Parse returns the period with the given name: the date of [Period.ID], or year and month of the start date
// alone ("2026-10"), which is as clear since just one period starts in a month. Errors are a [ParseError]
// around [ErrPeriodText] or [ErrNoPeriod].
func (c Calendar) Parse(id string) (Period, error) {
	const monthOnly = "2006-01"
	if named, err := time.Parse(monthOnly, id); err == nil {
		return c.PeriodOf(c.start(named.Year(), named.Month())), nil
	}
	named, err := time.Parse(time.DateOnly, id)
	if err != nil {
		return Period{}, &ParseError{What: "period", Text: id, Err: ErrPeriodText}
	}
	p := c.PeriodOf(startOfDay(named.Year(), named.Month(), named.Day(), c.zone()))
	if p.ID() != id {
		return Period{}, &ParseError{What: "period", Text: id, Err: &noPeriodError{around: p.ID()}}
	}
	return p, nil
}

// noPeriodError is ErrNoPeriod with the period that was probably meant.
type noPeriodError struct{ around string }

func (e *noPeriodError) Error() string {
	return ErrNoPeriod.Error() + "; the period around it is " + e.around
}

func (e *noPeriodError) Unwrap() error { return ErrNoPeriod }

func (c Calendar) zone() *time.Location {
	if c.Zone == nil {
		return time.UTC
	}
	return c.Zone
}

// start returns the first instant of the period that starts in the given month. Months beyond 1 to 12 count
// into the years before and after.
func (c Calendar) start(year int, month time.Month) time.Time {
	last := time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC) // day 0 is the day before the 1st
	day := min(max(c.AnchorDay, 1), last.Day())
	return startOfDay(last.Year(), last.Month(), day, c.zone())
}

// startOfDay returns the first instant at which the zone's local date is the given one or later. That is
// midnight, save on days whose midnight the zone skips (clocks go from 23:59:59 to 01:00) or repeats, and on
// days that a zone never had (Samoa went from 29 to 31 December 2011).
func startOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	if zone == time.UTC {
		return time.Date(year, month, day, 0, 0, 0, 0, zone)
	}
	// Local time is the instant plus an offset that is constant between two changes of the clocks. Go through
	// those spans from safely before the day (no offset reaches 48 hours) and take the first instant of one
	// whose local time reaches midnight.
	midnight := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	from := midnight.Add(-48 * time.Hour).In(zone)
	for {
		_, offset := from.Zone()
		reached := midnight.Add(-time.Duration(offset) * time.Second)
		if reached.Before(from) {
			reached = from
		}
		_, change := from.ZoneBounds()
		if change.IsZero() || reached.Before(change) {
			return reached.In(zone)
		}
		from = change
	}
}
