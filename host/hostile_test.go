package host_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/plugins/hostile"
	"github.com/tollway/tollway/sdk/billing"
)

// TestHostileTariffs prices usage with an honest tariff and with hostile ones in one host. The honest one's subtotals
// are exact, each event of the others is a dead letter with its reason, and so it is after a restart.
func TestHostileTariffs(t *testing.T) {
	modules, err := hostile.Always()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(modules))
	var yaml strings.Builder
	files := map[string][]byte{}
	meters, tariffs, subscriptions := "", "", ""
	for _, name := range names {
		files[name+".wasm"] = modules[name]
		meters += fmt.Sprintf(", {name: %s, event_type: %s, quantity: minutes}", name, name)
		tariffs += fmt.Sprintf("  - {name: %s, meter: %s, currency: EUR, versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: \"%s.wasm#hostile\"}]}\n", name, name, name)
		subscriptions += ", " + name
	}
	fmt.Fprintf(&yaml, `
meters: [{name: calls, event_type: call, quantity: minutes}%s]
tariffs:
  - name: per_minute
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.10"}}]
%sdefault_subscriptions: [per_minute%s]
billing: {close: manual}
`, meters, tariffs, subscriptions)

	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	applied, err := r.Apply(r.wait(), host.ApplyRequest{
		Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(yaml.String())}}, Plugins: files, At: r.Now(),
	})
	if err != nil || len(applied.Problems) > 0 {
		t.Fatal(applied.Problems, err)
	}
	const rounds = 5
	reasons := map[string]string{"loop": "tariff_trap", "trap": "tariff_trap", "memory": "tariff_trap", "recursion": "tariff_trap"}
	var rejected []string
	send := func(day int) {
		var events []billing.UsageEvent
		for n := range rounds {
			id := fmt.Sprintf("%d-%d", day, n)
			events = append(events, call("honest-"+id, "emma", fmt.Sprintf("2026-10-%02dT00:00:0%dZ", day, n), "minutes", "1"))
			for _, name := range names {
				e := call(name+"-"+id, "emma", fmt.Sprintf("2026-10-%02dT00:00:0%dZ", day, n), "minutes", "1")
				e.Type = name
				events = append(events, e)
				reason := reasons[name]
				if reason == "" {
					reason = "tariff_fault"
				}
				rejected = append(rejected, e.ID+" "+reason)
			}
		}
		r.send(events...)
	}
	check := func(days int) {
		t.Helper()
		all := r.subtotals(query.Filter{})
		honest := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !strings.Contains(s, " per_minute ") })
		want(t, honest, fmt.Sprintf("emma per_minute %d.%d0 (%d)", days*rounds/10, days*rounds%10, days*rounds))
		if len(all) != 1 {
			t.Errorf("subtotals of tariffs that priced nothing: %q", all)
		}
		got := r.reasons()
		slices.Sort(got)
		slices.Sort(rejected)
		want(t, got, rejected...)
	}
	send(3)
	check(1)
	r.restart()
	check(1)
	send(4)
	check(2)
}
