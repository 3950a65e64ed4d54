package host_test

import (
	"fmt"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/sdk/billing"
)

// A preview of a period behind one that was corrected has what that one leaves to it
// now, as the close has: the level of seats that came late goes on into what was closed
// since, and into what is open, with usage there and without.
func TestPreviewFollowsCarry(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-01-02T00:00:00Z")
	r.apply(levels)
	accounts := []string{"emma", "noah", "ann", "bob"}
	for i, a := range accounts {
		r.send(call("jan", a, "2026-01-05T00:00:00Z", "q", fmt.Sprint(3+i)))
		if i%2 == 0 {
			r.send(call("feb", a, "2026-02-10T00:00:00Z", "q", "2"))
		}
	}
	r.setNow("2026-06-05T00:00:00Z")
	r.close("2026-01", "")
	compareWithClose := func(period string) {
		t.Helper()
		previews := map[string]string{}
		for _, a := range accounts {
			p, err := r.Preview(r.wait(), billing.AccountID(a), period)
			if err != nil || p.Parked != nil {
				t.Fatal(a, p.Parked, err)
			}
			for i := range p.Invoices {
				b, err := p.Invoices[i].Encode()
				if err != nil {
					t.Fatal(err)
				}
				previews[p.Invoices[i].ID] = string(b)
			}
		}
		r.close(period, "")
		if len(r.bills(host.InvoiceFilter{Period: period})) != len(previews) {
			t.Errorf("%s: %d previews", period, len(previews))
		}
		for id, text := range previews {
			if b := r.document(id); string(b) != text {
				t.Errorf("%s was previewed as\n%s\nand issued as\n%s", id, text, b)
			}
		}
	}
	// Late into January, which is closed: February, open, begins with more.
	r.send(call("late", "emma", "2026-01-20T00:00:00Z", "q", "5"), call("late", "noah", "2026-01-20T00:00:00Z", "q", "7"))
	compareWithClose("2026-02")
	// And now through two closed months into March.
	r.send(call("later", "emma", "2026-01-25T00:00:00Z", "q", "1"), call("later", "bob", "2026-02-25T00:00:00Z", "q", "4"),
		call("march", "ann", "2026-03-02T00:00:00Z", "q", "9"))
	r.restart()
	compareWithClose("2026-03")
	// What is open before is closed first: April's levels begin with March's usage.
	r.send(call("apr", "ann", "2026-04-02T00:00:00Z", "q", "1"), call("may", "ann", "2026-05-02T00:00:00Z", "q", "1"))
	p, err := r.Preview(r.wait(), "ann", "2026-05")
	if err != nil || len(p.Invoices) != 1 {
		t.Fatal(p, err)
	}
	r.close("2026-04", "")
	r.close("2026-05", "")
	if b, err := p.Invoices[0].Encode(); err != nil || string(b) != string(r.document(p.Invoices[0].ID)) {
		t.Errorf("previewed\n%s\nissued\n%s\n%v", b, r.document(p.Invoices[0].ID), err)
	}
}
