package plugintest

import (
	"context"
	"slices"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/sdk/abi"
	"github.com/tollway/tollway/sdk/billing"
)

// Run loads a module with its manifest as the engine does and holds it against the contract, with
// the given cases. Each check is a subtest.
func Run(t *testing.T, wasm []byte, cases []Case) {
	t.Helper()
	in, err := plugins.Inspect(wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range in.Problems {
		t.Errorf("the engine refuses the module: %v", problem)
	}
	r, err := plugins.NewRuntime(t.Context(), plugins.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	m, err := r.Load(t.Context(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	for k := range cases {
		t.Run(cases[k].name(), func(t *testing.T) {
			b := &bench{t: t, module: m, c: &cases[k]}
			b.run()
		})
	}
}

// bench is one case under test.
type bench struct {
	t      *testing.T
	module *plugins.Module
	c      *Case
	want   string // what the case comes to, priced at once in a fresh instance
}

func (b *bench) run() {
	i, p := b.fresh()
	o := b.price(i, p, len(b.c.Events))
	b.c.check(b.t, p, o)
	b.want = o.String()
	if n := len(b.c.Events); n > 0 {
		b.t.Logf("%d units of fuel an event, of %d", i.FuelUsed()/int64(n), b.budget())
	}
	b.t.Run("the same in another instance", func(t *testing.T) {
		i, p := b.on(t).fresh()
		b.on(t).same(b.on(t).price(i, p, len(b.c.Events)))
	})
	b.t.Run("the same in steps", func(t *testing.T) {
		for _, step := range []int{1, 2, 3, 7, 64} {
			if step < len(b.c.Events) {
				i, p := b.on(t).fresh()
				b.on(t).same(b.on(t).price(i, p, step))
			}
		}
	})
	b.t.Run("the same with other slots", func(t *testing.T) { b.on(t).reversed() })
	b.t.Run("the same after abuse", func(t *testing.T) { b.on(t).abused() })
	b.t.Run("the same after many calls", func(t *testing.T) { b.on(t).repeated() })
	b.t.Run("final without events", func(t *testing.T) { b.on(t).idle() })
}

// on is the same bench for a subtest.
func (b *bench) on(t *testing.T) *bench {
	return &bench{t: t, module: b.module, c: b.c, want: b.want}
}

func (b *bench) budget() int64 {
	if n := b.module.Manifest().FuelPerEvent; n > 0 {
		return n
	}
	return abi.FuelPerEvent
}

// fresh makes an instance that has the case's configuration and nothing else.
func (b *bench) fresh() (*plugins.Instance, *plugins.Plan) {
	b.t.Helper()
	i, err := b.module.NewInstance(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	plans, err := i.Configure(b.t.Context(), []plugins.ConfigRequest{b.c.request()})
	if err != nil {
		b.t.Fatal(err)
	}
	return i, plans[0]
}

// price prices the case's events, so many in a batch, and finishes its slots with the last.
func (b *bench) price(i *plugins.Instance, p *plugins.Plan, step int) *outcome {
	b.t.Helper()
	all := b.c.events(b.t, p)
	dims := len(p.Dimensions)
	o := &outcome{slots: b.c.slots(p)}
	for from := 0; ; from += step {
		to := min(from+step, len(all.Events))
		last := to == len(all.Events)
		for k := range o.slots {
			o.slots[k].Final = last
		}
		rejects, err := i.Price(b.t.Context(), &plugins.Batch{
			Slots: o.slots, Events: all.Events[from:to], Dims: all.Dims[dims*from : dims*to], Values: all.Values,
		})
		if err != nil {
			b.t.Fatal(err)
		}
		for k := range o.slots {
			o.slots[k].Keep()
		}
		for k, r := range rejects {
			rejects[k].Event = r.Event + from
		}
		o.rejects = append(o.rejects, rejects...)
		if last {
			return o
		}
		for k := range o.slots {
			if o.slots[k].New && !pricedAny(all.Events[from:to], rejects, from, k) {
				o.slots[k].State, o.slots[k].Lines = nil, nil
				continue
			}
			o.slots[k].New = false
		}
	}
}

// pricedAny tells whether a batch that begins at event from priced an event of a slot.
func pricedAny(events []plugins.Event, rejects []plugins.Reject, from, slot int) bool {
	for k, e := range events {
		rejected := slices.ContainsFunc(rejects, func(r plugins.Reject) bool { return r.Event == from+k })
		if int(e.Slot) == slot && !rejected {
			return true
		}
	}
	return false
}

func (b *bench) same(o *outcome) {
	b.t.Helper()
	if got := o.String(); got != b.want {
		b.t.Errorf("it comes to\n%swant\n%s", got, b.want)
	}
}

// reversed numbers the slots the other way round.
func (b *bench) reversed() {
	i, p := b.fresh()
	c := *b.c
	n := len(c.slots(p))
	c.Slots, c.Events = n, slices.Clone(c.Events)
	for k := range c.Events {
		c.Events[k].Slot = n - 1 - c.Events[k].Slot
	}
	other := bench{t: b.t, module: b.module, c: &c}
	o := other.price(i, p, len(c.Events))
	slices.Reverse(o.slots)
	b.same(o)
}

// abused prices events with impossible quantities first. They may be rejected, but for good
// reasons: a tariff that crashes on them is not finished.
func (b *bench) abused() {
	i, p := b.fresh()
	hostile := *b.c
	hostile.Events = nil
	for _, q := range []string{
		"0", "-1", "0.000000000000000001", "-0.000000000000000001",
		"170141183460469231731.687303715884105727", "-170141183460469231731.687303715884105728", "99999999999999999999",
	} {
		for _, e := range append(slices.Clone(b.c.Events), Event{}) {
			e.Quantity, e.Amount = q, q
			hostile.Events = append(hostile.Events, e)
		}
	}
	batch := hostile.events(b.t, p)
	batch.Slots = hostile.slots(p)
	rejects, err := i.Price(b.t.Context(), batch)
	if err != nil {
		b.t.Fatalf("with hostile quantities: %v", err)
	}
	for _, r := range rejects {
		if r.Reason == abi.ReasonTrap || r.Reason == abi.ReasonPanic {
			b.t.Errorf("quantity %s: %s: %s", billing.Quantity(batch.Events[r.Event].Quantity), r.Reason, r.Detail)
		}
	}
	b.same(b.price(i, p, len(b.c.Events)))
}

// calls is how often a case is priced to see whether anything adds up.
const calls = 200

// warmUps is how often a case is priced before its work counts: the first calls of an instance may be cut where later
// ones are not.
const warmUps = 5

// repeated prices the case many times in one instance, with the same result and the same work.
func (b *bench) repeated() {
	i, p := b.fresh()
	for range warmUps {
		b.price(i, p, len(b.c.Events))
	}
	used := i.FuelUsed()
	for range calls {
		o := b.price(i, p, len(b.c.Events))
		if i.FuelUsed() != used {
			b.t.Fatalf("it used %d units of fuel, the first time %d", i.FuelUsed(), used)
		}
		b.same(o)
	}
}

// idle finishes a slot that never had an event, which happens to every subscription without usage.
func (b *bench) idle() {
	i, p := b.fresh()
	c := *b.c
	c.Events = nil
	other := bench{t: b.t, module: b.module, c: &c}
	first := other.price(i, p, 0)
	other.want = first.String()
	other.same(other.price(i, p, 0))
}
