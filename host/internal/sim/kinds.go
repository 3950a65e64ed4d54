package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/host/internal/oracle"
)

// kind is what a world has more than others. It is drawn behind all that others have, and
// has places among the seeds at which none had found anything before, so those that had
// find it still.
type kind uint8

const (
	kindPlain     kind = iota
	kindLevels         // tariffs that leave a level to the next period
	kindFees           // invoice rules that prorate, and subscriptions that begin and end within a period
	kindStrangers      // late usage of accounts that no catalog lists, refused by a tariff, and amended to another meter
)

// kind is that of a world: of seven one is of each.
func (w *world) kind() kind {
	return [...]kind{0: kindLevels, 4: kindStrangers, 5: kindFees, 6: kindPlain}[w.seed%7]
}

// levels is the tariff that leaves a level, and its meter.
const levels = "levels"

// since is when the catalog's first versions take effect.
func since(c *oracle.Catalog) time.Time { return c.Tariffs[0].Versions[0].EffectiveFrom }

// drawLevels draws a tariff whose level goes on from one period into the next, beside what
// the accounts have: of the usage of the type "a" that no other meter counts. Its level
// rises and falls. In some worlds another version of it begins within a period, with a
// level or without, and a listed account's subscription ends.
func (w *world) drawLevels(c *oracle.Catalog) {
	c.Meters[0].Filter = map[string]string{"region": "eu"}
	m := oracle.Meter{Name: levels, EventType: "a", Quantity: "n", Filter: map[string]string{"region": "us"}, Dimensions: []string{"region"}}
	t := oracle.Tariff{Name: levels, Meter: m.Name, Currency: pick(w, "EUR", "USD"), GroupBy: pick(w, nil, []string{"region"})}
	t.Versions = []oracle.Version{{EffectiveFrom: since(c), Plugin: "aggregation", Params: w.levelPrices()}}
	for from := begin.AddDate(0, 0, 5+w.IntN(30)); w.chance(60); from = from.AddDate(0, 0, 2+w.IntN(30)) {
		v := oracle.Version{EffectiveFrom: from, Plugin: "aggregation", Params: w.levelPrices()}
		if w.chance(20) {
			v.Plugin, v.Params = "per_unit", map[string]any{"unit_price": w.decimal(2)}
		}
		t.Versions = append(t.Versions, v)
	}
	c.Meters, c.Tariffs, c.DefaultSubscriptions = append(c.Meters, m), append(c.Tariffs, t), append(c.DefaultSubscriptions, t.Name)
	for i := range c.Accounts {
		s := oracle.Subscription{ID: "level", Tariff: t.Name}
		if until := begin.AddDate(0, 0, 10+w.IntN(80)); w.chance(50) {
			s.Until = &until
		}
		c.Accounts[i].Subscriptions = append(c.Accounts[i].Subscriptions, s)
	}
}

// levelPrices draws the parameters of a level.
func (w *world) levelPrices() map[string]any {
	return map[string]any{"type": "sum", "recurring": true, "unit_price": w.decimal(2)}
}

// drawFees draws invoice rules that charge for the part of a period in which something was
// in force, and subscriptions that begin and end within periods.
func (w *world) drawFees(c *oracle.Catalog) {
	for _, t := range c.Tariffs {
		r := oracle.InvoiceRule{
			Name: "base_" + t.Name, Plugin: "proration", Currency: t.Currency, AppliesTo: []string{t.Name},
			Params: map[string]any{"amount": fmt.Sprint(1 + w.IntN(300))},
		}
		if w.chance(20) {
			r.AppliesTo = nil // all of the currency
		}
		c.Billing.InvoiceRules = append(c.Billing.InvoiceRules, r)
	}
	w.billing.Billing = c.Billing
	if len(c.Accounts) == 0 {
		c.Accounts = append(c.Accounts, oracle.Account{ID: "emma"})
	}
	for i := range c.Accounts {
		s := oracle.Subscription{ID: "part", Tariff: pick(w, c.Tariffs...).Name}
		from := begin.AddDate(0, 0, w.IntN(60)-20)
		if w.chance(60) {
			s.From = &from
		}
		if until := from.AddDate(0, 0, 3+w.IntN(60)); w.chance(40) {
			s.Until = &until
		}
		c.Accounts[i].Subscriptions = append(c.Accounts[i].Subscriptions, s)
	}
}

// endSubscriptions ends some subscriptions of accounts, often within the period, or has them
// end at another time than they were to.
func (w *world) endSubscriptions(c *oracle.Catalog) {
	for i := range c.Accounts {
		a := &c.Accounts[i]
		a.Subscriptions = slices.Clone(a.Subscriptions)
		for n := range a.Subscriptions {
			s, until := &a.Subscriptions[n], w.progress.AddDate(0, 0, 1+w.IntN(12)).Truncate(time.Hour)
			if w.chance(60) && (s.From == nil || until.After(*s.From)) {
				s.Until = &until
			}
		}
	}
}

// drawStrangers draws tariffs for usage of accounts that nobody has told of: one that refuses
// some, and a fee beside it. Of the type "a" one meter counts what another does not, so that
// an amendment moves usage between them, or to none.
func (w *world) drawStrangers(c *oracle.Catalog) {
	from := since(c)
	c.Meters[0].Filter = map[string]string{"region": "eu"}
	c.Meters = append(c.Meters,
		oracle.Meter{Name: "moved", EventType: "a", Quantity: "n", Filter: map[string]string{"region": "us"}, Dimensions: []string{"region"}},
		oracle.Meter{Name: "listed", EventType: "d", Quantity: "n", Dimensions: []string{"region"}})
	row := map[string]any{"unit_price": w.decimal(2)}
	table := map[string]any{"dimension": "region", "prices": map[string]any{"eu": row, "us": row}}
	plugin, params := w.prices()
	for _, t := range []oracle.Tariff{
		{Name: "moved", Meter: "moved", Versions: []oracle.Version{{EffectiveFrom: from, Plugin: plugin, Params: params}}},
		{Name: "listed", Meter: "listed", Versions: []oracle.Version{{EffectiveFrom: from, Plugin: "price_table", Params: table}}},
		{Name: "fee", Meter: "listed", Versions: []oracle.Version{{EffectiveFrom: from, Plugin: "flat", Params: map[string]any{"amount": "5"}}}},
	} {
		t.Currency = pick(w, "EUR", "USD")
		c.Tariffs, c.DefaultSubscriptions = append(c.Tariffs, t), append(c.DefaultSubscriptions, t.Name)
		for i := range c.Accounts {
			c.Accounts[i].Subscriptions = append(c.Accounts[i].Subscriptions, oracle.Subscription{ID: t.Name, Tariff: t.Name})
		}
	}
}

// fromStranger makes usage that of an account with little other usage, or of one that a
// catalog may list later. It comes late, and the price table often has no price for it.
func (w *world) fromStranger(e *oracle.Event) {
	stranger := fmt.Sprintf("late-%d", w.IntN(8))
	e.Account, e.Type = pick(w, stranger, stranger, stranger, "new-1", "new-2"), "d"
	e.Data["region"] = pick(w, "eu", "", "")
	e.Time = e.Time.AddDate(0, 0, -w.IntN(50))
}

// uncounted is an event of the same identity a month before, which no meter counts.
func uncounted(e oracle.Event) oracle.Event {
	e.Type, e.Time = "z", e.Time.AddDate(0, -1, 0)
	return e
}
