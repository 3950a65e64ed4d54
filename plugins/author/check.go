package author

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/plugins"
)

// CheckOptions say how hard to look.
type CheckOptions struct {
	// Seed chooses the events that are made up; the same seed makes the same.
	Seed uint64
	// Samples is how often each property is tried with made-up events, for each case and period.
	Samples int
	// Only names the properties to look for; empty means all.
	Only []string
	// HeadroomPercent is how much of a limit must be left over.
	HeadroomPercent int
}

// Checked is what a check found.
type Checked struct {
	Properties []Finding
	Limits     []Limit
}

// Passed tells whether all properties hold and all limits are kept.
func (c *Checked) Passed() bool {
	return !slices.ContainsFunc(c.Properties, func(f Finding) bool { return len(f.Failures) > 0 }) &&
		!slices.ContainsFunc(c.Limits, func(l Limit) bool { return l.Exceeded })
}

// Finding is what became of one property.
type Finding struct {
	Property Property
	// Skipped says why the property was not looked for; empty when it was.
	Skipped string
	// Cases and Generated count the samples tried: those of cases, and those made up.
	Cases, Generated int
	// Failures are what is wrong, one for each case at most.
	Failures []Failure
}

// Failure is a property that does not hold.
type Failure struct {
	// Case is the case by which it was found, and Generated tells whether by events made up in its place.
	Case      *Case
	Generated bool
	// Text says what differs.
	Text string
	// Example is a case in YAML, made as small as possible, that fails in the same way; empty where there is none.
	Example string
}

// Check looks for the properties with each case, and with events that are made up from all of them; and for how near
// the cases come to the limits.
//
// # Errors
//
// The module cannot be started or configured, or the context ended. That a property does not hold is no error.
func (w *Workshop) Check(ctx context.Context, cases []*Case, o CheckOptions) (*Checked, error) {
	for _, name := range o.Only {
		if !slices.ContainsFunc(w.Properties(), func(p Property) bool { return p.Name == name }) {
			return nil, fmt.Errorf("there is no property %q", name)
		}
	}
	checked := &Checked{}
	for _, p := range w.Properties() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, p.Name) {
			continue
		}
		f := Finding{Property: p}
		if p.native && w.native == nil {
			f.Skipped = "not applicable: only a tariff in Go runs natively, from its folder"
		}
		checked.Properties = append(checked.Properties, f)
	}
	used := newUsage(w, o.HeadroomPercent)
	for _, c := range cases {
		if err := w.checkCase(ctx, c, cases, o, checked, used); err != nil {
			return nil, fmt.Errorf("%s: %w", c.label(), err)
		}
	}
	checked.Limits = used.limits()
	return checked, nil
}

// Properties are all that a check looks for, in the order in which it reports them.
func (w *Workshop) Properties() []Property {
	return append([]Property{{Name: nameParams, About: "the schema in the manifest takes the parameters that the tariff takes"}}, Properties()...)
}

// checkCase looks for all properties with one case.
func (w *Workshop) checkCase(ctx context.Context, c *Case, all []*Case, o CheckOptions, checked *Checked, used *usage) (err error) {
	if err := w.unknownTariff(c); err != nil {
		return err
	}
	i, plan, err := w.instance(ctx, c)
	if message, ok := refusal(err); ok {
		checked.params(w.module, c, message)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close(context.WithoutCancel(ctx))) }()
	checked.params(w.module, c, "")
	t := &trial{workshop: w, c: c, instance: i, plan: plan, generate: newGenerator(alike(all, c), plan.Dimensions)}
	carry := c.CarryIn
	for n := range c.Periods {
		s := c.sample(n, carry)
		for k := range checked.Properties {
			f := &checked.Properties[k]
			if f.Skipped != "" || f.Property.broken == nil {
				continue
			}
			if err := f.look(ctx, t, s, o); err != nil {
				return err
			}
		}
		if err := used.measure(ctx, t, s, o.Seed); err != nil {
			return err
		}
		after, err := t.price(ctx, s)
		if err != nil {
			return err
		}
		carry = after.slots[0].CarryOut
	}
	return nil
}

// alike are the cases of the same tariff.
func alike(all []*Case, c *Case) []*Case {
	var list []*Case
	for _, other := range all {
		if other.Tariff == c.Tariff {
			list = append(list, other)
		}
	}
	return list
}

// look tries one property with the sample of a case, and with others made up in its place.
func (f *Finding) look(ctx context.Context, t *trial, s *sample, o CheckOptions) error {
	if slices.ContainsFunc(f.Failures, func(other Failure) bool { return other.Case == t.c }) {
		return nil
	}
	t.generate.seed(o.Seed, f.Property.Name, t.c.Name)
	f.Cases++
	if failed, err := f.try(ctx, t, s, false); failed || err != nil {
		return err
	}
	for range o.Samples {
		f.Generated++
		if failed, err := f.try(ctx, t, t.generate.sample(s, f.Property.evil), true); failed || err != nil {
			return err
		}
	}
	return nil
}

// try tries one property with one sample.
func (f *Finding) try(ctx context.Context, t *trial, s *sample, generated bool) (failed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	text, err := f.Property.broken(ctx, t, s)
	if err != nil || text == "" {
		return false, err
	}
	failure := Failure{Case: t.c, Generated: generated, Text: text}
	if len(f.Failures) == 0 { // of the others it is enough to know that they are there
		small := shrink(s, func(candidate *sample) bool {
			text, err := f.Property.broken(ctx, t, candidate)
			return err == nil && text != ""
		})
		if again, err := f.Property.broken(ctx, t, small); err == nil && again != "" {
			failure.Text = again
		}
		failure.Example = small.asCase(t.c, t.plan.Tariff, f.Property.Name+", from "+strings.TrimSpace(t.c.Name))
	}
	f.Failures = append(f.Failures, failure)
	return true, nil
}

// limit is how much of something a tariff uses at most.
func limit(what string, used, most int64, headroom int, by string) Limit {
	return Limit{
		What: what, Used: used, Most: most, By: by,
		Exceeded: used > most/100*int64(100-headroom),
	}
}

// Limit is how near the cases have come to one limit.
type Limit struct {
	What string `json:"what"`
	// Used is the most that was needed, Most what there is.
	Used int64 `json:"used"`
	Most int64 `json:"limit"`
	// By names the case that needed most.
	By string `json:"case,omitempty"`
	// Exceeded tells that less is left over than there should be.
	Exceeded bool `json:"exceeded"`
}

// usage collects what the cases need.
type usage struct {
	workshop *Workshop
	headroom int

	event, finish, memory       int64
	byEvent, byFinish, byMemory string
	memoryMost                  int64
}

func newUsage(w *Workshop, headroom int) *usage { return &usage{workshop: w, headroom: headroom} }

func (u *usage) limits() []Limit {
	if u.byEvent == "" && u.byFinish == "" {
		return nil
	}
	fuel := u.workshop.fuelPerEvent()
	return []Limit{
		limit("fuel of an event", u.event, fuel, u.headroom, u.byEvent),
		limit("fuel of a finish", u.finish, fuel, u.headroom, u.byFinish),
		limit("memory", u.memory, u.memoryMost, u.headroom, u.byMemory),
	}
}

// measuredEvents is with how many events fuel and memory are measured, one by one, in slots that fill.
const measuredEvents = 256

// measure prices the events of a sample again and again, to see what one costs in a slot that fills.
func (u *usage) measure(ctx context.Context, t *trial, s *sample, seed uint64) error {
	t.generate.seed(seed, "limits", t.c.Name)
	pool := slices.Clone(s.events)
	pool = append(pool, t.generate.sample(s, false).events...)
	many := s.with(make([]Event, measuredEvents))
	for k := range many.events {
		many.events[k] = pool[k%len(pool)]
	}
	many.slots = slots(many.events)
	batch := many.batch(t.plan)
	list := many.fresh(t.plan)
	dims := len(t.plan.Dimensions)
	for k := range batch.Events {
		one := &plugins.Batch{
			Slots: list, Events: batch.Events[k : k+1], Dims: batch.Dims[k*dims : (k+1)*dims], Values: batch.Values,
		}
		rejects, err := t.instance.Price(ctx, one)
		if err != nil {
			return err
		}
		if used := t.instance.FuelUsed(); used > u.event || u.byEvent == "" {
			u.event, u.byEvent = used, t.c.label()
		}
		u.note(t)
		for n := range list {
			list[n].Keep()
			if n == int(batch.Events[k].Slot) && len(rejects) == 0 {
				list[n].New = false
			} else if list[n].New {
				list[n].State, list[n].Lines = nil, nil
			}
		}
	}
	return u.measureEnd(ctx, t, list)
}

// measureEnd finishes the slots, one by one.
func (u *usage) measureEnd(ctx context.Context, t *trial, list []plugins.Slot) error {
	for n := range list {
		list[n].Final = true
		if _, err := t.instance.Price(ctx, &plugins.Batch{Slots: list[n : n+1], Values: []string{""}}); err != nil {
			return err
		}
		if used := t.instance.FuelUsed(); used > u.finish || u.byFinish == "" {
			u.finish, u.byFinish = used, t.c.label()
		}
		u.note(t)
	}
	return nil
}

// note notes what a call needed of memory.
func (u *usage) note(t *trial) {
	if used, most := t.instance.MemoryUsed(); used > u.memory || u.byMemory == "" {
		u.memory, u.memoryMost, u.byMemory = used, most, t.c.label()
	}
}
