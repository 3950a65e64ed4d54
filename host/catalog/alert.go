package catalog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tollway/tollway/sdk/billing"
)

// Alert has it told when what an account comes to in a billing period reaches a
// threshold. It watches each account that it selects by itself.
type Alert struct {
	Name    string
	Measure AlertMeasure
	// Currency is that of the amounts that are added up; empty for units.
	Currency billing.Currency
	// Meter and Tariffs, in alphabetical order, narrow what is added up; empty ones
	// do not. Units have a meter, since those of two meters do not add up.
	Meter   string
	Tariffs []string
	// Accounts are those that are watched, sorted; empty: all.
	Accounts []billing.AccountID
	// Thresholds are in ascending order, distinct and greater than zero.
	Thresholds []billing.Decimal
	// Texts are the thresholds as text.
	Texts []string

	at origin
}

// AlertMeasure says what an alert adds up.
type AlertMeasure string

// The measures.
const (
	MeasureAmount AlertMeasure = "amount" // the rounded amounts of the line items
	MeasureUnits  AlertMeasure = "units"  // the quantities of the line items
)

// Counts reports whether an alert adds up what a tariff makes of a meter's usage.
func (a *Alert) Counts(tariff, meter string, currency billing.Currency) bool {
	return (a.Meter == "" || a.Meter == meter) &&
		(a.Currency == "" || a.Currency == currency) &&
		(len(a.Tariffs) == 0 || slices.Contains(a.Tariffs, tariff))
}

// alert decodes one item of alerts.
func (d *decoder) alert(n *node, at *path) *Alert {
	at = label(n, at, "name")
	f, ok := d.fields(n, at, "name", "measure", "currency", "meter", "tariffs", "accounts", "thresholds")
	if !ok {
		return nil
	}
	a := &Alert{Name: f.name("name", "spend"), at: d.here(n, 0)}
	if n.get("measure") == nil {
		f.missing("measure", string(MeasureAmount))
	}
	a.Measure = AlertMeasure(f.choice("measure", string(MeasureAmount), string(MeasureAmount), string(MeasureUnits)))
	if n.get("meter") != nil {
		a.Meter = f.name("meter", "api_calls")
	}
	a.Currency, ok = f.currency("currency")
	switch {
	case a.Measure == MeasureAmount && !ok && n.get("currency") == nil:
		f.missing("currency", "EUR")
	case a.Measure == MeasureUnits && n.get("currency") != nil:
		f.bad("currency", "is for amounts; units have none")
	case a.Measure == MeasureUnits && n.get("meter") == nil:
		f.missing("meter", "api_calls")
	}
	a.Tariffs = f.words("tariffs", TariffsMax, func(word string) string {
		if !validName(word) {
			return fmt.Sprintf("%q is no name of a tariff", shorten(word))
		}
		return ""
	})
	for _, id := range f.words("accounts", RowsMax, func(word string) string {
		if err := billing.AccountID(word).Validate(); err != nil {
			return err.Error()
		}
		return ""
	}) {
		a.Accounts = append(a.Accounts, billing.AccountID(id))
	}
	a.Thresholds = d.thresholds(f)
	for _, t := range a.Thresholds {
		a.Texts = append(a.Texts, t.String())
	}
	if a.Name == "" {
		return nil
	}
	return a
}

// thresholds decodes the thresholds of an alert.
func (d *decoder) thresholds(f fields) []billing.Decimal {
	items := f.list("thresholds", ThresholdsMax)
	if n := f.n.get("thresholds"); n == nil || n.kind == kindList && len(n.items) == 0 {
		f.bad("thresholds", `is missing or empty; write for example thresholds: ["100", "500"]`)
	}
	at := f.at.key("thresholds")
	var list []billing.Decimal
	for i := range items {
		n := &items[i]
		if n.kind != kindText && n.kind != kindNumber {
			d.report(n.line, at.at(i), "must be a decimal number, not "+n.kind.String())
			continue
		}
		t, err := billing.ParseDecimal(n.text)
		switch {
		case err != nil:
			d.report(n.line, at.at(i), fmt.Sprintf("%q is no decimal number: %v", shorten(n.text), err))
		case t.Sign() <= 0:
			d.report(n.line, at.at(i), "must be greater than zero: what is there without usage is not reached")
		case slices.ContainsFunc(list, func(o billing.Decimal) bool { return o.Cmp(t) == 0 }):
			d.report(n.line, at.at(i), t.String()+" is given twice")
		default:
			list = append(list, t)
		}
	}
	slices.SortFunc(list, billing.Decimal.Cmp)
	return list
}

// encode writes the stored form of an alert.
func (a *Alert) encode() []byte {
	var w writer
	if len(a.Accounts) > 0 {
		w.raw("accounts", appendList(nil, a.Accounts, func(b []byte, id billing.AccountID) []byte { return appendText(b, string(id)) }))
	}
	w.text("currency", string(a.Currency))
	w.text("measure", string(a.Measure))
	w.text("meter", a.Meter)
	w.text("name", a.Name)
	w.raw("tariffs", texts(a.Tariffs))
	w.raw("thresholds", appendList(nil, a.Texts, appendText))
	return w.end()
}

// alerts checks the names by which alerts refer to meters and tariffs, and that
// there is something to add up.
func (v *resolution) alerts() {
	for _, a := range v.c.Alerts {
		where := "alerts[" + a.Name + "]"
		if a.Meter != "" && v.c.Meters[a.Meter] == nil {
			v.unknown(a.at, where+".meter", "meter", a.Meter)
		}
		for _, name := range a.Tariffs {
			t := v.c.Tariffs[name]
			switch {
			case t == nil:
				v.unknown(a.at, where+".tariffs", "tariff", name)
			case a.Meter != "" && t.Meter != a.Meter:
				v.report(a.at, a.at.line, where+".tariffs", fmt.Sprintf("tariff %s prices meter %s and not %s, so that nothing of it would count", name, t.Meter, a.Meter))
			case a.Currency != "" && t.Currency != a.Currency:
				v.report(a.at, a.at.line, where+".tariffs", fmt.Sprintf("tariff %s is in %s and not in %s, so that nothing of it would count", name, t.Currency, a.Currency))
			}
		}
	}
}

// alert compares an alert. It prices nothing.
func (c *comparison) alert(name string, old, next *Alert) {
	change := Change{Kind: KindAlert, Name: name, What: "changed"}
	switch {
	case old == nil:
		change.What = "added"
	case next == nil:
		change.What = "removed"
	case bytes.Equal(old.encode(), next.encode()):
		return
	}
	c.changes = append(c.changes, change)
}

// alertIndex has what the hot path asks of a resolved catalog's alerts.
type alertIndex struct {
	all      []*Alert // that watch every account, by name
	accounts map[billing.AccountID][]*Alert
	anyType  bool // an alert adds up usage of any event type
	types    map[string]bool
}

// indexAlerts makes the index: what watches an account is looked up once for each
// catalog.
func (c *Catalog) indexAlerts() alertIndex {
	x := alertIndex{accounts: map[billing.AccountID][]*Alert{}, types: map[string]bool{}}
	for _, a := range c.Alerts {
		if len(a.Accounts) == 0 {
			x.all = append(x.all, a)
		}
		for _, id := range a.Accounts {
			x.accounts[id] = append(x.accounts[id], a)
		}
		if a.Meter == "" && len(a.Tariffs) == 0 {
			x.anyType = true
		}
		if m := c.Meters[a.Meter]; m != nil {
			x.types[m.EventType] = true
		}
		for _, name := range a.Tariffs {
			if t := c.Tariffs[name]; t != nil && c.Meters[t.Meter] != nil {
				x.types[c.Meters[t.Meter].EventType] = true
			}
		}
	}
	byName := func(a, b *Alert) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(x.all, byName)
	for id, list := range x.accounts {
		list = append(list, x.all...)
		slices.SortFunc(list, byName)
		x.accounts[id] = list
	}
	return x
}

// AlertsOf returns the alerts that watch an account, by name. The caller must not
// change the slice. It may be called on a resolved catalog only.
func (c *Catalog) AlertsOf(account billing.AccountID) []*Alert {
	x := &c.index.alerts
	if len(x.accounts) == 0 {
		return x.all
	}
	if own, listed := x.accounts[account]; listed {
		return own
	}
	return x.all
}

// HasAlerts reports whether some account is watched.
func (c *Catalog) HasAlerts() bool { return len(c.Alerts) > 0 }

// Alerted reports whether usage of an event type counts for some alert.
func (c *Catalog) Alerted(eventType string) bool {
	return c.index.alerts.anyType || c.index.alerts.types[eventType]
}

// SameAlerts reports whether two catalogs have the same alerts.
func SameAlerts(a, b *Catalog) bool {
	return len(diffObjects(nil, KindAlert, a.Alerts, b.Alerts, (*Alert).encode)) == 0
}
