package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestObjects(t *testing.T) {
	c := parse(t, compareYAML)
	var got strings.Builder
	for _, o := range Objects(c) {
		fmt.Fprintf(&got, "%s %s %s\n", o.Kind, o.Name, o.Body)
	}
	golden(t, "testdata/objects.golden", got.String())

	again, err := FromObjects(Objects(c))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Objects(c), Objects(again)); diff != "" {
		t.Error(diff)
	}
	if changes := Compare(c, again); len(changes) > 0 {
		t.Error(changes)
	}
	if again.Digest() != c.Digest() || len(again.Bindings("emma", again.Meters["calls"])) != 1 || again.Calendar("emma").Zone.String() != "Europe/Berlin" {
		t.Error("what was stored is not what was read")
	}
}

// TestDigest does not depend on order, and on nothing but the contents.
func TestDigest(t *testing.T) {
	a := `meters: [{name: a, event_type: x}, {name: b, event_type: x, dimensions: [p, q]}]`
	b := `meters: [{dimensions: [q, p], event_type: x, name: b}, {event_type: x, name: a}]`
	if parse(t, a).Digest() != parse(t, b).Digest() {
		t.Error("order changes the digest")
	}
	if parse(t, a).Digest() == parse(t, strings.Replace(a, "event_type: x", "event_type: y", 1)).Digest() {
		t.Error("contents do not change the digest")
	}
	const want = "sha256:ce4a852d67b35959eeee924012b7b726c8bb3b3e824b2f2b4eb2791cecda4bae"
	if got := parse(t, a).Digest(); got != want && !*rewrite {
		t.Errorf("the digest of a fixed catalog is %s: stored markers would not match any more", got)
	}
}

func TestUpdate(t *testing.T) {
	c := parse(t, compareYAML)
	digest := c.Digest()
	next, err := c.Update([]Object{
		{Kind: KindAccount, Name: "liam"},
		{Kind: KindAccount, Name: "ava", Body: []byte(`{"id":"ava","subscriptions":[{"id":"bytes_std","tariff":"bytes_std"}]}`)},
		{Kind: KindDefaultSubscriptions},
		{Kind: KindBilling},
	})
	if err != nil {
		t.Fatal(err)
	}
	if next.Accounts["liam"] != nil || len(next.BindingsOf("ava")) != 1 || next.BindingsOf("liam") == nil || len(next.BindingsOf("liam")) != 0 {
		t.Errorf("%+v", next)
	}
	if next.Accounts["emma"] != c.Accounts["emma"] {
		t.Error("objects that stay are shared")
	}
	if c.Digest() != digest || c.Accounts["liam"] == nil {
		t.Error("the catalog before was changed")
	}
	restored, err := next.Update(Diff(next, c))
	if err != nil || restored.Digest() != digest {
		t.Error("the difference does not lead back", err)
	}

	_, err = c.Update([]Object{
		{Kind: KindMeter, Name: "bytes"},
		{Kind: KindTariff, Name: "calls_std"},
	})
	want := `catalog: stored objects: catalog.yaml:13: tariffs[bytes_std].meter: there is no meter "bytes"; known are calls
catalog.yaml:22: accounts[emma].subscriptions[0].tariff: there is no tariff "calls_std"; known are bytes_std
catalog.yaml:25: accounts[liam].subscriptions[0].tariff: there is no tariff "calls_std"; known are bytes_std`
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	for _, o := range []Object{
		{Kind: "rule", Name: "x", Body: []byte(`{}`)},
		{Kind: KindMeter, Name: "x", Body: []byte(`{"name":"y","event_type":"z"}`)},
		{Kind: KindMeter, Name: "x", Body: []byte(`{"name":"x","event_type":"z"} {}`)},
		{Kind: KindMeter, Name: "x", Body: []byte(`{"name":"x","name":"x","event_type":"z"}`)},
		{Kind: KindMeter, Name: "x", Body: []byte(`{`)},
		{Kind: KindBilling, Body: []byte(`{"anchor_day":32}`)},
		{Kind: KindMeter, Name: "", Body: []byte(`[]`)},
	} {
		if _, err := c.Update([]Object{o}); err == nil {
			t.Errorf("%s %s was taken", o.Kind, o.Body)
		}
	}
}

func TestMerge(t *testing.T) {
	base := parse(t, compareYAML)
	part, problems := Parse([]File{{Name: "part.yaml", Data: []byte(`
accounts: [{id: ava, subscriptions: [{tariff: bytes_std}]}, {id: emma, subscriptions: [{tariff: calls_std}]}]
`)}})
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	asked := &plugins{}
	merged := base.Merge(part, false)
	if problems := merged.Resolve(asked); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if asked.lookups != 0 || asked.checks != 0 {
		t.Errorf("what was checked before is not checked again: %+v", asked)
	}
	if len(merged.Accounts) != 3 || merged.Accounts["emma"].TimeZone != "" || merged.Accounts["liam"] != base.Accounts["liam"] || merged.DefaultSubscriptions == nil {
		t.Errorf("%+v", merged)
	}
	if base.Accounts["ava"] != nil || base.Accounts["emma"].TimeZone == "" {
		t.Error("the base was changed")
	}
	pruned := base.Merge(part, true)
	if problems := pruned.Resolve(asked); len(problems) != 2 || !strings.Contains(problems[0].Message, `there is no tariff "bytes_std"`) {
		t.Errorf("pruned too little: %v", problems)
	}

	// A changed tariff or meter has everything asked again that depends on it.
	part, _ = Parse([]File{{Name: "part.yaml", Data: []byte("meters: [{name: calls, event_type: call, dimensions: [region]}]\ndefault_subscriptions: []\nbilling: {grace: 1h}\n")}})
	merged = base.Merge(part, false)
	if problems := merged.Resolve(asked); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if asked.lookups != 0 || asked.checks != 4 {
		t.Errorf("asked %+v, want the checks of two versions, alone and under liam's params", asked)
	}
	if len(merged.BindingsOf("x")) != 0 || merged.Billing.Grace.Hours() != 1 {
		t.Error("settings that a file names replace those in force")
	}
}

// TestChecksOnce asks about equal parameters once, however many accounts have them.
func TestChecksOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("meters: [{name: m, event_type: x}]\ntariffs: [{name: t, meter: m, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat}, {effective_from: 2026-02-01T00:00:00Z, plugin: flat, params: {a: 1}}]}]\naccounts:\n")
	for i := range 50 {
		fmt.Fprintf(&b, "- {id: a%d, subscriptions: [{tariff: t, params: {b: %d}}]}\n", i, i%2)
	}
	c, _ := Parse([]File{{Name: "c.yaml", Data: []byte(b.String())}})
	asked := &plugins{}
	if problems := c.Resolve(asked); len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if asked.lookups != 1 || asked.checks != 2+2*2 {
		t.Errorf("asked %+v", asked)
	}
}

func TestPlugins(t *testing.T) {
	c, problems := Parse([]File{{Name: "conf/c.yaml", Data: []byte(`
meters: [{name: m, event_type: x}]
tariffs: [{name: t, meter: m, currency: EUR, versions: [
  {effective_from: 2026-01-01T00:00:00Z, plugin: "../plugins/my.wasm#peak"}, {effective_from: 2026-02-01T00:00:00Z, plugin: flat},
  {effective_from: 2026-03-01T00:00:00Z, plugin: /abs/my.wasm}, {effective_from: 2026-04-01T00:00:00Z, plugin: "x@sha256:00"}]}]
`)}})
	if len(problems) > 0 {
		t.Fatal(lines(problems))
	}
	if diff := cmp.Diff([]string{"/abs/my.wasm", "flat", "plugins/my.wasm#peak", "x@sha256:00"}, c.Plugins()); diff != "" {
		t.Error(diff)
	}
}

// TestRoundTrip stores and reads any catalog that can be written.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := drawCatalog(rt)
		c, problems := Parse([]File{{Name: "c.yaml", Data: []byte(text)}})
		if problems = append(problems, c.Resolve(&plugins{})...); len(problems) > 0 {
			rt.Fatalf("%s\n%s", lines(problems), text)
		}
		again, err := FromObjects(Objects(c))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(Objects(c), Objects(again)); diff != "" || len(Compare(c, again)) > 0 || len(Diff(c, again)) > 0 {
			rt.Fatal(diff)
		}
	})
}

// drawCatalog writes a catalog without problems.
func drawCatalog(t *rapid.T) string {
	var b strings.Builder
	quoted := func(label string) string {
		s := rapid.StringMatching(`[a-zA-Z0-9 _.:/ü"\\-]{1,12}`).Draw(t, label)
		return string(appendText(nil, s))
	}
	meters, tariffs := rapid.IntRange(1, 4).Draw(t, "meters"), rapid.IntRange(0, 4).Draw(t, "tariffs")
	b.WriteString("meters:\n")
	for i := range meters {
		fmt.Fprintf(&b, "- {name: m%d, event_type: %s, dimensions: [d%d, e], filter: {%s: [%s, 1.50, true]}}\n", i, quoted("type"), i, quoted("key"), quoted("value"))
	}
	b.WriteString("tariffs:\n")
	for i := range tariffs {
		m := rapid.IntRange(0, meters-1).Draw(t, "meter")
		mode := rapid.SampledFrom([]string{"none", "half_up", "half_even", "floor", "ceiling"}).Draw(t, "mode")
		fmt.Fprintf(&b, "- {name: t%d, meter: m%d, currency: %s, group_by: [d%d], rounding: {mode: %s, scale: %d}, versions: [", i, m,
			rapid.SampledFrom([]string{"EUR", "JPY", "KWD"}).Draw(t, "currency"), m, mode, rapid.IntRange(-3, 18).Draw(t, "scale"))
		for v := range rapid.IntRange(1, 3).Draw(t, "versions") {
			fmt.Fprintf(&b, "{effective_from: 2026-0%d-01T00:00:00+0%d:00, plugin: flat, params: {x: [%s, {%s: -0.50e1}]}},", 3-v, rapid.IntRange(0, 9).Draw(t, "zone"), quoted("x"), quoted("y"))
		}
		b.WriteString("]}\n")
	}
	b.WriteString("accounts:\n")
	for i := range rapid.IntRange(0, 5).Draw(t, "accounts") {
		fmt.Fprintf(&b, "- {id: a%d, time_zone: %s, details: {n: %s}, subscriptions: [", i, rapid.SampledFrom([]string{"UTC", "Asia/Kolkata", "null"}).Draw(t, "zone"), quoted("name"))
		for s := range rapid.IntRange(0, min(tariffs, 1)*3).Draw(t, "subscriptions") {
			fmt.Fprintf(&b, "{id: s%d, tariff: t%d, from: 2026-01-0%dT00:00:00.5Z, params: {p: %s}},", s, rapid.IntRange(0, tariffs-1).Draw(t, "tariff"), s+1, quoted("p"))
		}
		b.WriteString("]}\n")
	}
	return b.String()
}
