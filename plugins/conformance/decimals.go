package main

import (
	"context"
	"fmt"
	"math/big"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/conformance"
)

// stored returns the number that a text of the file stands for, without an SDK's help.
func stored(text string) (billing.Decimal, error) {
	if text == "" {
		return billing.Decimal{}, nil
	}
	value, ok := new(big.Rat).SetString(text)
	if !ok {
		return billing.Decimal{}, fmt.Errorf("%q is not a number", text)
	}
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(billing.Scale), nil)))
	n := value.Num()
	if !value.IsInt() || n.BitLen() > 127 && n.Cmp(new(big.Int).Lsh(big.NewInt(-1), 127)) != 0 {
		return billing.Decimal{}, fmt.Errorf("%q is not a decimal", text)
	}
	low := new(big.Int).And(n, new(big.Int).SetUint64(1<<64-1))
	return billing.Decimal{Hi: new(big.Int).Rsh(n, 64).Int64(), Lo: low.Uint64()}, nil
}

// sheet is the cases as a batch: each has a slot of its own.
type sheet struct {
	cases    []conformance.Case
	requests []plugins.ConfigRequest
	request  []int // of each case
	events   []plugins.Event
	dims     []uint32
	values   []string
	steps    []conformance.Step // of each event
}

func newSheet(cases []conformance.Case) (*sheet, error) {
	s := &sheet{cases: cases, values: []string{""}}
	of, texts := map[conformance.Config]int{}, map[string]uint32{"": 0}
	for i := range cases {
		c := &cases[i]
		k, found := of[c.Config]
		if !found {
			k = len(s.requests)
			of[c.Config] = k
			s.requests = append(s.requests, plugins.ConfigRequest{Tariff: "conformance", Params: c.Params(), Currency: "EUR"})
		}
		s.request = append(s.request, k)
		for _, step := range c.All() {
			a, err := stored(step.A)
			if err != nil {
				return nil, err
			}
			b, err := stored(step.B)
			if err != nil {
				return nil, err
			}
			if _, found := texts[step.Text]; !found {
				texts[step.Text] = uint32(len(s.values))
				s.values = append(s.values, step.Text)
			}
			s.events = append(s.events, plugins.Event{Slot: int32(i), Quantity: a, Amount: b, HasAmount: true})
			s.dims = append(s.dims, texts[step.Text])
			s.steps = append(s.steps, step)
		}
	}
	return s, nil
}

// decimals runs the shared file in a plugin.
func (b *bench) decimals(ctx context.Context, wasm []byte, r *report) error {
	i, plans, err := b.start(ctx, wasm, b.sheet.requests)
	if err != nil {
		return err
	}
	slots := make([]plugins.Slot, len(b.sheet.cases))
	for k := range slots {
		slots[k] = plugins.Slot{Plan: plans[b.sheet.request[k]], New: true}
	}
	// Event by event, so that each has a result of its own: the slots of sum have several.
	r.decimals.total = len(b.sheet.events)
	for first := 0; first < len(b.sheet.events); {
		last := first + 1 // a stretch in which each slot has one event
		for last < len(b.sheet.events) && b.sheet.events[last].Slot != b.sheet.events[last-1].Slot {
			last++
		}
		base := b.sheet.events[first].Slot
		events := make([]plugins.Event, last-first)
		for k := range events {
			events[k] = b.sheet.events[first+k]
			events[k].Slot -= base
		}
		batch := &plugins.Batch{
			Slots: slots[base : int(base)+len(events)], Events: events,
			Dims: b.sheet.dims[first:last], Values: b.sheet.values,
		}
		rejects, err := i.Price(ctx, batch)
		if err != nil {
			return err
		}
		rejected := map[int]plugins.Reject{}
		for _, reject := range rejects {
			rejected[reject.Event] = reject
		}
		for k := range events {
			slot := &batch.Slots[k]
			reject, found := rejected[k]
			r.check(b.sheet.cases[int(base)+k].Config, b.sheet.steps[first+k], slot, reject, found)
			if !found {
				slot.New = false
			}
			slot.Keep()
			if slot.New {
				slot.State, slot.Lines = nil, nil
			}
		}
		first = last
	}
	return i.Close(ctx)
}

// check holds what became of an event against the case.
func (r *report) check(c conformance.Config, step conformance.Step, slot *plugins.Slot, reject plugins.Reject, rejected bool) {
	line := slot.Line(0)
	got, want := line.Quantity.String()+" and "+line.Amount.String(), step.Want+" and 0"
	if c.Operation == "format" {
		want = "rejected as text: " + step.Want
	}
	if step.Error != "" {
		want = "rejected as " + step.Error
	}
	if rejected {
		got = "rejected as " + reject.Reason
		if c.Operation == "format" || step.Error == "" {
			got += ": " + reject.Detail
		}
	}
	// The text of a number is not compared with itself alone.
	same := got == want
	if same && step.Error == "" && c.Operation != "format" {
		n, err := stored(step.Want)
		same = err == nil && n == line.Quantity && line.Amount.IsZero()
	}
	if same {
		r.decimals.passed++
		return
	}
	r.differences = append(r.differences, fmt.Sprintf("%s a %s b %s text %.80q: %s, want %s", c.Params(), step.A, step.B, step.Text, got, want))
}
