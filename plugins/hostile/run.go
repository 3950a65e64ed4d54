package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/billing"
)

// CallMax is the most processor time that a call may take which only its fuel ends.
const CallMax = 100 * time.Millisecond

// StartMax is the most processor time that a start or a configuration may take which only its fuel ends: a start
// has sixteen times the fuel of an event, and happens when plugins are pushed, applied and loaded.
const StartMax = 2 * time.Second

// triesStrict is how often a call that took longer is tried.
const triesStrict = 8

// MemoryMax is the most memory, in bytes, that the process may need beyond what it has while it loads a module and
// works with its instances.
const MemoryMax = 512 << 20

// Config are the parameters of [Run].
type Config struct {
	// CacheDir is where compiled code is kept; see plugins.Config.
	CacheDir string
	// Strict holds calls to [CallMax]: the quickest of several, since others on the machine take the memory's time,
	// if not the processor's. Without it they are held to ten times that.
	Strict bool
	// Each is called with the result of each case.
	Each func(*Result)
}

// Result is how a case ended.
type Result struct {
	Case *Case
	// Got is what happened, in words.
	Got string
	// Problems are what should have been otherwise.
	Problems []string
	// Load and Call are the processor time that loading the module and the call with the triggering event took.
	Load, Call time.Duration
	// Start is the processor time of a start or a configuration that only fuel ended, with what belongs to it: the code
	// is there already.
	Start time.Duration
	// Memory is by how much the memory of the process grew at its peak, in bytes; 0 where that cannot be told.
	Memory int64

	tries int // at a call that takes long
}

func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// Report is what all cases came to.
type Report struct {
	Cases, Failed int
	// Alone and Beside are the times that the honest tariff took for a batch, without a neighbour and with one.
	Alone, Beside Latency
	// Calls are the processor times of the calls that fuel had to end, Starts those of starts and configurations.
	Calls, Starts Latency
}

// Run holds cases against a runtime. The error is not about a case: those are in the results.
func Run(ctx context.Context, c Config, cases []Case) (report Report, err error) {
	r, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: c.CacheDir})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, r.Close(ctx)) }()
	n, err := newNeighbour(ctx, r)
	if err != nil {
		return report, err
	}
	if report.Alone, err = n.alone(ctx); err != nil {
		return report, err
	}
	n.start(ctx)
	var calls, starts []time.Duration
	for k := range cases {
		result := &Result{Case: &cases[k]}
		if c.Strict {
			result.tries = triesStrict
		}
		if err := result.run(ctx, r, c.Strict); err != nil {
			return report, errors.Join(fmt.Errorf("%s: %w", cases[k].Name, err), n.stop())
		}
		report.Cases++
		if len(result.Problems) > 0 {
			report.Failed++
		}
		if strings.Contains(result.Got, outOfFuel) && result.Call > 0 {
			calls = append(calls, result.Call)
		}
		if result.Start > 0 {
			starts = append(starts, result.Start)
		}
		c.Each(result)
	}
	if err := n.stop(); err != nil {
		return report, err
	}
	report.Beside, report.Calls, report.Starts = latencyOf(n.times), latencyOf(calls), latencyOf(starts)
	return report, nil
}

// run does a case.
func (r *Result) run(ctx context.Context, loader *plugins.Runtime, strict bool) error {
	wasm, err := r.Case.Wasm()
	if err != nil {
		return err
	}
	memory := watchMemory()
	defer func() {
		r.Memory = memory.peak()
		if r.Memory > MemoryMax {
			r.problem("memory grew by %d MiB", r.Memory>>20)
		}
	}()
	var module *plugins.Module
	r.Load = measured(func() { module, err = loader.Load(ctx, wasm) })
	if err != nil {
		r.ended(Refused, err.Error())
		r.started(err.Error(), func() { _, _ = loader.Load(ctx, wasm) })
		return nil
	}
	b, text, err := newBench(ctx, module, r.Case)
	if err != nil {
		return err
	}
	if b == nil {
		r.ended(Unusable, text)
		r.started(text, func() { _, _, _ = newBench(ctx, module, r.Case) })
		return nil
	}
	r.price(ctx, b)
	if err := b.close(ctx); err != nil {
		return err
	}
	limit := 10 * CallMax
	if strict {
		limit = CallMax
	}
	if r.Call > limit {
		r.problem("the call took %s of the processor", r.Call)
	}
	return nil
}

// started measures what a module does before it prices, where only fuel ended that and calls are held to their times.
func (r *Result) started(text string, again func()) {
	if r.tries == 0 || !strings.Contains(text, outOfFuel) {
		return
	}
	r.Start = measured(again)
	for tries := 1; tries < r.tries && r.Start > StartMax; tries++ {
		r.Start = min(r.Start, measured(again))
	}
	if r.Start > StartMax {
		r.problem("it took %s of the processor", r.Start)
	}
}

// ended holds how a case ended against how it must.
func (r *Result) ended(how Outcome, text string) {
	r.Got = string(how)
	if text != "" {
		r.Got += ": " + text
	}
	if how != r.Case.Want {
		r.problem("want %s", r.Case.Want)
	}
	if !strings.Contains(text, r.Case.Text) {
		r.problem("want the text %q", r.Case.Text)
	}
}

// bench is two instances of a module under test: one that sees every attempt, and one that is used once.
type bench struct {
	c           *Case
	used, fresh *plugins.Instance
	plans       [2]*plugins.Plan
}

// newBench makes and configures the instances. It returns none, and why, when the module cannot be configured.
func newBench(ctx context.Context, m *plugins.Module, c *Case) (b *bench, refusal string, err error) {
	b = &bench{c: c}
	for k, i := range []**plugins.Instance{&b.used, &b.fresh} {
		if *i, err = m.NewInstance(ctx); err != nil {
			return nil, "", errors.Join(err, b.close(ctx))
		}
		plans, err := (*i).Configure(ctx, []plugins.ConfigRequest{{Tariff: c.Tariff(), Currency: "EUR"}})
		if err != nil {
			return nil, err.Error(), b.close(ctx)
		}
		b.plans[k] = plans[0]
	}
	return b, "", nil
}

func (b *bench) close(ctx context.Context) error {
	var problems []error
	for _, i := range []*plugins.Instance{b.used, b.fresh} {
		if i != nil {
			problems = append(problems, i.Close(ctx))
		}
	}
	return errors.Join(problems...)
}

const slots = 4

// batch is honest events over all slots but the last, around three of the last slot: two honest ones and, if it is
// asked for, that which triggers the attempt. The last slot's are in the middle.
func (b *bench) batch(plan *plugins.Plan, attempt bool) *plugins.Batch {
	out := &plugins.Batch{Slots: make([]plugins.Slot, slots)}
	for k := range out.Slots {
		out.Slots[k] = plugins.Slot{Plan: plan, New: true, PeriodEnd: 1 << 40}
	}
	add := func(slot int, time int64, quantity uint64) {
		out.Events = append(out.Events, plugins.Event{Slot: int32(slot), Time: time, Quantity: billing.Decimal{Lo: quantity}})
	}
	for k := range 40 {
		add(k%(slots-1), int64(k), uint64(k+1))
		switch {
		case k == 10 || k == 12:
			add(slots-1, int64(k), 100)
		case k == 20 && attempt:
			add(slots-1, b.c.At(), 1_000)
		}
	}
	return out
}

// triggerAt is the place of the triggering event in a batch.
const triggerAt = 23

// price prices batches with and without an attempt, in both instances, and holds the results against each other and
// against what they must be.
func (r *Result) price(ctx context.Context, b *bench) {
	if r.Case.Want == Unfinished {
		r.finish(ctx, b)
		return
	}
	attempt := b.batch(b.plans[0], true)
	rejects, err := b.used.Price(ctx, attempt)
	if err != nil {
		r.ended(Unfinished, err.Error())
		return
	}
	r.judge(attempt, rejects)
	keep(attempt)
	// By itself: one call, whose time counts.
	alone := b.batch(b.plans[0], true)
	alone.Events = alone.Events[triggerAt : triggerAt+1]
	calls := b.used.Calls()
	r.Call = measured(func() { rejects, err = b.used.Price(ctx, alone) })
	if n := b.used.Calls() - calls; n > 1 {
		r.Call /= time.Duration(n)
	}
	for tries := 1; tries < r.tries && r.Call > CallMax && err == nil; tries++ {
		r.again(ctx, b)
	}
	if err != nil || (len(rejects) > 0) != (r.Case.Want == Rejected) {
		r.problem("priced alone: %v, %v", rejects, err)
	}
	// Again, and in an instance that knows nothing of it: the same bytes.
	for k, i := range []*plugins.Instance{b.used, b.fresh} {
		again := b.batch(b.plans[k], true)
		if _, err := i.Price(ctx, again); err != nil {
			r.problem("again: %s", err)
			continue
		}
		r.same(attempt, again)
	}
	if !r.Case.All {
		r.honest(ctx, b)
	}
}

// judge holds the first batch against what must become of it.
func (r *Result) judge(b *plugins.Batch, rejects []plugins.Reject) {
	want := r.Case.Want
	switch {
	case len(rejects) == 0:
		r.ended(Harmless, "")
	case r.Case.All:
		r.ended(Rejected, rejects[0].Reason+": "+rejects[0].Detail)
		if len(rejects) != len(b.Events) || rejects[0].Reason != r.Case.Reason {
			r.problem("%d events are rejected, want all with %s", len(rejects), r.Case.Reason)
		}
		return
	default:
		r.ended(Rejected, rejects[0].Reason+": "+rejects[0].Detail)
		if len(rejects) != 1 || rejects[0].Event != triggerAt || rejects[0].Reason != r.Case.Reason {
			r.problem("rejects %v, want event %d with %s", rejects, triggerAt, r.Case.Reason)
		}
	}
	sums, counts := sumsOf(b, want == Rejected)
	for k := range b.Slots {
		if k == slots-1 && r.Case.Free {
			continue
		}
		amount := 2 * sums[k]
		if k == slots-1 && want == Harmless {
			amount += r.Case.Adds
		}
		s := &b.Slots[k]
		if l := s.Line(0); l.Quantity.Lo != sums[k] || l.Amount.Lo != amount || binary.LittleEndian.Uint64(s.State) != counts[k] {
			r.problem("slot %d: line %d %d after %d events, want %d %d after %d", k,
				l.Quantity.Lo, l.Amount.Lo, binary.LittleEndian.Uint64(s.State), sums[k], amount, counts[k])
		}
	}
}

// sumsOf is what the quantities and the events of each slot come to, without the triggering event if it is rejected.
func sumsOf(b *plugins.Batch, without bool) (sums, counts [slots]uint64) {
	for k, e := range b.Events {
		if without && k == triggerAt {
			continue
		}
		sums[e.Slot] += e.Quantity.Lo
		counts[e.Slot]++
	}
	return sums, counts
}

// same holds that two batches ended alike.
func (r *Result) same(a, b *plugins.Batch) {
	for k := range a.Slots {
		if x, y := &a.Slots[k], &b.Slots[k]; !bytes.Equal(x.State, y.State) || !bytes.Equal(x.Lines, y.Lines) {
			r.problem("slot %d is another the second time", k)
			return
		}
	}
}

// honest prices what has no attempt in it.
func (r *Result) honest(ctx context.Context, b *bench) {
	batch := b.batch(b.plans[0], false)
	rejects, err := b.used.Price(ctx, batch)
	if err != nil || len(rejects) > 0 {
		r.problem("honest events afterwards: %v, %v", rejects, err)
		return
	}
	sums, _ := sumsOf(batch, false)
	for k := range batch.Slots {
		if l := batch.Slots[k].Line(0); l.Quantity.Lo != sums[k] || l.Amount.Lo != 2*sums[k] {
			r.problem("honest events afterwards: slot %d has %d %d", k, l.Quantity.Lo, l.Amount.Lo)
		}
	}
}

// again measures the call by itself once more.
func (r *Result) again(ctx context.Context, b *bench) {
	alone := b.batch(b.plans[0], true)
	alone.Events = alone.Events[triggerAt : triggerAt+1]
	calls := b.used.Calls()
	took := measured(func() {
		if _, err := b.used.Price(ctx, alone); err != nil {
			r.problem("priced once more: %v", err)
		}
	})
	r.Call = min(r.Call, took/time.Duration(max(1, b.used.Calls()-calls)))
}

// finish holds a finish that must fail, and that nothing else does.
func (r *Result) finish(ctx context.Context, b *bench) {
	batch := b.batch(b.plans[0], false)
	batch.Slots[1].Final = true
	var err error
	calls := b.used.Calls()
	r.Call = measured(func() { _, err = b.used.Price(ctx, batch) })
	r.Call /= time.Duration(max(1, b.used.Calls()-calls))
	var fault *plugins.FaultError
	switch {
	case err == nil:
		r.ended(Harmless, "")
	case !errors.As(err, &fault) || fault.Slot != 1 || fault.Event != -1:
		r.problem("error %v, want a fault at the finish of slot 1", err)
	default:
		r.ended(Unfinished, fault.Text)
	}
	r.honest(ctx, b)
}

func keep(b *plugins.Batch) {
	for k := range b.Slots {
		b.Slots[k].Keep()
	}
}

// measured is the processor time that a function takes on its thread.
func measured(f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := threadTime()
	f()
	return threadTime() - before
}
