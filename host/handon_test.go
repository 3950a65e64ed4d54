package host_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// inside is a catalog of levels whose versions begin within periods, two of them within one.
const inside = `
meters: [{name: seats, event_type: call, quantity: q, dimensions: [region]}]
tariffs:
  - name: daily
    meter: seats
    currency: EUR
    group_by: [region]
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: prorated_sum, recurring: true, unit_price: "10"}}
      - {effective_from: 2026-02-10T00:00:00Z, plugin: aggregation, params: {type: prorated_sum, recurring: true, unit_price: "20"}}
      - {effective_from: 2026-02-16T00:00:00Z, plugin: aggregation, params: {type: prorated_sum, recurring: true, unit_price: "30"}}
  - name: level
    meter: seats
    currency: EUR
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}
      - {effective_from: 2026-02-16T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "100"}}
      - {effective_from: 2026-03-15T00:00:00Z, plugin: per_unit, params: {unit_price: "7"}}
billing: {close: manual}
default_subscriptions: [daily, level]
accounts:
`

// steps are the versions of the tariffs of inside, by when they begin and at what price; a
// price of 0 ends the level.
var steps = map[string][]step{
	"daily": {{instant("2025-01-01T00:00:00Z"), 10, true}, {instant("2026-02-10T00:00:00Z"), 20, true}, {instant("2026-02-16T00:00:00Z"), 30, true}},
	"level": {{instant("2025-01-01T00:00:00Z"), 1, true}, {instant("2026-02-16T00:00:00Z"), 100, true}, {instant("2026-03-15T00:00:00Z"), 7, false}},
}

type step struct {
	from  time.Time
	price int64
	keeps bool // what accounts have
}

// move is a change of an account's level.
type move struct {
	at     time.Time
	by     int64
	region string
}

// insideBill is what an account owes of a period by the catalog inside, by exact arithmetic of
// its own: it goes day by day through all that was before.
func insideBill(moves []move, start, end time.Time) *big.Rat {
	total := new(big.Rat)
	for name, versions := range steps {
		for _, region := range []string{"eu", "us"} {
			for i, v := range versions {
				behind := end
				if i+1 < len(versions) && versions[i+1].from.Before(end) {
					behind = versions[i+1].from
				}
				from := slices.MaxFunc([]time.Time{v.from, start}, time.Time.Compare)
				if !from.Before(behind) {
					continue
				}
				level, days := new(big.Rat), new(big.Rat)
				for _, m := range moves {
					// A tariff without levels has its own usage of the period alone.
					if m.region != region || !m.at.Before(behind) || !v.keeps && m.at.Before(from) {
						continue
					}
					level.Add(level, big.NewRat(m.by, 1))
					count := behind.Sub(slices.MaxFunc([]time.Time{m.at.Truncate(24 * time.Hour), from}, time.Time.Compare))
					days.Add(days, big.NewRat(m.by*int64(count), int64(end.Sub(start))))
				}
				if name == "daily" {
					level = days
				}
				// A line for each version, and of daily for each region, is rounded.
				line, ok := new(big.Rat).SetString(level.Mul(level, big.NewRat(v.price, 1)).FloatString(2))
				if !ok {
					panic("a rational does not print")
				}
				total.Add(total, line)
			}
		}
	}
	return total
}

// insideWorld is accounts with their moves, and what the invoices say of them so far.
type insideWorld struct {
	anchor map[string]int
	known  map[string][]move
	billed map[string]map[time.Time]*big.Rat // by account and period
	issued []string
}

// close closes the periods that begin in a month, and says what their invoices come to: what
// the periods before come to now differs from what was billed by what came late.
func (w *insideWorld) close(r *running, m time.Month) {
	r.t.Helper()
	shown := map[string][]byte{}
	for account, day := range w.anchor {
		start := time.Date(2026, m, day, 0, 0, 0, 0, time.UTC)
		end := start.AddDate(0, 1, 0)
		p, err := r.Preview(r.wait(), billing.AccountID(account), start.Format(time.DateOnly))
		if err != nil || len(p.Invoices) != 1 {
			r.t.Fatal(account, err, len(p.Invoices))
		}
		if shown[p.Invoices[0].ID], err = p.Invoices[0].Encode(); err != nil {
			r.t.Fatal(err)
		}
		if w.billed[account] == nil {
			w.billed[account] = map[time.Time]*big.Rat{}
		}
		// The period behind, while this one is open.
		if p, err = r.Preview(r.wait(), billing.AccountID(account), end.Format(time.DateOnly)); err != nil || len(p.Invoices) != 1 {
			r.t.Fatal(account, err, len(p.Invoices))
		}
		if next := insideBill(w.known[account], end, end.AddDate(0, 1, 0)).FloatString(2); p.Invoices[0].TotalText != next {
			r.t.Errorf("%s of %s, while %s is open: %s, want %s", account, end, start, p.Invoices[0].TotalText, next)
		}
		total := insideBill(w.known[account], start, end)
		for before, billed := range w.billed[account] {
			now := insideBill(w.known[account], before, before.AddDate(0, 1, 0))
			total.Add(total, new(big.Rat).Sub(now, billed))
			w.billed[account][before] = now
		}
		w.billed[account][start] = insideBill(w.known[account], start, end)
		w.issued = append(w.issued, fmt.Sprintf("%s.%s.EUR.0 %s", billing.AccountID(account).Token(), start.Format(time.DateOnly), total.FloatString(2)))
	}
	for _, day := range []int{1, 12} {
		if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: fmt.Sprintf("2026-%02d-%02d", m, day), AnchorDay: day, SkipGrace: true}); err != nil {
			r.t.Fatal(err)
		}
	}
	for id, document := range shown {
		if now := r.document(id); !bytes.Equal(now, document) {
			r.t.Errorf("previewed\n%s\nand issued\n%s", document, now)
		}
	}
}

// Levels are handed on to versions that begin within a period, by chains of them, in groups
// of which the later version has no usage, with another anchor day; with usage that comes in
// time, before the period before is closed, or behind the close of its own; previewed as they
// are billed, with any number of partitions, and across restarts.
func TestLevelsWithinPeriod(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	type sent struct {
		event   billing.UsageEvent
		account string
		move    move
		round   int // before which close it comes
	}
	months := []time.Month{time.January, time.February, time.March, time.April}
	anchor, yaml := map[string]int{}, inside
	var events []sent
	for n := range 10 {
		account := fmt.Sprintf("customer-%d", n)
		anchor[account] = []int{1, 1, 12}[n%3]
		yaml += fmt.Sprintf("  - {id: %s, anchor_day: %d, subscriptions: [{tariff: daily}, {tariff: level}]}\n", account, anchor[account])
		for i := range 14 {
			m := move{
				at: time.Date(2026, months[i%4], 13+random.IntN(16), random.IntN(24), 0, 0, 0, time.UTC), by: 1 + random.Int64N(9),
				region: []string{"eu", "us"}[random.IntN(2)],
			}
			if n%5 == 4 && i%4 != 0 { // usage in January alone, and of one group
				continue
			}
			if i%4 == 0 && n%5 == 4 {
				m.region = "eu"
			}
			if i > 8 && m.at.Month() > time.January {
				m.at = m.at.AddDate(0, 0, -random.IntN(12))
			}
			round := min(max(i%4+[]int{0, 0, 0, -1, 1, 2}[random.IntN(6)], 0), 3)
			e := call(fmt.Sprint(account, i), account, m.at.Format(time.RFC3339), "q", fmt.Sprint(m.by), "region", m.region)
			events = append(events, sent{e, account, m, round})
		}
	}
	for _, parts := range []int{1, 2, 8} {
		t.Run(fmt.Sprint("partitions=", parts), func(t *testing.T) {
			t.Parallel()
			r := startHost(t, parts, "2026-07-01T00:00:00Z")
			r.apply(yaml)
			w := &insideWorld{anchor: anchor, known: map[string][]move{}, billed: map[string]map[time.Time]*big.Rat{}}
			for round, m := range months {
				var now []billing.UsageEvent
				for _, s := range events {
					if s.round == round {
						now, w.known[s.account] = append(now, s.event), append(w.known[s.account], s.move)
					}
				}
				slices.SortFunc(now, func(a, b billing.UsageEvent) int { return cmp.Compare(a.ID, b.ID) })
				r.send(append(now, now[:len(now)/2]...)...)
				if round == 2 {
					r.restart()
				}
				w.close(r, m)
			}
			r.restart()
			got := r.bills(host.InvoiceFilter{})
			slices.Sort(got)
			slices.Sort(w.issued)
			wantBills(t, got, w.issued...)
			r.sameAgain()
			if c := r.Counters(); c.Priced != uint64(len(events)) || c.DeadLettered != 0 {
				t.Errorf("%d events: %+v", len(events), c)
			}
		})
	}
}

// onlyOf is a catalog of one tariff of levels, at 1 until 16 January and at 10 from then on.
const onlyOf = `
meters: [{name: seats, event_type: call, quantity: q, dimensions: [region]}]
tariffs:
  - name: level
    meter: seats
    currency: EUR
    group_by: [region]
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}
      - {effective_from: 2026-01-16T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "10"}}
billing: {close: manual}
default_subscriptions: [level]
`

// What is handed on and is taken back, since the usage before was voided or amended, is billed
// no more: in the rest of its period and in those behind.
func TestLevelTakenBackWithinPeriod(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-06-01T00:00:00Z")
	r.apply(onlyOf)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "q", "3", "region", "eu"),
		call("2", "emma", "2026-01-06T00:00:00Z", "q", "5", "region", "us"),
		call("3", "emma", "2026-01-20T00:00:00Z", "q", "1", "region", "us"))
	want(t, r.subtotals(query.Filter{Account: "emma"}), "emma level 3.00 (1)", "emma level 5.00 (1)", "emma level 10.00 (1)")
	r.close("2026-01", "") // 3 and 5 at 1, 3 and 6 at 10
	want(t, r.subtotals(query.Filter{Account: "emma", Period: "2026-01"}), "emma level 3.00 (1) final", "emma level 5.00 (1) final", "emma level 30.00 (0) final", "emma level 60.00 (1) final")
	r.close("2026-02", "")
	r.send(voids("v", "1", "emma"), amends("a", "2", "emma", `{"q":"4","region":"us"}`, ""))
	r.sameAgain()
	r.close("2026-03", "")
	want(t, r.adjustments("emma.2026-03-01.EUR.0"),
		"2026-01-01 level: 5 → 4 = -1.00", "2026-01-01 level: 60 → 50 = -10.00", "2026-01-01 level: 3 → 0 = -3.00", "2026-01-01 level: 30 → 0 = -30.00",
		"2026-02-01 level: 60 → 50 = -10.00", "2026-02-01 level: 30 → 0 = -30.00")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-01-01.EUR.0 98.00", "emma.2026-02-01.EUR.0 90.00", "emma.2026-03-01.EUR.0 -34.00")
	r.sameAgain()
}

// Usage of a later version that is refused with what it is handed becomes a dead letter, in
// all of the account's tariffs, also where another version of one of them begins behind it.
func TestLevelWithinPeriodRefuses(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	r.apply(`
meters: [{name: seats, event_type: call, quantity: q, dimensions: [seat]}]
tariffs:
  - name: keys
    meter: seats
    currency: EUR
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, keys_max: 2, recurring: true, unit_price: "1"}}
      - {effective_from: 2026-01-10T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, keys_max: 2, recurring: true, unit_price: "10"}}
  - name: level
    meter: seats
    currency: EUR
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "100"}}
      - {effective_from: 2026-01-25T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1000"}}
billing: {close: manual}
default_subscriptions: [keys, level]
`)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "q", "1", "seat", "a"),
		call("2", "emma", "2026-01-15T00:00:00Z", "q", "2", "seat", "b"),
		call("3", "emma", "2026-01-16T00:00:00Z", "q", "4", "seat", "c"),
		call("4", "emma", "2026-01-26T00:00:00Z", "q", "8", "seat", "b"))
	r.wantCounts(4, 0, 0)
	preview, err := r.Preview(r.wait(), "emma", "2026-01")
	if err != nil || len(preview.Invoices) != 1 || preview.Invoices[0].TotalText != "11321.00" {
		t.Fatal(err, preview)
	}
	r.wantCounts(4, 0, 0) // it was a preview
	r.close("2026-01", "")
	r.wantCounts(3, 0, 1)
	if letters := r.reasons(); len(letters) != 1 || letters[0][:2] != "3 " {
		t.Errorf("dead letters %q", letters)
	}
	// keys: a at 1, a and b at 10; level: 1+2 at 100, 1+2+8 at 1000.
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-01-01.EUR.0 11321.00")
	r.sameAgain()
	r.close("2026-02", "")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-02"}), "emma.2026-02-01.EUR.0 11020.00")
}

// Params that override those of one account begin with its level, and so does what comes
// behind them; a subscription that ends within the period leaves nothing, and another tariff
// of a plugin begins with nothing.
func TestLevelsOfOneAccountWithinPeriod(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-06-01T00:00:00Z")
	const override = "overrides: [{from: 2026-01-10T00:00:00Z, until: 2026-01-12T00:00:00Z, params: {type: sum, recurring: true, unit_price: \"100\"}}]"
	r.apply(strings.Replace(onlyOf, "billing:", `  - name: changing
    meter: seats
    currency: EUR
    group_by: [region]
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}
      - {effective_from: 2026-01-10T00:00:00Z, plugin: per_unit, params: {unit_price: "10"}}
      - {effective_from: 2026-01-20T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "100"}}
billing:`, 1) + `
accounts:
  - {id: emma, subscriptions: [{tariff: level, ` + override + `}]}
  - {id: noah, subscriptions: [{tariff: level, until: 2026-01-14T00:00:00Z}]}
  - {id: zoe, subscriptions: [{tariff: level, from: 2026-01-08T00:00:00Z, until: 2026-01-20T00:00:00Z}]}
  - {id: other, subscriptions: [{tariff: changing}]}
`)
	for _, account := range []string{"emma", "noah", "zoe", "other"} {
		r.send(call(account+"1", account, "2026-01-09T00:00:00Z", "q", "2", "region", "eu"))
	}
	r.send(
		call("other2", "other", "2026-01-15T00:00:00Z", "q", "3", "region", "eu"),
		call("other3", "other", "2026-01-25T00:00:00Z", "q", "4", "region", "us"))
	r.close("2026-01", "")
	r.close("2026-02", "")
	bills := []string{
		"emma.2026-01-01.EUR.0 224.00", // 2 at 1, at 100, at 1 and at 10
		"noah.2026-01-01.EUR.0 2.00", "other.2026-01-01.EUR.0 432.00", "zoe.2026-01-01.EUR.0 22.00",
		"emma.2026-02-01.EUR.0 20.00", "other.2026-02-01.EUR.0 400.00",
	}
	wantBills(t, r.bills(host.InvoiceFilter{}), bills...)
	r.send(call("late", "zoe", "2026-01-12T00:00:00Z", "q", "1", "region", "eu"))
	r.close("2026-03", "")
	want(t, r.adjustments("zoe.2026-03-01.EUR.0"), "2026-01-01 level: 2 → 3 = 1.00", "2026-01-01 level: 20 → 30 = 10.00")
}

// A version that a repricing brings into periods that are closed, or takes out of them again,
// bills the levels as if it had been there from the beginning.
func TestLevelsWithinPeriodRepriced(t *testing.T) {
	t.Parallel()
	without := strings.Replace(onlyOf, "      - {effective_from: 2026-01-16T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: \"10\"}}\n", "", 1)
	r := startHost(t, 1, "2026-08-01T00:00:00Z")
	r.apply(without)
	r.send(
		call("0", "emma", "2025-12-05T00:00:00Z", "q", "1", "region", "eu"),
		call("1", "emma", "2026-01-05T00:00:00Z", "q", "3", "region", "eu"),
		call("2", "emma", "2026-01-06T00:00:00Z", "q", "5", "region", "us"),
		call("3", "emma", "2026-01-20T00:00:00Z", "q", "1", "region", "us"))
	for _, month := range []string{"2025-12", "2026-01", "2026-02"} {
		r.close(month, "")
	}
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2025-12-01.EUR.0 1.00", "emma.2026-01-01.EUR.0 10.00", "emma.2026-02-01.EUR.0 10.00")
	r.reprice(onlyOf, false)
	r.close("2026-03", "")
	// January: 4 and 5 at 1, 4 and 6 at 10; from then on 4 and 6 at 10.
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-03"}), "emma.2026-03-01.EUR.0 289.00")
	r.sameAgain()
	r.reprice(without, false)
	r.close("2026-04", "")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-04"}), "emma.2026-04-01.EUR.0 -269.00")
	later := strings.Replace(onlyOf, "2026-01-16T", "2026-01-21T", 1)
	r.reprice(later, false)
	r.close("2026-05", "")
	// January: 4 and 6 at 1, 4 and 6 at 10; each of the three months behind 90 more.
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-05"}), "emma.2026-05-01.EUR.0 470.00")
	r.sameAgain()
}

// An account whose invoice is parked is handed its levels anew when that is tried again: what
// was voided meanwhile is not handed on any more. Its later periods wait for that.
func TestLevelsWithinPeriodParked(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	taxed := strings.Replace(onlyOf, "billing: {", "billing: {invoice_rules: ["+vat+"], ", 1)
	r.apply(taxed)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "q", "14000000000000000000", "region", "eu"), // with tax more than an amount can be
		call("2", "emma", "2026-01-06T00:00:00Z", "q", "5", "region", "eu"),
		call("3", "emma", "2026-01-07T00:00:00Z", "q", "2", "region", "us"),
		call("4", "emma", "2026-01-20T00:00:00Z", "q", "1", "region", "eu"),
		call("5", "emma", "2026-02-20T00:00:00Z", "q", "1", "region", "eu"))
	r.close("2026-01", "")
	r.close("2026-02", "")
	wantBills(t, r.bills(host.InvoiceFilter{}))
	r.send(voids("v1", "1", "emma"), voids("v3", "3", "emma"))
	r.restart()
	r.apply(strings.Replace(taxed, "default_subscriptions", "accounts: [{id: noah, subscriptions: []}]\ndefault_subscriptions", 1)) // tries it again
	// January: 5 at 1 and 6 at 10; February: 7 at 10.
	bills := []string{"emma.2026-01-01.EUR.0 78.00", "emma.2026-02-01.EUR.0 84.00"}
	wantBills(t, r.bills(host.InvoiceFilter{}), bills...)
	r.sameAgain()
	r.close("2026-03", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), append(bills, "emma.2026-03-01.EUR.0 84.00")...)
}
