package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/author"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/sdk/billing"
)

// events of every kind: two slots, corrections, money, keys, attributes and days.
func events() []author.Event {
	var list []author.Event
	for i := range 24 {
		quantity := fmt.Sprintf("%d.5", i*7%11)
		if i%9 == 8 {
			quantity = "-" + quantity
		}
		op := "add"
		if i%4 == 3 {
			op = "remove"
		}
		list = append(list, author.Event{
			Slot: i % 2, Quantity: billing.MustDecimal(quantity), Amount: billing.MustDecimal(fmt.Sprintf("%d.25", i*13%40)), HasAmount: true,
			Time: time.Date(2026, 1, 1+i*5%31, i, i, i, 0, time.UTC),
			Dimensions: map[string]string{
				"user": fmt.Sprint("user ", i*i%7), "op": op, "certif": "own", "tax_percent": "20,7.5", "part": "1.25", "value": "2.5",
				"seconds": fmt.Sprint(i * 1000), "sku": "a",
			},
		})
	}
	return list
}

// conformance has a configuration of every built-in tariff, some have several.
var conformance = map[string][]string{
	"flat":                 {`{"amount":"5"}`},
	"per_unit":             {`{"unit_price":"0.1","filters":[{"match":{"sku":["b"]},"unit_price":"2"}]}`, `{"unit_price":"0.1","billing":"in_advance","unit_conversion":{"operation":"divide","factor":"3","rounding":"ceiling"},"discounts":{"usage":"2"}}`},
	"graduated":            {`{"tiers":[{"up_to":"10","unit_price":"1","flat_fee":"2"},{"unit_price":"0.5"}]}`},
	"graduated_percentage": {`{"tiers":[{"up_to":"10","rate_percent":"1","flat_fee":"2"},{"rate_percent":"0.5"}],"billing":"in_advance"}`},
	"volume":               {`{"tiers":[{"up_to":"10","unit_price":"1"},{"unit_price":"0.5"}]}`},
	"stairstep":            {`{"tiers":[{"up_to":"10","flat_fee":"1"},{"flat_fee":"9"}]}`},
	"package":              {`{"package_size":"3","package_price":"2"}`},
	"percentage":           {`{"rate_percent":"1.5","fixed_fee":"0.1","free_events":3,"free_amount":"20"}`, `{"rate_percent":"1.5","max_per_event":"0.1"}`},
	"dynamic":              {`{"flavor":"event_amount"}`},
	"price_table":          {`{"dimension":"sku","prices":{"a":{"unit_price":"1"}}}`},
	"aggregation": {
		`{"type":"sum","unit_price":"1","recurring":true}`, `{"type":"avg"}`, `{"type":"max"}`, `{"type":"latest"}`, `{"type":"weighted_sum","initial":"3"}`,
		`{"type":"prorated_sum"}`, `{"type":"unique_count","key":"user","op":"op","unit_price":"2","billing":"in_advance"}`,
		`{"type":"prorated_unique_count","key":"user","op":"op"}`,
	},
	"rounding":           {`{"mode":"half_up","scale":-1}`},
	"unit_conversion":    {`{"operation":"divide","factor":"7"}`},
	"prorated_graduated": {`{"tiers":[{"up_to":"10","unit_price":"1","flat_fee":"2"},{"unit_price":"0.5"}],"recurring":true}`, `{"tiers":[{"unit_price":"1"}],"prorated_quantity":"part"}`},
	"custom": {
		`{"kind":"attribute_tiers","attribute":"certif","tiers":[{"up_to":"9","prices":{"own":"1"}},{"prices":{"own":"0.3"}}]}`,
		`{"kind":"ordinal_rate","tiers":[{"up_to":"5","rate":"0.5"},{"rate_percent":"2"}]}`, `{"kind":"expression","expression":"round(value * 3, 1) - min(part, 1)","unit_price":"2"}`,
	},
	"credit_burndown": {`{"grants":[{"amount":"30","expires_at":"2026-01-20T00:00:00Z"},{"amount":"10","recur_anchor":"2026-01-02T00:00:00Z","recur_days":3}]}`},
	"time_of_use":     {`{"time_zone":"Europe/Berlin","duration":"seconds","unit_price":"1","bands":[{"from":"08:00","to":"20:00","days":["monday","sunday"],"unit_price":"2"}]}`},
	"percentile":      {`{"percentile":95,"unit_price":"2","value":"per_second"}`},

	"minimum_commitment": {`{"minimum":"900","prorated":true}`}, "maximum_cap": {`{"maximum":"100"}`},
	"discount": {`{"percent":"10","units":"12","amount":"3","rounding":{"scale":2,"mode":"half_up"}}`}, "credits": {`{"credits":["50","3"]}`},
	"progressive_threshold": {`{"thresholds":["20","90"],"subscription_fee":"9"}`},
	"proration":             {`{"amount":"31","from":"2026-01-10T00:00:00Z","basis":"days"}`},
	"allocation":            {`{"total":"100","scale":2,"weights":[{"key":"a","weight":"1"},{"key":"b","weight":"2"}]}`},
	"invoice_totals":        {`{"coupons":[{"value":"10"}],"line_items":5}`},
	"credit_note":           {`{"fee":"30","period_days":30,"unused_days":7,"tax_percent":"20"}`},
}

// TestConformance holds every built-in tariff against the contract, in the engine: the same results from every
// division into batches, beside any other slot, in a used instance, after impossible quantities.
func TestConformance(t *testing.T) {
	modules, err := builtin.Modules()
	if errors.Is(err, builtin.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		manifest, err := plugins.ReadManifest(m.Wasm)
		if err != nil {
			t.Fatal(err)
		}
		var cases []*author.Case
		for _, tariff := range manifest.Tariffs {
			if len(conformance[tariff.Name]) == 0 {
				t.Errorf("tariff %s of module %s is not held against the contract", tariff.Name, m.Name)
			}
			for i, params := range conformance[tariff.Name] {
				cases = append(cases, &author.Case{
					Name: fmt.Sprint(tariff.Name, " ", i+1), Tariff: tariff.Name, Params: []byte(params),
					Periods: []author.Period{{Period: wholeMonth, Active: wholeMonth, Events: events()}},
				})
			}
		}
		t.Run(m.Name, func(t *testing.T) { hold(t, m.Wasm, cases) })
	}
}

var wholeMonth = billing.Period{Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)}

// hold holds a module's tariffs against the properties that the engine relies on.
func hold(t *testing.T, wasm []byte, cases []*author.Case) {
	t.Helper()
	w, err := author.Open(t.Context(), wasm, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	checked, err := w.Check(t.Context(), cases, author.CheckOptions{Seed: 1, Samples: 2, HeadroomPercent: 25})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range checked.Properties {
		for _, failure := range f.Failures {
			t.Errorf("%s: not %s: %s\n%s", failure.Case.Name, f.Property.About, failure.Text, failure.Example)
		}
	}
	for _, l := range checked.Limits {
		t.Logf("%+v", l)
		if l.Exceeded {
			t.Errorf("a limit is near: %+v", l)
		}
	}
}
