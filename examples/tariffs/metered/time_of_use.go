package main

import (
	"slices"
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

// timeOfUse prices usage by the local time at which it happened: by hours, weekdays, months and holidays of a zone.
// An event may cover an interval; it is split where the price changes, by its seconds. On the days that have 23 or
// 25 hours the clock on the wall decides.
var timeOfUse = tariff.Tariff{
	Name:      "time_of_use",
	Title:     "A price by local time, weekday, season and holiday",
	Configure: configureTimeOfUse,
}

// dayNames are the words for days; a holiday is none of the weekdays.
var dayNames = []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "holiday"}

// monthNames are the words for months.
var monthNames = []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}

// secondsMax is the longest interval of an event: a year.
const secondsMax = 366 * 24 * 3600

// band is a price with the times at which it applies.
type band struct {
	price        *tariff.PerUnit
	from, to     int // seconds of the local day; to before from goes over midnight
	days, months []string
}

type calendar struct {
	zone        *time.Location
	holidays    map[string]bool
	seconds     int64
	duration    tariff.Dimension
	hasDuration bool
	bands       []band
	rest        *tariff.PerUnit
}

func configureTimeOfUse(c *tariff.Config) tariff.Pricer {
	p := c.Params
	readArrears(p)
	t := &calendar{
		zone:     p.ZoneOrUTC("time_zone", "Whose clock decides, such as Europe/Berlin; UTC without."),
		holidays: p.OptionalDates("holidays", "Dates such as 2026-12-25 that are the day holiday instead of a weekday."),
		seconds:  int64(p.IntOr("interval_seconds", "How long the interval is that an event covers from its time on; 0 = none.", 0, secondsMax, 0)),
	}
	t.duration, t.hasDuration = p.OptionalDimension("duration", "The dimension that holds the seconds of the interval, in place of interval_seconds.")
	rounding := p.Rounding("rounding", "Rounding of each band's amount; without it amounts keep 18 decimal places.")
	for i, b := range p.List("bands", "The prices: the first band that applies to an instant has it.") {
		number := strconv.Itoa(i + 1)
		name := b.TextOr("name", "What the invoice calls it.", "Band "+number)
		t.bands = append(t.bands, band{
			price:  tariff.NewPerUnit(c, "band_"+number, name, b.Amount("unit_price", "The price of one unit."), rounding),
			from:   b.ClockOr("from", "The local time at which the band begins; 00:00 without.", "00:00"),
			to:     b.ClockOr("to", "And ends; 24:00 without. Before from, the band goes over midnight.", "24:00"),
			days:   b.OptionalChoices("days", "monday to sunday, and holiday; all without.", dayNames...),
			months: b.OptionalChoices("months", "january to december; all without.", monthNames...),
		})
	}
	t.rest = tariff.NewPerUnit(c, "rest", "Other times", p.Amount("unit_price", "The price of a unit where no band applies."), rounding)
	return t
}

// at returns the price of an instant.
func (t *calendar) at(instant time.Time) *tariff.PerUnit {
	day, month := dayNames[instant.Weekday()], monthNames[instant.Month()-1]
	if len(t.holidays) > 0 && t.holidays[instant.Format(time.DateOnly)] {
		day = "holiday"
	}
	second := instant.Hour()*3600 + instant.Minute()*60 + instant.Second()
	for i := range t.bands {
		b := &t.bands[i]
		within := second >= b.from && second < b.to
		if b.to < b.from {
			within = second >= b.from || second < b.to
		}
		if within && (len(b.days) == 0 || slices.Contains(b.days, day)) && (len(b.months) == 0 || slices.Contains(b.months, month)) {
			return b.price
		}
	}
	return t.rest
}

// change returns the first instant after one at which the price may be another: at the bands' times, at midnight, and
// where the zone's clock jumps.
func (t *calendar) change(instant time.Time) time.Time {
	second := instant.Hour()*3600 + instant.Minute()*60 + instant.Second()
	next := 24 * 3600
	for i := range t.bands {
		for _, edge := range []int{t.bands[i].from, t.bands[i].to} {
			if edge > second && edge < next {
				next = edge
			}
		}
	}
	// As long as the clock does not jump; if it does, the jump comes first, or the clock is then read anew.
	at := instant.Add(time.Duration(next-second)*time.Second - time.Duration(instant.Nanosecond()))
	if _, jump := instant.ZoneBounds(); !jump.IsZero() && jump.Before(at) {
		return jump.In(t.zone)
	}
	return at
}

func (t *calendar) Price(s *tariff.Slot, e *tariff.Event) error {
	seconds := t.seconds
	if t.hasDuration {
		n, err := strconv.ParseInt(e.Value(t.duration), 10, 64)
		if err != nil || n < 0 || n > secondsMax {
			return tariff.Reject("bad_duration", "the duration is not a number of seconds up to a year")
		}
		seconds = n
	}
	instant := time.Unix(0, e.Time()).In(t.zone)
	end := instant.Add(time.Duration(seconds) * time.Second)
	left := e.Quantity()
	for {
		price, next := t.at(instant), t.change(instant)
		if !next.Before(end) { // the last part has what the others leave, to the last digit
			return price.Add(s, left)
		}
		part, err := e.Quantity().D().MulQuo(billing.DecimalFromInt(int64(next.Sub(instant))), seconds*1_000_000_000, tariff.Exact)
		if err != nil {
			return err
		}
		if left, err = left.Sub(billing.Quantity(part)); err != nil {
			return err
		}
		if err := price.Add(s, billing.Quantity(part)); err != nil {
			return err
		}
		instant = next
	}
}
