package catalog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// meter decodes one item of meters.
func (d *decoder) meter(n *node, at *path) *Meter {
	at = label(n, at, "name")
	f, ok := d.fields(n, at, "name", "event_type", "filter", "quantity", "amount", "dimensions")
	if !ok {
		return nil
	}
	m := &Meter{
		Name:     f.name("name", "api_calls"),
		Filter:   d.filter(f),
		Quantity: f.dataKey("quantity"),
		Amount:   f.dataKey("amount"),
		at:       d.here(n, 0),
	}
	if m.EventType, ok = f.text("event_type"); !ok && n.get("event_type") == nil {
		f.missing("event_type", "api.request")
	} else if ok && (m.EventType == "" || len(m.EventType) > EventTypeMax || !printable(m.EventType)) {
		f.bad("event_type", fmt.Sprintf("must be a CloudEvents type of 1 to %d bytes without control characters", EventTypeMax))
	}
	m.Dimensions = f.words("dimensions", DimensionsMax, func(word string) string {
		if word == "" || len(word) > KeyMax || !printable(word) {
			return fmt.Sprintf("must be a data key of 1 to %d bytes without control characters", KeyMax)
		}
		return ""
	})
	if m.Name == "" {
		return nil
	}
	return m
}

// label names an object in paths by its name, where it has one, and otherwise
// by its number.
func label(n *node, at *path, key string) *path {
	if name := n.get(key); name != nil && (name.kind == kindText || name.kind == kindNumber) && printable(name.text) && name.text != "" {
		return at.parent.named(shorten(name.text))
	}
	return at
}

// filter decodes the filter of a meter.
func (d *decoder) filter(f fields) []Condition {
	n := f.n.get("filter")
	if n == nil {
		return nil
	}
	at := f.at.key("filter")
	if n.kind != kindMapping {
		f.bad("filter", "must be a mapping of data keys to a value or a list of values, not "+n.kind.String())
		return nil
	}
	if len(n.keys) > FilterKeysMax {
		f.bad("filter", fmt.Sprintf("has %d keys, at most %d are allowed", len(n.keys), FilterKeysMax))
		return nil
	}
	below := fields{d: d, n: n, at: at}
	var conditions []Condition
	for i, k := range n.keys {
		below.checkKey(k.name, k.name)
		values := []node{n.items[i]}
		if n.items[i].kind == kindList {
			values = n.items[i].items
		}
		if len(values) == 0 || len(values) > FilterValuesMax {
			below.bad(k.name, fmt.Sprintf("must have 1 to %d values", FilterValuesMax))
			continue
		}
		c := Condition{Key: d.intern(k.name)}
		for j := range values {
			if text, ok := d.filterValue(&values[j], at.key(k.name)); ok {
				c.Values = append(c.Values, text)
			}
		}
		slices.Sort(c.Values)
		c.Values = slices.Compact(c.Values)
		conditions = append(conditions, c)
	}
	slices.SortFunc(conditions, func(a, b Condition) int { return strings.Compare(a.Key, b.Key) })
	return conditions
}

// filterValue brings a value into the form that events' data have: numbers as
// canonical decimals.
func (d *decoder) filterValue(n *node, at *path) (string, bool) {
	switch n.kind {
	case kindText, kindBoolean:
		return n.text, true
	case kindNumber:
		text, err := canonicalNumber(n.text)
		if err != nil {
			d.report(n.line, at, err.Error())
		}
		return text, err == nil
	default:
		d.report(n.line, at, "must be a value or a list of values, not "+n.kind.String())
		return "", false
	}
}

// tariff decodes one item of tariffs.
func (d *decoder) tariff(n *node, at *path) *Tariff {
	at = label(n, at, "name")
	f, ok := d.fields(n, at, "name", "meter", "currency", "group_by", "rounding", "versions")
	if !ok {
		return nil
	}
	t := &Tariff{Name: f.name("name", "api_standard"), Meter: f.name("meter", "api_calls"), at: d.here(n, 0)}
	if t.Currency, ok = f.currency("currency"); !ok && n.get("currency") == nil {
		f.missing("currency", "EUR")
	}
	t.GroupBy = f.words("group_by", DimensionsMax, func(string) string { return "" })
	t.Rounding = f.rounding(t.Currency)
	t.Versions = d.versions(f)
	if t.Name == "" {
		return nil
	}
	return t
}

// rounding decodes the rounding of a tariff or an invoice rule, by default that of
// the currency.
func (f fields) rounding(currency billing.Currency) billing.Rounding {
	r := billing.Rounding{Scale: currency.Digits(), Mode: billing.RoundHalfUp}
	n := f.n.get("rounding")
	if n == nil {
		return r
	}
	below, ok := f.d.fields(n, f.at.key("rounding"), "scale", "mode")
	if !ok {
		return r
	}
	word := below.choice("mode", "half_up", "none", "half_up", "half_even", "floor", "ceiling")
	mode, err := billing.ParseRoundingMode(word)
	if err != nil {
		below.bad("mode", err.Error())
	}
	r.Mode = mode
	if scale, ok := below.whole("scale", billing.RoundingScaleMin, billing.RoundingScaleMax); ok {
		r.Scale = scale
	}
	if r.Mode == billing.RoundNone {
		r.Scale = 0 // means nothing then; one form for one meaning
	}
	return r
}

// versions decodes the versions of a tariff.
func (d *decoder) versions(f fields) []*TariffVersion {
	items := f.list("versions", VersionsMax)
	if n := f.n.get("versions"); n == nil || n.kind == kindList && len(n.items) == 0 {
		f.bad("versions", "is missing or empty: a tariff needs at least one version")
	}
	at := f.at.key("versions")
	var versions []*TariffVersion
	byTime := map[time.Time]int{} // effective_from → number of the version
	for i := range items {
		v := d.version(&items[i], at.at(i), i)
		if v == nil {
			continue
		}
		if first, taken := byTime[v.EffectiveFrom]; taken {
			d.report(items[i].line, at.at(i).key("effective_from"), fmt.Sprintf(
				"overlapping versions: versions[%d] takes effect at %s too; give each version an effective_from of its own, it holds until the next one",
				first, v.EffectiveFrom.Format(time.RFC3339Nano)))
			continue
		}
		byTime[v.EffectiveFrom] = i
		versions = append(versions, v)
	}
	slices.SortFunc(versions, func(a, b *TariffVersion) int { return a.EffectiveFrom.Compare(b.EffectiveFrom) })
	return versions
}

// version decodes one version of a tariff; nil when its time is unknown.
func (d *decoder) version(n *node, at *path, item int) *TariffVersion {
	known := []string{"effective_from", "plugin", "params"}
	if d.stored {
		known = append(known, "module", "name")
	}
	f, ok := d.fields(n, at, known...)
	if !ok {
		return nil
	}
	v := &TariffVersion{at: d.here(n, item)}
	if d.stored {
		v.Module, _ = f.text("module")
		v.Name, _ = f.text("name")
		v.Module, v.Name = d.intern(v.Module), d.intern(v.Name)
	}
	v.Plugin, v.pluginLine = f.plugin()
	v.Params, v.params = f.object("params", ParamsMaxBytes)
	if v.Params == nil {
		v.Params = json.RawMessage("{}")
	}
	t, ok := f.time("effective_from")
	if !ok {
		if n.get("effective_from") == nil {
			f.missing("effective_from", "2026-01-01T00:00:00Z")
		}
		return nil
	}
	v.EffectiveFrom = t
	return v
}

// plugin decodes a plugin reference.
func (f fields) plugin() (reference string, line int) {
	s, ok := f.text("plugin")
	const pluginMax = 1_000
	switch {
	case !ok && f.n.get("plugin") == nil:
		f.missing("plugin", "graduated")
	case ok && (s == "" || len(s) > pluginMax || !printable(s)):
		f.bad("plugin", "must be a built-in's name, a path to a .wasm file, or NAME@sha256:DIGEST")
	}
	if n := f.n.get("plugin"); n != nil {
		line = n.line
	}
	return f.d.intern(s), line
}

// defaultSubscriptions decodes the list of default tariffs.
func (d *decoder) defaultSubscriptions(n *node, at *path) []string {
	f := fields{d: d, n: &node{kind: kindMapping, line: n.line, keys: []key{{at.step, n.line}}, items: []node{*n}}, at: nil}
	return f.words(at.step, SubscriptionsMax, func(word string) string {
		if !validName(word) {
			return fmt.Sprintf("%q is no name of a tariff", shorten(word))
		}
		return ""
	})
}

// compareSubscriptions orders an account's subscriptions.
func compareSubscriptions(a, b *Subscription) int {
	return cmp.Or(strings.Compare(a.Tariff, b.Tariff), strings.Compare(a.ID, b.ID))
}
