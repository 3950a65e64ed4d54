package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// OverridesMax is the most overrides that a subscription can have.
const OverridesMax = 1_000

// Override gives a subscription other parameters for a span of time: an agreement
// with one account, or a trial. Like a new version of the tariff it starts lines of
// its own, and so does what follows it.
type Override struct {
	From  time.Time // inclusive, UTC
	Until time.Time // exclusive, UTC; zero: without end
	// Params replace top-level keys of the subscription's, and so of the tariff
	// version's: a canonical JSON object with at least one key.
	Params json.RawMessage

	at     origin
	params *node
}

// overrides decodes the overrides of a subscription.
func (d *decoder) overrides(f fields) []Override {
	items := f.list("overrides", OverridesMax)
	if len(items) == 0 {
		return nil
	}
	at := f.at.key("overrides")
	list := make([]Override, 0, len(items))
	for i := range items {
		o, ok := d.override(&items[i], at.at(i), i)
		if !ok {
			continue
		}
		for _, other := range list {
			if (other.Until.IsZero() || o.From.Before(other.Until)) && (o.Until.IsZero() || other.From.Before(o.Until)) {
				d.report(o.at.line, at.at(i), fmt.Sprintf("overlaps with the override on line %d: end that one with until, no later than this one's from", other.at.line))
				break
			}
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Override) int { return a.From.Compare(b.From) })
	return list
}

// override decodes one override; false when its beginning is unknown.
func (d *decoder) override(n *node, at *path, item int) (Override, bool) {
	f, ok := d.fields(n, at, "from", "until", "params")
	if !ok {
		return Override{}, false
	}
	o := Override{at: d.here(n, item)}
	if o.From, ok = f.time("from"); !ok && n.get("from") == nil {
		f.missing("from", "2026-10-15T00:00:00Z")
	}
	o.Until, _ = f.time("until")
	if ok && !o.Until.IsZero() && !o.From.Before(o.Until) {
		f.bad("until", "must be later than from: until is the first instant that is not included")
	}
	var raw []byte
	if raw, o.params = f.object("params", ParamsMaxBytes); len(raw) == 0 || string(raw) == "{}" {
		f.missing("params", `{unit_price: "0.01"}`)
		return o, false
	}
	o.Params = raw
	return o, ok
}

func (o *Override) encode() []byte {
	var w writer
	w.time("from", o.From)
	w.raw("params", o.Params)
	w.time("until", o.Until)
	return w.end()
}

// encodeOverrides is a JSON list of overrides, nil when there are none.
func encodeOverrides(list []Override) []byte {
	if len(list) == 0 {
		return nil
	}
	return appendList(nil, list, func(b []byte, o Override) []byte { return append(b, o.encode()...) })
}

// spans cuts a subscription at the bounds of its overrides: the same subscription,
// each with a part of its time and the parameters of that part, in order. One
// without overrides is its own only span.
func (s *Subscription) spans() []*Subscription {
	if len(s.Overrides) == 0 {
		return []*Subscription{s}
	}
	var list []*Subscription
	// part adds what lies between two times (zero: no bound) of the subscription's
	// own.
	part := func(from, until time.Time, o *Override) {
		if !s.Until.IsZero() && (until.IsZero() || s.Until.Before(until)) {
			until = s.Until
		}
		if from.Before(s.From) {
			from = s.From
		}
		if !until.IsZero() && !from.Before(until) {
			return
		}
		p := &Subscription{ID: s.ID, Tariff: s.Tariff, From: from, Until: until, Params: s.Params, at: s.at, params: s.params}
		if o != nil {
			p.Params = EffectiveParams(&TariffVersion{Params: s.Params}, &Subscription{Params: o.Params})
			p.override, p.params, p.at.line = o, o.params, o.at.line
		}
		list = append(list, p)
	}
	end := s.From
	for i := range s.Overrides {
		o := &s.Overrides[i]
		if i == 0 && !o.From.After(s.From) {
			end = o.From
		}
		if end.Before(o.From) {
			part(end, o.From, nil)
		}
		part(o.From, o.Until, o)
		if end = o.Until; end.IsZero() {
			return list
		}
	}
	part(end, time.Time{}, nil)
	return list
}

// spanAt returns the span that holds at a time, whether the subscription is active
// then or not, and when it began: the zero time for the first.
func (s *Subscription) spanAt(t time.Time) (params json.RawMessage, began time.Time) {
	params = s.Params
	for i := range s.Overrides {
		o := &s.Overrides[i]
		if o.From.After(t) {
			break
		}
		if o.Until.IsZero() || t.Before(o.Until) {
			return EffectiveParams(&TariffVersion{Params: s.Params}, &Subscription{Params: o.Params}), o.From
		}
		began = o.Until
	}
	return params, began
}

// sameOverrides reports whether two subscriptions have the same overrides.
func sameOverrides(a, b *Subscription) bool {
	return slices.EqualFunc(a.Overrides, b.Overrides, func(x, y Override) bool {
		return x.From.Equal(y.From) && x.Until.Equal(y.Until) && bytes.Equal(x.Params, y.Params)
	})
}

// termsDiffer returns from when on two subscriptions of one id price differently
// by their parameters or by where their lines start anew.
func (c *comparison) termsDiffer(old, next *Subscription) (bool, time.Time) {
	t := c.next.Tariffs[next.Tariff]
	active := earlier(old.From, next.From)
	var instants []time.Time
	for _, v := range t.Versions {
		instants = append(instants, v.EffectiveFrom)
	}
	for _, s := range []*Subscription{old, next} {
		for _, o := range s.Overrides {
			instants = append(instants, o.From)
			if !o.Until.IsZero() {
				instants = append(instants, o.Until)
			}
		}
	}
	if !active.IsZero() {
		instants = append(instants, active)
	}
	slices.SortFunc(instants, time.Time.Compare)
	for _, from := range instants {
		n := t.VersionAt(from.UnixNano())
		if from.Before(active) || n < 0 || ended(old, from) && ended(next, from) {
			continue
		}
		before, began := old.spanAt(from)
		after, begins := next.spanAt(from)
		v := t.Versions[n]
		if !latest(began, active, v.EffectiveFrom).Equal(latest(begins, active, v.EffectiveFrom)) ||
			!bytes.Equal(EffectiveParams(v, &Subscription{Params: before}), EffectiveParams(v, &Subscription{Params: after})) {
			return true, from
		}
	}
	return false, time.Time{}
}

// ended reports whether a subscription is over at a time.
func ended(s *Subscription, t time.Time) bool { return !s.Until.IsZero() && !t.Before(s.Until) }

func latest(a time.Time, more ...time.Time) time.Time {
	for _, b := range more {
		if b.After(a) {
			a = b
		}
	}
	return a
}
