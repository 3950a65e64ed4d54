package sim

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/internal/oracle"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

func pick[T any](w *world, list ...T) T { return list[w.IntN(len(list))] }

// chance is true so many times in a hundred.
func (w *world) chance(percent int) bool { return w.IntN(100) < percent }

func (w *world) decimal(most int64) string {
	return big.NewRat(w.Int64N(most*1000), pick(w, int64(1), 8, 100, 1000)).FloatString(3)
}

// begin is when usage begins; the catalog is in force since long before.
var begin = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// engineCatalog is the catalog with what only the engine reads.
type engineCatalog struct {
	*oracle.Catalog
	Billing engineBilling    `json:"billing"`
	Alerts  []map[string]any `json:"alerts,omitempty"`
}

type engineBilling struct {
	oracle.Billing
	Grace string `json:"grace"`
	Close string `json:"close"`
	Clock string `json:"clock"`
}

// drawCatalog draws the first catalog. Usage of the type "c" has a meter, but
// nobody subscribes to its tariff yet.
func (w *world) drawCatalog() {
	c := &oracle.Catalog{Billing: oracle.Billing{TimeZone: pick(w, "UTC", "Europe/Berlin"), AnchorDay: pick(w, 1, 1, 15)}}
	w.billing = engineBilling{Billing: c.Billing, Grace: pick(w, "24h", "72h"), Close: pick(w, "automatic", "automatic", "automatic", "manual"), Clock: pick(w, "wall", "wall", "event")}
	for _, kind := range []string{"a", "b", "c"} {
		m := oracle.Meter{Name: "m" + kind, EventType: kind, Quantity: pick(w, "n", "n", ""), Dimensions: []string{"region"}}
		if w.chance(20) {
			m.Filter = map[string]string{"region": "eu"}
		}
		c.Meters = append(c.Meters, m)
		for n := range pick(w, 1, 1, 1, 2) {
			t := oracle.Tariff{Name: fmt.Sprintf("t%s%d", kind, n), Meter: m.Name, Currency: pick(w, "EUR", "USD"), GroupBy: pick(w, nil, []string{"region"})}
			plugin, params := w.prices()
			t.Versions = []oracle.Version{{EffectiveFrom: time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC), Plugin: plugin, Params: params}}
			if w.chance(20) {
				plugin, params := w.prices()
				t.Versions = append(t.Versions, oracle.Version{EffectiveFrom: begin.AddDate(0, 0, 10+w.IntN(40)), Plugin: plugin, Params: params})
			}
			c.Tariffs = append(c.Tariffs, t)
			if kind != "c" {
				c.DefaultSubscriptions = append(c.DefaultSubscriptions, t.Name)
			}
		}
	}
	for _, id := range []string{"emma", "noah/1.a"}[:w.IntN(3)] {
		c.Accounts = append(c.Accounts, oracle.Account{
			ID: id, TimeZone: pick(w, "", "America/New_York"), AnchorDay: pick(w, 0, 0, 20),
			Subscriptions: []oracle.Subscription{{ID: "s", Tariff: pick(w, c.DefaultSubscriptions...)}},
		})
	}
	switch w.kind() {
	case kindLevels:
		w.drawLevels(c)
	case kindFees:
		w.drawFees(c)
	case kindStrangers:
		w.drawStrangers(c)
	case kindPlain:
	}
	w.catalogs = []*oracle.Catalog{c}
}

// prices draws a model and its parameters.
func (w *world) prices() (string, map[string]any) {
	switch pick(w, "flat", "per_unit", "graduated", "volume", "package", "aggregation") {
	case "flat":
		return "flat", map[string]any{"amount": w.decimal(20)}
	case "aggregation":
		return "aggregation", map[string]any{"type": pick(w, "max", "min", "latest"), "unit_price": w.decimal(2)}
	case "package":
		return "package", map[string]any{"package_size": pick(w, "10", "33"), "package_price": w.decimal(9)}
	case "graduated":
		return "graduated", w.tiers()
	case "volume":
		return "volume", w.tiers()
	}
	return "per_unit", map[string]any{"unit_price": w.decimal(2)}
}

func (w *world) tiers() map[string]any {
	return map[string]any{"tiers": []any{
		map[string]any{"up_to": fmt.Sprint(1 + w.IntN(60)), "unit_price": w.decimal(2), "flat_fee": pick(w, "0", "1.5")},
		map[string]any{"up_to": nil, "unit_price": w.decimal(2), "flat_fee": "0"},
	}}
}

// nextCatalog draws a change of the newest catalog: a subscription more, from any
// time; a listed account more; a version that takes effect later, or one that reprices
// usage, as a subscription may.
func (w *world) nextCatalog() *oracle.Catalog {
	c := *w.catalogs[len(w.catalogs)-1]
	c.Accounts, c.Tariffs = slices.Clone(c.Accounts), slices.Clone(c.Tariffs)
	n := len(w.catalogs)
	switch {
	case w.kind() == kindFees && w.chance(75), w.kind() == kindLevels && w.chance(35):
		w.endSubscriptions(&c)
	case w.Tries && w.chance(25):
		w.drawRepricing(&c)
		w.reprices[&c] = true
	case len(c.Accounts) > 0 && w.chance(60):
		a := &c.Accounts[w.IntN(len(c.Accounts))]
		s := oracle.Subscription{ID: fmt.Sprintf("more%d", n), Tariff: pick(w, c.Tariffs...).Name}
		if from := w.progress.AddDate(0, 0, w.IntN(60)-50).Truncate(time.Hour); !strings.HasPrefix(s.Tariff, "tc") || w.chance(50) {
			s.From = &from
		}
		a.Subscriptions = append(slices.Clone(a.Subscriptions), s)
		w.reprices[&c] = w.Tries && w.chance(20)
	case w.chance(50):
		id := fmt.Sprintf("new-%d", n)
		c.Accounts = append(c.Accounts, oracle.Account{
			ID: id, TimeZone: pick(w, "", "Asia/Kolkata"), Subscriptions: []oracle.Subscription{{ID: "s", Tariff: pick(w, c.Tariffs...).Name}},
		})
	default:
		t := &c.Tariffs[w.IntN(len(c.Tariffs))]
		plugin, params := w.prices()
		if t.Name == levels && w.chance(70) {
			plugin, params = "aggregation", w.levelPrices()
		}
		from := w.progress.AddDate(0, 0, 3+w.IntN(20)).Truncate(time.Hour)
		if from.After(t.Versions[len(t.Versions)-1].EffectiveFrom) {
			t.Versions = append(slices.Clone(t.Versions), oracle.Version{EffectiveFrom: from, Plugin: plugin, Params: params})
		}
	}
	return &c
}

// drawRepricing has a tariff have had other prices: in a version that there is, or in
// one more.
func (w *world) drawRepricing(c *oracle.Catalog) {
	t := &c.Tariffs[w.IntN(len(c.Tariffs))]
	if w.kind() == kindLevels && w.chance(50) {
		t = &c.Tariffs[len(c.Tariffs)-1]
	}
	t.Versions = slices.Clone(t.Versions)
	plugin, params := w.prices()
	if t.Name == levels {
		plugin, params = "aggregation", w.levelPrices()
	}
	at := w.IntN(len(t.Versions))
	v := oracle.Version{EffectiveFrom: t.Versions[at].EffectiveFrom, Plugin: plugin, Params: params}
	if w.chance(50) {
		v.EffectiveFrom = w.progress.AddDate(0, 0, -w.IntN(50)).Truncate(time.Hour)
	}
	at, there := slices.BinarySearchFunc(t.Versions, v.EffectiveFrom, func(v oracle.Version, at time.Time) int { return v.EffectiveFrom.Compare(at) })
	if there {
		t.Versions[at] = v
	} else {
		t.Versions = slices.Insert(t.Versions, at, v)
	}
}

// encode writes a catalog for the engine.
func (w *world) encode(c *oracle.Catalog) []byte {
	data, err := json.Marshal(engineCatalog{c, w.billing, w.alerts()})
	if err != nil {
		panic(err) // it was made up here
	}
	return data
}

// alerts are those of the catalog: in some worlds, low enough to be reached. They
// watch what the oracle knows nothing of: a run compares them with themselves, as
// each checkpoint at a position must have the same.
func (w *world) alerts() []map[string]any {
	const worlds = 10
	if w.seed%worlds != 1 {
		return nil
	}
	low := []string{"1", "3.5", "10", "40", "150"}
	return []map[string]any{
		{"name": "spend_eur", "measure": "amount", "currency": "EUR", "thresholds": low},
		{"name": "spend_usd", "measure": "amount", "currency": "USD", "accounts": []string{"emma", "ann"}, "thresholds": low},
		{"name": "units", "measure": "units", "meter": w.catalogs[0].Meters[0].Name, "thresholds": low},
	}
}

// drawEvent draws usage of about now: some far too late, some again, some again
// with another content.
func (w *world) drawEvent() oracle.Event {
	if len(w.sent) > 0 && w.chance(12) {
		again := pick(w, w.sent...)
		if again.Of == nil && w.chance(25) {
			again.Data = map[string]string{"n": "77", "region": "eu"}
		}
		return again
	}
	w.events++
	corrections := 6
	if w.kind() == kindStrangers || w.kind() == kindLevels {
		corrections = 15
	}
	if len(w.sent) > 0 && w.chance(corrections) {
		return w.drawCorrection(pick(w, w.sent...))
	}
	at := w.progress.Add(-time.Duration(w.Int64N(int64(20 * time.Hour)))).Truncate(time.Second)
	switch {
	case w.chance(4):
		at = at.AddDate(0, 0, -w.IntN(45))
	case w.chance(4):
		at = time.Date(at.Year(), at.Month(), pick(w, 1, 15, 20), 0, 0, 0, 0, time.UTC)
	}
	e := oracle.Event{
		Source: pick(w, "x", "y"), ID: fmt.Sprint(w.events), Type: pick(w, "a", "a", "a", "b", "b", "c", "d"), Time: at,
		Account: pick(w, "emma", "noah/1.a", "ann", "bob", "new-1", "new-2"),
		Data:    map[string]string{"n": w.decimal(30), "region": pick(w, "eu", "us", "")},
	}
	if w.chance(3) {
		e.Data["n"] = "many"
	}
	if w.kind() == kindLevels && e.Type == "a" && e.Data["region"] == "us" && w.chance(35) {
		e.Data["n"] = "-" + e.Data["n"]
	}
	if w.kind() == kindStrangers && w.chance(12) {
		w.fromStranger(&e)
	}
	return e
}

// drawCorrection draws a void or an amendment of an event, which may be a correction
// itself.
func (w *world) drawCorrection(of oracle.Event) oracle.Event {
	e := oracle.Event{
		Source: pick(w, "x", "y"), ID: fmt.Sprint(w.events), Type: host.TypeVoid, Account: of.Account, Time: w.progress.Truncate(time.Second),
		Of: &[2]string{of.Source, of.ID},
	}
	if w.chance(3) {
		e.Of[1] = "none"
	}
	if w.chance(40) {
		return e
	}
	e.Type, e.To = host.TypeAmend, &oracle.To{}
	if w.chance(85) {
		e.To.Data = map[string]string{"n": pick(w, w.decimal(30), w.decimal(30), w.decimal(30), "many"), "region": pick(w, "eu", "us", "")}
	}
	if e.To.Data == nil || w.chance(30) {
		e.To.Time = of.Time.Add(time.Duration(w.Int64N(int64(80*time.Hour))) - 40*time.Hour).Truncate(time.Second)
	}
	return e
}

// produce writes a message of usage for one partition, in one of the forms. A
// producer that was not answered writes it again.
func (w *world) produce() {
	w.progress = w.progress.Add(time.Duration(w.Int64N(int64(36 * time.Hour))))
	n := w.IntN(w.partitions)
	var events []oracle.Event
	for range 1 + w.IntN(pick(w, 1, 1, 4, 12)) {
		e := w.drawEvent()
		if w.owner(e.Account) != n && !w.chance(2) {
			continue
		}
		if w.kind() == kindStrangers && e.Of == nil && w.chance(8) {
			other := uncounted(e)
			events, w.sent = append(events, other), append(w.sent, other)
		}
		events, w.sent = append(events, e), append(w.sent, e)
	}
	if len(events) == 0 {
		return
	}
	w.batches = append(w.batches, events)
	m := stream.Message{Subject: stream.EventSubject(n), Header: stream.Header{headerBatch: {fmt.Sprint(len(w.batches) - 1)}}}
	kind := ingest.ContentTypeArray
	switch {
	case len(events) == 1 && w.chance(50):
		kind = ingest.ContentTypeEvent
		m.Data = ingest.FormatJSON(usage(events[0]))
	case w.chance(50):
		kind, m.Subject = ingest.ContentTypePacked, stream.BatchSubject(n)
		packer := ingest.NewPacker(1 << 20)
		for _, e := range events {
			u := usage(e)
			if err := packer.Add(&u); err != nil {
				panic(err) // it was made up here
			}
		}
		m.Data = packer.AppendMessage(nil)
	default:
		m.Data = []byte("[")
		for i, e := range events {
			if i > 0 {
				m.Data = append(m.Data, ',')
			}
			m.Data = append(m.Data, ingest.FormatJSON(usage(e))...)
		}
		m.Data = append(m.Data, ']')
	}
	m.Header["content-type"] = []string{kind}
	w.journal.mu.Lock()
	defer w.journal.mu.Unlock()
	for again := true; again; again = w.chance(8) {
		w.note("%d events to partition %d at %d", len(events), n, w.journal.store(stream.Usage(n), m))
	}
}

// headerBatch names the events that a message was made from.
const headerBatch = "Sim-Batch"

// usage is an event as the engine's own writers take it.
func usage(e oracle.Event) billing.UsageEvent {
	u := billing.UsageEvent{Source: e.Source, ID: e.ID, Type: e.Type, Account: billing.AccountID(e.Account), Time: e.Time}
	if e.Of != nil {
		u.Data = []billing.Field{{Key: "id", Text: e.Of[1]}, {Key: "source", Text: e.Of[0]}}
		if e.To != nil && e.To.Data != nil {
			data, err := json.Marshal(e.To.Data)
			if err != nil {
				panic(err) // it was made up here
			}
			u.Data = slices.Insert(u.Data, 0, billing.Field{Key: "data", Text: string(data)})
		}
		if e.To != nil && !e.To.Time.IsZero() {
			u.Data = append(u.Data, billing.Field{Key: "time", Text: e.To.Time.Format(time.RFC3339)})
		}
	}
	for _, key := range []string{"n", "region"} {
		if text, ok := e.Data[key]; ok {
			u.Data = append(u.Data, billing.Field{Key: key, Text: text})
		}
	}
	return u
}

// owner is the partition of an account.
func (w *world) owner(account string) int {
	return billing.Partition(billing.AccountID(account), w.partitions)
}
