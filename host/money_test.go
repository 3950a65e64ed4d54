package host_test

import (
	"fmt"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/sdk/billing"
)

// mixed is a catalog in which some of an account's usage has levels that go on, and
// some has not.
const mixed = `
meters:
  - {name: seats, event_type: call, quantity: q, filter: {kind: seat}}
  - {name: calls, event_type: call, quantity: q, filter: {kind: call}}
tariffs:
  - name: level
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}]
  - name: plain
    meter: calls
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "100"}}]
billing: {close: manual}
default_subscriptions: [level, plain]
`

// What a period leaves has the next one folded again, also the usage that came before
// the first of a tariff that carries.
func TestCarryKeepsUsageBeforeLevels(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	r.apply(mixed)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "kind", "seat", "q", "3"),
		call("2", "emma", "2026-02-05T00:00:00Z", "kind", "call", "q", "1"))
	r.send(call("3", "emma", "2026-02-06T00:00:00Z", "kind", "seat", "q", "4"))
	r.close("2026-01", "")
	want(t, r.subtotals(query.Filter{Period: "2026-02"}), "emma level 7.00 (1)", "emma plain 100.00 (1)")
	r.close("2026-02", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-01-01.EUR.0 3.00", "emma.2026-02-01.EUR.0 107.00")
}

// An event that is amended to be of a tariff that carries stays in the fold of the next
// period, wherever it stands.
func TestCarryKeepsAmendedUsage(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprint("later=", later), func(t *testing.T) {
			t.Parallel()
			r := startHost(t, 1, "2026-06-01T00:00:00Z")
			r.apply(mixed)
			r.send(
				call("1", "emma", "2026-01-05T00:00:00Z", "kind", "seat", "q", "3"),
				call("2", "emma", "2026-02-05T00:00:00Z", "kind", "call", "q", "1"))
			level := "8.00"
			if later {
				r.send(call("3", "emma", "2026-02-06T00:00:00Z", "kind", "seat", "q", "4"))
				level = "12.00"
			}
			r.send(amends("m", "2", "emma", `{"kind":"seat","q":5}`, ""))
			r.close("2026-01", "")
			r.close("2026-02", "")
			wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-01-01.EUR.0 3.00", "emma.2026-02-01.EUR.0 "+level)
		})
	}
}

// Of the versions of a period, each leaves to the one behind it, and the last one to the next
// period, at the close and when the period is billed again.
func TestCarryOfTwoVersions(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	r.apply(`
meters: [{name: seats, event_type: call, quantity: q}, {name: texts, event_type: text}]
tariffs:
  - name: level
    meter: seats
    currency: EUR
    versions:
      - {effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}
      - {effective_from: 2026-01-16T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "10"}}
  - name: texts
    meter: texts
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "100"}}]
billing: {close: manual}
default_subscriptions: [level, texts]
`)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "q", "3"),
		call("2", "emma", "2026-01-20T00:00:00Z", "q", "4"))
	r.close("2026-01", "")
	text := call("3", "emma", "2026-01-21T00:00:00Z")
	text.Type = "text"
	r.send(text)
	r.close("2026-02", "")
	r.close("2026-03", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-01-01.EUR.0 73.00", "emma.2026-02-01.EUR.0 170.00", "emma.2026-03-01.EUR.0 70.00")
}

// An event that was priced and taken back stays known when its replay is refused again,
// whether a checkpoint has come in between or not: the log decides.
func TestTakenBackStaysKnown(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-03-10T00:00:00Z")
	r.apply(`
meters: [{name: seats, event_type: call, dimensions: [seat]}]
tariffs:
  - name: seats
    meter: seats
    currency: EUR
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, keys_max: 2, recurring: true, unit_price: "1"}}]
billing: {close: manual}
default_subscriptions: [seats]
`)
	third := call("3", "emma", "2026-02-06T00:00:00Z", "seat", "c")
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "seat", "a"),
		call("2", "emma", "2026-02-05T00:00:00Z", "seat", "b"),
		third)
	r.close("2026-01", "")
	settled, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test"})
	if err != nil || settled != (host.Settled{Refused: 1}) {
		t.Fatalf("replayed: %+v, %v", settled, err)
	}
	r.send(voids("v", "2", "emma"))
	r.send(third) // it waits among the dead letters
	r.wantCounts(3, 1, 1)
	r.rebuild()
	r.wantCounts(3, 1, 1)
	r.setNow("2026-03-10T00:00:01Z") // an order of the same instant would be the same order
	settled, err = r.SettleLetters(r.wait(), host.SettleRequest{By: "test"})
	if err != nil || settled != (host.Settled{Priced: 1}) {
		t.Fatalf("replayed: %+v, %v", settled, err)
	}
	check := func() {
		t.Helper()
		r.wantCounts(4, 1, 0)
		want(t, r.subtotals(query.Filter{Period: "2026-02"}), "emma seats 2.00 (1)")
	}
	check()
	r.rebuild()
	check()
}

// A correction is of the event that was priced, not of another one of the same identity
// that was refused, though the same message has had both, or the same replay.
func TestVoidOfTheOnePriced(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2027-01-10T00:00:00Z")
	r.send(
		call("1", "emma", "2026-10-05T00:00:00Z", "q", "none", "who", "a"))
	r.send(
		call("1", "emma", "2026-11-05T00:00:00Z", "q", "5", "who", "a"))
	r.apply(peaks)
	settled, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test"})
	if err != nil || settled != (host.Settled{Priced: 1, Refused: 1}) {
		t.Fatalf("replayed: %+v, %v", settled, err)
	}
	want(t, r.subtotals(query.Filter{}), "emma peak 5.00 (1)", "emma people 100.00 (1)")
	r.send(voids("v", "1", "emma"))
	want(t, r.subtotals(query.Filter{}), "emma peak 0.00 (0)", "emma people 0.00 (0)")
}

// A subscription that is ended within a period counts as active until then, whether it
// had usage before the catalog said so or not; so does a version that another one
// follows.
func TestEndedWithinPeriod(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-11-10T00:00:00Z")
	base := func(until, versions string) string {
		return `
meters: [{name: calls, event_type: call}]
tariffs:
  - name: calls
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0"}}` + versions + `]
billing: {close: manual, invoice_rules: [{name: base, plugin: proration, params: {amount: "31", basis: days}, currency: EUR}]}
accounts: [{id: emma, subscriptions: [{tariff: calls` + until + `}]}, {id: noah, subscriptions: [{tariff: calls` + until + `}]}]
`
	}
	r.apply(base("", ""))
	r.send(call("1", "emma", "2026-10-05T00:00:00Z"))
	r.apply(base(", until: 2026-10-11T00:00:00Z", ""))
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 10.00", "noah.2026-10-01.EUR.0 10.00")
	r.send(call("2", "emma", "2026-10-06T00:00:00Z"), call("3", "noah", "2026-10-06T00:00:00Z"))
	r.setNow("2026-12-10T00:00:00Z")
	r.close("2026-11", "")
	for _, id := range []string{"emma", "noah"} {
		want(t, r.adjustments(id+".2026-11-01.EUR.0"), "2026-10-01 calls: 0 → 0 = 0.00")
	}
}

// refusing is a catalog in which a tariff refuses usage that names no seat, beside a fee.
const refusing = `
meters: [{name: seats, event_type: call, dimensions: [seat]}]
tariffs:
  - name: seats
    meter: seats
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, unit_price: "1"}}]
  - name: fee
    meter: seats
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "5"}}]
billing: {close: manual}
default_subscriptions: [seats, fee]
`

// Late usage that is refused is no usage: an account that the catalog does not list owes
// no fees of the period that it was meant for.
func TestRefusedLateUsageOwesNoFees(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-12-10T00:00:00Z")
	r.apply(refusing)
	r.send(call("1", "noah", "2026-10-05T00:00:00Z", "seat", "a"))
	r.close("2026-10", "")
	r.send(call("2", "emma", "2026-10-05T00:00:00Z"), call("3", "lily", "2026-10-05T00:00:00Z", "seat", "b"))
	r.send(call("4", "emma", "2026-11-05T00:00:00Z", "seat", "a"))
	want(t, r.reasons(), "2 no_key")
	r.close("2026-11", "")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-11"}), "emma.2026-11-01.EUR.0 6.00", "lily.2026-11-01.EUR.0 11.00", "noah.2026-11-01.EUR.0 5.00")
}

// A group that has lost all its usage leaves nothing any more, also in periods that are
// closed behind it.
func TestCarryOfGroupWithoutUsage(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-06-01T00:00:00Z")
	r.apply(`
meters: [{name: seats, event_type: call, quantity: q, dimensions: [kind]}]
tariffs:
  - name: level
    meter: seats
    currency: EUR
    group_by: [kind]
    versions: [{effective_from: 2025-01-01T00:00:00Z, plugin: aggregation, params: {type: sum, recurring: true, unit_price: "1"}}]
billing: {close: manual}
default_subscriptions: [level]
`)
	r.send(
		call("1", "emma", "2026-01-05T00:00:00Z", "kind", "a", "q", "3"),
		call("2", "emma", "2026-01-06T00:00:00Z", "kind", "b", "q", "5"))
	r.close("2026-01", "")
	r.close("2026-02", "")
	r.send(voids("v", "2", "emma"))
	r.close("2026-03", "")
	r.close("2026-04", "")
	wantBills(t, r.bills(host.InvoiceFilter{}),
		"emma.2026-01-01.EUR.0 8.00", "emma.2026-02-01.EUR.0 8.00", "emma.2026-03-01.EUR.0 -7.00", "emma.2026-04-01.EUR.0 3.00")
}

// What was refused when it came late changes nothing for what comes late after it, and bills
// an account nothing for a period that was closed before a catalog listed it.
func TestRefusedLateUsageChangesNothing(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-12-10T00:00:00Z")
	tariffs := `
meters: [{name: seats, event_type: call, dimensions: [seat]}, {name: texts, event_type: text}]
tariffs:
  - name: seats
    meter: seats
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: aggregation, params: {type: unique_count, key: seat, unit_price: "1"}}]
  - name: fee
    meter: texts
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "5"}}]
billing: {close: manual}
default_subscriptions: [seats, fee]
`
	r.apply(tariffs)
	r.send(call("1", "noah", "2026-10-05T00:00:00Z", "seat", "a"))
	r.close("2026-10", "")
	r.send(call("2", "emma", "2026-10-05T00:00:00Z"))
	r.send(call("3", "emma", "2026-11-05T00:00:00Z", "seat", "a"))
	r.apply(tariffs + "accounts: [{id: lily, subscriptions: [{tariff: seats}, {tariff: fee}]}]\n")
	r.send(call("4", "lily", "2026-10-05T00:00:00Z"))
	r.close("2026-11", "")
	r.send(call("5", "emma", "2026-10-06T00:00:00Z", "seat", "a"))
	want(t, r.reasons(), "2 no_key", "4 no_key")
	r.setNow("2027-01-10T00:00:00Z")
	r.close("2026-12", "")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-11"}), "emma.2026-11-01.EUR.0 6.00", "lily.2026-11-01.EUR.0 5.00", "noah.2026-11-01.EUR.0 5.00")
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-12"}), "emma.2026-12-01.EUR.0 11.00", "lily.2026-12-01.EUR.0 5.00", "noah.2026-12-01.EUR.0 5.00")
}

// Late usage that was refused leaves nothing open behind the next close, or behind the next
// catalog: what comes late after it and is priced bills an account the fees of the periods
// that it would have been billed for without it.
func TestRefusedLateUsageIsForgotten(t *testing.T) {
	t.Parallel()
	refused := call("no", "emma", "2026-10-05T00:00:00Z")
	priced := call("yes", "emma", "2026-10-06T00:00:00Z", "seat", "a")
	listed := refusing + "accounts: [{id: emma, subscriptions: [{tariff: seats}, {tariff: fee}]}]\n"
	october := []string{"2026-10-01 fee: 0 → 5 = 5.00", "2026-10-01 seats: 0 → 1 = 1.00"}
	both := append(october[:2:2], "2026-11-01 fee: 0 → 5 = 5.00")
	for _, c := range []struct {
		name          string
		before, after func(*running) // the refused usage
		lines         []string       // that the next invoice adjusts
	}{
		{"a period closes behind it", func(r *running) { r.close("2026-10", "") }, func(r *running) { r.close("2026-11", "") }, both},
		{"it was for two", func(r *running) { r.close("2026-10", ""); r.close("2026-11", "") }, (*running).restart, both},
		{"a catalog lists the account", func(r *running) { r.close("2026-10", ""); r.close("2026-11", "") }, func(r *running) { r.apply(listed) }, october},
		{"a catalog lists it no more", func(r *running) { r.apply(listed); r.close("2026-10", ""); r.close("2026-11", "") }, func(r *running) { r.apply(refusing) }, []string{"2026-10-01 seats: 0 → 1 = 1.00"}},
	} {
		for _, sent := range [][]billing.UsageEvent{{}, {refused}} {
			t.Run(fmt.Sprintf("%s, refused %d", c.name, len(sent)), func(t *testing.T) {
				t.Parallel()
				r := startHost(t, 1, "2027-01-10T00:00:00Z")
				r.apply(refusing)
				r.send(call("1", "noah", "2026-10-05T00:00:00Z", "seat", "a"))
				c.before(r)
				r.send(sent...)
				c.after(r)
				r.send(priced)
				r.close("2026-12", "")
				want(t, r.adjustments("emma.2026-12-01.EUR.0"), c.lines...)
			})
		}
	}
}
