package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// calendar is a zone and the day of the month on which its periods begin.
type calendar struct {
	zone string
	day  int
}

// period is one of an account.
type period struct {
	account string
	start   time.Time // UTC
	calendar
}

// binding is a subscription to one version of a tariff, while it is in force.
type binding struct {
	tariff       Tariff
	subscription Subscription
	version      Version
	from, until  time.Time
}

// key names what is priced as one within a period.
type key struct {
	tariff, subscription string
	version              time.Time
	group                string
}

// slot is what is priced as one within a period.
type slot struct {
	binding
	group  string
	events []measured
}

// measured is what an event is to a subscription that it meets.
type measured struct {
	binding
	at       time.Time
	quantity *big.Rat
}

// following is a version of a subscription that follows another one within a period.
type following struct {
	binding
	before binding
}

// always is before all usage, and endOfTime behind it.
var (
	always    = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	endOfTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

func (c *Catalog) account(id string) *Account {
	if i := slices.IndexFunc(c.Accounts, func(a Account) bool { return a.ID == id }); i >= 0 {
		return &c.Accounts[i]
	}
	return nil
}

// calendarOf returns an account's calendar, or that of those who have none of their own.
func (c *Catalog) calendarOf(account string) calendar {
	k := calendar{c.Billing.TimeZone, c.Billing.AnchorDay}
	if a := c.account(account); a != nil {
		k = calendar{cmp.Or(a.TimeZone, k.zone), cmp.Or(a.AnchorDay, k.day)}
	}
	return k
}

// subscribed lists what an account has subscribed to, version by version.
func (c *Catalog) subscribed(account string) (list []binding) {
	var subscriptions []Subscription
	for _, name := range c.DefaultSubscriptions {
		subscriptions = append(subscriptions, Subscription{ID: name, Tariff: name})
	}
	if a := c.account(account); a != nil {
		subscriptions = a.Subscriptions
	}
	for _, s := range subscriptions {
		t := c.Tariffs[slices.IndexFunc(c.Tariffs, func(t Tariff) bool { return t.Name == s.Tariff })]
		for i, v := range t.Versions {
			b := binding{t, s, v, v.EffectiveFrom, endOfTime}
			if s.From != nil {
				b.from = latest(b.from, *s.From)
			}
			if s.Until != nil {
				b.until = *s.Until
			}
			if i+1 < len(t.Versions) {
				b.until = earliest(b.until, t.Versions[i+1].EffectiveFrom)
			}
			list = append(list, b)
		}
	}
	return list
}

// inForce lists what an account has subscribed to for some time of a period, cut to it;
// by no catalog, nothing.
func (c *Catalog) inForce(p period) (list []binding) {
	if c == nil {
		return nil
	}
	for _, b := range c.subscribed(p.account) {
		b.from, b.until = latest(b.from, p.start), earliest(b.until, p.next().start)
		if b.from.Before(b.until) && c.calendarOf(p.account) == p.calendar {
			list = append(list, b)
		}
	}
	return list
}

// heir returns to what a subscription leaves its level in the next period: to itself, of
// its tariff's versions to the first one in force there; nil when it has ended by then or
// one of both leaves nothing.
func (c *Catalog) heir(of binding, next period) *binding {
	for _, b := range c.inForce(next) {
		if b.tariff.Name == of.tariff.Name && b.subscription.ID == of.subscription.ID {
			if b.carries() && of.carries() {
				return &b
			}
			return nil
		}
	}
	return nil
}

// heirs are to whom goes what the period before left to slots of one that is priced otherwise.
func (c *Catalog) heirs(left map[key]measured, p period) map[key]measured {
	now := map[key]measured{}
	for k, m := range left {
		if heir := c.heir(m.binding, p); heir != nil {
			now[heir.key(k.group)] = measured{*heir, m.at, m.quantity}
		}
	}
	return now
}

// followings lists the versions of subscriptions that follow others in a bill, by version:
// when they are in force, the catalog says by which it is due.
func (b *bill) followings(p period) (list []following) {
	versions := map[key]binding{}
	for _, s := range b.slots(p) {
		versions[s.key("")] = s.binding
	}
	for _, d := range b.whole.inForce(p) {
		versions[d.key("")] = d
	}
	var before []binding
	for _, v := range slices.SortedFunc(maps.Values(versions), binding.compare) {
		for _, o := range slices.Backward(before) {
			if o.tariff.Name == v.tariff.Name && o.subscription.ID == v.subscription.ID {
				list = append(list, following{v, o})
				break
			}
		}
		before = append(before, v)
	}
	return list
}

// followed reports whether another version follows one of a subscription in a bill.
func (b *bill) followed(of binding, p period) bool {
	return slices.ContainsFunc(b.followings(p), func(f following) bool { return f.before.key("") == of.key("") })
}

// goesOn reports whether a subscription goes on into the version with its level.
func (f following) goesOn() bool {
	return f.carries() && f.before.carries() && !f.before.until.Before(f.from)
}

// both has what two maps have, of which no key is in both.
func both(a, b map[key]measured) map[key]measured {
	all := map[key]measured{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// fees are what invoice rules bill beside what is due, each as the usage of a tariff of its
// own: how much of the period something was in force that the rule looks at. When that was,
// the catalog says; of what it does not have, the one that has priced it.
func (c *Catalog) fees(p period, due []slot) (list []slot) {
	if c == nil {
		return nil
	}
	spans := map[key]binding{}
	for _, b := range c.subscribed(p.account) {
		if b.from.Before(b.until) {
			spans[b.key("")] = b
		}
	}
	for _, r := range c.Billing.InvoiceRules {
		from, until := p.next().start, p.start
		for _, s := range due {
			if s.tariff.Currency != r.Currency || len(r.AppliesTo) > 0 && !slices.Contains(r.AppliesTo, s.tariff.Name) {
				continue
			}
			b, known := spans[s.key("")]
			if !known {
				b = s.binding
			}
			from, until = earliest(from, b.from), latest(until, b.until)
		}
		if from, until = latest(from, p.start), earliest(until, p.next().start); from.Before(until) {
			b := binding{tariff: Tariff{Name: r.Name, Currency: r.Currency}, version: Version{Plugin: r.Plugin, Params: r.Params}}
			part := big.NewRat(int64(until.Sub(from)), int64(p.next().start.Sub(p.start)))
			list = append(list, slot{b, "", []measured{{b, time.Time{}, part}}})
		}
	}
	return list
}

// firstOpen returns the earliest of a calendar's periods before an end that is to be
// billed, with its bill: nil when there is none.
func (r *rater) firstOpen(c calendar, end time.Time) (first period, found *bill) {
	for p, b := range r.bills {
		if p.calendar == c && b.open && p.start.Before(end) && (found == nil || p.start.Before(first.start)) {
			first, found = p, b
		}
	}
	return first, found
}

// compare orders by version.
func (b binding) compare(o binding) int {
	return b.version.EffectiveFrom.Compare(o.version.EffectiveFrom)
}

// compare orders slots by version.
func (s slot) compare(o slot) int { return s.binding.compare(o.binding) }

// amended is an event as an amendment has it.
func (e Event) amended(to *To) Event {
	e.Time = cmp.Or(to.Time, e.Time)
	if to.Data != nil {
		e.Data = to.Data
	}
	return e
}

// priceList writes what prices an account in a period.
func (c *Catalog) priceList(p period) (text string) {
	for _, b := range c.inForce(p) {
		text += fmt.Sprintln(b.from, b.until, b.key(""), b.tariff.Meter, b.tariff.Currency, b.tariff.GroupBy, b.tariff.rounding(), b.version.Plugin, paramsOf(b))
	}
	return text
}

// metersOf lists the meters that count an event, and says what it lacks if nothing meets
// it: a meter, or a subscription to a tariff of one.
func (c *Catalog) metersOf(e Event) (list []Meter, lacks string) {
	lacks = "no_meter"
	for _, m := range c.Meters {
		counts := m.EventType == e.Type
		for name, value := range m.Filter {
			counts = counts && e.Data[name] == value
		}
		if counts {
			list, lacks = append(list, m), "no_subscription"
		}
	}
	return list, lacks
}

// subscribedAt lists what an account has subscribed to at an instant, of the tariffs
// with a meter.
func (c *Catalog) subscribedAt(account string, m Meter, at time.Time) []binding {
	return slices.DeleteFunc(c.subscribed(account), func(b binding) bool {
		return b.tariff.Meter != m.Name || at.Before(b.from) || !at.Before(b.until)
	})
}

// quantity is what a meter reads of an event, if that is a number.
func (m Meter) quantity(e Event) (*big.Rat, bool) {
	if m.Quantity == "" {
		return big.NewRat(1, 1), true
	}
	return new(big.Rat).SetString(e.Data[m.Quantity])
}

// measure is what an event is to a subscription, or why it is nothing to it.
func (b binding) measure(m Meter, e Event) (quantity *big.Rat, refused string) {
	quantity, isNumber := m.quantity(e)
	if !isNumber {
		return nil, "bad_quantity"
	}
	if p := paramsOf(b); b.version.Plugin == "price_table" && p.row(e) == nil {
		return nil, "no_price"
	}
	return quantity, ""
}

// rounding is that of a tariff's amounts.
func (t Tariff) rounding() Rounding { return *cmp.Or(t.Rounding, &Rounding{2, "half_up"}) }

// key names the slot of a group; that of none stands for all of them too.
func (b binding) key(group string) key {
	return key{b.tariff.Name, b.subscription.ID, b.version.EffectiveFrom.UTC(), group}
}

// group writes the names and values by which the tariff groups an event's data.
func (b binding) group(data map[string]string) string {
	var values []string
	for _, name := range b.tariff.GroupBy {
		values = append(values, name+"="+data[name])
	}
	slices.Sort(values)
	return strings.Join(values, ",")
}

// period returns the period of an account that an instant lies in.
func (c *Catalog) period(account string, at time.Time) period {
	k := c.calendarOf(account)
	return period{account, k.start(at, 0), k}
}

func (p period) next() period { return period{p.account, p.calendar.start(p.start, 1), p.calendar} }

// start returns the start of the period that an instant lies in, or of one that
// many months later.
func (k calendar) start(t time.Time, later int) time.Time {
	zone, err := time.LoadLocation(k.zone)
	if err != nil {
		panic(fmt.Sprintf("oracle: %v", err)) //nolint:forbidigo // a test made the zone up
	}
	local := t.In(zone)
	if time.Date(local.Year(), local.Month(), k.day, 0, 0, 0, 0, zone).After(t) {
		later--
	}
	return time.Date(local.Year(), local.Month()+time.Month(later), k.day, 0, 0, 0, 0, zone).UTC()
}

func earliest(a, b time.Time) time.Time { return slices.MinFunc([]time.Time{a, b}, time.Time.Compare) }

func latest(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }
