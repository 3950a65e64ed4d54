package host_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/sdk/billing"
)

// levels is a catalog of levels that go on from month to month: one is charged at
// what it is at the end, one day by day.
const levels = `
meters: [{name: seats, event_type: call, quantity: q}]
tariffs:
  - name: daily
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: prorated_sum, recurring: true, unit_price: "10"}}]
  - name: level
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}]
  - name: plain
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "100"}}]
billing: {close: manual}
default_subscriptions: [daily, level, plain]
`

// change is a change of an account's level.
type change struct {
	month time.Month
	day   int
	by    int64
}

// levelBills is what the catalog levels comes to, by exact arithmetic of its own:
// the invoice totals by month.
func levelBills(changes []change, months []time.Month) map[time.Month]string {
	bills := map[time.Month]string{}
	level := new(big.Rat)
	for _, m := range months {
		days := int64(time.Date(2026, m+1, 0, 0, 0, 0, 0, time.UTC).Day())
		prorated, plain := new(big.Rat).Set(level), new(big.Rat)
		for _, c := range changes {
			if c.month == m {
				prorated.Add(prorated, big.NewRat(c.by*(days-int64(c.day)+1), days))
				plain.Add(plain, big.NewRat(c.by, 1))
				level.Add(level, big.NewRat(c.by, 1))
			}
		}
		total, ok := new(big.Rat).SetString(prorated.Mul(prorated, big.NewRat(10, 1)).FloatString(2))
		if !ok {
			panic("a rational does not print")
		}
		total.Add(total, level)
		bills[m] = total.Add(total, plain.Mul(plain, big.NewRat(100, 1))).FloatString(2)
	}
	return bills
}

// Levels that go on from month to month are charged as if each month had been
// folded behind the end of the one before, although usage of the next months comes
// before that: with any number of partitions, in any order, with every event sent
// twice, and across restarts.
func TestCarryThroughGrace(t *testing.T) {
	months := []time.Month{time.January, time.February, time.March}
	random := rand.New(rand.NewPCG(1, 2))
	changes := map[string][]change{}
	type sent struct {
		event billing.UsageEvent
		month time.Month
	}
	var events []sent
	for n := range 12 {
		account := fmt.Sprintf("customer %d", n)
		for i := range 9 {
			m := months[i/3]
			if n%4 == 3 && m == time.February {
				continue // a month without usage
			}
			c := change{m, 1 + random.IntN(28), 1 + random.Int64N(9)}
			changes[account] = append(changes[account], c)
			at := fmt.Sprintf("2026-%02d-%02dT%02d:00:00Z", c.month, c.day, random.IntN(24))
			events = append(events, sent{call(fmt.Sprint(account, i), account, at, "q", fmt.Sprint(c.by)), m})
		}
	}
	var want []string
	for account, list := range changes {
		for m, total := range levelBills(list, months) {
			want = append(want, fmt.Sprintf("%s.2026-%02d-01.EUR.0 %s", billing.AccountID(account).Token(), m, total))
		}
	}
	slices.Sort(want)
	for _, parts := range []int{1, 2, 8} {
		t.Run(fmt.Sprint("partitions=", parts), func(t *testing.T) {
			t.Parallel()
			r := startHost(t, parts, "2026-06-01T00:00:00Z")
			r.apply(levels)
			order := slices.Clone(events)
			shuffle := rand.New(rand.NewPCG(uint64(parts), 7))
			shuffle.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			// Before the close of each month some usage of it comes in time, and some of
			// all later ones too early.
			for i, m := range months {
				var now []billing.UsageEvent
				order = slices.DeleteFunc(order, func(s sent) bool {
					due := s.month == m || s.month > m && shuffle.IntN(3) == 0
					if due {
						now = append(now, s.event)
					}
					return due
				})
				r.send(append(now, now[:len(now)/2]...)...)
				if i == 1 {
					r.restart()
				}
				r.close(fmt.Sprintf("2026-%02d", m), "")
			}
			r.restart()
			got := r.bills(host.InvoiceFilter{})
			slices.Sort(got)
			if !slices.Equal(got, want) {
				wantBills(t, got, want...)
			}
			if c := r.Counters(); c.Priced != uint64(len(events)) || c.DeadLettered != 0 {
				t.Errorf("%d events: %+v", len(events), c)
			}
		})
	}
}

// An event that was priced before the month before it was closed, and is refused
// with what that month leaves, becomes a dead letter: in all the subscriptions that
// had priced it.
func TestRefoldRefuses(t *testing.T) {
	r := startHost(t, 1, "2026-03-10T00:00:00Z")
	r.apply(`
meters: [{name: seats, event_type: call, dimensions: [seat]}]
tariffs:
  - name: seats
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, keys_max: 2, recurring: true, unit_price: "1"}}]
  - name: calls
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "100"}}]
billing: {close: manual}
default_subscriptions: [seats, calls]
`)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "seat", "a"),
		call("2", "emma", "2026-02-05T00:00:00Z", "seat", "b"),
		call("3", "emma", "2026-02-06T00:00:00Z", "seat", "c"),
		call("4", "emma", "2026-02-07T00:00:00Z", "seat", "b"),
		call("5", "noah", "2026-02-07T00:00:00Z", "seat", "x"),
	)
	r.wantCounts(5, 0, 0)
	r.close("2026-01", "")
	r.wantCounts(4, 0, 1)
	letters := r.reasons()
	if len(letters) != 1 || letters[0][:2] != "3 " {
		t.Errorf("dead letters %q", letters)
	}
	r.restart()
	// Its identity is known, but a replay does not take it for priced.
	settled, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test"})
	if err != nil || settled != (host.Settled{Refused: 1}) {
		t.Errorf("replayed: %+v, %v", settled, err)
	}
	r.wantCounts(4, 0, 1)
	r.close("2026-02", "")
	wantBills(t, r.bills(host.InvoiceFilter{}),
		"emma.2026-01-01.EUR.0 101.00", "emma.2026-02-01.EUR.0 202.00", "noah.2026-02-01.EUR.0 101.00")
}

// Who applies a version that would begin without what accounts carry is told, before
// anything is changed too: one that another tariff of a plugin prices, or that carries
// nothing or something of another size. When it begins makes no difference.
func TestApplyTellsWhatIsNotCarried(t *testing.T) {
	const first = "{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: \"1\"}}"
	version := func(from, plugin, params string) string {
		return strings.Replace(levels, first, fmt.Sprintf("%s, {effective_from: %s, plugin: %s, params: %s}", first, from, plugin, params), 1)
	}
	const dearer = `{type: sum, recurring: true, unit_price: "2"}`
	keys := func(most, then string) string {
		params := `{type: unique_count, key: seat, recurring: true, unit_price: "1", keys_max: `
		yaml := strings.Replace(version("2026-03-01T00:00:00Z", "aggregation", params+then+"}"), first, strings.Replace(first, `{type: sum, recurring: true, unit_price: "1"}`, params+most+"}", 1), 1)
		return strings.Replace(yaml, "quantity: q", "quantity: q, dimensions: [seat]", 1)
	}
	const begins = "tariff level: the version of %s takes nothing over of what accounts carry from one period into the next, such as levels: "
	for name, c := range map[string]struct{ yaml, want string }{
		"within a period": {version("2026-02-15T00:00:00Z", "aggregation", dearer), ""},
		"with a period":   {version("2026-03-01T00:00:00Z", "aggregation", dearer), ""},
		"another tariff within a period": {
			version("2026-02-15T00:00:00Z", "per_unit", `{unit_price: "2"}`),
			fmt.Sprintf(begins, "2026-02-15T00:00:00Z") + "it is priced by per_unit, and was by aggregation",
		},
		"another tariff": {
			version("2026-03-01T00:00:00Z", "per_unit", `{unit_price: "2"}`),
			fmt.Sprintf(begins, "2026-03-01T00:00:00Z") + "it is priced by per_unit, and was by aggregation",
		},
		"nothing is carried on": {
			version("2026-03-01T00:00:00Z", "aggregation", `{type: sum, unit_price: "2"}`), fmt.Sprintf(begins, "2026-03-01T00:00:00Z") + "it carries nothing itself",
		},
		"less is carried on": {
			version("2026-02-15T00:00:00Z", "aggregation", `{type: prorated_sum, recurring: true, unit_price: "2"}`),
			fmt.Sprintf(begins, "2026-02-15T00:00:00Z") + "it carries 16 bytes, and is left 32",
		},
		"more is carried on": {
			strings.Replace(version("2026-03-01T00:00:00Z", "aggregation", dearer), "{type: sum, recurring: true, unit_price: \"1\"}", "{type: prorated_sum, recurring: true, unit_price: \"1\"}", 1),
			fmt.Sprintf(begins, "2026-03-01T00:00:00Z") + "it carries 32 bytes, and is left 16",
		},
		"fewer keys": {
			keys("10", "5"),
			"tariff level: the version of 2026-03-01T00:00:00Z takes over at most 80 bytes of what an account carries from one period into the next, and before it that may be 160: an account that carries more begins without it",
		},
		"more keys":          {keys("5", "10"), ""},
		"nothing is carried": {strings.ReplaceAll(version("2026-02-15T00:00:00Z", "aggregation", dearer), "recurring: true", "recurring: false"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startHost(t, 1, "2026-01-01T00:00:00Z")
			dry, err := r.Apply(r.wait(), host.ApplyRequest{Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(c.yaml)}}, DryRun: true})
			if err != nil || len(dry.Problems) > 0 {
				t.Fatal(err, dry.Problems)
			}
			for _, applied := range []host.Applied{dry, r.apply(c.yaml)} {
				if got := strings.Join(applied.Warnings, "\n"); got != c.want {
					t.Errorf("warnings %q, want %q", got, c.want)
				}
			}
			if again := r.apply(c.yaml); len(again.Warnings) > 0 { // it was said
				t.Errorf("the same catalog again: %q", again.Warnings)
			}
		})
	}
}
