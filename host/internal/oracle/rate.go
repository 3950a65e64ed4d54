package oracle

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Result is what a log comes to. Its texts are made to be compared as sets.
type Result struct {
	// Lines are the lines of all invoices, sorted:
	// account|period start, UTC|currency|tariff|subscription|version|group|line|quantity|amount.
	Lines []string
	// DeadLetters are source|id|reason, each once, sorted.
	DeadLetters []string
	// Read = Priced + Duplicates + DeadLettered, in events.
	Read, Priced, Duplicates, DeadLettered int
}

// key names what is priced as one.
type key struct {
	account, tariff, subscription, group string
	version                              int
	period                               time.Time
}

// binding is a subscription to one version of a tariff, while it is in force.
type binding struct {
	tariff       *Tariff
	meter        *Meter
	subscription string
	version      int
	from, until  time.Time
	params       map[string]any
}

// Rate prices all events of a log.
func Rate(c *Catalog, events []Event) (Result, error) {
	r := rater{catalog: c, zones: map[string]*time.Location{}, content: map[[3]string]Event{}, slots: map[key][]measured{}, bindings: map[key]binding{}, dead: map[string]bool{}}
	if err := r.loadZones(); err != nil {
		return Result{}, err
	}
	for _, e := range events {
		r.event(e)
	}
	r.result.Read = len(events)
	r.fees()
	for k, list := range r.slots {
		if err := r.lines(k, list); err != nil {
			return Result{}, err
		}
	}
	slices.Sort(r.result.Lines)
	r.result.DeadLetters = slices.Sorted(maps.Keys(r.dead))
	return r.result, nil
}

type rater struct {
	catalog  *Catalog
	zones    map[string]*time.Location
	content  map[[3]string]Event // of the events that were priced, by identity
	slots    map[key][]measured
	bindings map[key]binding
	dead     map[string]bool
	times    []time.Time // of the events that were priced
	result   Result
}

// measured is an event as a tariff sees it.
type measured struct {
	at       time.Time
	quantity *big.Rat
}

// event files one event under everything that prices it.
func (r *rater) event(e Event) {
	identity := [3]string{e.Source, e.ID, e.Account}
	if first, seen := r.content[identity]; seen {
		if first.Type == e.Type && first.Time.Equal(e.Time) && maps.Equal(first.Data, e.Data) {
			r.result.Duplicates++
			return
		}
		r.reject(e, "identity_conflict")
		return
	}
	type entry struct {
		k key
		b binding
		m measured
	}
	var entries []entry
	metered := false
	for _, meter := range r.catalog.Meters {
		if meter.EventType != e.Type || !matches(meter.Filter, e.Data) {
			continue
		}
		metered = true
		for _, b := range r.subscribed(e.Account) {
			if b.meter.Name != meter.Name || e.Time.Before(b.from) || !e.Time.Before(b.until) {
				continue
			}
			quantity := big.NewRat(1, 1)
			if meter.Quantity != "" {
				var ok bool
				if quantity, ok = new(big.Rat).SetString(e.Data[meter.Quantity]); !ok {
					r.reject(e, "bad_quantity")
					return
				}
			}
			k := key{e.Account, b.tariff.Name, b.subscription, group(b.tariff, e.Data), b.version, r.periodOf(e.Account, e.Time)}
			entries = append(entries, entry{k, b, measured{e.Time, quantity}})
		}
	}
	switch {
	case !metered:
		r.reject(e, "no_meter")
	case len(entries) == 0:
		r.reject(e, "no_subscription")
	default:
		r.content[identity] = e
		r.times = append(r.times, e.Time)
		r.result.Priced++
		for _, entry := range entries {
			r.slots[entry.k], r.bindings[entry.k] = append(r.slots[entry.k], entry.m), entry.b
		}
	}
}

func (r *rater) reject(e Event, reason string) {
	r.result.DeadLettered++
	r.dead[e.Source+"|"+e.ID+"|"+reason] = true
}

func matches(filter, data map[string]string) bool {
	for name, value := range filter {
		if data[name] != value {
			return false
		}
	}
	return true
}

// group joins the names and values by which a tariff groups.
func group(t *Tariff, data map[string]string) string {
	values := make([]string, len(t.GroupBy))
	for i, name := range t.GroupBy {
		values[i] = name + "=" + data[name]
	}
	slices.Sort(values)
	return strings.Join(values, ",")
}

// subscribed lists what an account has subscribed to, version by version.
func (r *rater) subscribed(account string) []binding {
	subscriptions := []Subscription{}
	if a := r.account(account); a != nil {
		subscriptions = a.Subscriptions
	} else {
		for _, name := range r.catalog.DefaultSubscriptions {
			subscriptions = append(subscriptions, Subscription{ID: name, Tariff: name})
		}
	}
	var list []binding
	for _, s := range subscriptions {
		t := &r.catalog.Tariffs[slices.IndexFunc(r.catalog.Tariffs, func(t Tariff) bool { return t.Name == s.Tariff })]
		m := &r.catalog.Meters[slices.IndexFunc(r.catalog.Meters, func(m Meter) bool { return m.Name == t.Meter })]
		for i, v := range t.Versions {
			b := binding{tariff: t, meter: m, subscription: s.ID, version: i, from: v.EffectiveFrom, until: endOfTime, params: maps.Clone(v.Params)}
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

var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func (r *rater) account(id string) *Account {
	if i := slices.IndexFunc(r.catalog.Accounts, func(a Account) bool { return a.ID == id }); i >= 0 {
		return &r.catalog.Accounts[i]
	}
	return nil
}

// periodOf returns the start, in UTC, of the month in which an instant lies for
// an account.
func (r *rater) periodOf(account string, t time.Time) time.Time {
	start := r.month(account, t, 0)
	if start.After(t) {
		start = r.month(account, t, -1)
	}
	return start.UTC()
}

// month returns the anchor day of a month near an instant, at midnight in the
// account's zone.
func (r *rater) month(account string, t time.Time, offset int) time.Time {
	name, day := r.catalog.Billing.TimeZone, r.catalog.Billing.AnchorDay
	if a := r.account(account); a != nil {
		if a.TimeZone != "" {
			name = a.TimeZone
		}
		if a.AnchorDay != 0 {
			day = a.AnchorDay
		}
	}
	local := t.In(r.zones[name])
	return time.Date(local.Year(), local.Month()+time.Month(offset), day, 0, 0, 0, 0, local.Location())
}

func (r *rater) loadZones() error {
	names := []string{r.catalog.Billing.TimeZone}
	for _, a := range r.catalog.Accounts {
		names = append(names, a.TimeZone)
	}
	for _, name := range names {
		zone, err := time.LoadLocation(name)
		if err != nil {
			return fmt.Errorf("oracle: %w", err)
		}
		r.zones[name] = zone
	}
	return nil
}

// fees opens the slots of subscriptions without usage, in every period from the
// first event to the last: of listed accounts, and of others from their first
// usage on.
func (r *rater) fees() {
	if len(r.times) == 0 {
		return
	}
	used := map[key]bool{}
	first := map[string]time.Time{}
	for k := range r.slots {
		if f, ok := first[k.account]; !ok || k.period.Before(f) {
			first[k.account] = k.period
		}
		k.group = ""
		used[k] = true
	}
	earliest, latest := slices.MinFunc(r.times, time.Time.Compare), slices.MaxFunc(r.times, time.Time.Compare)
	for _, a := range r.catalog.Accounts {
		first[a.ID] = time.Time{}
	}
	for id, since := range first {
		for start := r.periodOf(id, earliest); !start.After(latest); start = r.month(id, start, 1).UTC() {
			if start.Before(since) {
				continue
			}
			r.fee(id, start, used)
		}
	}
}

// fee opens the slots without usage of an account's period.
func (r *rater) fee(account string, start time.Time, used map[key]bool) {
	end := r.month(account, start, 1)
	for _, b := range r.subscribed(account) {
		k := key{account, b.tariff.Name, b.subscription, "", b.version, start}
		if !used[k] && b.from.Before(end) && b.until.After(start) && b.from.Before(b.until) {
			k.group = group(b.tariff, nil)
			r.slots[k], r.bindings[k] = nil, b
		}
	}
}

// lines prices a slot and writes its lines.
func (r *rater) lines(k key, events []measured) error {
	b := r.bindings[k]
	plugin := b.tariff.Versions[b.version].Plugin
	lines, err := price(plugin, b.params, events)
	if err != nil {
		return fmt.Errorf("oracle: tariff %s: %w", k.tariff, err)
	}
	rounding := Rounding{2, "half_up"}
	if b.tariff.Rounding != nil {
		rounding = *b.tariff.Rounding
	}
	for i, l := range lines {
		if l.quantity.Sign() == 0 && l.amount.Sign() == 0 && (i > 0 || len(events) == 0) {
			continue
		}
		r.result.Lines = append(r.result.Lines, strings.Join([]string{
			k.account, k.period.Format(time.RFC3339), b.tariff.Currency, k.tariff, k.subscription,
			b.tariff.Versions[b.version].EffectiveFrom.UTC().Format(time.RFC3339), k.group, l.id,
			l.quantity.RatString(), round(l.amount, rounding).RatString(),
		}, "|"))
	}
	return nil
}
