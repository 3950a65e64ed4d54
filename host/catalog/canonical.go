package catalog

import (
	"strconv"
	"time"

	"github.com/tollway/tollway/sdk/billing"
)

// writer writes one canonical JSON object. The caller keeps the members in
// alphabetical order. A stored object reads like one in a catalog file.
type writer struct {
	b []byte
}

// name begins a member.
func (w *writer) name(name string) {
	if len(w.b) == 0 {
		w.b = append(w.b, '{')
	} else {
		w.b = append(w.b, ',')
	}
	w.b = append(appendText(w.b, name), ':')
}

// raw writes a member that is JSON already, unless it is nil.
func (w *writer) raw(name string, value []byte) {
	if value != nil {
		w.name(name)
		w.b = append(w.b, value...)
	}
}

// text writes a member, unless it is empty.
func (w *writer) text(name, value string) {
	if value != "" {
		w.name(name)
		w.b = appendText(w.b, value)
	}
}

// number writes a member, also when it is 0.
func (w *writer) number(name string, value int) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, int64(value), 10)
}

// time writes a member, unless it is zero.
func (w *writer) time(name string, t time.Time) {
	if !t.IsZero() {
		w.text(name, t.Format(time.RFC3339Nano))
	}
}

// end completes the object.
func (w *writer) end() []byte {
	if len(w.b) == 0 {
		return []byte("{}")
	}
	return append(w.b, '}')
}

// appendList appends a JSON list of what item writes.
func appendList[T any](b []byte, list []T, item func(b []byte, v T) []byte) []byte {
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, v)
	}
	return append(b, ']')
}

// texts is a JSON list of texts, nil when it has none.
func texts(list []string) []byte {
	if len(list) == 0 {
		return nil
	}
	return appendList(nil, list, appendText)
}

// encode writes the stored form of a meter.
func (m *Meter) encode() []byte {
	var w writer
	w.text("amount", m.Amount)
	w.raw("dimensions", texts(m.Dimensions))
	w.text("event_type", m.EventType)
	if len(m.Filter) > 0 {
		var f writer
		for _, c := range m.Filter {
			f.raw(c.Key, appendList(nil, c.Values, appendText))
		}
		w.raw("filter", f.end())
	}
	w.text("name", m.Name)
	w.text("quantity", m.Quantity)
	return w.end()
}

// encode writes the stored form of a tariff.
func (t *Tariff) encode() []byte {
	var w writer
	w.text("currency", string(t.Currency))
	w.raw("group_by", texts(t.GroupBy))
	w.text("meter", t.Meter)
	w.text("name", t.Name)
	w.raw("rounding", encodeRounding(t.Rounding))
	w.raw("versions", appendList(nil, t.Versions, func(b []byte, v *TariffVersion) []byte { return append(b, v.encode()...) }))
	return w.end()
}

func encodeRounding(r billing.Rounding) []byte {
	var w writer
	w.text("mode", r.Mode.String())
	w.number("scale", r.Scale)
	return w.end()
}

func (v *TariffVersion) encode() []byte {
	var w writer
	w.time("effective_from", v.EffectiveFrom)
	w.text("module", v.Module)
	w.text("name", v.Name)
	w.raw("params", v.Params)
	w.text("plugin", v.Plugin)
	return w.end()
}

// encode writes the stored form of an account.
func (a *Account) encode() []byte {
	var w writer
	if a.AnchorDay != 0 {
		w.number("anchor_day", a.AnchorDay)
	}
	w.raw("details", a.Details)
	w.text("id", string(a.ID))
	if a.InvoiceRules != nil { // an empty list is not the same as none
		w.raw("invoice_rules", appendList(nil, a.InvoiceRules, appendRule))
	}
	if len(a.Subscriptions) > 0 {
		w.raw("subscriptions", appendList(nil, a.Subscriptions, func(b []byte, s *Subscription) []byte { return append(b, s.encode()...) }))
	}
	w.text("time_zone", a.TimeZone)
	return w.end()
}

func (s *Subscription) encode() []byte {
	var w writer
	w.time("from", s.From)
	w.text("id", s.ID)
	w.raw("overrides", encodeOverrides(s.Overrides))
	w.raw("params", s.Params)
	w.text("tariff", s.Tariff)
	w.time("until", s.Until)
	return w.end()
}

func appendRule(b []byte, r InvoiceRule) []byte {
	var w writer
	w.raw("applies_to", texts(r.AppliesTo))
	w.text("currency", string(r.Currency))
	w.text("entry", r.Entry)
	w.text("module", r.Module)
	w.text("name", r.Name)
	w.raw("params", r.Params)
	w.text("plugin", r.Plugin)
	w.raw("rounding", encodeRounding(r.Rounding))
	return append(b, w.end()...)
}

// encode writes the stored form of the billing settings.
func (b *Billing) encode() []byte {
	var w writer
	w.number("anchor_day", b.AnchorDay)
	w.text("clock", string(b.Clock))
	w.text("close", string(b.Close))
	w.text("grace", b.Grace.String())
	if len(b.InvoiceRules) > 0 {
		w.raw("invoice_rules", appendList(nil, b.InvoiceRules, appendRule))
	}
	if b.MaxAhead != DefaultMaxAhead { // catalogs stored before there was such a bound keep their digest
		w.text("max_ahead", b.MaxAhead.String())
	}
	w.text("period", b.Period)
	w.raw("seller", b.Seller)
	w.text("time_zone", b.TimeZone)
	return w.end()
}

// encodeDefaults writes the list of default subscriptions.
func (c *Catalog) encodeDefaults() []byte {
	return appendList(nil, c.DefaultSubscriptions, appendText)
}
