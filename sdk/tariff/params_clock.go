package tariff

import (
	"strconv"
	"strings"
	"time"
)

// Readers of local times.

// daySeconds is the length of a day without a change of the clocks.
const daySeconds = 24 * 3600

// ZoneOrUTC reads a time zone such as Europe/Berlin; absent, it is UTC. A module has no files: one that reads a zone
// has to bring them along, by importing time/tzdata.
func (p Params) ZoneOrUTC(name, about string) *time.Location {
	text := p.TextOr(name, about, "UTC")
	zone, err := time.LoadLocation(text)
	if err != nil || text == "Local" {
		p.Fail(name, "must be a time zone such as Europe/Berlin, not "+strconv.Quote(text))
		return time.UTC
	}
	return zone
}

// ClockOr reads a local time of day, 00:00 to 24:00, as seconds.
func (p Params) ClockOr(name, about, absent string) int {
	text := p.TextOr(name, about, absent)
	if t, err := time.Parse("15:04", text); err == nil {
		return t.Hour()*3600 + t.Minute()*60
	}
	if text != "24:00" {
		p.Fail(name, "must be a time of day such as 08:30, not "+strconv.Quote(text))
	}
	return daySeconds
}

// OptionalDates reads a list of dates such as 2026-12-25 that may be absent. In the set, they are written so.
func (p Params) OptionalDates(name, about string) map[string]bool {
	dates := map[string]bool{}
	for _, date := range p.OptionalTexts(name, about) {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			p.Fail(name, strconv.Quote(date)+" is no date such as 2026-12-25")
		}
		dates[date] = true
	}
	return dates
}

// OptionalChoices reads a list of words, each one of choices, that may be absent or empty.
func (p Params) OptionalChoices(name, about string, choices ...string) []string {
	list := p.OptionalTexts(name, about)
	for _, word := range list {
		if !contains(choices, word) {
			p.Fail(name, strconv.Quote(word)+" is none of "+strings.Join(choices, ", "))
		}
	}
	return list
}

func contains(list []string, word string) bool {
	for _, have := range list {
		if have == word {
			return true
		}
	}
	return false
}
