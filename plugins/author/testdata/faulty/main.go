// Command faulty is a plugin of tariffs that are wrong, each in another way, for tests of the checks that must find it.
package main

import (
	"runtime"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
)

var module = tariff.Register(tariff.Module{
	Name: "faulty", Version: "1.0.0", FuelPerEvent: 10_000_000, MemoryMaxBytes: 16 << 20,
	Tariffs: []tariff.Tariff{
		fault("sound", func(*pricer, *tariff.Slot, *tariff.Event) (int64, error) { return 1, nil }),
		fault("remembers", remembers),
		fault("slot_order", slotOrder),
		fault("map_order", mapOrder),
		fault("leaks", leaks),
		fault("platform", platform),
		fault("crashes", crashes),
		fault("hungry", hungry),
		fault("greedy", greedy),
		{Name: "schema", Title: "The schema lacks a parameter", Configure: hidden},
		{Name: "stuck", Title: "It cannot finish", Configure: stuckConfigure},
	},
})

func main() { module.Main() }

// pricer charges an event what charge says, in whole units of money.
type pricer struct {
	line   tariff.Line
	kind   tariff.Dimension
	charge func(p *pricer, s *tariff.Slot, e *tariff.Event) (int64, error)
}

func fault(name string, charge func(*pricer, *tariff.Slot, *tariff.Event) (int64, error)) tariff.Tariff {
	return tariff.Tariff{Name: name, Title: "Wrong on purpose", Configure: func(c *tariff.Config) tariff.Pricer {
		return &pricer{line: c.Line("sum", "Sum"), kind: c.Dimension("kind"), charge: charge}
	}}
}

func (p *pricer) Price(s *tariff.Slot, e *tariff.Event) error {
	n, err := p.charge(p, s, e)
	if err != nil {
		return err
	}
	return p.line.Add(s, e.Quantity(), billing.Amount(billing.DecimalFromInt(n)))
}

// seen counts events across batches, which the engine undoes: what it comes to hangs on how events are cut.
var seen int64

func remembers(*pricer, *tariff.Slot, *tariff.Event) (int64, error) {
	seen++
	return seen % 3, nil
}

// lastSlot is the slot that had the event before.
var lastSlot *tariff.Slot

func slotOrder(_ *pricer, s *tariff.Slot, _ *tariff.Event) (int64, error) {
	if lastSlot == s {
		return 1, nil
	}
	lastSlot = s
	return 2, nil
}

// prices are gone through in an order that is chance.
var prices = map[string]int64{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "g": 7, "h": 8, "i": 9}

func mapOrder(*pricer, *tariff.Slot, *tariff.Event) (int64, error) {
	for _, price := range prices {
		return price, nil
	}
	return 0, nil
}

// rejected counts what it must have forgotten.
var rejected int64

func leaks(p *pricer, _ *tariff.Slot, e *tariff.Event) (int64, error) {
	if e.Value(p.kind) == "bad" {
		rejected++
		return 0, tariff.Reject("bad", "of a bad kind")
	}
	return 10 + rejected, nil
}

// platform is not the same natively as in the engine.
func platform(*pricer, *tariff.Slot, *tariff.Event) (int64, error) {
	return int64(len(runtime.GOARCH)), nil
}

func crashes(_ *pricer, _ *tariff.Slot, e *tariff.Event) (int64, error) {
	return 100 / int64(e.Quantity().Sign()), nil
}

func hungry(_ *pricer, _ *tariff.Slot, e *tariff.Event) (int64, error) {
	var n int64
	for k := range int64(105_000) {
		n += k ^ int64(e.Quantity().Lo)&1
	}
	return n, nil
}

// hoard is memory that nobody needs, 8 MiB of it.
var hoard []byte

func greedy(*pricer, *tariff.Slot, *tariff.Event) (int64, error) {
	hoard = make([]byte, 8<<20)
	return 1, nil
}

// hidden takes a parameter that is not read when the schema is made.
func hidden(c *tariff.Config) tariff.Pricer {
	p := &pricer{line: c.Line("sum", "Sum"), kind: c.Dimension("kind")}
	price := int64(1)
	if c.Currency != "" {
		price = int64(c.Params.IntOr("price", "What an event costs.", 0, 100, 1))
	}
	p.charge = func(*pricer, *tariff.Slot, *tariff.Event) (int64, error) { return price, nil }
	return p
}

// stuck cannot end a period that had no usage.
type stuck struct{ *pricer }

func stuckConfigure(c *tariff.Config) tariff.Pricer {
	return &stuck{&pricer{
		line: c.Line("sum", "Sum"), kind: c.Dimension("kind"),
		charge: func(*pricer, *tariff.Slot, *tariff.Event) (int64, error) { return 1, nil },
	}}
}

func (t *stuck) Finish(s *tariff.Slot) error {
	units, amount := t.line.Get(s)
	each, err := amount.D().Quo(units.D(), billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp})
	if err != nil {
		return err
	}
	return t.line.Add(s, billing.Quantity{}, billing.Amount(each))
}
