package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// account decodes one item of accounts.
func (d *decoder) account(n *node, at *path) *Account {
	at = label(n, at, "id")
	f, ok := d.fields(n, at, "id", "time_zone", "anchor_day", "subscriptions", "invoice_rules", "details")
	if !ok {
		return nil
	}
	a := &Account{at: d.here(n, 0)}
	if id, ok := f.text("id"); ok {
		a.ID = billing.AccountID(id)
		if message := badID(a.ID); message != "" {
			f.bad("id", message)
		}
	} else if n.get("id") == nil {
		f.missing("id", "emma")
	}
	a.TimeZone, a.zone = f.zone("time_zone")
	a.AnchorDay, _ = f.whole("anchor_day", 1, 31)
	a.Subscriptions = d.subscriptions(f)
	a.InvoiceRules = d.rules(f)
	a.Details, _ = f.object("details", DetailsMaxBytes)
	if a.ID == "" {
		return nil
	}
	return a
}

// badID says why an id cannot be used; "" when it can.
func badID(id billing.AccountID) string {
	err := id.Validate()
	switch {
	case errors.Is(err, billing.ErrAccountLong):
		return fmt.Sprintf("is too long: at most %d bytes, where any other than A-Z a-z 0-9 _ - counts three", billing.AccountTokenMax)
	case err != nil:
		return err.Error()
	case !printable(string(id)):
		return "must not have control characters"
	}
	return ""
}

// subscriptions decodes the subscriptions of an account.
func (d *decoder) subscriptions(f fields) []*Subscription {
	items := f.list("subscriptions", SubscriptionsMax)
	if len(items) == 0 {
		return nil
	}
	at := f.at.key("subscriptions")
	list := make([]*Subscription, 0, len(items))
	for i := range items {
		s := d.subscription(&items[i], at.at(i), i)
		if s == nil {
			continue
		}
		d.conflicts(s, list, at.at(i))
		list = append(list, s)
	}
	slices.SortFunc(list, compareSubscriptions)
	return list
}

// subscription decodes one subscription; nil when its tariff is unknown.
func (d *decoder) subscription(n *node, at *path, item int) *Subscription {
	f, ok := d.fields(n, at, "id", "tariff", "from", "until", "params", "overrides")
	if !ok {
		return nil
	}
	s := &Subscription{Tariff: f.name("tariff", "api_standard"), at: d.here(n, item)}
	s.ID = s.Tariff
	if id, ok := f.text("id"); ok {
		s.ID = d.intern(id)
		if message := badID(billing.AccountID(id)); message != "" {
			f.bad("id", message)
		}
	}
	s.From, _ = f.time("from")
	s.Until, _ = f.time("until")
	if !s.Until.IsZero() && !s.From.Before(s.Until) {
		f.bad("until", "must be later than from: until is the first instant that is not included")
	}
	var raw []byte
	if raw, s.params = f.object("params", ParamsMaxBytes); string(raw) != "{}" {
		s.Params = json.RawMessage(raw)
	}
	s.Overrides = d.overrides(f)
	if s.Tariff == "" {
		return nil
	}
	return s
}

// conflicts reports what s may not have in common with the account's other
// subscriptions: tariff and id name its lines, and an id is one thing at a time.
func (d *decoder) conflicts(s *Subscription, others []*Subscription, at *path) {
	for _, o := range others {
		switch {
		case o.ID != s.ID:
		case o.Tariff == s.Tariff:
			d.report(s.at.line, at, fmt.Sprintf("the subscription on line %d is to tariff %s too and has the same id: two subscriptions of one tariff need ids, such as id: main and id: second", o.at.line, s.Tariff))
			return
		case overlap(s, o):
			d.report(s.at.line, at, fmt.Sprintf("overlaps with the subscription on line %d, which has the same id %q: end that one with until, or give this one another id", o.at.line, shorten(s.ID)))
			return
		}
	}
}

// overlap reports whether two subscriptions are ever active together.
func overlap(a, b *Subscription) bool {
	before := func(x, y *Subscription) bool { return !x.Until.IsZero() && !x.Until.After(y.From) }
	return !before(a, b) && !before(b, a)
}

// rules decodes invoice rules.
func (d *decoder) rules(f fields) []InvoiceRule {
	n := f.n.get("invoice_rules")
	if n == nil {
		return nil
	}
	rules := []InvoiceRule{}
	items := f.list("invoice_rules", RulesMax)
	at := f.at.key("invoice_rules")
	for i := range items {
		rule, ok := d.rule(&items[i], at.at(i), i)
		if !ok {
			continue
		}
		if slices.ContainsFunc(rules, func(r InvoiceRule) bool { return r.Name == rule.Name }) {
			d.report(items[i].line, at.at(i).key("name"), fmt.Sprintf("%q is given twice", rule.Name))
		}
		rules = append(rules, rule)
	}
	return rules
}

// rule decodes one invoice rule.
func (d *decoder) rule(n *node, at *path, item int) (InvoiceRule, bool) {
	known := []string{"name", "plugin", "params", "currency", "rounding", "applies_to"}
	if d.stored {
		known = append(known, "module", "entry")
	}
	f, ok := d.fields(n, at, known...)
	if !ok {
		return InvoiceRule{}, false
	}
	r := InvoiceRule{Name: f.name("name", "minimum"), at: d.here(n, item)}
	if d.stored {
		r.Module, _ = f.text("module")
		r.Entry, _ = f.text("entry")
		r.Module, r.Entry = d.intern(r.Module), d.intern(r.Entry)
	}
	r.Plugin, r.pluginLine = f.plugin()
	if r.Params, r.params = f.object("params", ParamsMaxBytes); r.Params == nil {
		r.Params = json.RawMessage("{}")
	}
	if r.Currency, ok = f.currency("currency"); !ok && n.get("currency") == nil {
		f.missing("currency", "EUR")
	}
	r.Rounding = f.rounding(r.Currency)
	r.AppliesTo = f.words("applies_to", SubscriptionsMax, func(word string) string {
		if !validName(word) {
			return fmt.Sprintf("%q is no name of a tariff", shorten(word))
		}
		return ""
	})
	return r, true
}

// graceMax bounds the grace time: a period must be closed before it is of no
// interest any more.
const graceMax = 366 * 24 * time.Hour

// aheadMax bounds max_ahead: further away lies no time that can be billed.
const aheadMax = 100 * graceMax

// duration decodes a duration within bounds, if there is one.
func (f fields) duration(name string, into *time.Duration, from, to time.Duration) {
	text, ok := f.text(name)
	if !ok {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < from || d > to {
		f.bad(name, fmt.Sprintf("%q is no duration from %s to %s; write for example 72h or 90m", shorten(text), from, to))
		return
	}
	*into = d
}

// billingSettings decodes the billing section.
func (d *decoder) billingSettings(n *node, at *path) Billing {
	b := DefaultBilling()
	f, ok := d.fields(n, at, "period", "anchor_day", "time_zone", "grace", "max_ahead", "close", "clock", "invoice_rules", "seller")
	if !ok {
		return b
	}
	b.Period = f.choice("period", b.Period, "month")
	if day, ok := f.whole("anchor_day", 1, 31); ok {
		b.AnchorDay = day
	}
	if name, zone := f.zone("time_zone"); zone != nil {
		b.TimeZone, b.zone = name, zone
	}
	f.duration("grace", &b.Grace, 0, graceMax)
	f.duration("max_ahead", &b.MaxAhead, time.Second, aheadMax)
	b.Close = CloseMode(f.choice("close", string(b.Close), string(CloseAutomatic), string(CloseManual)))
	b.Clock = ClockMode(f.choice("clock", string(b.Clock), string(ClockWall), string(ClockEvent)))
	b.InvoiceRules = d.rules(f)
	b.Seller, _ = f.object("seller", DetailsMaxBytes)
	return b
}
