package host_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
)

// manual is a catalog whose periods are closed by hand: a fee and a price per
// call, for the accounts given.
func manual(accounts string) string {
	return `
meters: [{name: calls, event_type: call}]
tariffs:
  - name: per_call
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
  - name: rental
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "10"}}]
billing: {close: manual}
default_subscriptions: [per_call]
accounts: [` + accounts + `]
`
}

func wantBills(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("invoices\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// A month names the period that starts in it, on whatever day: an export of the
// month must not miss those of accounts with another anchor day.
func TestMonthNamesPeriodsOfAnyAnchorDay(t *testing.T) {
	r := startHost(t, 2, "2026-12-01T00:00:00Z")
	r.apply(manual(`{id: noah, anchor_day: 15, subscriptions: [{tariff: per_call}]}`))
	r.send(call("1", "emma", "2026-10-20T00:00:00Z"), call("2", "noah", "2026-10-20T00:00:00Z"))
	r.close("2026-10", "")
	want := []string{"emma.2026-10-01.EUR.0 1.00", "noah.2026-10-15.EUR.0 1.00"}
	wantBills(t, r.bills(host.InvoiceFilter{}), want...)
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-10"}), want...)
	wantBills(t, r.bills(host.InvoiceFilter{Period: "2026-10-15"}), want[1])
}

// An account whose only charges are fees cannot move to another time zone: the
// months that are on invoices would be closed again in the new one.
func TestFeesHoldTheTimeZone(t *testing.T) {
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(manual(`{id: noah, subscriptions: [{tariff: rental}]}`))
	r.setNow("2026-12-10T00:00:00Z")
	r.close("2026-10", "")
	want := []string{"noah.2026-10-01.EUR.0 10.00"}
	wantBills(t, r.bills(host.InvoiceFilter{}), want...)
	_, err := r.tryApply(manual(`{id: noah, time_zone: Asia/Tokyo, subscriptions: [{tariff: rental}]}`))
	var refused *host.Fault
	if !errors.As(err, &refused) || refused.Reason() != host.ReasonReachesBack {
		t.Errorf("moving a billed account to another zone: %v", err)
	}
	if err == nil {
		r.close("2026-10", "Asia/Tokyo")
	}
	wantBills(t, r.bills(host.InvoiceFilter{}), want...)
}

// A calendar that comes into use later does not begin at the first catalog:
// what is closed elsewhere is over there as well, and its fees are not charged
// after the fact.
func TestNewCalendarBeginsNow(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Tokyo"} {
		t.Run(zone, func(t *testing.T) {
			r := startHost(t, 1, "2026-08-10T00:00:00Z")
			r.apply(manual(""))
			r.send(call("1", "emma", "2026-08-11T00:00:00Z"))
			r.setNow("2026-12-10T00:00:00Z")
			for _, month := range []string{"2026-08", "2026-09", "2026-10"} {
				r.close(month, "")
			}
			r.apply(manual(`{id: noah, time_zone: ` + zone + `, subscriptions: [{tariff: rental}]}`))
			for _, month := range []string{"2026-08", "2026-09", "2026-10", "2026-11"} {
				r.close(month, zone)
			}
			wantBills(t, r.bills(host.InvoiceFilter{Account: "noah"}), "noah.2026-11-01.EUR.0 10.00")
		})
	}
}
