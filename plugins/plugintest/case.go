package plugintest

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// Case is a configuration with events to be priced.
type Case struct {
	// Name names the case; empty means the tariff's name.
	Name string
	// Tariff and Params choose and configure a tariff of the module. Params are JSON.
	Tariff, Params string
	// Currency is an ISO 4217 code; empty means EUR.
	Currency string
	// PeriodStart and PeriodEnd bound the billing period; zero means January 2026 in UTC.
	PeriodStart, PeriodEnd time.Time
	// Slots is how many slots the events fall into; 0 means as many as they name.
	Slots int
	// Events are in the order of the log.
	Events []Event
	// Want are the amounts that slot 0 must come to after its finish, by line id. Nil asserts
	// nothing; lines that are not named are not looked at.
	Want map[string]string
	// Rejects is the number of events that must be rejected.
	Rejects int
}

// Event is one usage event of a case.
type Event struct {
	// Slot is the slot the event falls into.
	Slot int
	// Time is the event's time; zero means the start of the period.
	Time time.Time
	// Quantity is a decimal number; empty means 1.
	Quantity string
	// Amount is the money that the event carries; empty means none.
	Amount string
	// Dimensions are the values of the event's dimensions. Those that the configuration does not
	// ask for are left out.
	Dimensions map[string]string
}

// name is how the case is called in a test's output.
func (c *Case) name() string {
	if c.Name == "" {
		return c.Tariff
	}
	return c.Name
}

func (c *Case) request() plugins.ConfigRequest {
	r := plugins.ConfigRequest{Tariff: c.Tariff, Params: json.RawMessage(c.Params), Currency: c.Currency}
	if r.Currency == "" {
		r.Currency = "EUR"
	}
	return r
}

func (c *Case) period() (start, end time.Time) {
	if c.PeriodStart.IsZero() {
		return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	}
	return c.PeriodStart, c.PeriodEnd
}

// slots makes the slots of the case for a plan.
func (c *Case) slots(p *plugins.Plan) []plugins.Slot {
	n := max(c.Slots, 1)
	for _, e := range c.Events {
		n = max(n, e.Slot+1)
	}
	start, end := c.period()
	slots := make([]plugins.Slot, n)
	for k := range slots {
		slots[k] = plugins.Slot{
			Plan: p, New: true,
			PeriodStart: start.UnixNano(), PeriodEnd: end.UnixNano(),
			ActiveFrom: start.UnixNano(), ActiveUntil: end.UnixNano(),
		}
	}
	return slots
}

// events makes a batch of the events of the case and the values of their dimensions.
func (c *Case) events(t *testing.T, p *plugins.Plan) *plugins.Batch {
	t.Helper()
	start, _ := c.period()
	b := &plugins.Batch{Values: []string{""}, Events: make([]plugins.Event, len(c.Events))}
	for k, e := range c.Events {
		out := plugins.Event{Slot: int32(e.Slot), Time: start.UnixNano(), Quantity: number(t, e.Quantity, "1")}
		if !e.Time.IsZero() {
			out.Time = e.Time.UnixNano()
		}
		if e.Amount != "" {
			out.Amount, out.HasAmount = number(t, e.Amount, ""), true
		}
		for _, d := range p.Dimensions {
			id := slices.Index(b.Values, e.Dimensions[d])
			if id < 0 {
				id = len(b.Values)
				b.Values = append(b.Values, e.Dimensions[d])
			}
			b.Dims = append(b.Dims, uint32(id))
		}
		b.Events[k] = out
	}
	return b
}

func number(t *testing.T, text, otherwise string) billing.Decimal {
	t.Helper()
	if text == "" {
		text = otherwise
	}
	d, err := billing.ParseDecimal(text)
	if err != nil {
		t.Fatalf("plugintest: %q: %v", text, err)
	}
	return d
}

// check holds the finished slots against what the case wants.
func (c *Case) check(t *testing.T, p *plugins.Plan, o *outcome) {
	t.Helper()
	if len(o.rejects) != c.Rejects {
		t.Errorf("%d events are rejected, want %d: %v", len(o.rejects), c.Rejects, o.rejects)
	}
	for id, want := range c.Want {
		k := slices.IndexFunc(p.Lines, func(l plugins.LineSpec) bool { return l.ID == id })
		if k < 0 {
			t.Errorf("there is no line %q among %v", id, p.Lines)
			continue
		}
		if got := o.slots[0].Line(k).Amount; got != number(t, want, "0") {
			t.Errorf("line %s comes to %s, want %s", id, got, want)
		}
	}
}

// outcome is what became of the slots and events of a case.
type outcome struct {
	slots   []plugins.Slot
	rejects []plugins.Reject
}

// String writes everything that must be the same whenever the same events are priced.
func (o *outcome) String() string {
	text := ""
	for k, s := range o.slots {
		text += fmt.Sprintf("slot %d: state %x, lines %v, carry %x\n", k, s.State, plugins.AppendLines(nil, s.Lines), s.CarryOut)
	}
	for _, r := range o.rejects {
		text += fmt.Sprintf("event %d: %s: %s\n", r.Event, r.Reason, r.Detail)
	}
	return text
}
