package oracle

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// binding is a subscription to one version of a tariff, while it is in force.
type binding struct {
	tariff       Tariff
	meter        string
	subscription string
	plugin       string
	effective    time.Time
	from, until  time.Time
	params       map[string]any
}

// calendar is a zone and the day of the month on which its periods begin.
type calendar struct {
	zone string
	day  int
}

// Rate prices all events of a log as if each period closed after the last event.
func Rate(c *Catalog, events []Event) (Result, error) {
	log := []Entry{{Catalog: c}, {Events: events}}
	seen, err := Replay(log, nil)
	if err != nil || seen.Priced == 0 {
		return seen, err
	}
	r := rater{catalog: c}
	for _, k := range append(r.listed(), r.calendarOf("")) {
		start := k.start(slices.MaxFunc(seen.times, time.Time.Compare), 0)
		first := k.start(slices.MinFunc(seen.times, time.Time.Compare), 0)
		for ; !first.After(start); first = k.start(first, 1) {
			log = append(log, Entry{Close: &Close{k.zone, k.day, first, k.start(first, 1)}})
		}
	}
	return Replay(log, nil)
}

// contains reports whether data has all that a filter asks for.
func contains(data, filter map[string]string) bool {
	for name, value := range filter {
		if data[name] != value {
			return false
		}
	}
	return true
}

// listed returns the calendars of listed accounts that have their own.
func (r *rater) listed() []calendar {
	var list []calendar
	for _, a := range r.catalog.Accounts {
		if k := r.calendarOf(a.ID); k != r.calendarOf("") && !slices.Contains(list, k) && (r.owns == nil || r.owns(a.ID)) {
			list = append(list, k)
		}
	}
	return list
}

// subscribed lists what an account has subscribed to, version by version.
func (r *rater) subscribed(account string) []binding {
	var subscriptions []Subscription
	if a := r.account(account); a != nil {
		subscriptions = a.Subscriptions
	} else {
		for _, name := range r.catalog.DefaultSubscriptions {
			subscriptions = append(subscriptions, Subscription{ID: name, Tariff: name})
		}
	}
	var list []binding
	for _, s := range subscriptions {
		t := r.catalog.Tariffs[slices.IndexFunc(r.catalog.Tariffs, func(t Tariff) bool { return t.Name == s.Tariff })]
		for i, v := range t.Versions {
			b := binding{t, t.Meter, s.ID, v.Plugin, v.EffectiveFrom, v.EffectiveFrom, endOfTime, maps.Clone(v.Params)}
			if s.From != nil && s.From.After(b.from) {
				b.from = *s.From
			}
			if s.Until != nil {
				b.until = *s.Until
			}
			if i+1 < len(t.Versions) && t.Versions[i+1].EffectiveFrom.Before(b.until) {
				b.until = t.Versions[i+1].EffectiveFrom
			}
			maps.Copy(b.params, s.Params)
			list = append(list, b)
		}
	}
	return list
}

var endOfTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *rater) account(id string) *Account {
	if i := slices.IndexFunc(r.catalog.Accounts, func(a Account) bool { return a.ID == id }); i >= 0 {
		return &r.catalog.Accounts[i]
	}
	return nil
}

// calendarOf returns an account's calendar, or that of those who have none of their
// own.
func (r *rater) calendarOf(account string) calendar {
	c := calendar{r.catalog.Billing.TimeZone, r.catalog.Billing.AnchorDay}
	if a := r.account(account); a != nil {
		c = calendar{cmp.Or(a.TimeZone, c.zone), cmp.Or(a.AnchorDay, c.day)}
	}
	return c
}

// start returns the start of the period that an instant lies in, or of one that
// many months later.
func (c calendar) start(t time.Time, later int) time.Time {
	zone, err := time.LoadLocation(c.zone)
	if err != nil {
		panic(fmt.Sprintf("oracle: %v", err)) //nolint:forbidigo // a test made the zone up
	}
	local := t.In(zone)
	if time.Date(local.Year(), local.Month(), c.day, 0, 0, 0, 0, zone).After(t) {
		later--
	}
	return time.Date(local.Year(), local.Month()+time.Month(later), c.day, 0, 0, 0, 0, zone)
}
