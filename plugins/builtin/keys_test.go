package builtin_test

import (
	"context"
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

// TestTotalsOfManyLineItems makes the taxes of an invoice with as many line items as a subscription may have groups,
// and the coupons of one with as many as there is fuel for, through the engine: a rule that ran out of fuel would hold
// the invoice up.
func TestTotalsOfManyLineItems(t *testing.T) {
	for name, test := range map[string]struct {
		items       int
		params      string
		coupon, tax string
	}{
		"taxes":   {10_000, `{"tax_percent":"20"}`, "0", "3999.96"},                                                  // a fifth of each, rounded: 0.40 of 1.99
		"coupons": {800, `{"tax_percent":"20","coupons":[{"type":"percentage","value":"10"}]}`, "-159.18", "287.96"}, // 0.36 of 1.79, or of 1.80
	} {
		t.Run(name, func(t *testing.T) {
			instance := module(t, "rules")
			plans, err := instance.Configure(t.Context(), []plugins.ConfigRequest{{Tariff: "invoice_totals", Params: []byte(test.params), Currency: "EUR"}})
			if err != nil {
				t.Fatal(err)
			}
			b := plugins.Batch{Slots: []plugins.Slot{{Plan: plans[0], New: true, Final: true}}, Values: []string{""}}
			for n := range test.items {
				amount := billing.MustDecimal("1.99")
				if n == 0 {
					amount = billing.MustDecimal("1.80")
				}
				b.Events = append(b.Events, plugins.Event{Quantity: billing.DecimalFromInt(1), Amount: amount, HasAmount: true})
				b.Dims = append(b.Dims, 0)
			}
			rejects, err := instance.Price(t.Context(), &b)
			if err != nil || len(rejects) > 0 {
				t.Fatal(len(rejects), err)
			}
			for i, want := range []string{test.coupon, test.tax} {
				if got := b.Slots[0].Line(i).Amount; got != billing.MustDecimal(want) {
					t.Errorf("line %s is %s, want %s", plans[0].Lines[i].ID, billing.Amount(got), want)
				}
			}
		})
	}
}

// metered returns an instance of the module that has the tariffs with large states.
func metered(t *testing.T) *plugins.Instance {
	t.Helper()
	return module(t, "metered")
}

// module returns an instance of a built-in module.
func module(t *testing.T, name string) *plugins.Instance {
	t.Helper()
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
	t.Cleanup(func() {
		if err := runtime.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, m := range modules {
		if m.Name != name {
			continue
		}
		module, err := runtime.Load(t.Context(), m.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		instance, err := module.NewInstance(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return instance
	}
	t.Fatalf("there is no module %s", name)
	return nil
}

func countKeys(t *testing.T, params string, users int, carried bool) {
	t.Helper()
	const batch = 4096
	instance := metered(t)
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

// TestPercentileOfAFullMonth closes a month with usage in each of its windows of five minutes, the most that the
// tariff takes, through the engine: a finish that runs out of fuel would keep the period open.
func TestPercentileOfAFullMonth(t *testing.T) {
	const windows = 31 * 24 * 12
	instance := metered(t)
	plans, err := instance.Configure(t.Context(), []plugins.ConfigRequest{{
		Tariff: "percentile", Params: []byte(`{"percentile":95,"unit_price":"2"}`), Currency: "EUR",
	}})
	if err != nil {
		t.Fatal(err)
	}
	january := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	slot := plugins.Slot{
		Plan: plans[0], New: true, PeriodStart: january.UnixNano(), PeriodEnd: january.AddDate(0, 1, 0).UnixNano(),
		ActiveFrom: january.UnixNano(), ActiveUntil: january.AddDate(0, 1, 0).UnixNano(), Final: true,
	}
	b := plugins.Batch{Slots: []plugins.Slot{slot}}
	for n := range windows {
		// The values 1 to windows, in an order that has nothing to do with theirs.
		value := int64(n)*5003%windows + 1
		b.Events = append(b.Events, plugins.Event{Time: slot.PeriodStart + int64(n)*int64(5*time.Minute), Quantity: billing.DecimalFromInt(value)})
	}
	rejects, err := instance.Price(t.Context(), &b)
	if err != nil || len(rejects) > 0 {
		t.Fatal(rejects, err)
	}
	const rank = (95*windows + 99) / 100 // the smallest value that 95 percent do not exceed
	if got := b.Slots[0].Line(0); got.Quantity != billing.DecimalFromInt(rank) || got.Amount != billing.DecimalFromInt(2*rank) {
		t.Errorf("line %+v, want quantity %d", got, rank)
	}
	t.Logf("%d units of fuel", instance.FuelUsed())
}
