package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/sdk/billing"
)

// compareYAML is what the cases of TestCompare start from.
const compareYAML = `
meters:
  - {name: calls, event_type: call, filter: {kind: [voice]}, quantity: n, dimensions: [region, tier]}
  - {name: bytes, event_type: data}
tariffs:
  - name: calls_std
    meter: calls
    currency: EUR
    group_by: [region]
    versions:
      - {effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1", cap: "9"}}
      - {effective_from: 2026-06-01T00:00:00Z, plugin: per_unit, params: {unit_price: "2", cap: "9"}}
  - name: bytes_std
    meter: bytes
    currency: EUR
    versions: [{effective_from: 2026-02-01T00:00:00Z, plugin: flat}]
accounts:
  - id: emma
    time_zone: Europe/Berlin
    details: {name: Emma}
    subscriptions:
      - {id: main, tariff: calls_std, from: 2026-03-01T00:00:00Z}
  - id: liam
    subscriptions:
      - {tariff: calls_std, from: 2025-01-01T00:00:00Z, until: 2026-07-01T00:00:00Z, params: {cap: "5"}}
default_subscriptions: [bytes_std]
billing: {time_zone: UTC, grace: 72h}
`

// at writes a change with what it concerns: "… | from TIME, tariff x, account y".
func at(c Change) string {
	if !c.Prices {
		return c.String() + " | no effect"
	}
	from := "the beginning"
	if !c.ReachesBack.IsZero() {
		from = c.ReachesBack.Format(time.RFC3339)
	}
	text := c.String() + " | from " + from
	for _, part := range [][2]string{{"meter", c.Meter}, {"tariff", c.Tariff}, {"account", string(c.Account)}, {"subscription", c.Subscription}} {
		if part[1] != "" {
			text += ", " + part[0] + " " + part[1]
		}
	}
	var who []string
	for _, id := range []billing.AccountID{"emma", "liam", "noah", "nobody"} {
		if c.Concerns(id) {
			who = append(who, string(id))
		}
	}
	return text + ": " + strings.Join(who, " ")
}

func TestCompare(t *testing.T) {
	const emma, liam = "main, tariff: calls_std, from: 2026-03-01T00:00:00Z", "from: 2025-01-01T00:00:00Z, until: 2026-07-01T00:00:00Z, params: {cap: \"5\"}"
	for _, test := range []struct {
		name    string
		replace []string // pairs for strings.NewReplacer
		want    []string
	}{
		{"nothing", nil, nil},
		{"what has no effect on money", []string{"name: Emma", "name: Emma GmbH", "grace: 72h", "grace: 24h, close: manual, clock: event, seller: {name: S}", "[region, tier]", "[tier, region, sku]"}, []string{
			"account emma: details changed | no effect",
			"billing: grace changed from 72h0m0s to 24h0m0s | no effect",
			"billing: close changed from automatic to manual | no effect",
			"billing: clock changed from wall to event | no effect",
			"billing: seller changed | no effect",
			"meter calls: dimensions added: sku | no effect",
		}},
		{"order and spelling are not changes", []string{"[region, tier]", "[tier, region]", "kind: [voice]", "kind: voice", "2026-06-01T00:00:00Z", "2026-06-01T02:00:00+02:00", "group_by: [region]", "group_by: [region]\n    rounding: {scale: 2}"}, nil},
		{"meter", []string{"event_type: data", "event_type: octets, amount: eur", "[voice]", "[voice, video]", "quantity: n", "quantity: count", "[region, tier]", "[region]"}, []string{
			"meter bytes: event_type changed from data to octets | from the beginning, meter bytes: emma liam noah nobody",
			`meter bytes: amount changed from "" to "eur" | from the beginning, meter bytes: emma liam noah nobody`,
			"meter calls: filter changed | from the beginning, meter calls: emma liam noah nobody",
			`meter calls: quantity changed from "n" to "count" | from the beginning, meter calls: emma liam noah nobody`,
			"meter calls: dimensions removed: tier | from the beginning, meter calls: emma liam noah nobody",
		}},
		{"tariff", []string{"currency: EUR\n    group_by: [region]", "currency: JPY\n    group_by: [region, tier]", "meter: bytes\n    currency: EUR", "meter: calls\n    currency: EUR\n    rounding: {mode: none}"}, []string{
			"tariff bytes_std: meter changed from bytes to calls | from the beginning, tariff bytes_std: emma liam noah nobody",
			"tariff bytes_std: rounding changed from half_up at scale 2 to none | from the beginning, tariff bytes_std: emma liam noah nobody",
			"tariff calls_std: currency changed from EUR to JPY | from the beginning, tariff calls_std: emma liam noah nobody",
			"tariff calls_std: group_by changed from [region] to [region, tier] | from the beginning, tariff calls_std: emma liam noah nobody",
			"tariff calls_std: rounding changed from half_up at scale 2 to half_up at scale 0 | from the beginning, tariff calls_std: emma liam noah nobody",
		}},
		{"version added", []string{"    versions:\n", "    versions:\n      - {effective_from: 2026-09-01T00:00:00Z, plugin: flat}\n"}, []string{
			"tariff calls_std: version 2026-09-01T00:00:00Z added | from 2026-09-01T00:00:00Z, tariff calls_std: emma liam noah nobody",
		}},
		{"version moved", []string{"2026-06-01T00", "2026-05-15T00"}, []string{
			"tariff calls_std: version 2026-05-15T00:00:00Z added | from 2026-05-15T00:00:00Z, tariff calls_std: emma liam noah nobody",
			"tariff calls_std: version 2026-06-01T00:00:00Z removed | from 2026-06-01T00:00:00Z, tariff calls_std: emma liam noah nobody",
		}},
		{"version changed", []string{`per_unit, params: {unit_price: "2"`, `graduated, params: {unit_price: "3"`}, []string{
			"tariff calls_std: version 2026-06-01T00:00:00Z has its tariff within the plugin changed from per_unit to graduated, has its params changed | from 2026-06-01T00:00:00Z, tariff calls_std: emma liam noah nobody",
		}},
		{"subscription added", []string{"- {id: " + emma + "}", "- {id: " + emma + "}\n      - {tariff: bytes_std, from: 2025-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}"}, []string{
			"account emma: subscription to tariff bytes_std added from 2025-01-01T00:00:00Z until 2027-01-01T00:00:00Z | from 2026-02-01T00:00:00Z, tariff bytes_std, account emma, subscription bytes_std: emma",
		}},
		{"subscription that never prices", []string{"- {id: " + emma + "}", "- {id: " + emma + "}\n      - {tariff: bytes_std, until: 2026-02-01T00:00:00Z}"}, []string{
			"account emma: subscription to tariff bytes_std added until 2026-02-01T00:00:00Z | no effect",
		}},
		{"subscription removed and renamed", []string{"id: main", "id: second"}, []string{
			"account emma: subscription main to tariff calls_std removed | from 2026-03-01T00:00:00Z, tariff calls_std, account emma, subscription main: emma",
			"account emma: subscription second to tariff calls_std added from 2026-03-01T00:00:00Z | from 2026-03-01T00:00:00Z, tariff calls_std, account emma, subscription second: emma",
		}},
		{"from later", []string{emma, strings.Replace(emma, "2026-03", "2026-04", 1)}, []string{
			"account emma: subscription main to tariff calls_std starts 2026-04-01T00:00:00Z instead of 2026-03-01T00:00:00Z | from 2026-03-01T00:00:00Z, tariff calls_std, account emma, subscription main: emma",
		}},
		{"from before the first version", []string{liam, strings.Replace(liam, "2025-01", "2025-08", 1)}, []string{
			"account liam: subscription to tariff calls_std starts 2025-08-01T00:00:00Z instead of 2025-01-01T00:00:00Z | no effect",
		}},
		{"from dropped", []string{liam, strings.Replace(liam, "from: 2025-01-01T00:00:00Z, ", "", 1), emma, strings.Replace(emma, ", from: 2026-03-01T00:00:00Z", "", 1)}, []string{
			"account emma: subscription main to tariff calls_std starts from the beginning instead of 2026-03-01T00:00:00Z | from 2026-01-01T00:00:00Z, tariff calls_std, account emma, subscription main: emma",
			"account liam: subscription to tariff calls_std starts from the beginning instead of 2025-01-01T00:00:00Z | no effect",
		}},
		{"until dropped", []string{liam, strings.Replace(liam, ", until: 2026-07-01T00:00:00Z", "", 1)}, []string{
			"account liam: subscription to tariff calls_std ends never instead of 2026-07-01T00:00:00Z | from 2026-07-01T00:00:00Z, tariff calls_std, account liam, subscription calls_std: liam",
		}},
		{"until earlier", []string{liam, strings.Replace(liam, "2026-07-01", "2026-05-01", 1)}, []string{
			"account liam: subscription to tariff calls_std ends 2026-05-01T00:00:00Z instead of 2026-07-01T00:00:00Z | from 2026-05-01T00:00:00Z, tariff calls_std, account liam, subscription calls_std: liam",
		}},
		{"params", []string{liam, strings.Replace(liam, `"5"`, `"6"`, 1)}, []string{
			"account liam: subscription to tariff calls_std has its params changed | from 2026-01-01T00:00:00Z, tariff calls_std, account liam, subscription calls_std: liam",
		}},
		{"params that differ under one version", []string{emma, emma + `, params: {unit_price: "1"}`}, []string{
			"account emma: subscription main to tariff calls_std has its params changed | from 2026-06-01T00:00:00Z, tariff calls_std, account emma, subscription main: emma",
		}},
		{"params that say the same", []string{emma, emma + `, params: {cap: "9"}`}, []string{
			"account emma: subscription main to tariff calls_std has its params changed | no effect",
		}},
		{"calendar of an account", []string{"Europe/Berlin", "Europe/Paris", "- id: liam", "- id: liam\n    time_zone: UTC\n    anchor_day: 15"}, []string{
			"account emma: time_zone changed from Europe/Berlin to Europe/Paris | from the beginning, account emma: emma",
			"account liam: anchor_day changed from 1 to 15 | from the beginning, account liam: liam",
		}},
		{"calendar of billing", []string{"time_zone: UTC", "time_zone: Asia/Tokyo, anchor_day: 2"}, []string{
			"billing: time_zone changed from UTC to Asia/Tokyo | from the beginning: liam noah nobody",
			"billing: anchor_day changed from 1 to 2 | from the beginning: emma liam noah nobody",
		}},
		{"default subscriptions", []string{"[bytes_std]", "[calls_std]"}, []string{
			"default_subscriptions: subscription to tariff bytes_std removed | from 2026-02-01T00:00:00Z, tariff bytes_std, subscription bytes_std: noah nobody",
			"default_subscriptions: subscription to tariff calls_std added | from 2026-01-01T00:00:00Z, tariff calls_std, subscription calls_std: noah nobody",
		}},
		{"listing an account that had the defaults", []string{"accounts:\n", "accounts:\n  - {id: noah, subscriptions: [{tariff: calls_std, from: 2026-08-01T00:00:00Z}]}\n"}, []string{
			"account noah: listed, so that its own subscriptions replace the default ones | no effect",
			"account noah: subscription to tariff bytes_std removed | from 2026-02-01T00:00:00Z, tariff bytes_std, account noah, subscription bytes_std: noah",
			"account noah: subscription to tariff calls_std added from 2026-08-01T00:00:00Z | from 2026-08-01T00:00:00Z, tariff calls_std, account noah, subscription calls_std: noah",
		}},
		{"listing an account with just the defaults", []string{"accounts:\n", "accounts:\n  - {id: noah, time_zone: UTC, subscriptions: [{tariff: bytes_std}]}\n"}, []string{
			"account noah: listed, so that its own subscriptions replace the default ones | no effect",
		}},
		{"removing an account", []string{"- id: liam\n    subscriptions:\n      - {tariff: calls_std, " + liam + "}", ""}, []string{
			"account liam: removed, so that the default subscriptions hold for it | no effect",
			"account liam: subscription to tariff bytes_std added | from 2026-02-01T00:00:00Z, tariff bytes_std, account liam, subscription bytes_std: liam",
			"account liam: subscription to tariff calls_std removed | from 2026-01-01T00:00:00Z, tariff calls_std, account liam, subscription calls_std: liam",
		}},
		{"a new meter and tariff", []string{
			"- {name: bytes, event_type: data}", "- {name: bytes, event_type: data}\n  - {name: sms, event_type: sms}",
			"tariffs:\n", "tariffs:\n  - {name: sms_std, meter: sms, currency: EUR, versions: [{effective_from: 2026-10-01T00:00:00Z, plugin: flat}]}\n",
			"[bytes_std]", "[bytes_std, sms_std]", "- {id: " + emma + "}", "- {id: " + emma + "}\n      - {tariff: sms_std, from: 2026-11-01T00:00:00Z}",
		}, []string{
			"account emma: subscription to tariff sms_std added from 2026-11-01T00:00:00Z | from 2026-11-01T00:00:00Z, tariff sms_std, account emma, subscription sms_std: emma",
			"default_subscriptions: subscription to tariff sms_std added | from 2026-10-01T00:00:00Z, tariff sms_std, subscription sms_std: noah nobody",
			"meter sms: added | no effect",
			"tariff sms_std: added | no effect",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			old := parse(t, compareYAML)
			next := parse(t, strings.NewReplacer(test.replace...).Replace(compareYAML))
			var got []string
			for _, c := range Compare(old, next) {
				got = append(got, at(c))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if (len(test.want) == 0) != (old.Digest() == next.Digest()) {
				t.Error("changes and digests disagree")
			}
		})
	}
}

// TestCompareModule notices another plugin behind the same name.
func TestCompareModule(t *testing.T) {
	file := []File{{Name: "c.yaml", Data: []byte(compareYAML)}}
	old := parse(t, compareYAML)
	next, _ := Parse(file)
	if problems := next.Resolve(&plugins{digest: "sha256:" + strings.Repeat("1", 64)}); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	want := "tariff bytes_std: version 2026-02-01T00:00:00Z has its plugin changed from flat (sha256:000000000000) to flat (sha256:111111111111) | from 2026-02-01T00:00:00Z, tariff bytes_std: emma liam noah nobody"
	if got := at(Compare(old, next)[0]); got != want {
		t.Error(got)
	}
}

// TestCompareEmpty compares with no catalog at all.
func TestCompareEmpty(t *testing.T) {
	c := parse(t, compareYAML)
	if got := Compare(nil, nil); len(got) != 0 {
		t.Error(got)
	}
	for _, change := range Compare(nil, c) {
		if change.Kind == KindAccount && change.Prices && change.ReachesBack.IsZero() && !strings.Contains(change.What, "time_zone") {
			t.Error(at(change))
		}
	}
	if got := Compare(c, nil); len(got) == 0 {
		t.Error("no changes")
	}
}

func TestConcernsUsage(t *testing.T) {
	c := Change{Prices: true, Tariff: "t", Account: "emma"}
	if !c.ConcernsUsage("emma", "m", "t", "s") || c.ConcernsUsage("emma", "m", "other", "s") || c.ConcernsUsage("liam", "m", "t", "s") {
		t.Error("tariff and account select")
	}
	if (Change{}).ConcernsUsage("emma", "m", "t", "s") {
		t.Error("a change without effect concerns nothing")
	}
}
