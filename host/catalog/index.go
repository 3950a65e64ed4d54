package catalog

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// index has what the hot path asks a resolved catalog.
type index struct {
	meters   map[string][]*Meter // by event type
	accounts map[billing.AccountID][]Binding
	defaults []Binding
	alerts   alertIndex
}

// Binding is one way in which an account's usage is priced: a subscription
// with its tariff and the meter that selects the usage.
type Binding struct {
	Meter        *Meter
	Tariff       *Tariff
	Subscription *Subscription

	from, until int64 // of the subscription, unix ns
	overridden  int64 // since when other params hold for the account, unix ns; beginning: they do not
}

// The bounds of a subscription that has none, in unix ns.
const (
	beginning = math.MinInt64
	forever   = math.MaxInt64
)

// ActiveAt reports whether the subscription is active at a time, in unix ns.
func (b *Binding) ActiveAt(ns int64) bool { return b.from <= ns && ns < b.until }

// Span returns when the subscription is under the i-th version of its tariff:
// from (inclusive) until (exclusive), in unix ns. math.MinInt64 and
// math.MaxInt64 stand for no bound. It is empty, with from >= until, when the
// version is never in force while the subscription is active.
func (b *Binding) Span(i int) (from, until int64) {
	from = max(b.from, b.Tariff.Versions[i].EffectiveFrom.UnixNano())
	until = b.until
	if i+1 < len(b.Tariff.Versions) {
		until = min(until, b.Tariff.Versions[i+1].EffectiveFrom.UnixNano())
	}
	return from, until
}

// Version returns the time, in unix ns, that names the terms by which the i-th
// version of the tariff prices the subscription's usage: when the version took
// effect, or the override of params that the binding stands for, if that did later.
// A slot belongs to one such time.
func (b *Binding) Version(i int) int64 {
	return max(b.Tariff.Versions[i].EffectiveFrom.UnixNano(), b.overridden)
}

// VersionAt returns the number of the version in force at a time, in unix ns;
// -1 before the first.
func (t *Tariff) VersionAt(ns int64) int {
	return sort.Search(len(t.Versions), func(i int) bool { return t.Versions[i].EffectiveFrom.UnixNano() > ns }) - 1
}

// Matches reports whether the meter's filter selects an event with this data.
// The event's type is not asked.
func (m *Meter) Matches(data []billing.Field) bool {
	for i := range m.Filter {
		if !m.Filter[i].met(data) {
			return false
		}
	}
	return true
}

// met reports whether a field of the data has one of the condition's values.
func (c *Condition) met(data []billing.Field) bool {
	for i := range data {
		if data[i].Key == c.Key {
			_, found := slices.BinarySearch(c.Values, data[i].Text)
			return found
		}
	}
	return false
}

// MetersOf returns the meters of an event type, by name. The caller must not
// change the slice. It may be called on a resolved catalog only.
func (c *Catalog) MetersOf(eventType string) []*Meter { return c.index.meters[eventType] }

// BindingsOf returns how an account's usage is priced: its own subscriptions
// when it is listed, else the default ones; by meter, tariff and subscription
// id. The caller must not change the slice. It may be called on a resolved
// catalog only.
func (c *Catalog) BindingsOf(account billing.AccountID) []Binding {
	if own, listed := c.index.accounts[account]; listed {
		return own
	}
	return c.index.defaults
}

// Bindings returns those of BindingsOf that price the events of a meter.
func (c *Catalog) Bindings(account billing.AccountID, meter *Meter) []Binding {
	all := c.BindingsOf(account)
	first := sort.Search(len(all), func(i int) bool { return all[i].Meter.Name >= meter.Name })
	end := first
	for end < len(all) && all[end].Meter == meter {
		end++
	}
	return all[first:end]
}

// Calendar returns the calendar of an account's billing periods: its own
// settings where it has them, else those of Billing.
func (c *Catalog) Calendar(account billing.AccountID) billing.Calendar {
	calendar := billing.Calendar{Zone: c.Billing.zone, AnchorDay: c.Billing.AnchorDay}
	if calendar.Zone == nil {
		calendar.Zone = time.UTC
	}
	if a := c.Accounts[account]; a != nil {
		if a.zone != nil {
			calendar.Zone = a.zone
		}
		if a.AnchorDay != 0 {
			calendar.AnchorDay = a.AnchorDay
		}
	}
	return calendar
}

// buildIndex makes the index of a catalog whose references are known to hold.
func (c *Catalog) buildIndex() {
	x := &index{
		meters:   make(map[string][]*Meter, len(c.Meters)),
		accounts: make(map[billing.AccountID][]Binding, len(c.Accounts)),
	}
	for _, m := range c.Meters {
		x.meters[m.EventType] = append(x.meters[m.EventType], m)
	}
	for _, list := range x.meters {
		slices.SortFunc(list, func(a, b *Meter) int { return strings.Compare(a.Name, b.Name) })
	}
	for id, a := range c.Accounts {
		x.accounts[id] = c.bind(a.Subscriptions)
	}
	x.defaults = c.bind(c.defaultSubscriptionList())
	x.alerts = c.indexAlerts()
	c.index = x
}

// defaultSubscriptionList makes subscriptions of the default tariffs.
func (c *Catalog) defaultSubscriptionList() []*Subscription {
	list := make([]*Subscription, 0, len(c.DefaultSubscriptions))
	for _, tariff := range c.DefaultSubscriptions {
		list = append(list, &Subscription{ID: tariff, Tariff: tariff})
	}
	return list
}

// bind looks the tariffs and meters of subscriptions up.
func (c *Catalog) bind(subscriptions []*Subscription) []Binding {
	list := make([]Binding, 0, len(subscriptions))
	var one [1]*Subscription // most have no overrides, and there are many
	for _, s := range subscriptions {
		t := c.Tariffs[s.Tariff]
		spans := one[:]
		if spans[0] = s; len(s.Overrides) > 0 {
			spans = s.spans()
		}
		for _, span := range spans {
			b := Binding{Meter: c.Meters[t.Meter], Tariff: t, Subscription: span, from: beginning, until: forever, overridden: beginning}
			if !span.From.IsZero() {
				b.from = span.From.UnixNano()
			}
			if !span.Until.IsZero() {
				b.until = span.Until.UnixNano()
			}
			if span != s && !span.From.Equal(s.From) {
				b.overridden = b.from
			}
			list = append(list, b)
		}
	}
	slices.SortFunc(list, func(a, b Binding) int {
		return cmp.Or(strings.Compare(a.Meter.Name, b.Meter.Name), compareSubscriptions(a.Subscription, b.Subscription), cmp.Compare(a.from, b.from))
	})
	return list
}
