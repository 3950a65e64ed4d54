package catalog

import (
	"bytes"
	"slices"

	"github.com/tollway/tollway/sdk/billing"
)

// SamePrices reports whether two catalogs, which are resolved, price an account's usage
// between two times, unix ns, alike, and have the same be due there without usage.
func SamePrices(a, b *Catalog, account billing.AccountID, from, until int64) bool {
	return slices.EqualFunc(a.inForce(account, from, until), b.inForce(account, from, until), inForce.same)
}

// inForce is a subscription under a version of its tariff, while it is in force within
// some stretch of time.
type inForce struct {
	*Binding
	version     int
	from, until int64 // unix ns
}

// inForce lists what prices an account between two times.
func (c *Catalog) inForce(account billing.AccountID, from, until int64) (list []inForce) {
	bindings := c.BindingsOf(account)
	for i := range bindings {
		b := &bindings[i]
		for n := range b.Tariff.Versions {
			begin, end := b.Span(n)
			if begin, end = max(begin, from), min(end, until); begin < end {
				list = append(list, inForce{b, n, begin, end})
			}
		}
	}
	return list
}

func (f inForce) same(o inForce) bool {
	t, u := f.Tariff, o.Tariff
	v, w := t.Versions[f.version], u.Versions[o.version]
	return f.from == o.from && f.until == o.until && f.Subscription.ID == o.Subscription.ID && f.Version(f.version) == o.Version(o.version) &&
		t.Name == u.Name && t.Currency == u.Currency && t.Rounding == u.Rounding && slices.Equal(t.GroupBy, u.GroupBy) &&
		v.Module == w.Module && v.Name == w.Name && bytes.Equal(EffectiveParams(v, f.Subscription), EffectiveParams(w, o.Subscription)) &&
		sameMeasure(f.Meter, o.Meter)
}

// sameMeasure reports whether two meters make the same of usage.
func sameMeasure(a, b *Meter) bool {
	return a.Name == b.Name && a.EventType == b.EventType && a.Quantity == b.Quantity && a.Amount == b.Amount && slices.Equal(a.Dimensions, b.Dimensions) &&
		slices.EqualFunc(a.Filter, b.Filter, func(x, y Condition) bool { return x.Key == y.Key && slices.Equal(x.Values, y.Values) })
}
