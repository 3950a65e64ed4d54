package host_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// restart ends the host and starts it again on the same data.
func (r *running) restart() {
	r.t.Helper()
	r.stop()
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
}

// message writes a message to an account's partition, as a producer without our
// client does, and waits for it.
func (r *running) message(account billing.AccountID, header map[string]string, body string) {
	r.t.Helper()
	partition := billing.Partition(account, r.parts)
	sequences, err := r.Conn().Publish(r.wait(), []stream.Outgoing{{Subject: stream.BatchSubject(partition), Header: header, Data: []byte(body)}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Wait(r.wait(), []query.Position{{Partition: partition, Sequence: sequences[0]}}); err != nil {
		r.t.Fatal(err)
	}
}

// subtotals lists the matching subtotals as "account tariff amount (events)",
// with final ones marked.
func (r *running) subtotals(f query.Filter) []string {
	r.t.Helper()
	list, err := r.Queries().List(f, query.Page{Size: query.MaxPageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	out := []string{}
	for _, s := range list.Subtotals {
		text := fmt.Sprintf("%s %s %s (%d)", s.Account, s.Tariff, s.AmountText, s.Events)
		if s.Final {
			text += " final"
		}
		out = append(out, text)
	}
	return out
}

// reasons lists the dead letters as "id reason".
func (r *running) reasons() []string {
	r.t.Helper()
	list, _, _, _, err := r.DeadLetters(host.DeadLetterFilter{}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	out := []string{}
	for _, l := range list {
		out = append(out, l.ID+" "+l.Reason)
	}
	return out
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("want (-) and got (+):\n%s", diff)
	}
}

// wantCounts checks the counters, which must balance by themselves.
func (r *running) wantCounts(priced, duplicates, deadLettered uint64) {
	r.t.Helper()
	want := query.Counters{Read: priced + duplicates + deadLettered, Priced: priced, Duplicates: duplicates, DeadLettered: deadLettered}
	if got := r.Counters(); got != want {
		r.t.Errorf("counters %+v, want %+v", got, want)
	}
}

// priced is a catalog in which a call of a minute costs a price per minute.
const priced = `
meters: [{name: calls, event_type: call, quantity: minutes}]
tariffs:
  - name: per_minute
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.10"}}]
default_subscriptions: [per_minute]
billing: {close: manual}
`

// An event is the same event in whatever format it comes: sent again in each of
// the others, it counts once.
func TestFormatsAreOneEvent(t *testing.T) {
	t.Parallel()
	r := startHost(t, 4, "2026-10-10T00:00:00Z")
	r.apply(priced)
	const attributes = `"specversion":"1.0","id":"1","source":"test","type":"call","subject":"emma","time":"2026-10-05T10:00:00Z"`
	structured := func() {
		r.message("emma", map[string]string{"Content-Type": ingest.ContentTypeEvent},
			`{`+attributes+`,"datacontenttype":"application/json","data":{"minutes":1.50,"peer":"noah"}}`)
	}
	array := func() {
		r.message("emma", map[string]string{"Content-Type": ingest.ContentTypeArray},
			`[{"data":{"peer":"noah","minutes":15e-1},`+attributes+`}]`)
	}
	binary := func() {
		r.message("emma", map[string]string{
			"ce-specversion": "1.0", "ce-id": "1", "ce-source": "test", "ce-type": "call", "ce-subject": "emma",
			"ce-time": "2026-10-05T12:00:00+02:00", "Content-Type": "application/json",
		}, `{"minutes":"1.5","peer":"noah"}`)
	}
	packed := func() { r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1.5", "peer", "noah")) }
	formats := []func(){structured, array, binary, packed}
	for _, send := range formats {
		send()
	}
	want(t, r.reasons())
	r.wantCounts(1, 3, 0)
	r.restart()
	for _, send := range slices.Backward(formats) {
		send()
	}
	r.wantCounts(1, 7, 0)
	want(t, r.subtotals(query.Filter{}), "emma per_minute 0.15 (1)")
}

// Source and id of a priced event with other content are no duplicate but a
// conflict, which is kept; an account's events in a partition that is not its
// own are refused.
func TestConflictAndWrongPartition(t *testing.T) {
	t.Parallel()
	r := startHost(t, 4, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "2"))
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	want(t, r.reasons(), "1 "+host.ReasonIdentityConflict)
	r.wantCounts(1, 1, 1)

	other := (billing.Partition("emma", 4) + 1) % 4
	e := call("2", "emma", "2026-10-05T10:00:00Z", "minutes", "1")
	r.publish(other, "application/cloudevents+json", ingest.FormatJSON(e))
	list, _, _, _, err := r.DeadLetters(host.DeadLetterFilter{Reason: host.ReasonWrongPartition}, query.Page{})
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if part := fmt.Sprintf("belongs to partition %d of 4", billing.Partition("emma", 4)); !strings.Contains(list[0].Detail, part) {
		t.Errorf("%q does not say %q", list[0].Detail, part)
	}
	// A dead letter's identity does not count as seen: in its own partition the
	// event is priced.
	r.send(e)
	r.wantCounts(2, 1, 2)
}

// Late usage counts until the period is closed. Behind the close it is a dead
// letter, and what was priced before is still a duplicate.
func TestGraceAndClose(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-30T00:00:00Z")
	r.apply(strings.Replace(priced, "{close: manual}", "{close: automatic, grace: 72h}", 1))
	early := call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1")
	r.send(early)
	refused := func(reason string) {
		t.Helper()
		_, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-10"})
		var f *host.Fault
		if !errors.As(err, &f) || f.Reason() != reason {
			t.Errorf("close at %v: %v", r.Now(), err)
		}
	}
	refused(host.ReasonPeriodNotEnded)
	r.setNow("2026-11-02T00:00:00Z") // October is over, its grace time is not
	refused(host.ReasonGraceNotOver)
	r.send(call("2", "emma", "2026-10-06T10:00:00Z", "minutes", "2"))
	want(t, r.subtotals(query.Filter{Period: "2026-10"}), "emma per_minute 0.30 (2)")

	r.setNow("2026-11-04T00:00:01Z") // now it is, and the host closes by itself
	for len(r.bills(host.InvoiceFilter{})) == 0 && r.wait().Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 0.30")
	r.send(early, call("3", "emma", "2026-10-07T10:00:00Z", "minutes", "3"), call("4", "emma", "2026-11-01T00:00:00Z", "minutes", "4"))
	want(t, r.reasons())
	r.wantCounts(4, 1, 0)
	want(t, r.subtotals(query.Filter{Period: "2026-10"}), "emma per_minute 0.60 (3)") // until it is adjusted
	want(t, r.subtotals(query.Filter{Period: "2026-11"}), "emma per_minute 0.40 (1)")
}

// A period that nothing was read of cannot be closed: its usage may be on the way. One
// that is closed can be closed again, which changes nothing.
func TestClosePeriodWithoutUsage(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-11-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	_, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-09"})
	var f *host.Fault
	if !errors.As(err, &f) || f.Reason() != host.ReasonInvalidPeriod || !strings.Contains(err.Error(), "lies before the first usage that was read") {
		t.Errorf("the close of September: %v", err)
	}
	r.close("2026-10", "")
	r.close("2026-10", "")
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 0.10")
}

// A new version in the middle of a period prices what is behind it; the invoice
// has lines of both.
func TestVersionsSplitLines(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "10"))
	r.apply(strings.Replace(priced, "versions: [", `versions: [{effective_from: 2026-10-15T00:00:00Z, plugin: per_unit, params: {unit_price: "0.20"}}, `, 1))
	r.send(call("2", "emma", "2026-10-14T23:59:59Z", "minutes", "10"), call("3", "emma", "2026-10-15T00:00:00Z", "minutes", "10"))
	want(t, r.subtotals(query.Filter{}), "emma per_minute 2.00 (2)", "emma per_minute 2.00 (1)")
	r.setNow("2026-11-10T00:00:00Z")
	r.close("2026-10", "")
	inv, _, err := r.Invoice("emma.2026-10-01.EUR.0")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range inv.Lines {
		lines = append(lines, l.Quantity.String()+" "+l.AmountText)
	}
	want(t, lines, "20 2.00", "10 2.00")
}

// Accounts end their months at different instants, and each zone is closed for
// itself.
func TestCloseInTwoZones(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(priced + `accounts: [{id: yuki, time_zone: Asia/Tokyo, subscriptions: [{tariff: per_minute}]}]`)
	for i, account := range []string{"yuki", "emma"} {
		// 2026-11-01T00:30 in Tokyo.
		r.send(call(fmt.Sprint(10+i), account, "2026-10-31T15:30:00Z", "minutes", "10"), call(fmt.Sprint(i), account, "2026-10-31T14:30:00Z", "minutes", "5"))
	}
	r.setNow("2026-10-31T16:00:00Z")
	if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: "2026-10", Zone: "UTC", SkipGrace: true}); err == nil {
		t.Error("October was closed in UTC before it was over there")
	}
	r.close("2026-10", "Asia/Tokyo")
	wantBills(t, r.bills(host.InvoiceFilter{}), "yuki.2026-10-01.EUR.0 0.50")
	r.send(call("20", "emma", "2026-10-31T14:00:00Z", "minutes", "1"), call("21", "yuki", "2026-10-31T14:00:00Z", "minutes", "1"))
	want(t, r.reasons())
	r.setNow("2026-12-10T00:00:00Z")
	r.close("2026-10", "UTC")
	r.restart()
	wantBills(t, r.bills(host.InvoiceFilter{}), "emma.2026-10-01.EUR.0 1.60", "yuki.2026-10-01.EUR.0 0.50")
	r.close("2026-11", "Asia/Tokyo")
	want(t, r.adjustments("yuki.2026-11-01.EUR.0"), "2026-10-01 per_minute: 0.5 → 0.6 = 0.10")
}

// A restart loads what was there, to the last field, and reads on.
func TestRestartLoadsAndReadsOn(t *testing.T) {
	t.Parallel()
	r := startHost(t, 4, "2026-10-10T00:00:00Z")
	r.apply(priced)
	var events []billing.UsageEvent
	for n := range 400 {
		events = append(events, call(fmt.Sprint(n), fmt.Sprintf("customer %d", n%37), "2026-10-05T10:00:00Z", "minutes", fmt.Sprint(n)))
	}
	r.send(events...)
	list := func() query.Subtotals {
		all, err := r.Queries().List(query.Filter{}, query.Page{Size: query.MaxPageSize})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := list()
	if len(before.Subtotals) != 37 {
		t.Fatalf("%d subtotals", len(before.Subtotals))
	}
	r.restart()
	after := list()
	if diff := cmp.Diff(before.Subtotals, after.Subtotals); diff != "" {
		t.Errorf("before (-) and after (+) the restart:\n%s", diff)
	}
	if diff := cmp.Diff(before.AsOf, after.AsOf); diff != "" {
		t.Errorf("before (-) and after (+) the restart:\n%s", diff)
	}
	r.send(append(events[:3:3], call("new", "customer 0", "2026-10-06T10:00:00Z", "minutes", "1"))...)
	r.wantCounts(401, 3, 0)
}

// What one step changes may be larger than a transaction of the store.
func TestCheckpointLargerThanATransaction(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(priced)
	// Nobody reads while this is written, so that one step reads it all.
	r.stop()
	r.idle = true
	r.restart()
	const accounts = 30_000
	events := make([]billing.UsageEvent, accounts)
	for n := range events {
		events[n] = call(fmt.Sprint(n), fmt.Sprintf("customer-with-a-long-name-%d", n), "2026-10-05T10:00:00Z", "minutes", "1")
	}
	results, err := r.Ingest(r.wait(), events)
	if err != nil {
		t.Fatal(err)
	}
	r.idle = false
	r.restart()
	if err := r.Wait(r.wait(), []query.Position{results[accounts-1].Position}); err != nil {
		t.Fatal(err)
	}
	r.wantCounts(accounts, 0, 0)
	r.restart()
	r.wantCounts(accounts, 0, 0)
	last := fmt.Sprintf("customer-with-a-long-name-%d", accounts-1)
	want(t, r.subtotals(query.Filter{Account: billing.AccountID(last)}), last+" per_minute 0.10 (1)")
}

// A reader that names a position waits for it: no longer than its deadline, and
// until it is there.
func TestWaitForAPosition(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	next := query.Position{Stream: "USAGE-0", Sequence: r.Queries().AsOf().Positions[0].Sequence + 1}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Wait(short, []query.Position{next}); !errors.Is(err, query.ErrNotReached) {
		t.Errorf("a position that is not there: %v", err)
	}
	seen := make(chan error, 1)
	go func() {
		err := r.Wait(r.wait(), []query.Position{next})
		if got := r.Counters().Priced; err == nil && got != 2 {
			err = fmt.Errorf("the wait ended with %d events priced", got)
		}
		seen <- err
	}()
	r.send(call("2", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	if err := <-seen; err != nil {
		t.Error(err)
	}
}

// A watch shows what there is, then each change, and no other account's.
func TestWatchSeesEveryChange(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(priced)
	r.send(call("0", "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	w := r.Queries().Watch(query.Filter{Account: "emma"}, time.Minute)
	defer w.Close()
	for n := range 20 {
		update, err := w.Next(r.wait())
		if err != nil {
			t.Fatal(err)
		}
		kind := query.UpdateChanged
		if n == 0 {
			kind = query.UpdateSnapshot
		}
		if update.Kind != kind || len(update.Subtotals.Subtotals) != 1 || update.Subtotals.Subtotals[0].Events != uint64(n+1) {
			t.Fatalf("update %d: %+v", n, update)
		}
		r.send(call(fmt.Sprint("other", n), "noah", "2026-10-05T10:00:00Z", "minutes", "1"))
		r.send(call(fmt.Sprint(n+1), "emma", "2026-10-05T10:00:00Z", "minutes", "1"))
	}
}

// What goes outward is published once, whatever the number of restarts.
func TestOutboxPublishesOnce(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-11-10T00:00:00Z")
	r.apply(priced)
	var wantLetters, wantInvoices []string
	for n := range 12 {
		account := fmt.Sprintf("customer-%d", n)
		fax := call(fmt.Sprint("fax", n), account, "2026-10-05T10:00:00Z")
		fax.Type = "fax"
		r.send(call(fmt.Sprint(n), account, "2026-10-05T10:00:00Z", "minutes", "1"), fax)
		wantLetters = append(wantLetters, fmt.Sprint("fax", n))
		wantInvoices = append(wantInvoices, account+".2026-10-01.EUR.0")
		if n%4 == 3 {
			r.restart()
		}
	}
	r.close("2026-10", "")
	slices.Sort(wantLetters)
	slices.Sort(wantInvoices)
	var letters, invoices []string
	for range 20 { // publishing follows the checkpoint; a restart may break it off
		r.stop()
		letters, invoices = r.published(stream.DeadLetters), r.published(stream.Invoices)
		if len(letters) >= len(wantLetters) && len(invoices) >= len(wantInvoices) {
			break
		}
		r.restart()
		time.Sleep(50 * time.Millisecond)
	}
	want(t, letters, wantLetters...)
	want(t, invoices, wantInvoices...)
}

// published lists the ids of what stands in a stream, of a host that is stopped.
func (r *running) published(name string) []string {
	r.t.Helper()
	conn, err := stream.Open(r.wait(), stream.Config{Embedded: &stream.EmbeddedConfig{StoreDir: r.dir + "/nats", Partitions: r.parts, Unsynced: true}})
	if err != nil {
		r.t.Fatal(err)
	}
	ids := []string{}
	err = conn.Each(r.wait(), name, "", 0, func(m stream.Message) error {
		var body struct {
			ID string `json:"id"`
		}
		err := json.Unmarshal(m.Data, &body)
		ids = append(ids, body.ID)
		return err
	})
	if err := errors.Join(err, conn.Close()); err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(ids)
	return ids
}
