package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// kept says what a partition keeps of identities.
func (r *running) kept(partition int) host.Kept {
	r.t.Helper()
	k, err := r.Kept(r.wait(), partition)
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

// closeMonths closes the months from one to another one, both included.
func (r *running) closeMonths(first, last, zone string) {
	r.t.Helper()
	for month := instant(first + "-01T00:00:00Z"); !month.After(instant(last + "-01T00:00:00Z")); month = month.AddDate(0, 1, 0) {
		r.close(month.Format("2006-01"), zone)
	}
}

// verified waits until what is stored was read in full since the start.
func (r *running) verified() {
	r.t.Helper()
	r.eventually("what is stored to be read", func() bool {
		return !slices.ContainsFunc(r.PartitionsHealth(), func(s host.PartitionHealth) bool { return s.Scrub.Verified.IsZero() })
	})
}

// sameAgain restarts the host, and makes its state anew from the log: both come to what
// there was, and what is stored adds up.
func (r *running) sameAgain() {
	r.t.Helper()
	before := r.outcome()
	same := func(how string) {
		r.t.Helper()
		r.settled()
		if after := r.outcome(); !slices.Equal(after, before) {
			r.t.Errorf("%s: %q, want %q", how, after, before)
		}
		for _, s := range r.PartitionsHealth() {
			if s.Rebuilds > 0 {
				r.t.Errorf("%s: partition %d was found damaged", how, s.Partition)
			}
		}
	}
	r.restart()
	r.verified()
	same("restarted")
	r.rebuild()
	same("made anew")
	r.restart()
	r.verified()
	same("made anew and restarted")
}

// horizonBehind is the horizon when all is closed up to a time.
func horizonBehind(end string) time.Time { return instant(end).AddDate(0, -15, 0) }

// voidsAt is a void of a time.
func voidsAt(id, of, account, at string) billing.UsageEvent {
	e := voids(id, of, account)
	e.Time = instant(at)
	return e
}

// ahead has a catalog take usage of any time that a test has.
func ahead(yaml string) string {
	return strings.Replace(yaml, "billing: {", "billing: {max_ahead: 87600h, ", 1)
}

// The identities of usage are forgotten 15 months behind the closes, in memory and on the
// disk; usage of that time is refused from then on, so that nothing is priced twice. A
// restart, and a state made anew from the log, come to the same.
func TestIdentitiesExpire(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced))
	old := call("old", "emma", "2026-10-05T10:00:00Z", "minutes", "1")
	r.send(old)
	// As many as make a run, which is what is given back.
	const many, atOnce = 70_000, 5_000
	for n := 0; n < many; n += atOnce {
		var events []billing.UsageEvent
		for i := range atOnce {
			events = append(events, call(fmt.Sprint("n", n+i), "noah", "2026-10-06T10:00:00Z", "minutes", "1"))
		}
		r.send(events...)
	}
	for month := instant("2026-11-05T00:00:00Z"); month.Before(instant("2028-06-01T00:00:00Z")); month = month.AddDate(0, 1, 0) {
		r.send(call(month.Format("2006-01"), "emma", month.Format(time.RFC3339), "minutes", "1"))
	}
	r.closeMonths("2026-10", "2027-12", "")
	r.send(old)
	r.wantCounts(many+1+19, 1, 0)
	before := r.kept(0)
	if before.Identities < many || before.Pieces == 0 || before.Stretches < 19 || !before.Horizon.IsZero() {
		t.Fatalf("%+v", before)
	}

	r.closeMonths("2028-01", "2028-01", "")
	for n := range 3 { // what is let go is given back with the next checkpoints
		r.send(call(fmt.Sprint("more", n), "emma", "2028-05-06T00:00:00Z", "minutes", "1"))
	}
	if k := r.kept(0); k.Identities > 25+70_000-1<<16 || k.Pieces > 0 || k.Stretches != before.Stretches-1 || !k.Horizon.Equal(horizonBehind("2028-02-01T00:00:00Z")) {
		t.Errorf("there were %+v, and are %+v", before, k)
	}
	bills := r.bills(host.InvoiceFilter{})
	r.send(old, call("n7", "noah", "2026-10-06T10:00:00Z", "minutes", "1"), voidsAt("v", "old", "emma", "2028-05-01T00:00:00Z"))
	want(t, r.reasons(), "old beyond_retention", "n7 beyond_retention", "v unknown_event")
	r.wantCounts(many+1+19+3, 1, 3)
	for _, d := range r.digests() {
		if !strings.Contains(d, " 2:") {
			t.Errorf("digest %s of a state from which identities have expired", d)
		}
	}
	r.sameAgain()
	if k := r.kept(0); k.Identities > 10_000 {
		t.Errorf("made anew, there are %+v", k)
	}
	if settled, err := r.SettleLetters(r.wait(), host.SettleRequest{By: "test", Filter: host.DeadLetterFilter{Reason: host.ReasonBeyondRetention}}); err != nil || settled != (host.Settled{Refused: 2}) {
		t.Errorf("replayed: %+v, %v", settled, err)
	}
	r.closeMonths("2028-02", "2028-02", "")
	if now := r.bills(host.InvoiceFilter{Period: "2026-10"}); !slices.Equal(now, bills[:len(now)]) || len(now) != 2 {
		t.Errorf("%q, and before %q", now, bills)
	}
	if adjusted := r.adjustments("emma.2028-02-01.EUR.0"); len(adjusted) > 0 {
		t.Errorf("adjusted: %q", adjusted)
	}
	r.sameAgain()
}

// A calendar that is behind holds the horizon where its own periods need it: its late
// usage counts, a repeat of it is one, and a void takes out what it names and nothing
// else.
func TestIdentitiesWaitForTheLastCalendar(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced) + `accounts: [{id: yuki, time_zone: Asia/Tokyo, subscriptions: [{tariff: per_minute}]}]`)
	tokyo := call("tokyo", "yuki", "2026-10-05T10:00:00Z", "minutes", "10")
	utc := call("utc", "emma", "2026-10-05T10:00:00Z", "minutes", "10")
	r.send(tokyo, utc, call("b", "yuki", "2026-10-06T10:00:00Z", "minutes", "20"))
	r.closeMonths("2026-10", "2028-05", "UTC")
	r.close("2026-10", "Asia/Tokyo")
	if k := r.kept(0); !k.Horizon.IsZero() || k.Stretches != 1 {
		t.Fatalf("%+v", k)
	}
	late := call("late", "yuki", "2026-10-07T10:00:00Z", "minutes", "30")
	r.send(tokyo, utc, late, late, voids("v", "b", "yuki"))
	r.wantCounts(5, 3, 0)
	want(t, r.subtotals(query.Filter{Account: "yuki"}), "yuki per_minute 4.00 (2)")
	r.close("2026-11", "Asia/Tokyo")
	want(t, r.adjustments("yuki.2026-11-01.EUR.0"), "2026-10-01 per_minute: 3 → 4 = 1.00")
	r.sameAgain()
	r.closeMonths("2026-12", "2028-05", "Asia/Tokyo")
	if k := r.kept(0); k.Horizon.Before(instant("2027-02-01T00:00:00Z")) {
		t.Errorf("%+v", k)
	}
	r.send(tokyo, utc)
	want(t, r.reasons(), "tokyo beyond_retention", "utc beyond_retention")
	r.sameAgain()
}

// An account that has moved leaves a calendar that is not closed any further: by that
// alone its usage would be in reach for ever. What of it can be forgotten is not billed
// again, and a month of which only a part is known stays as it is.
func TestCalendarThatIsLeft(t *testing.T) {
	t.Parallel()
	with := func(zone string) string {
		return ahead(priced) + `accounts: [{id: emma, time_zone: ` + zone + `, subscriptions: [{tariff: per_minute}]}]`
	}
	r := startHost(t, 1, "2029-06-10T00:00:00Z")
	r.apply(with("Asia/Tokyo"))
	old := call("old", "emma", "2026-10-05T10:00:00Z", "minutes", "10")
	early, late := call("early", "emma", "2026-12-05T10:00:00Z", "minutes", "5"), call("late", "emma", "2026-12-20T10:00:00Z", "minutes", "5")
	_, err := r.ApplyLate(r.wait(), catalog.File{Name: "catalog.yaml", Data: []byte(with("UTC"))}, func() { r.send(old, early, late) })
	if err != nil {
		t.Fatal(err)
	}
	r.closeMonths("2026-10", "2026-12", "") // from now on nobody has the calendar of Tokyo
	r.closeMonths("2027-01", "2028-03", "")
	if k := r.kept(0); !k.Horizon.Equal(horizonBehind("2028-04-01T00:00:00Z")) || k.Stretches != 1 {
		t.Errorf("%+v", k)
	}
	r.send(voidsAt("v", "early", "emma", "2028-04-01T00:00:00Z"), voidsAt("w", "late", "emma", "2028-04-01T00:00:00Z"), old, early, late)
	want(t, r.reasons(), "v unknown_event", "w beyond_retention", "old beyond_retention", "early beyond_retention")
	r.wantCounts(3, 1, 4)
	want(t, r.subtotals(query.Filter{Period: "2026-10"}), "emma per_minute 1.00 (1) final", "emma per_minute 0.00 (0) final")
	want(t, r.subtotals(query.Filter{Period: "2026-12"}), "emma per_minute 1.00 (2) final", "emma per_minute 0.00 (0) final")
	r.sameAgain()

	// Somebody has it again, and it is open where everything else is closed for long.
	r.closeMonths("2028-04", "2028-06", "")
	r.apply(strings.Replace(with("UTC"), "accounts: [", "accounts: [{id: yuki, time_zone: Asia/Tokyo, subscriptions: [{tariff: per_minute}]}, ", 1))
	r.send(call("before", "yuki", "2027-01-05T00:00:00Z", "minutes", "1"), call("behind", "yuki", "2028-07-05T00:00:00Z", "minutes", "1"))
	want(t, r.reasons()[4:], "before beyond_retention")
	r.wantCounts(4, 1, 5)
	// A month that the horizon divides has nothing of before it, and can be folded again.
	r.send(
		call("edge", "yuki", "2027-03-25T00:00:00Z", "minutes", "2"), call("first", "yuki", "2027-03-17T00:00:00Z", "minutes", "7"),
		call("other", "yuki", "2027-03-26T00:00:00Z", "minutes", "3"), voidsAt("x", "edge", "yuki", "2028-07-01T00:00:00Z"))
	want(t, r.reasons()[5:], "first beyond_retention")
	want(t, r.subtotals(query.Filter{Account: "yuki", Period: "2027-03"}), "yuki per_minute 0.30 (1)")
	r.wantCounts(7, 1, 6)
	r.sameAgain()
	r.closeMonths("2027-01", "2027-04", "Asia/Tokyo")
	r.send(voidsAt("y", "other", "yuki", "2028-07-01T00:00:00Z"))
	want(t, r.reasons()[6:], "y beyond_retention")
	r.sameAgain()
}

// An account that is parked has its usage known until its invoice is made.
func TestIdentitiesWaitForParkedInvoices(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	const accounts = `{id: emma, subscriptions: [{tariff: calls}]}, {id: noah, subscriptions: [{tariff: calls}]}`
	r.apply(ruled(vat, accounts))
	bad := call("1", "emma", "2026-10-05T00:00:00Z", "tax_percent", "none of your business")
	r.send(bad, call("2", "noah", "2026-10-05T00:00:00Z"), call("3", "emma", "2026-10-06T00:00:00Z"))
	r.closeMonths("2026-10", "2028-05", "")
	if k := r.kept(0); !k.Horizon.IsZero() || k.Stretches != 1 {
		t.Errorf("%+v", k)
	}
	r.sameAgain()
	r.send(bad)
	r.apply(ruled(minimum, accounts))
	wantBills(t, r.bills(host.InvoiceFilter{Account: "emma", Period: "2026-10"}), "emma.2026-10-01.EUR.0 25.00")
	if k := r.kept(0); !k.Horizon.Equal(horizonBehind("2028-06-01T00:00:00Z")) {
		t.Errorf("%+v", k)
	}
	r.send(bad)
	want(t, r.reasons(), "1 beyond_retention")
	r.wantCounts(3, 1, 1)
	r.sameAgain()
}

// An identity that comes again after it has expired is that of another event: what became
// of the first one says nothing of it.
func TestIdentityComesAgain(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced))
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"), call("2", "emma", "2026-10-05T10:00:00Z", "minutes", "20"))
	r.send(voids("v", "1", "emma"))
	r.send(call("1", "emma", "2028-04-05T10:00:00Z", "minutes", "30"))
	want(t, r.reasons(), "1 identity_conflict")
	r.closeMonths("2026-10", "2028-03", "")
	r.send(
		call("1", "emma", "2028-04-05T10:00:00Z", "minutes", "40"),
		call("3", "emma", "2028-04-06T10:00:00Z", "minutes", "50"))
	r.send(voidsAt("w", "3", "emma", "2028-04-07T00:00:00Z")) // has the month folded again
	want(t, r.subtotals(query.Filter{Period: "2028-04"}), "emma per_minute 4.00 (1)")
	r.send(voidsAt("x", "1", "emma", "2028-04-07T00:00:00Z"))
	want(t, r.subtotals(query.Filter{Period: "2028-04"}), "emma per_minute 0.00 (0)")
	r.sameAgain()
}

// What is tried is what comes: a set of usage of which a part is too old to be told from
// what was billed, and a preview. A copy that was taken before the horizon moved does not
// answer by what is known behind it.
func TestTrialsKnowTheHorizon(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced))
	old, other := call("old", "emma", "2026-10-05T10:00:00Z", "minutes", "1"), call("other", "emma", "2026-10-05T10:00:00Z", "minutes", "1")
	r.send(old, call("1", "emma", "2028-03-05T10:00:00Z", "minutes", "1"), call("2", "emma", "2028-04-05T10:00:00Z", "minutes", "1"))
	err := r.TryAcross(r.wait(), "emma", func() { r.closeMonths("2026-10", "2027-12", "") })
	if err != nil {
		t.Errorf("nothing has expired: %v", err)
	}
	err = r.TryAcross(r.wait(), "emma", func() { r.closeMonths("2028-01", "2028-03", "") })
	var fault *host.Fault
	if !errors.As(err, &fault) || fault.Reason() != host.ReasonUnavailable {
		t.Errorf("asked across a move of the horizon: %v", err)
	}

	r.stage("many", []billing.UsageEvent{old, other, call("3", "emma", "2028-03-06T10:00:00Z", "minutes", "4")})
	report := r.show("many")
	if report.Priced != 1 || report.Duplicates != 0 || len(report.Refused) != 1 || report.Refused[0].Reason != host.ReasonBeyondRetention || report.Refused[0].Events != 2 {
		t.Errorf("%+v", report)
	}
	if _, _, err := r.CommitBackfill(r.patient(), "many", "ann"); err != nil {
		t.Fatal(err)
	}
	if err := r.ReadToEnd(r.wait()); err != nil {
		t.Fatal(err)
	}
	want(t, r.reasons(), "old beyond_retention", "other beyond_retention")
	r.wantCounts(4, 0, 2)
	preview, err := r.Preview(r.wait(), "emma", "2028-04")
	if err != nil || len(preview.Invoices) != 1 {
		t.Fatal(err, len(preview.Invoices))
	}
	r.close("2028-04", "")
	before, err := preview.Invoices[0].Encode()
	if after := r.document("emma.2028-04-01.EUR.0"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("previewed\n%s\nand issued\n%s\n%v", before, after, err)
	}
	want(t, r.adjustments("emma.2028-04-01.EUR.0"), "2028-03-01 per_minute: 0.1 → 0.5 = 0.40")
	r.sameAgain()
}

// A state that comes back from a snapshot of before reads the closes that have moved the
// horizon, and one of behind them knows it.
func TestRestoredHorizon(t *testing.T) {
	t.Parallel()
	embedded := stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}}
	r := startHost(t, 2, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced))
	for n := range 20 {
		r.send(call("old", fmt.Sprint("account-", n), "2026-10-05T10:00:00Z", "minutes", "1"))
	}
	r.closeMonths("2026-10", "2027-06", "")
	saved := []host.RestoreState{r.snapshots()}
	r.closeMonths("2027-07", "2028-03", "")
	saved = append(saved, r.snapshots())
	r.send(call("old", "account-3", "2026-10-05T10:00:00Z", "minutes", "1"), call("new", "account-3", "2028-05-05T10:00:00Z", "minutes", "1"))
	before := r.outcome()
	for i, s := range saved {
		r.loseState()
		s.DataDir = r.dir
		if err := host.Restore(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		r.open(embedded)
		if err := r.Wait(r.wait(), ends(before)); err != nil {
			t.Fatal(err)
		}
		r.settled()
		r.verified()
		want(t, r.outcome(), before...)
		if k := r.kept(0); !k.Horizon.Equal(horizonBehind("2028-04-01T00:00:00Z")) {
			t.Errorf("snapshot %d: %+v", i, k)
		}
	}
	want(t, r.reasons(), "old beyond_retention")
}

// A state of a release that let nothing expire is brought to what it would be, and comes
// to the same as one made anew.
func TestExpiryOfAnOlderState(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2028-06-10T00:00:00Z")
	r.apply(ahead(priced))
	old := call("old", "emma", "2026-10-05T10:00:00Z", "minutes", "1")
	r.send(old, call("1", "emma", "2028-05-05T10:00:00Z", "minutes", "1"))
	r.closeMonths("2026-10", "2028-04", "")
	r.send(call("2", "emma", "2028-05-05T10:00:00Z", "minutes", "1"))
	now := r.kept(0)
	r.stop()
	if err := host.ForgetHorizon(r.dir, 0); err != nil {
		t.Fatal(err)
	}
	r.restart()
	r.settled()
	r.verified()
	r.send(old)
	want(t, r.reasons(), "old beyond_retention")
	if k := r.kept(0); k.Horizon != now.Horizon || k.Stretches != 1 {
		t.Errorf("%+v, and was %+v", k, now)
	}
	r.sameAgain()
}
