package tariff_test

import (
	"bytes"
	stdsha256 "crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tollway/tollway/sdk/billing"
	"github.com/tollway/tollway/sdk/tariff"
	"github.com/tollway/tollway/sdk/tariff/tarifftest"
)

// marking counts the keys whose last event did not have the quantity 0, and goes on with them in the next period. A
// negative quantity is refused after the table has changed.
var marking = tariff.Tariff{Name: "marking", Configure: func(c *tariff.Config) tariff.Pricer {
	return &markingPricer{c.Line("keys", ""), c.Dimension("key"), c.Carry.Marks(c.Params.Int("most", "", 1, 1000))}
}}

type markingPricer struct {
	line  tariff.Line
	key   tariff.Dimension
	table *tariff.Keyed
}

func (m *markingPricer) Price(s *tariff.Slot, e *tariff.Event) error {
	mark := tariff.MarkCarried | 1
	if e.Quantity().IsZero() {
		mark = 0
	}
	if err := m.table.SetMark(s, tariff.KeyOfText(e.Value(m.key)), mark); err != nil {
		return err
	}
	if e.Quantity().Sign() < 0 {
		return tariff.Reject("negative", "below 0")
	}
	return m.count(s)
}

func (m *markingPricer) Finish(s *tariff.Slot) error { return m.count(s) }

func (m *markingPricer) count(s *tariff.Slot) error {
	n := int64(0)
	m.table.EachMark(s, func(mark uint32) { n += int64(mark >> 31) })
	m.line.Set(s, billing.Quantity(billing.DecimalFromInt(n)), billing.Amount{})
	return nil
}

// TestKeyedIsAMap prices two periods beside a map, in batches of random sizes, beside a slot of its own for each event.
func TestKeyedIsAMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const most = 40
		bench := tarifftest.NewBench(t, marking)
		plan, err := bench.Configure("marking", fmt.Sprintf(`{"most":%d}`, most))
		if err != nil {
			t.Fatal(err)
		}
		slot, twin := tarifftest.NewSlot(plan), tarifftest.NewSlot(plan)
		active := map[string]bool{}
		for range 2 {
			var events []tarifftest.Event
			known := len(active)
			for range rapid.IntRange(0, 60).Draw(rt, "events") {
				key := fmt.Sprint("user ", rapid.IntRange(0, 60).Draw(rt, "key"))
				quantity := rapid.SampledFrom([]string{"1", "2", "0", "-1"}).Draw(rt, "quantity")
				events = append(events, tarifftest.Event{Quantity: quantity, Dimensions: map[string]string{"key": key}})
				_, has := active[key]
				if quantity == "-1" || !has && known == most {
					continue
				}
				if !has {
					known++
				}
				active[key] = quantity != "0"
			}
			cut := rapid.IntRange(0, len(events)).Draw(rt, "cut")
			price := func(slot *tarifftest.Slot, events []tarifftest.Event, final bool) {
				slot.Final = final
				if _, err := bench.Price([]*tarifftest.Slot{slot}, events); err != nil {
					rt.Fatal(err)
				}
			}
			price(slot, events[:cut], false)
			price(slot, events[cut:], true)
			for _, e := range events {
				price(twin, []tarifftest.Event{e}, false)
			}
			price(twin, nil, true)
			want := int64(0)
			for key, is := range active {
				if is {
					want++
				} else {
					delete(active, key) // not carried
				}
			}
			if got := slot.Lines[0].Quantity; got != billing.DecimalFromInt(want) {
				rt.Fatalf("%s keys, want %d", got, want)
			}
			if !bytes.Equal(slot.State, twin.State) || !bytes.Equal(slot.CarryOut, twin.CarryOut) {
				rt.Fatal("state or carry depend on how events are cut into batches")
			}
			if len(slot.CarryOut) != int(want)*16 {
				rt.Fatalf("%d bytes carried, want 16 for each of %d keys", len(slot.CarryOut), want)
			}
			slot, twin = slot.Next(), twin.Next()
		}
	})
}

// numbering keeps the sum of quantities by minute of the event's time, and shows the median of the minutes.
var numbering = tariff.Tariff{Name: "numbering", Configure: func(c *tariff.Config) tariff.Pricer {
	return &numberingPricer{c.Line("sum", ""), c.State.Numbers(5000)}
}}

type numberingPricer struct {
	line  tariff.Line
	table *tariff.Keyed
}

func (n *numberingPricer) Price(s *tariff.Slot, e *tariff.Event) error {
	key := tariff.KeyOfInt(e.Time() / 60e9)
	sum, err := n.table.Number(s, key).Add(e.Quantity().D())
	if err != nil {
		return err
	}
	if err := n.table.SetNumber(s, key, 7, sum); err != nil {
		return err
	}
	if mark, ok := n.table.Mark(s, key); !ok || mark != 7 {
		return tariff.Reject("mark", "is not 7")
	}
	numbers := n.table.AppendNumbers(s, nil)
	slices.SortFunc(numbers, billing.Decimal.Cmp)
	n.line.Set(s, billing.Quantity(billing.DecimalFromInt(int64(n.table.Len(s)))), billing.Amount(numbers[len(numbers)/2]))
	return nil
}

func TestKeyedNumbers(t *testing.T) {
	at := func(minute, quantity string) tarifftest.Event {
		return tarifftest.Event{Quantity: quantity, Time: "2026-01-05T12:" + minute + "Z"}
	}
	tarifftest.Run(t, numbering, []tarifftest.Case{{
		Name: "median of minutes", Params: `{}`,
		Events: []tarifftest.Event{at("00:01", "5"), at("01:00", "1"), at("00:59", "2"), at("07:00", "6.5"), at("08:00", "-1"), at("09:00", "6"), at("10:00", "9"), at("11:00", "10"), at("12:00", "11")},
		Want:   []string{"sum 8 7"},
	}})
}

func TestKeyOfText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringN(50, 70, 200)).Draw(t, "text")
		digest := stdsha256.Sum256([]byte(text))
		if got, want := tariff.KeyHalves(tariff.KeyOfText(text)), [2]uint64{binary.BigEndian.Uint64(digest[:8]), uint64(binary.BigEndian.Uint32(digest[8:12]))}; got != want {
			t.Fatalf("key %x of %q, want %x", got, text, want)
		}
		if a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b"); (tariff.KeyOfInt(a) == tariff.KeyOfInt(b)) != (a == b) {
			t.Fatalf("keys of %d and %d", a, b)
		}
	})
	if tariff.KeyOfInt(0) == tariff.KeyOfInt(-7046029254386353131) || tariff.KeyHalves(tariff.KeyOfInt(0))[0] == 0 {
		t.Error("the key of 0 is taken for free, or for another's")
	}
}
