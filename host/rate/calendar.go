package rate

import (
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// calendar is a billing calendar with what was last asked of it: usage comes
// nearly in order.
type calendar struct {
	name    Calendar
	periods billing.Calendar

	start, end int64 // the period asked for last, unix ns

	closed int64  // end of the last closed period, unix ns
	batch  uint32 // in which closed was asked
}

// CalendarOf names the billing calendar of an account by the catalog in force.
func (r *Rater) CalendarOf(account string) Calendar { return r.calendar(account).name }

// calendar returns an account's calendar.
func (r *Rater) calendar(account string) *calendar {
	periods := r.catalog.Calendar(billing.AccountID(account))
	return r.calendarWith(CalendarName(periods), periods)
}

// calendarWith returns the calendar of a name.
func (r *Rater) calendarWith(name Calendar, periods billing.Calendar) *calendar {
	c := r.calendars[name]
	if c == nil {
		c = &calendar{name: name, periods: periods}
		r.calendars[name] = c
	}
	return c
}

// at returns the billing period of a time, unix ns.
func (c *calendar) at(t int64) (start, end int64) {
	if t < c.start || t >= c.end {
		period := c.periods.PeriodOf(time.Unix(0, t))
		c.start, c.end = period.Start.UnixNano(), period.End.UnixNano()
	}
	return c.start, c.end
}

// closedUntil returns the end of the calendar's last closed period, which no
// batch moves, unix ns.
func (c *calendar) closedUntil(b *batch) int64 {
	if c.batch != b.number {
		c.batch, c.closed = b.number, b.book.ClosedUntil(c.name)
	}
	return c.closed
}
