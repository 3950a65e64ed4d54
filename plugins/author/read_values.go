package author

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/sdk/billing"
)

// text reads a scalar as it is written.
func (r *reader) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.problem(n.Line, "%s must be text", what)
		return ""
	}
	return n.Value
}

func (r *reader) boolean(n *yaml.Node, what string) bool {
	if n.ShortTag() != "!!bool" {
		r.problem(n.Line, "%s must be true or false", what)
	}
	return n.Value == "true"
}

// decimal reads a number as it is written, so that 0.1 is a tenth.
func (r *reader) decimal(n *yaml.Node, what string) billing.Decimal {
	d, err := billing.ParseDecimal(r.text(n, what))
	if err != nil {
		r.problem(n.Line, "%s: %v", what, err)
	}
	return d
}

func (r *reader) currency(n *yaml.Node) billing.Currency {
	c, err := billing.ParseCurrency(r.text(n, "currency"))
	if err != nil {
		r.problem(n.Line, "currency: %v", err)
	}
	return c
}

func (r *reader) zone(n *yaml.Node) *time.Location {
	zone, err := time.LoadLocation(r.text(n, "time_zone"))
	if err != nil {
		r.problem(n.Line, "time_zone: %v", err)
		return nil
	}
	return zone
}

func (r *reader) rounding(n *yaml.Node) *billing.Rounding {
	var rounding billing.Rounding
	r.mapping(n, "rounding",
		field{"scale", func(n *yaml.Node) {
			scale, err := strconv.Atoi(r.text(n, "scale"))
			if err != nil {
				r.problem(n.Line, "scale must be a whole number")
			}
			rounding.Scale = scale
		}},
		field{"mode", func(n *yaml.Node) {
			mode, err := billing.ParseRoundingMode(r.text(n, "mode"))
			if err != nil {
				r.problem(n.Line, "mode: %v", err)
			}
			rounding.Mode = mode
		}})
	if err := rounding.Validate(); err != nil {
		r.problem(n.Line, "rounding: %v", err)
	}
	return &rounding
}

// time reads an instant: with an offset, or as the clocks of the zone show it.
func (r *reader) time(n *yaml.Node, zone *time.Location) time.Time {
	value := r.text(n, "a time")
	if t, err := time.Parse(time.RFC3339Nano, value); err == nil {
		return t
	}
	if zone == nil {
		zone = time.UTC
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, value, zone); err == nil {
			return t
		}
	}
	r.problem(n.Line, "%q is no time such as 2026-10-25T02:30:00Z or, in the case's time zone, 2026-10-25T02:30", value)
	return time.Time{}
}

// span reads a billing period: 2026-10, the day it starts, or start and end.
func (r *reader) span(n *yaml.Node, zone *time.Location) billing.Period {
	if zone == nil {
		zone = time.UTC
	}
	if n.Kind == yaml.MappingNode {
		var p billing.Period
		r.mapping(n, "period",
			field{"start", func(n *yaml.Node) { p.Start = r.time(n, zone) }},
			field{"end", func(n *yaml.Node) { p.End = r.time(n, zone) }})
		if !p.Start.Before(p.End) {
			r.problem(n.Line, "period must have a start and an end behind it")
		}
		return p
	}
	value := r.text(n, "period")
	calendar := billing.Calendar{Zone: zone, AnchorDay: 1}
	if day, err := time.Parse(time.DateOnly, value); err == nil {
		calendar.AnchorDay = day.Day()
	}
	p, err := calendar.Parse(value)
	if err != nil {
		r.problem(n.Line, "%v", err)
	}
	return p
}

// eventsMax bounds what repeat may ask for.
const eventsMax = 100_000

// event reads an event, or several by repeat.
func (r *reader) event(n *yaml.Node, c *Case, p *Period, start time.Time) {
	e := Event{Quantity: billing.DecimalFromInt(1), Time: start}
	repeat, every := 1, time.Duration(0)
	r.mapping(n, "an event",
		field{"id", func(n *yaml.Node) { e.ID = r.text(n, "id") }},
		field{"time", func(n *yaml.Node) { e.Time = r.time(n, c.Zone) }},
		field{"quantity", func(n *yaml.Node) { e.Quantity = r.decimal(n, "quantity") }},
		field{"amount", func(n *yaml.Node) { e.Amount, e.HasAmount = r.decimal(n, "amount"), true }},
		field{"dimensions", func(n *yaml.Node) { e.Dimensions = r.dimensions(n) }},
		field{"slot", func(n *yaml.Node) { e.Slot = r.whole(n, "slot", 0, 1_000) }},
		field{"repeat", func(n *yaml.Node) { repeat = r.whole(n, "repeat", 1, eventsMax) }},
		field{"every", func(n *yaml.Node) {
			d, err := time.ParseDuration(r.text(n, "every"))
			if err != nil {
				r.problem(n.Line, "every must be a duration such as 5m or 1h30m")
			}
			every = d
		}})
	if repeat > 1 && e.ID != "" {
		r.problem(n.Line, "an event that is repeated has no id: each is its number")
	}
	if len(p.Events)+repeat > eventsMax {
		r.problem(n.Line, "a period has at most %d events", eventsMax)
		return
	}
	for k := range repeat {
		one := e
		one.Time = e.Time.Add(time.Duration(k) * every)
		if one.ID == "" {
			one.ID = strconv.Itoa(len(p.Events) + 1)
		}
		p.Events = append(p.Events, one)
	}
}

func (r *reader) whole(n *yaml.Node, what string, least, most int) int {
	v, err := strconv.Atoi(r.text(n, what))
	if err != nil || v < least || v > most {
		r.problem(n.Line, "%s must be a whole number from %d to %d", what, least, most)
		return least
	}
	return v
}

func (r *reader) dimensions(n *yaml.Node) map[string]string {
	values := map[string]string{}
	if n.Kind != yaml.MappingNode {
		r.problem(n.Line, "dimensions must be a mapping of names to values")
		return values
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		values[n.Content[i].Value] = r.text(resolve(n.Content[i+1]), n.Content[i].Value)
	}
	return values
}

// params turns the parameters into JSON. Numbers stay as they are written.
func (r *reader) params(n *yaml.Node) json.RawMessage {
	if n.Kind != yaml.MappingNode {
		r.problem(n.Line, "params must be a mapping")
		return nil
	}
	var b bytes.Buffer
	r.values = 0
	r.json(&b, n, 0)
	return b.Bytes()
}

// Bounds of parameters: how deep they may be nested, and of how many values they may consist. An alias that stands
// inside of what it names has no end.
const (
	depthMax  = 100
	valuesMax = 100_000
)

func (r *reader) json(b *bytes.Buffer, n *yaml.Node, depth int) {
	n = resolve(n)
	if depth > depthMax || r.values > valuesMax {
		if r.values <= valuesMax {
			r.problem(n.Line, "params are nested deeper than %d, or hold more than %d values", depthMax, valuesMax)
			r.values = valuesMax + 1
		}
		return
	}
	r.values++
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(quoteJSON(n.Content[i].Value))
			b.WriteByte(':')
			r.json(b, n.Content[i+1], depth+1)
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, element := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			r.json(b, element, depth+1)
		}
		b.WriteByte(']')
	default:
		b.WriteString(scalarJSON(n))
	}
}

// scalarJSON is a scalar in JSON: a number where JSON can write it so, else text.
func scalarJSON(n *yaml.Node) string {
	switch n.ShortTag() {
	case "!!null":
		return "null"
	case "!!bool":
		return strconv.FormatBool(n.Value == "true" || n.Value == "True" || n.Value == "TRUE")
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return n.Value
		}
	}
	return quoteJSON(n.Value)
}

// quoteJSON is text in JSON, with <, > and & as they are.
func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// A string always has a JSON form: bytes that are no UTF-8 are replaced.
	_ = e.Encode(s)
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
