package author

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// shrinkTries bounds the work that is put into making a counterexample small.
const shrinkTries = 600

// shrink makes a sample smaller for as long as it still fails: fewer events first, then plainer ones.
func shrink(s *sample, fails func(*sample) bool) *sample {
	tries := 0
	try := func(candidate *sample) bool {
		tries++
		return tries <= shrinkTries && fails(candidate)
	}
	for size := len(s.events) / 2; size >= 1; size /= 2 {
		for from := 0; from < len(s.events); {
			to := min(from+size, len(s.events))
			fewer := s.with(slices.Delete(slices.Clone(s.events), from, to))
			if try(fewer) {
				s = fewer
				continue
			}
			from = to
		}
	}
	for k := 0; k < len(s.events); {
		simpler := func(e Event) bool {
			events := slices.Clone(s.events)
			events[k] = e
			simple := s.with(events)
			if !try(simple) {
				return false
			}
			s = simple
			return true
		}
		if !slices.ContainsFunc(plainer(s, &s.events[k]), simpler) {
			k++
		}
	}
	if fewer := s.compact(); try(fewer) {
		s = fewer
	}
	return s
}

// plainer lists what an event could be instead, each step by itself.
func plainer(s *sample, e *Event) []Event {
	var list []Event
	change := func(apply func(e *Event)) {
		other := *e
		apply(&other)
		list = append(list, other)
	}
	one := billing.DecimalFromInt(1)
	if e.HasAmount {
		change(func(e *Event) { e.Amount, e.HasAmount = billing.Decimal{}, false })
	}
	if e.Slot != 0 {
		change(func(e *Event) { e.Slot = 0 })
	}
	if e.Quantity != one {
		change(func(e *Event) { e.Quantity = one })
	}
	if !e.Time.Equal(s.period.Start) {
		change(func(e *Event) { e.Time = s.period.Start })
	}
	for _, name := range slices.Sorted(maps.Keys(e.Dimensions)) {
		change(func(e *Event) {
			rest := map[string]string{}
			for k, v := range e.Dimensions {
				if k != name {
					rest[k] = v
				}
			}
			e.Dimensions = rest
		})
	}
	return list
}

// compact numbers the slots that have events from 0.
func (s *sample) compact() *sample {
	number := map[int]int{}
	events := slices.Clone(s.events)
	for k := range events {
		n, ok := number[events[k].Slot]
		if !ok {
			n = len(number)
			number[events[k].Slot] = n
		}
		events[k].Slot = n
	}
	other := s.with(events)
	other.slots = max(len(number), 1)
	return other
}

// asCase writes a sample as a case that can be put into a file of cases.
func (s *sample) asCase(c *Case, tariff, name string) string {
	var b strings.Builder
	line := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", indent))
		fmt.Fprintf(&b, format, args...)
		b.WriteByte('\n')
	}
	line(1, "- name: %s", quoteJSON(name))
	line(2, "tariff: %s", tariff)
	if c.Currency != "" {
		line(2, "currency: %s", c.Currency)
	}
	if len(c.Params) > 0 {
		line(2, "params: %s", c.Params)
	}
	if len(s.carryIn) > 0 {
		line(2, "carry: %q", fmt.Sprintf("%x", s.carryIn))
	}
	line(2, "period: {start: %s, end: %s}", instant(s.period.Start), instant(s.period.End))
	if !s.active.Equal(s.period) {
		line(2, "active: {from: %s, until: %s}", instant(s.active.Start), instant(s.active.End))
	}
	if s.open {
		line(2, "open: true")
	}
	if len(s.events) == 0 {
		line(2, "events: []")
		return b.String()
	}
	line(2, "events:")
	for k := range s.events {
		line(3, "- {%s}", s.events[k].flow())
	}
	return b.String()
}

// flow writes an event as YAML in one line.
func (e *Event) flow() string {
	parts := []string{"time: " + instant(e.Time), fmt.Sprintf("quantity: %q", e.Quantity)}
	if e.HasAmount {
		parts = append(parts, fmt.Sprintf("amount: %q", e.Amount))
	}
	if len(e.Dimensions) > 0 {
		var values []string
		for _, d := range slices.Sorted(maps.Keys(e.Dimensions)) {
			values = append(values, d+": "+quoteJSON(e.Dimensions[d]))
		}
		parts = append(parts, "dimensions: {"+strings.Join(values, ", ")+"}")
	}
	if e.Slot > 0 {
		parts = append(parts, fmt.Sprintf("slot: %d", e.Slot))
	}
	return strings.Join(parts, ", ")
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
