package builtin_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/sdk/billing"
)

// TestManyKeys counts as many distinct users as a slot may have, through the engine: the state grows, within its limit
// and the fuel of an event.
func TestManyKeys(t *testing.T) {
	countKeys(t, `{"type":"unique_count","key":"user"}`, 50_000, false)
}

// TestManyCarriedKeys does the same with keys that go on into the next period.
func TestManyCarriedKeys(t *testing.T) {
	countKeys(t, `{"type":"unique_count","key":"user","recurring":true}`, 1_500, true)
}

func countKeys(t *testing.T, params string, users int, carried bool) {
	t.Helper()
	const batch = 4096
	modules, err := builtin.Modules()
	if errors.Is(err, builtin.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := plugins.NewRuntime(t.Context(), plugins.Config{CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = runtime.Close(t.Context()) }()
	var instance *plugins.Instance
	for _, m := range modules {
		if m.Name != "metered" {
			continue
		}
		module, err := runtime.Load(t.Context(), m.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		if instance, err = module.NewInstance(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if instance == nil {
		t.Skip("there is no module metered")
	}
	plans, err := instance.Configure(t.Context(), []plugins.ConfigRequest{{
		Tariff: "aggregation", Params: []byte(params), Currency: "EUR",
	}})
	if err != nil {
		t.Fatal(err)
	}
	january := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	slot := plugins.Slot{
		Plan: plans[0], New: true, PeriodStart: january.UnixNano(), PeriodEnd: january.AddDate(0, 1, 0).UnixNano(),
		ActiveFrom: january.UnixNano(), ActiveUntil: january.AddDate(0, 1, 0).UnixNano(),
	}
	price := func(b plugins.Batch, rejected int) {
		t.Helper()
		b.Slots = []plugins.Slot{slot}
		rejects, err := instance.Price(t.Context(), &b)
		if err != nil {
			t.Fatal(err)
		}
		if len(rejects) != rejected {
			t.Fatalf("%d events rejected, want %d; first: %v", len(rejects), rejected, rejects[0])
		}
		slot = b.Slots[0]
		slot.Keep()
		slot.New = false
	}
	one := billing.DecimalFromInt(1)
	for from := 0; from < users; from += batch {
		b := plugins.Batch{Values: []string{""}}
		for n := from; n < min(from+batch, users); n++ {
			b.Values = append(b.Values, fmt.Sprint("user ", n))
			b.Events = append(b.Events, plugins.Event{Time: slot.PeriodStart, Quantity: one})
			b.Dims = append(b.Dims, uint32(len(b.Values)-1))
		}
		price(b, 0)
	}
	price(plugins.Batch{Values: []string{"", "one too many"}, Events: []plugins.Event{{Quantity: one}}, Dims: []uint32{1}}, 1)
	slot.Final = true
	price(plugins.Batch{Values: []string{""}}, 0)
	if got := slot.Line(0).Quantity; got != billing.DecimalFromInt(int64(users)) {
		t.Errorf("%s users, want %d; state of %d bytes", got, users, len(slot.State))
	}
	if !carried {
		return
	}
	slot = plugins.Slot{Plan: plans[0], New: true, Final: true, PeriodStart: slot.PeriodEnd, PeriodEnd: january.AddDate(0, 2, 0).UnixNano(), CarryIn: slot.CarryOut}
	price(plugins.Batch{Values: []string{""}}, 0)
	if got := slot.Line(0).Quantity; got != billing.DecimalFromInt(int64(users)) {
		t.Errorf("%s users in the next period, want %d", got, users)
	}
}
