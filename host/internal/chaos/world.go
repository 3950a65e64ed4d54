package chaos

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/tollway/tollway/host/internal/oracle"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// World is the usage of a run. Each event is computed from the seed and its number,
// so that millions take no memory.
type World struct {
	Seed     uint64
	Events   int64
	Accounts int
	Manual   bool // months are closed by hand only, so that nothing is late
}

// Months is how many months the usage of a world is spread over. That of the last one
// is never late, so that what corrects the others is on its invoices.
const Months = 4

// worldStart is the first instant of usage.
var worldStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Source is the source of all events of a world.
const Source = "//chaos.example/meter"

// Validate reports whether the world can be made.
func (w World) Validate() error {
	if w.Events < 1 || w.Accounts < 1 {
		return errors.New("chaos: a world has at least one event and one account")
	}
	return nil
}

// Periods are the ids of the months.
func (w World) Periods() []string {
	ids := make([]string, Months)
	for m := range ids {
		ids[m] = worldStart.AddDate(0, m, 0).Format("2006-01")
	}
	return ids
}

// Account names an account by its number.
func (w World) Account(n int) string { return fmt.Sprintf("account-%03d", n) }

// berlin is how many of the accounts end their months in Berlin.
const berlin = 3

// regions of events; the empty one is of those that name none.
var regions = [...]string{"eu", "us", "asia", ""}

// Event makes an event by its number.
func (w World) Event(n int64) oracle.Event {
	i := uint64(n)
	whole := worldStart.AddDate(0, Months, 0).Sub(worldStart)
	at := whole / time.Duration(w.Events) * time.Duration(n)
	at += time.Duration(drawn(w.Seed, i, forTime) % uint64(min(time.Hour, whole-at)))
	quantity := drawn(w.Seed, i, forQuantity)
	data := map[string]string{
		"units":     fmt.Sprint(1 + quantity%50),
		"megabytes": fmt.Sprintf("%d.%03d", quantity>>8%400, quantity>>20%1000),
	}
	if r := regions[drawn(w.Seed, i, forRegion)%uint64(len(regions))]; r != "" {
		data["region"] = r
	}
	return oracle.Event{
		Source: Source, ID: fmt.Sprintf("%x-%d", w.Seed, n), Type: "usage", Account: w.Account(int(drawn(w.Seed, i, forAccount) % uint64(w.Accounts))),
		Time: worldStart.Add(at).Truncate(time.Millisecond), Data: data,
	}
}

// Catalog prices every event four times: counted, in tiers by region, by volume with
// another rounding and currency, and by the largest of the month.
func (w World) Catalog() *oracle.Catalog {
	from := worldStart.AddDate(-1, 0, 0)
	tariff := func(name, meter, currency, plugin string, params map[string]any) oracle.Tariff {
		return oracle.Tariff{Name: name, Meter: meter, Currency: currency, Versions: []oracle.Version{{EffectiveFrom: from, Plugin: plugin, Params: params}}}
	}
	counted := tariff(countTariff, "events", "EUR", "aggregation", map[string]any{"type": "count", "unit_price": "0.01"})
	tiers := tariff("tiers", "units", "EUR", "graduated", map[string]any{"tiers": []any{
		map[string]any{"up_to": "1000", "unit_price": "0.031", "flat_fee": "0"},
		map[string]any{"up_to": "20000", "unit_price": "0.0123", "flat_fee": "1.5"},
		map[string]any{"up_to": nil, "unit_price": "0.00777", "flat_fee": "0"},
	}})
	tiers.GroupBy = []string{"region"}
	volume := tariff("volume", "megabytes", "USD", "volume", map[string]any{"tiers": []any{
		map[string]any{"up_to": "50000.5", "unit_price": "0.00213", "flat_fee": "0"},
		map[string]any{"up_to": nil, "unit_price": "0.00199", "flat_fee": "3"},
	}})
	volume.Rounding = &oracle.Rounding{Scale: 4, Mode: "half_even"}
	peak := tariff("peak", "megabytes", "USD", "aggregation", map[string]any{"type": "max", "unit_price": "0.05"})
	c := &oracle.Catalog{
		Meters: []oracle.Meter{
			{Name: "events", EventType: "usage"},
			{Name: "units", EventType: "usage", Quantity: "units", Dimensions: []string{"region"}},
			{Name: "megabytes", EventType: "usage", Quantity: "megabytes"},
		},
		Tariffs: []oracle.Tariff{counted, tiers, volume, peak},
		Billing: oracle.Billing{TimeZone: "UTC", AnchorDay: 1},
	}
	var subscriptions []oracle.Subscription
	for _, t := range c.Tariffs {
		c.DefaultSubscriptions = append(c.DefaultSubscriptions, t.Name)
		subscriptions = append(subscriptions, oracle.Subscription{ID: t.Name, Tariff: t.Name})
	}
	for n := range min(berlin, w.Accounts) {
		c.Accounts = append(c.Accounts, oracle.Account{ID: w.Account(n), TimeZone: "Europe/Berlin", Subscriptions: subscriptions})
	}
	return c
}

// countTariff is the tariff whose quantity is the number of events: what is lost or
// counted twice shows in it as such.
const countTariff = "counted"

// CatalogFile writes the catalog for the engine. Months close by themselves as usage
// goes on, so usage can be late for its invoice.
func (w World) CatalogFile() ([]byte, error) {
	text, err := json.Marshal(w.Catalog())
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	members["billing"] = map[string]any{"period": "month", "anchor_day": 1, "time_zone": "UTC", "clock": "event", "grace": "72h"}
	if w.Manual {
		members["billing"] = map[string]any{"period": "month", "anchor_day": 1, "time_zone": "UTC", "close": "manual"}
	}
	return json.Marshal(members)
}

// withHostile is the catalog with tariffs that mean harm to those who are subscribed to
// everything, each for events of a type of its own.
func (w World) withHostile(modules map[string][]byte) (catalog []byte, files []*tollwayv1.PluginFile, err error) {
	text, err := w.CatalogFile()
	if err != nil {
		return nil, nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, err
	}
	add := func(key string, value any) {
		list, _ := members[key].([]any)
		members[key] = append(list, value)
	}
	for _, name := range ids(modules) {
		add("meters", map[string]any{"name": name, "event_type": name, "quantity": "units"})
		version := map[string]any{"effective_from": worldStart, "plugin": name + ".wasm#hostile"}
		add("tariffs", map[string]any{"name": name, "meter": name, "currency": "EUR", "versions": []any{version}})
		add("default_subscriptions", name)
		files = append(files, &tollwayv1.PluginFile{Path: name + ".wasm", Data: modules[name]})
	}
	catalog, err = json.Marshal(members)
	return catalog, files, err
}

// How usage arrives, in hundredths of all events.
const (
	doubledPercent = 5
	disorderedPer  = 5
	latePercent    = 1
)

// Deliveries yields the numbers of events in the order in which they are sent: 5 % are
// held back for a while, 1 % so long that the month's invoice is out, and 5 % come
// again, some of them much later. again marks the ones that were sent before.
func (w World) Deliveries() iter.Seq2[int64, bool] {
	return func(yield func(n int64, again bool) bool) {
		var held holding
		lateFrom := w.Events * (Months - 1) / Months
		for n := range w.Events {
			for len(held) > 0 && held[0].due <= n {
				if d, _ := heap.Pop(&held).(delivery); !yield(d.event, d.again) {
					return
				}
			}
			c := drawn(w.Seed, uint64(n), forDelivery)
			now := true
			switch kind := c % 100; {
			case kind < disorderedPer:
				heap.Push(&held, delivery{due: n + 1 + int64(c>>8%uint64(2+w.Events/200)), event: n})
				now = false
			case kind < disorderedPer+latePercent && n < lateFrom:
				heap.Push(&held, delivery{due: n + 1 + int64(c>>8%uint64(2+w.Events/7)), event: n})
				now = false
			case kind >= 100-doubledPercent:
				heap.Push(&held, delivery{due: n + int64(c>>8%uint64(2+w.Events/10)), event: n, again: true})
			}
			if now && !yield(n, false) {
				return
			}
		}
		for len(held) > 0 {
			if d, _ := heap.Pop(&held).(delivery); !yield(d.event, d.again) {
				return
			}
		}
	}
}

// delivery is an event that is still to be sent.
type delivery struct {
	due, event int64
	again      bool
}

// holding is a heap of deliveries, the next one on top.
type holding []delivery

func (h holding) Len() int { return len(h) }
func (h holding) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].event < h[j].event
}
func (h holding) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *holding) Push(x any) {
	if d, ok := x.(delivery); ok {
		*h = append(*h, d)
	}
}

// Pop implements heap.Interface.
func (h *holding) Pop() any {
	list := *h
	last := list[len(list)-1]
	*h = list[:len(list)-1]
	return last
}

// shards is in how many parts the naive rater goes over a world, so that it holds the
// events of one at a time.
const shards = 8

// Want is what all invoices together come to, line by line with what adjusts it, as
// [oracle.Result] writes them; and what the months that are still open would, if none
// of them is closed.
func (w World) Want(closed bool) (lines, open map[string]bool, err error) {
	lines, open = map[string]bool{}, map[string]bool{}
	for shard := range shards {
		log := []oracle.Entry{{Catalog: w.Catalog()}}
		var events []oracle.Event
		for n := range w.Events {
			if drawn(w.Seed, uint64(n), forAccount)%uint64(w.Accounts)%shards == uint64(shard) {
				events = append(events, w.Event(n))
			}
		}
		log = append(log, oracle.Entry{Events: events})
		for _, zone := range [...]string{"UTC", "Europe/Berlin"} {
			place, err := time.LoadLocation(zone)
			if err != nil {
				return nil, nil, err
			}
			for m := 0; m < Months && closed; m++ {
				start := time.Date(worldStart.Year(), worldStart.Month()+time.Month(m), 1, 0, 0, 0, 0, place)
				log = append(log, oracle.Entry{Close: &oracle.Close{Zone: zone, AnchorDay: 1, Start: start, End: start.AddDate(0, 1, 0)}})
			}
		}
		result := oracle.Replay(log, func(account string) bool { return w.shardOf(account) == shard })
		if result.Priced != len(events) {
			return nil, nil, fmt.Errorf("chaos: the oracle prices %d of %d events", result.Priced, len(events))
		}
		for _, line := range result.Lines {
			lines[line] = true
		}
		for _, row := range result.Open {
			open[row] = true
		}
	}
	return lines, open, nil
}

// shardOf returns the part of the world that an account is in.
func (w World) shardOf(account string) int {
	var n int
	if _, err := fmt.Sscanf(account, "account-%d", &n); err != nil {
		return -1
	}
	return n % shards
}
