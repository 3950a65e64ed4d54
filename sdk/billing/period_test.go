package billing_test

import (
	"encoding/json"
	"errors"
	"strconv"
	"testing"
	"time"
	_ "time/tzdata" // the zones must be there on any machine

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
)

func zone(t interface {
	Helper()
	Fatal(...any)
}, name string,
) *time.Location {
	t.Helper()
	location, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// naiveStart is the first instant of a day or, where the zone never had that day, behind it: walk through the days
// around in small steps and look at the clock.
func naiveStart(year int, month time.Month, day int, location *time.Location) time.Time {
	want := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	for t := want.Add(-30 * time.Hour); ; t = t.Add(30 * time.Second) {
		y, m, d := t.In(location).Date()
		if !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(want) {
			return t.In(location)
		}
	}
}

// naivePeriod goes through the days in front of t, and of t's day on, until the anchor matches.
func naivePeriod(t time.Time, location *time.Location, anchor int) billing.Period {
	isAnchor := func(day time.Time) bool {
		nextDay := day.AddDate(0, 0, 1)
		return day.Day() == anchor || day.Day() < anchor && nextDay.Month() != day.Month()
	}
	y, m, d := t.In(location).Date()
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).AddDate(0, 0, 2)
	var end time.Time
	for ; ; day = day.AddDate(0, 0, -1) {
		if !isAnchor(day) {
			continue
		}
		start := naiveStart(day.Year(), day.Month(), day.Day(), location)
		if !start.After(t) {
			for next := day.AddDate(0, 0, 1); end.IsZero(); next = next.AddDate(0, 0, 1) {
				if isAnchor(next) {
					end = naiveStart(next.Year(), next.Month(), next.Day(), location)
				}
			}
			return billing.Period{Start: start, End: end}
		}
		end = start
	}
}

// zoneNames have changes of clocks at midnight, behind it and in front of it, half-hour changes, a skipped day,
// offsets of seconds and of more than twelve hours.
var zoneNames = []string{
	"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/Santiago",
	"America/St_Johns", "America/Asuncion", "Asia/Beirut", "Asia/Amman", "Asia/Tehran", "Asia/Gaza", "Africa/Cairo",
	"Africa/Monrovia", "Atlantic/Azores", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kiritimati",
	"Pacific/Chatham", "Etc/GMT+12", "Asia/Kathmandu",
}

func TestPeriodsAgreeWithTheNaiveModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		location := zone(t, rapid.SampledFrom(zoneNames).Draw(t, "zone"))
		anchor := rapid.IntRange(1, 31).Draw(t, "anchor")
		second := rapid.Int64Range(0, 68*365*24*60*60).Draw(t, "second")
		at := time.Unix(second, rapid.Int64Range(0, 999_999_999).Draw(t, "nanosecond"))
		c := billing.Calendar{Zone: location, AnchorDay: anchor}
		got, want := c.PeriodOf(at), naivePeriod(at, location, anchor)
		if !got.Equal(want) || !got.Contains(at) {
			t.Fatalf("%v is in %v, want %v", at.In(location), got, want)
		}
		checkNeighbours(t, c, got)
	})
}

// checkNeighbours checks that periods follow each other and that names lead back to them.
func checkNeighbours(t interface{ Fatalf(string, ...any) }, c billing.Calendar, p billing.Period) {
	next, prev := c.Next(p), c.Prev(p)
	if !next.Start.Equal(p.End) || !prev.End.Equal(p.Start) || !c.Prev(next).Equal(p) || !c.Next(prev).Equal(p) {
		t.Fatalf("%v stands between %v and %v", p, prev, next)
	}
	if !c.PeriodOf(p.Start).Equal(p) || !c.PeriodOf(p.End.Add(-1)).Equal(p) || p.Contains(p.End) || !p.Contains(p.Start) {
		t.Fatalf("%v does not hold its own ends", p)
	}
	for _, id := range []string{p.ID(), p.ID()[:len("2006-01")]} {
		if again, err := c.Parse(id); err != nil || !again.Equal(p) || again.ID() != p.ID() {
			t.Fatalf("%s is %v, %v; want %v", id, again, err, p)
		}
	}
}

// TestEveryStartOfDay goes through every change of the clocks in every zone of the list: periods that start within
// two days of one must agree with the naive model.
func TestEveryStartOfDay(t *testing.T) {
	for _, name := range zoneNames {
		location := zone(t, name)
		at := time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC).In(location)
		for changes := 0; changes < 200 && at.Year() < 2038; changes++ {
			_, change := at.ZoneBounds()
			if change.IsZero() {
				break
			}
			for days := -1; days <= 2; days++ {
				local := change.In(location).AddDate(0, 0, days)
				c := billing.Calendar{Zone: location, AnchorDay: local.Day()}
				want := naiveStart(local.Year(), local.Month(), local.Day(), location)
				if got := c.PeriodOf(want); !got.Start.Equal(want) {
					t.Errorf("%s: the period at %v starts at %v", name, want, got.Start)
				}
				checkNeighbours(t, c, c.PeriodOf(want))
			}
			at = change
		}
	}
}

func TestPeriods(t *testing.T) {
	for _, test := range []struct {
		zone       string
		anchor     int
		at         string
		id         string
		start, end string
	}{
		{"UTC", 1, "2026-10-31T23:59:59.999999999Z", "2026-10-01", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"UTC", 1, "2026-11-01T00:00:00Z", "2026-11-01", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"UTC", 31, "2027-02-27T12:00:00Z", "2027-01-31", "2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z"},
		{"UTC", 31, "2027-02-28T00:00:00Z", "2027-02-28", "2027-02-28T00:00:00Z", "2027-03-31T00:00:00Z"},
		{"UTC", 30, "2028-02-29T00:00:00Z", "2028-02-29", "2028-02-29T00:00:00Z", "2028-03-30T00:00:00Z"},
		{"UTC", 15, "2026-01-14T23:59:59Z", "2025-12-15", "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z"},
		// Clocks change inside the period: it is an hour shorter or longer.
		{"Europe/Berlin", 1, "2026-03-15T00:00:00Z", "2026-03-01", "2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00"},
		{"Europe/Berlin", 1, "2026-09-30T22:00:00Z", "2026-10-01", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"},
		// Midnight does not exist: 00:00 is 01:00.
		{"Africa/Cairo", 24, "2026-05-01T00:00:00Z", "2026-04-24", "2026-04-24T01:00:00+03:00", "2026-05-24T00:00:00+03:00"},
		{"America/Sao_Paulo", 4, "2018-11-10T00:00:00Z", "2018-11-04", "2018-11-04T01:00:00-02:00", "2018-12-04T00:00:00-02:00"},
		// Midnight comes twice: the day starts at the first.
		{"America/Havana", 1, "2026-11-15T00:00:00Z", "2026-11-01", "2026-11-01T00:00:00-04:00", "2026-12-01T00:00:00-05:00"},
		// 00:01 became 23:01 of the day before, which belongs to the period that had begun.
		{"America/St_Johns", 29, "2006-10-29T02:45:00Z", "2006-10-29", "2006-10-29T00:00:00-02:30", "2006-11-29T00:00:00-03:30"},
		// The day was skipped.
		{"Pacific/Apia", 30, "2012-01-01T00:00:00Z", "2011-12-31", "2011-12-31T00:00:00+14:00", "2012-01-30T00:00:00+14:00"},
	} {
		c := billing.Calendar{Zone: zone(t, test.zone), AnchorDay: test.anchor}
		at, err := time.Parse(time.RFC3339, test.at)
		if err != nil {
			t.Fatal(err)
		}
		p := c.PeriodOf(at)
		if p.ID() != test.id || p.Start.Format(time.RFC3339) != test.start || p.End.Format(time.RFC3339) != test.end {
			t.Errorf("%s, day %d, %s: %s, %v to %v", test.zone, test.anchor, test.at, p.ID(), p.Start, p.End)
		}
		checkNeighbours(t, c, p)
	}
}

func TestZeroCalendarIsMonthsInUTC(t *testing.T) {
	var c billing.Calendar
	p, err := c.Parse("2026-10")
	if err != nil || c.Validate() != nil || p.ID() != "2026-10-01" || p.Start.Location() != time.UTC {
		t.Errorf("%v, %v", p, err)
	}
	text, err := json.Marshal(p)
	if want := `{"start":"2026-10-01T00:00:00Z","end":"2026-11-01T00:00:00Z"}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestPeriodNamesThatAreRefused(t *testing.T) {
	c := billing.Calendar{AnchorDay: 15}
	for id, want := range map[string]error{
		"": billing.ErrPeriodText, "2026": billing.ErrPeriodText, "2026-13": billing.ErrPeriodText, "2026-1": billing.ErrPeriodText,
		"2026-02-30": billing.ErrPeriodText, "october": billing.ErrPeriodText, "2026-10-15 ": billing.ErrPeriodText,
		"2026-10-01": billing.ErrNoPeriod, "2026-10-16": billing.ErrNoPeriod,
	} {
		if p, err := c.Parse(id); !errors.Is(err, want) {
			t.Errorf("%q is %v, %v; want %v", id, p, err, want)
		}
	}
	_, err := c.Parse("2026-10-01")
	if want := `period "2026-10-01": no period of this calendar starts on that day; the period around it is 2026-09-15`; err == nil || err.Error() != want {
		t.Errorf("%v", err)
	}
}

func TestCalendarValidate(t *testing.T) {
	for anchor := -1; anchor <= 32; anchor++ {
		err := billing.Calendar{AnchorDay: anchor}.Validate()
		if valid := anchor >= 0 && anchor <= 31; valid != (err == nil) || err != nil && !errors.Is(err, billing.ErrAnchorDay) {
			t.Errorf("anchor %d: %v", anchor, err)
		}
	}
}

func BenchmarkPeriodOf(b *testing.B) {
	for _, name := range []string{"UTC", "Europe/Berlin"} {
		for _, anchor := range []int{1, 31} {
			b.Run(name+"/"+strconv.Itoa(anchor), func(b *testing.B) {
				c := billing.Calendar{Zone: zone(b, name), AnchorDay: anchor}
				at := time.Date(2026, 10, 17, 12, 0, 0, 0, time.UTC)
				b.ReportAllocs()
				for b.Loop() {
					if p := c.PeriodOf(at); !p.Contains(at) {
						b.Fatal(p)
					}
				}
			})
		}
	}
}
