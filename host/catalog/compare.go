package catalog

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// Change is one difference between two catalogs.
type Change struct {
	Kind string // of the object
	Name string // of the object, empty where there is one of the kind
	What string // for people: "version 2026-10-01T00:00:00Z added"
	// Prices says whether usage could be priced differently, and ReachesBack
	// from which event time on; the zero time means from the beginning.
	Prices      bool
	ReachesBack time.Time
	// Of the usage from then on, that is concerned which has the meter, tariff,
	// account and subscription named here; empty ones are any.
	Meter        string
	Tariff       string
	Account      billing.AccountID
	Subscription string

	who func(billing.AccountID) bool // further narrows the accounts; nil: all
}

// String is the change as a sentence: "tariff api_standard: version … added".
func (c Change) String() string {
	object := c.Kind
	if c.Name != "" {
		object += " " + c.Name
	}
	return object + ": " + c.What
}

// Concerns reports whether an account's usage is among that which the change
// may price differently, from ReachesBack on.
func (c Change) Concerns(account billing.AccountID) bool {
	return c.Prices && (c.Account == "" || c.Account == account) && (c.who == nil || c.who(account))
}

// ConcernsUsage reports the same of an account's usage of one meter under one
// tariff and subscription.
func (c Change) ConcernsUsage(account billing.AccountID, meter, tariff, subscription string) bool {
	return c.Concerns(account) &&
		(c.Meter == "" || c.Meter == meter) &&
		(c.Tariff == "" || c.Tariff == tariff) &&
		(c.Subscription == "" || c.Subscription == subscription)
}

// Compare lists what is different in next, by kind and name. Both must be
// resolved; a nil catalog is an empty one.
//
// What makes new usage priced (a new tariff, a new meter) has an effect only
// through the subscriptions to it, so the changes to these tell from when on,
// and for which accounts.
func Compare(old, next *Catalog) []Change {
	if old == nil {
		old = Empty()
	}
	if next == nil {
		next = Empty()
	}
	c := &comparison{
		old: old, oldDefaults: old.defaultSubscriptionList(),
		next: next, nextDefaults: next.defaultSubscriptionList(),
	}
	for name, m := range union(old.Meters, next.Meters) {
		c.meter(name, m.old, m.next)
	}
	for name, t := range union(old.Tariffs, next.Tariffs) {
		c.tariff(name, t.old, t.next)
	}
	for id, a := range union(old.Accounts, next.Accounts) {
		c.account(id, a.old, a.next)
	}
	for name, a := range union(old.Alerts, next.Alerts) {
		c.alert(name, a.old, a.next)
	}
	c.defaults()
	c.billing()
	slices.SortStableFunc(c.changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return c.changes
}

// comparison collects changes. Those of one object are added in order.
type comparison struct {
	old, next                 *Catalog
	oldDefaults, nextDefaults []*Subscription
	changes                   []Change
}

// pair is an object before and after; nil where it did not or does not exist.
type pair[T any] struct {
	old, next *T
}

// union pairs the objects of two catalogs, leaving out those that they share.
func union[K comparable, T any](old, next map[K]*T) map[K]pair[T] {
	pairs := map[K]pair[T]{}
	for k, o := range old {
		if n := next[k]; n != o {
			pairs[k] = pair[T]{o, n}
		}
	}
	for k, n := range next {
		if old[k] == nil {
			pairs[k] = pair[T]{nil, n}
		}
	}
	return pairs
}

// meter compares a meter. Usage that it selects differently may lie anywhere.
func (c *comparison) meter(name string, old, next *Meter) {
	change := Change{Kind: KindMeter, Name: name, Meter: name}
	switch {
	case old == nil:
		change.What = "added"
	case next == nil:
		change.What = "removed"
	default:
		c.meterFields(change, old, next)
		return
	}
	c.changes = append(c.changes, change)
}

func (c *comparison) meterFields(change Change, old, next *Meter) {
	add := func(prices bool, format string, args ...any) {
		change.What, change.Prices = fmt.Sprintf(format, args...), prices
		c.changes = append(c.changes, change)
	}
	if old.EventType != next.EventType {
		add(true, "event_type changed from %s to %s", old.EventType, next.EventType)
	}
	if !slices.EqualFunc(old.Filter, next.Filter, func(a, b Condition) bool { return a.Key == b.Key && slices.Equal(a.Values, b.Values) }) {
		add(true, "filter changed")
	}
	if old.Quantity != next.Quantity {
		add(true, "quantity changed from %q to %q", old.Quantity, next.Quantity)
	}
	if old.Amount != next.Amount {
		add(true, "amount changed from %q to %q", old.Amount, next.Amount)
	}
	if gone := without(old.Dimensions, next.Dimensions); len(gone) > 0 {
		add(true, "dimensions removed: %s", strings.Join(gone, ", "))
	}
	if come := without(next.Dimensions, old.Dimensions); len(come) > 0 {
		// What a tariff groups by or reads is among the tariff's own changes.
		add(false, "dimensions added: %s", strings.Join(come, ", "))
	}
}

// without returns the words of a that b lacks.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(word string) bool { return slices.Contains(b, word) })
}

// tariff compares a tariff.
func (c *comparison) tariff(name string, old, next *Tariff) {
	change := Change{Kind: KindTariff, Name: name, Tariff: name}
	switch {
	case old == nil:
		change.What = "added"
	case next == nil:
		change.What = "removed"
	default:
		c.tariffFields(change, old, next)
		c.versions(change, old.Versions, next.Versions)
		return
	}
	c.changes = append(c.changes, change)
}

// tariffFields compares what holds for all versions of a tariff.
func (c *comparison) tariffFields(change Change, old, next *Tariff) {
	change.Prices = true
	add := func(format string, args ...any) {
		change.What = fmt.Sprintf(format, args...)
		c.changes = append(c.changes, change)
	}
	if old.Meter != next.Meter {
		add("meter changed from %s to %s", old.Meter, next.Meter)
	}
	if old.Currency != next.Currency {
		add("currency changed from %s to %s", old.Currency, next.Currency)
	}
	if !slices.Equal(old.GroupBy, next.GroupBy) {
		add("group_by changed from [%s] to [%s]", strings.Join(old.GroupBy, ", "), strings.Join(next.GroupBy, ", "))
	}
	if old.Rounding != next.Rounding {
		add("rounding changed from %s to %s", roundingText(old.Rounding), roundingText(next.Rounding))
	}
}

func roundingText(r billing.Rounding) string {
	if r.Mode == billing.RoundNone {
		return "none"
	}
	return fmt.Sprintf("%s at scale %d", r.Mode, r.Scale)
}

// versions compares versions by the time from which they take effect: one
// that was moved is one removed and one added.
func (c *comparison) versions(change Change, old, next []*TariffVersion) {
	change.Prices = true
	for len(old) > 0 || len(next) > 0 {
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case len(next) == 0:
			order = -1
		default:
			order = old[0].EffectiveFrom.Compare(next[0].EffectiveFrom)
		}
		what := ""
		switch {
		case order < 0:
			what, change.ReachesBack, old = "removed", old[0].EffectiveFrom, old[1:]
		case order > 0:
			what, change.ReachesBack, next = "added", next[0].EffectiveFrom, next[1:]
		default:
			what, change.ReachesBack = old[0].difference(next[0]), next[0].EffectiveFrom
			old, next = old[1:], next[1:]
		}
		if what != "" {
			change.What = fmt.Sprintf("version %s %s", change.ReachesBack.Format(time.RFC3339Nano), what)
			c.changes = append(c.changes, change)
		}
	}
}

// difference says what is priced differently by a version that takes effect
// at the same time; empty when nothing is. How the plugin is written does not
// matter where it is the same plugin.
func (v *TariffVersion) difference(next *TariffVersion) string {
	var parts []string
	if v.Module != next.Module || v.Module == "" && v.Plugin != next.Plugin {
		parts = append(parts, fmt.Sprintf("has its plugin changed from %s to %s", v.pluginText(), next.pluginText()))
	}
	if v.Name != next.Name {
		parts = append(parts, fmt.Sprintf("has its tariff within the plugin changed from %s to %s", v.Name, next.Name))
	}
	if !bytes.Equal(v.Params, next.Params) {
		parts = append(parts, "has its params changed")
	}
	return strings.Join(parts, ", ")
}

// pluginText names a plugin as it was written and by the start of its digest.
func (v *TariffVersion) pluginText() string {
	const shown = len("sha256:") + 12
	if len(v.Module) < shown {
		return v.Plugin
	}
	return v.Plugin + " (" + v.Module[:shown] + ")"
}

// defaults compares the default subscriptions, for accounts that are listed
// neither before nor after; the others' changes are their own.
func (c *comparison) defaults() {
	change := Change{Kind: KindDefaultSubscriptions, who: func(id billing.AccountID) bool {
		return c.old.Accounts[id] == nil && c.next.Accounts[id] == nil
	}}
	c.subscriptions(change, c.oldDefaults, c.nextDefaults)
}

// billing compares the settings that accounts share.
func (c *comparison) billing() {
	old, next := &c.old.Billing, &c.next.Billing
	change := Change{Kind: KindBilling}
	add := func(prices bool, who func(billing.AccountID) bool, format string, args ...any) {
		change.Prices, change.who, change.What = prices, who, fmt.Sprintf(format, args...)
		c.changes = append(c.changes, change)
	}
	if old.TimeZone != next.TimeZone {
		add(true, func(id billing.AccountID) bool {
			a := c.next.Accounts[id]
			return a == nil || a.TimeZone == ""
		}, "time_zone changed from %s to %s", old.TimeZone, next.TimeZone)
	}
	if old.AnchorDay != next.AnchorDay {
		add(true, func(id billing.AccountID) bool {
			a := c.next.Accounts[id]
			return a == nil || a.AnchorDay == 0
		}, "anchor_day changed from %d to %d", old.AnchorDay, next.AnchorDay)
	}
	if old.Grace != next.Grace {
		add(false, nil, "grace changed from %s to %s", old.Grace, next.Grace)
	}
	if old.MaxAhead != next.MaxAhead {
		add(false, nil, "max_ahead changed from %s to %s, for usage that comes from now on", old.MaxAhead, next.MaxAhead)
	}
	if old.Close != next.Close {
		add(false, nil, "close changed from %s to %s", old.Close, next.Close)
	}
	if old.Clock != next.Clock {
		add(false, nil, "clock changed from %s to %s", old.Clock, next.Clock)
	}
	if !slices.EqualFunc(old.InvoiceRules, next.InvoiceRules, func(a, b InvoiceRule) bool { return bytes.Equal(appendRule(nil, a), appendRule(nil, b)) }) {
		add(false, nil, "invoice rules changed, for the periods that are closed from now on")
	}
	if !bytes.Equal(old.Seller, next.Seller) {
		add(false, nil, "seller changed")
	}
}
