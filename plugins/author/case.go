package author

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// Case is a configuration of a tariff with the events of one or more billing periods, and what is expected of them.
type Case struct {
	// File and Line say where the case stands; a case made by a program has none.
	File string
	Line int
	// Name names the case among those of its file.
	Name string
	// Tariff is the name of a tariff of the module; empty in a module of one.
	Tariff string
	// Params are the parameters, JSON; empty means {}.
	Params json.RawMessage
	// Currency is an ISO 4217 code; empty means EUR.
	Currency billing.Currency
	// Rounding is that of finished lines, as a catalog has it; nil means half_up to the currency's minor unit.
	Rounding *billing.Rounding
	// Zone is the account's; nil means UTC. Local times of the file are read in it.
	Zone *time.Location
	// CarryIn is what the period before the first left.
	CarryIn []byte
	// Periods are priced one after the other; what one carries the next begins with.
	Periods []Period

	node   *yaml.Node // the mapping of the case; nil for one made by a program
	source *source
}

// Period is one billing period of a case.
type Period struct {
	// Start and End bound the period, [Start, End).
	billing.Period
	// Active is when the subscription is active within the period.
	Active billing.Period
	// Open leaves the period open: it is not finished, as in a preview.
	Open bool
	// Events are in the order of the log.
	Events []Event

	want *yaml.Node // the mapping of what is expected; nil when there is none
	node *yaml.Node // the mapping that want stands in
}

// Event is one usage event of a case.
type Event struct {
	// ID names the event; in a file without one it is its number, from 1.
	ID string
	// Time is the event's own; zero means the start of the period.
	Time time.Time
	// Quantity is in units of the meter.
	Quantity billing.Decimal
	// Amount is the money that the event carries, if HasAmount.
	Amount    billing.Decimal
	HasAmount bool
	// Dimensions are the values of the event's dimensions. Those that the tariff does not ask for are not given to it.
	Dimensions map[string]string
	// Slot tells apart what is priced together: events of another slot stand beside those of slot 0 in a batch. What
	// is expected is expected of slot 0.
	Slot int
}

// label names a case with its place.
func (c *Case) label() string {
	if c.File == "" {
		return c.Name
	}
	return c.File + ":" + strconv.Itoa(c.Line) + " " + c.Name
}

// request is the configuration of the case for a module.
func (c *Case) request(m *plugins.Module) plugins.ConfigRequest {
	r := plugins.ConfigRequest{Tariff: c.Tariff, Params: c.Params, Currency: string(c.Currency)}
	if r.Tariff == "" {
		if tariffs := m.Manifest().Tariffs; len(tariffs) == 1 {
			r.Tariff = tariffs[0].Name
		}
	}
	if r.Currency == "" {
		r.Currency = "EUR"
	}
	return r
}

// rounding is that of the finished lines.
func (c *Case) rounding() billing.Rounding {
	if c.Rounding != nil {
		return *c.Rounding
	}
	currency := c.Currency
	if currency == "" {
		currency = "EUR"
	}
	return billing.Rounding{Scale: currency.Digits(), Mode: billing.RoundHalfUp}
}

// January is the period of a case that names none.
func january(zone *time.Location) billing.Period {
	if zone == nil {
		zone = time.UTC
	}
	calendar := billing.Calendar{Zone: zone, AnchorDay: 1}
	return calendar.PeriodOf(time.Date(2026, 1, 15, 12, 0, 0, 0, zone))
}

// slots is how many slots the events fall into.
func slots(events []Event) int {
	n := 1
	for i := range events {
		n = max(n, events[i].Slot+1)
	}
	return n
}

// sample is one period to be priced: the stuff of which properties are tried.
type sample struct {
	period, active billing.Period
	carryIn        []byte
	open           bool
	slots          int
	events         []Event
}

// with is the sample with other events.
func (s *sample) with(events []Event) *sample {
	other := *s
	other.events = events
	return &other
}

// sample returns period n of the case with what the one before it carried.
func (c *Case) sample(n int, carryIn []byte) *sample {
	p := &c.Periods[n]
	return &sample{
		period: p.Period, active: p.Active, carryIn: carryIn, open: p.Open,
		slots: slots(p.Events), events: p.Events,
	}
}

// batch gives events the form in which a module gets them.
func (s *sample) batch(p *plugins.Plan) *plugins.Batch {
	b := &plugins.Batch{Values: []string{""}, Events: make([]plugins.Event, len(s.events))}
	known := map[string]uint32{"": 0}
	for i := range s.events {
		e := &s.events[i]
		at := e.Time
		if at.IsZero() {
			at = s.period.Start
		}
		b.Events[i] = plugins.Event{
			Slot: int32(e.Slot), Time: at.UnixNano(), Quantity: e.Quantity, Amount: e.Amount, HasAmount: e.HasAmount,
		}
		for _, d := range p.Dimensions {
			value := e.Dimensions[d]
			id, ok := known[value]
			if !ok {
				id = uint32(len(b.Values))
				b.Values, known[value] = append(b.Values, value), id
			}
			b.Dims = append(b.Dims, id)
		}
	}
	return b
}

// fresh makes the slots of the sample before anything is priced in them.
func (s *sample) fresh(p *plugins.Plan) []plugins.Slot {
	list := make([]plugins.Slot, s.slots)
	for i := range list {
		list[i] = plugins.Slot{
			Plan: p, New: true,
			PeriodStart: s.period.Start.UnixNano(), PeriodEnd: s.period.End.UnixNano(),
			ActiveFrom: s.active.Start.UnixNano(), ActiveUntil: s.active.End.UnixNano(),
			CarryIn: slices.Clone(s.carryIn),
		}
	}
	return list
}
