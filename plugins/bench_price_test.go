//go:build unix

package plugins_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/build"
	"github.com/tollway/tollway/sdk/billing"
)

// standardWasm builds the built-in tariffs from their sources, once.
var standardWasm = sync.OnceValues(func() ([]byte, error) {
	return build.Folder(context.Background(), "../examples/tariffs/standard")
})

const (
	benchEvents = 4096
	threeTiers  = `{"tiers":[{"up_to":"10","unit_price":"0.05"},{"up_to":"50","unit_price":"0.03"},{"up_to":null,"unit_price":"0.0125"}]}`
	eightPrices = `{"dimension":"sku","prices":{"a":{"unit_price":"1"},"b":{"unit_price":"2"},"c":{"unit_price":"3"},"d":{"unit_price":"4"},` +
		`"e":{"unit_price":"5"},"f":{"unit_price":"6"},"g":{"unit_price":"7"},"h":{"unit_price":"8"}}}`
)

// BenchmarkTariff measures the built-in tariffs, compiled by the Go toolchain, through a whole call:
// what the host writes, the restore of the snapshot, the plugin, and what the host reads.
func BenchmarkTariff(b *testing.B) {
	wasm, err := standardWasm()
	if err != nil {
		b.Fatal(err)
	}
	m := load(b, newRuntime(b, plugins.Config{}), wasm)
	for _, c := range []struct {
		name, tariff, params string
		slots                int
		scattered            bool
	}{
		{"graduated/8perSlot", "graduated", threeTiers, benchEvents / 8, false},
		{"graduated/8perSlotScattered", "graduated", threeTiers, benchEvents / 8, true},
		{"graduated/1perSlot", "graduated", threeTiers, benchEvents, false},
		{"per_unit/1perSlot", "per_unit", `{"unit_price":"0.05"}`, benchEvents, false},
		{"volume/1perSlot", "volume", threeTiers, benchEvents, false},
		{"price_table/8perSlot", "price_table", eightPrices, benchEvents / 8, false},
		{"price_table/1perSlot", "price_table", eightPrices, benchEvents, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			t := newTariffBench(b, m, c.tariff, c.params, c.slots, c.scattered)
			b.ReportAllocs()
			spent := cpuTime(b)
			for b.Loop() {
				t.price()
			}
			b.ReportMetric(float64(cpuTime(b)-spent)/float64(b.N)/benchEvents, "cpu-ns/event")
			b.ReportMetric(float64(t.instance.FuelUsed())/benchEvents, "fuel/event")
		})
	}
}

// tariffBench prices the same batch again and again.
type tariffBench struct {
	t        testing.TB
	instance *plugins.Instance
	batch    plugins.Batch
	before   []plugins.Slot
}

// newTariffBench makes a batch over slots that have seen usage before: they stand in all tiers.
func newTariffBench(t testing.TB, m *plugins.Module, tariff, params string, slots int, scattered bool) *tariffBench {
	t.Helper()
	ctx := context.Background()
	i, err := m.NewInstance(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	plans, err := i.Configure(ctx, []plugins.ConfigRequest{{Tariff: tariff, Params: json.RawMessage(params), Currency: "EUR"}})
	if err != nil {
		t.Fatal(err)
	}
	b := &tariffBench{t: t, instance: i}
	b.batch.Values = []string{"", "a", "b", "c", "d", "e", "f", "g", "h"}
	for k := range slots {
		b.batch.Slots = append(b.batch.Slots, plugins.Slot{Plan: plans[0], New: true, PeriodEnd: 1 << 60, ActiveUntil: 1 << 60})
		b.add(k, 1+k*37%100)
	}
	if _, err := i.Price(ctx, &b.batch); err != nil {
		t.Fatal(err)
	}
	b.batch.Events, b.batch.Dims = nil, nil
	for k := range benchEvents {
		slot := k / (benchEvents / slots)
		if scattered {
			slot = k * 2654435761 % slots
		}
		b.add(slot, 1+k*7%9)
	}
	for k := range b.batch.Slots {
		b.batch.Slots[k].Keep()
		b.batch.Slots[k].New = false
	}
	b.before = append(b.before, b.batch.Slots...)
	b.price()
	return b
}

func (b *tariffBench) add(slot, quantity int) {
	b.batch.Events = append(b.batch.Events, plugins.Event{Slot: int32(slot), Time: int64(slot), Quantity: billing.DecimalFromInt(int64(quantity))})
	for range b.batch.Slots[0].Plan.Dimensions {
		b.batch.Dims = append(b.batch.Dims, uint32(1+slot%8))
	}
}

// price prices the batch from where its slots stood before.
func (b *tariffBench) price() {
	for k := range b.before {
		b.batch.Slots[k].State, b.batch.Slots[k].Lines = b.before[k].State, b.before[k].Lines
	}
	rejects, err := b.instance.Price(context.Background(), &b.batch)
	if err == nil && len(rejects) > 0 {
		err = fmt.Errorf("rejected: %s", rejects[0].Detail)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// nativeSlot is a slot of the graduated tariff as a Go program without plugins would keep it.
type nativeSlot struct {
	units billing.Quantity
	lines [3]struct {
		quantity billing.Quantity
		amount   billing.Amount
	}
}

// BenchmarkNative prices what BenchmarkTariff does for the graduated tariff, by the plain way in Go: it is
// what the cost of a plugin is compared with.
func BenchmarkNative(b *testing.B) {
	whole := func(n int64) billing.Quantity { return billing.Quantity(billing.DecimalFromInt(n)) }
	upTo := [2]billing.Quantity{whole(10), whole(50)}
	above := [3]billing.Quantity{{}, whole(10), whole(50)}
	prices := [3]billing.Decimal{billing.MustDecimal("0.05"), billing.MustDecimal("0.03"), billing.MustDecimal("0.0125")}
	price := func(s *nativeSlot, q billing.Quantity) error {
		units, err := s.units.Add(q)
		if err != nil {
			return err
		}
		s.units = units
		for t := range prices {
			if units.Cmp(above[t]) <= 0 {
				break
			}
			part := units
			if t < len(upTo) && part.Cmp(upTo[t]) > 0 {
				part = upTo[t]
			}
			if part, err = part.Sub(above[t]); err != nil {
				return err
			}
			l := &s.lines[t]
			if l.quantity == part {
				continue
			}
			amount, err := part.D().Mul(prices[t], billing.Rounding{})
			if err != nil {
				return err
			}
			l.quantity, l.amount = part, billing.Amount(amount)
		}
		return nil
	}
	for _, slots := range []int{benchEvents / 8, benchEvents} {
		b.Run(fmt.Sprintf("graduated/%dperSlot", benchEvents/slots), func(b *testing.B) {
			before, now := make([]nativeSlot, slots), make([]nativeSlot, slots)
			for k := range before {
				if err := price(&before[k], whole(int64(1+k*37%100))); err != nil {
					b.Fatal(err)
				}
			}
			spent := cpuTime(b)
			for b.Loop() {
				copy(now, before)
				for k := range benchEvents {
					if err := price(&now[k/(benchEvents/slots)], whole(int64(1+k*7%9))); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(cpuTime(b)-spent)/float64(b.N)/benchEvents, "cpu-ns/event")
		})
	}
}

// cpuTime is what the process has used, in nanoseconds: on a machine with other work, the time on the
// wall says little.
func cpuTime(t testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
