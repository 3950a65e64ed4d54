package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// account compares an account. One that is not listed has the default
// subscriptions and the calendar of the billing settings.
func (c *comparison) account(id billing.AccountID, old, next *Account) {
	change := Change{Kind: KindAccount, Name: string(id), Account: id}
	before, after := c.oldDefaults, c.nextDefaults
	if old != nil {
		before = old.Subscriptions
	}
	if next != nil {
		after = next.Subscriptions
	}
	switch {
	case old == nil && len(before) > 0:
		change.What = "listed, so that its own subscriptions replace the default ones"
		c.changes = append(c.changes, change)
	case old == nil:
		change.What = "added"
		c.changes = append(c.changes, change)
	case next == nil && len(after) > 0:
		change.What = "removed, so that the default subscriptions hold for it"
		c.changes = append(c.changes, change)
	case next == nil:
		change.What = "removed"
		c.changes = append(c.changes, change)
	}
	c.calendar(change, old, next)
	c.subscriptions(change, before, after)
	if old != nil && next != nil && !sameRules(old.InvoiceRules, next.InvoiceRules) {
		change.What = "invoice rules changed, for the periods that are closed from now on"
		c.changes = append(c.changes, change)
	}
	if old != nil && next != nil && !bytes.Equal(old.Details, next.Details) {
		change.What = "details changed"
		c.changes = append(c.changes, change)
	}
}

// sameRules reports whether two lists of invoice rules do the same. None at all,
// which leaves it to the billing settings, is not the same as an empty list.
func sameRules(old, next []InvoiceRule) bool {
	return (old == nil) == (next == nil) && slices.EqualFunc(old, next, func(a, b InvoiceRule) bool {
		return bytes.Equal(appendRule(nil, a), appendRule(nil, b))
	})
}

// calendar compares the calendar of an account's billing periods. A difference
// that comes from the billing settings alone is a change of these.
func (c *comparison) calendar(change Change, old, next *Account) {
	own := func(a *Account) (zone string, day int) {
		if a == nil {
			return "", 0
		}
		return a.TimeZone, a.AnchorDay
	}
	oldZone, oldDay := own(old)
	nextZone, nextDay := own(next)
	change.Prices = true // every period may have other bounds, so from the beginning
	if before, after := either(oldZone, c.old.Billing.TimeZone), either(nextZone, c.next.Billing.TimeZone); oldZone != nextZone && before != after {
		change.What = fmt.Sprintf("time_zone changed from %s to %s", before, after)
		c.changes = append(c.changes, change)
	}
	if before, after := either(oldDay, c.old.Billing.AnchorDay), either(nextDay, c.next.Billing.AnchorDay); oldDay != nextDay && before != after {
		change.What = fmt.Sprintf("anchor_day changed from %d to %d", before, after)
		c.changes = append(c.changes, change)
	}
}

// either returns a unless that is zero.
func either[T comparable](a, b T) T {
	if a == *new(T) {
		return b
	}
	return a
}

// subscriptions compares two lists of subscriptions, each sorted by tariff and
// id, which name a subscription.
func (c *comparison) subscriptions(change Change, old, next []*Subscription) {
	for len(old) > 0 || len(next) > 0 {
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case len(next) == 0:
			order = -1
		default:
			order = compareSubscriptions(old[0], next[0])
		}
		var s *Subscription
		switch {
		case order < 0:
			s = old[0]
			change.Prices, change.ReachesBack = c.old.takesEffect(s)
			change.What, old = "removed", old[1:]
		case order > 0:
			s = next[0]
			change.Prices, change.ReachesBack = c.next.takesEffect(s)
			change.What, next = "added"+spanText(s), next[1:]
		default:
			s = next[0]
			change.What, change.Prices, change.ReachesBack = c.subscription(old[0], s)
			old, next = old[1:], next[1:]
		}
		if change.What != "" {
			change.Tariff, change.Subscription = s.Tariff, s.ID
			change.What = subscriptionText(s) + " " + change.What
			c.changes = append(c.changes, change)
		}
	}
}

func subscriptionText(s *Subscription) string {
	if s.ID == s.Tariff {
		return "subscription to tariff " + s.Tariff
	}
	return "subscription " + s.ID + " to tariff " + s.Tariff
}

func spanText(s *Subscription) string {
	text := ""
	if !s.From.IsZero() {
		text += " from " + s.From.Format(time.RFC3339Nano)
	}
	if !s.Until.IsZero() {
		text += " until " + s.Until.Format(time.RFC3339Nano)
	}
	return text
}

// takesEffect returns the first instant at which a subscription prices usage;
// false when there is none.
func (c *Catalog) takesEffect(s *Subscription) (bool, time.Time) {
	first := c.Tariffs[s.Tariff].Versions[0].EffectiveFrom
	if s.From.After(first) {
		first = s.From
	}
	return s.Until.IsZero() || first.Before(s.Until), first
}

// subscription compares a subscription that is in both lists. It returns what
// is different, and the first instant at which usage is priced differently.
// What a change of the tariff does is told there.
func (c *comparison) subscription(old, next *Subscription) (what string, prices bool, reach time.Time) {
	var parts []string
	note := func(differs bool, from time.Time) {
		if differs && (!prices || from.Before(reach)) {
			prices, reach = true, from
		}
	}
	if !old.From.Equal(next.From) {
		parts = append(parts, fmt.Sprintf("starts %s instead of %s", boundText(next.From, "from the beginning"), boundText(old.From, "from the beginning")))
		first, last := old.From, next.From
		if last.Before(first) {
			first, last = last, first
		}
		note(c.spanDiffers(next, first, last))
	}
	if !old.Until.Equal(next.Until) {
		parts = append(parts, fmt.Sprintf("ends %s instead of %s", boundText(next.Until, "never"), boundText(old.Until, "never")))
		first, last := old.Until, next.Until
		if first.IsZero() || !last.IsZero() && last.Before(first) {
			first, last = last, first
		}
		note(c.spanDiffers(next, first, last))
	}
	if !bytes.Equal(old.Params, next.Params) {
		parts = append(parts, "has its params changed")
	}
	if !sameOverrides(old, next) {
		parts = append(parts, "has its overrides changed")
	}
	note(c.termsDiffer(old, next))
	return strings.Join(parts, ", "), prices, reach
}

func boundText(t time.Time, none string) string {
	if t.IsZero() {
		return none
	}
	return t.Format(time.RFC3339Nano)
}

// spanDiffers returns from when on usage is priced differently where a
// subscription was active between from and until (zero: without end) and is
// not any more, or the other way round.
func (c *comparison) spanDiffers(s *Subscription, from, until time.Time) (bool, time.Time) {
	return c.next.takesEffect(&Subscription{Tariff: s.Tariff, From: from, Until: until})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
