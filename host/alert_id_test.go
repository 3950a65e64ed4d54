package host

import (
	"testing"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// An account that changes its calendar within a month reaches thresholds in two periods
// of one id: each alert has an id of its own.
func TestAlertsOfTwoCalendarsAreTwo(t *testing.T) {
	t.Parallel()
	ids := map[string]rate.Calendar{}
	for _, c := range []rate.Calendar{{Zone: "UTC", AnchorDay: 1}, {Zone: "UTC", AnchorDay: 15}, {Zone: "Europe/Berlin", AnchorDay: 1}, {Zone: "Africa/Abidjan", AnchorDay: 1}} {
		zone, err := c.Location()
		if err != nil {
			t.Fatal(err)
		}
		period, err := billing.Calendar{Zone: zone, AnchorDay: 1}.Parse("2026-10")
		if err != nil {
			t.Fatal(err)
		}
		span := alertSpan{calendar: c, start: period.Start.UnixNano(), end: period.End.UnixNano()}
		alert, err := firedAlert("emma", &span, &catalog.Alert{Name: "spend", Texts: []string{"0.5"}}, 0, billing.Decimal{}, 1, alertCause{kind: accumulate.AlertUsage, at: rate.Forever})
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := ids[alert.ID]; taken {
			t.Errorf("calendars %v and %v both have the alert %s", other, c, alert.ID)
		}
		ids[alert.ID] = c
	}
	if _, ok := ids["spend.emma.2026-10-01.0_5.1"]; !ok {
		t.Errorf("the ids are %v, none as the documentation has it", ids)
	}
}
