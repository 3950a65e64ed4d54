package plugins

import (
	"context"
	"encoding/binary"
	"os"
	"testing"
	"unsafe"

	"github.com/tollway/tollway/sdk/billing"
)

func TestZZDirty(t *testing.T) {
	ctx := context.Background()
	wasm, _ := os.ReadFile("builtin/standard.wasm")
	r, err := NewRuntime(ctx, Config{CacheDir: "/tmp/bench-plugins"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.Load(ctx, wasm)
	if err != nil {
		t.Fatal(err)
	}
	for _, slots := range []int{16, 64, 128, 256, 512} {
		inst, err := m.NewInstance(ctx)
		if err != nil {
			t.Fatal(err)
		}
		plans, err := inst.Configure(ctx, []ConfigRequest{{Tariff: "graduated", Params: []byte(`{"tiers":[{"up_to":"10","unit_price":"0.10","flat_fee":"0"},{"up_to":"50","unit_price":"0.08","flat_fee":"0"},{"up_to":null,"unit_price":"0.05","flat_fee":"0"}]}`), Currency: "EUR"}})
		if err != nil {
			t.Fatal(err)
		}
		b := &Batch{Slots: make([]Slot, slots), Events: make([]Event, 4096), Values: []string{""}}
		for i := range b.Slots {
			b.Slots[i] = Slot{Plan: plans[0], New: true, PeriodEnd: 1 << 60, ActiveUntil: 1 << 60}
		}
		for i := range b.Events {
			b.Events[i] = Event{Slot: i * 7919 % slots, Time: int64(i), Quantity: billing.DecimalFromInt(3)}
		}
		for range 3 {
			rj, err := inst.Price(ctx, b)
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Slots {
				b.Slots[i].New = false
			}
			left := int64(inst.control.pool.Get())
			t.Logf("slots %d rejects %d fuel/event %d", slots, len(rj), (callPool-left)/4096)
			size := len(inst.memory) / systemPage * 8
			e := make([]byte, size)
			first := uintptr(unsafe.Pointer(unsafe.SliceData(inst.memory))) / uintptr(systemPage)
			inst.module.tracker.pagemap.ReadAt(e, int64(first)*8)
			a := inst.arenaPages()
			n, inArena, from := 0, 0, -1
			var ranges [][2]int
			for k := 0; k <= size; k += 8 {
				w := false
				if k < size {
					x := binary.NativeEndian.Uint64(e[k:])
					w = x&pagemapThere != 0 && x&pagemapFile == 0
				}
				at := k / 8 * systemPage
				if w {
					if at >= a.from && at < a.to {
						inArena++
					} else {
						n++
					}
				}
				if w && from < 0 {
					from = at
				} else if !w && from >= 0 {
					ranges = append(ranges, [2]int{from, at})
					from = -1
				}
			}
			t.Logf("dirty %d pages, arena %d of %v; image %d; ranges %x", n, inArena, a, len(inst.snapshot.image), ranges)
		}
		inst.Close(ctx)
	}
}
