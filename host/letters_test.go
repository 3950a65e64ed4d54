package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/ingest"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// faxes is the catalog priced with a price for faxes as well.
const faxes = `
meters: [{name: calls, event_type: call, quantity: minutes}, {name: faxes, event_type: fax, quantity: pages}]
tariffs:
  - name: per_minute
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.10"}}]
  - name: per_page
    meter: faxes
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
default_subscriptions: [per_minute, per_page]
billing: {close: manual}
`

// letters lists the dead letters of a status as "id status reason attempts".
func (r *running) letters(status string) []string {
	r.t.Helper()
	list, _, _, _, err := r.DeadLetters(host.DeadLetterFilter{Status: status}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		r.t.Fatal(err)
	}
	out := []string{}
	for _, l := range list {
		out = append(out, fmt.Sprintf("%s %s %s %d", l.ID, l.Status, l.Reason, l.Attempts))
	}
	slices.Sort(out)
	return out
}

func (r *running) settle(request host.SettleRequest, want host.Settled) {
	r.t.Helper()
	got, err := r.SettleLetters(r.wait(), request)
	if err != nil {
		r.t.Fatal(err)
	}
	if got != want {
		r.t.Errorf("%+v: settled %+v, want %+v", request, got, want)
	}
}

// A dead letter that is replayed after its cause is mended is priced once,
// however often it had come and is replayed; the counters balance all along, and
// say the same after a restart and after the state is made anew from the log.
func TestReplay(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-10T00:00:00Z")
	r.apply(priced)
	fax := func(id, account, pages string) {
		e := call(id, "x", "2026-10-05T10:00:00Z", "pages", pages)
		e.Type, e.Account = "fax", billing.AccountID(account)
		r.send(e)
	}
	fax("1", "emma", "3")
	fax("2", "noah", "4")
	fax("1", "emma", "3")
	fax("3", "emma", "many")
	r.send(call("4", "emma", "2026-10-05T10:00:00Z", "minutes", "5"))
	r.message("emma", map[string]string{"Content-Type": "application/cloudevents+json"}, "{")
	r.wantCounts(1, 0, 5)

	r.settle(host.SettleRequest{Filter: host.DeadLetterFilter{Account: "noah"}}, host.Settled{Refused: 1})
	want(t, r.letters(""), " open undecodable_message 0", "1 open no_meter 0", "1 open no_meter 0", "2 open no_meter 1", "3 open no_meter 0")
	r.wantCounts(1, 0, 5)

	r.apply(faxes)
	r.settle(host.SettleRequest{By: "emma"}, host.Settled{Priced: 2, Duplicates: 1, Refused: 2})
	settled := []string{" open undecodable_message 1", "1 duplicate no_meter 1", "1 priced no_meter 1", "2 priced no_meter 2", "3 open bad_quantity 1"}
	subtotals := []string{"emma per_minute 0.50 (1)", "emma per_page 3.00 (1)", "noah per_page 4.00 (1)"}
	check := func() {
		t.Helper()
		want(t, r.letters(""), settled...)
		want(t, r.letters(query.StatusOpen), settled[0], settled[4])
		want(t, r.subtotals(query.Filter{}), subtotals...)
		r.wantCounts(3, 1, 2)
	}
	check()
	fax("1", "emma", "3") // again by its producer
	r.settle(host.SettleRequest{Names: []host.LetterName{{Partition: billing.Partition("noah", 2), Number: 1}}}, host.Settled{Passed: 1})
	r.restart()
	want(t, r.subtotals(query.Filter{}), subtotals...)
	r.wantCounts(3, 2, 2)
	r.rebuild()
	want(t, r.letters(""), settled...)
	want(t, r.subtotals(query.Filter{}), subtotals...)
	r.wantCounts(3, 2, 2)
}

// Dead letters of large messages are replayed in parts, none of them lost between
// two, and the same event in two parts is priced once.
func TestReplayInParts(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(priced)
	const messages, room = 6, 1_500_000
	for n := range messages {
		r.message("emma", map[string]string{"Content-Type": ingest.ContentTypeArray}, fmt.Sprintf(
			`[%s{"specversion":"1.0","id":"%d","source":"test","type":"fax","subject":"emma","time":"2026-10-05T10:00:00Z","data":{"pages":"%d"}}]`,
			strings.Repeat(" ", room), n%5, n%5+1))
	}
	r.apply(faxes)
	r.settle(host.SettleRequest{Names: []host.LetterName{{Number: 3}, {Number: 3}}}, host.Settled{Priced: 1})
	r.settle(host.SettleRequest{}, host.Settled{Priced: 4, Duplicates: 1})
	want(t, r.subtotals(query.Filter{}), "emma per_page 15.00 (5)")
	r.wantCounts(5, 1, 0)
}

// What is discarded is settled for good, and is counted.
func TestDiscard(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(priced)
	for n := range 3 {
		e := call(fmt.Sprint(n), "emma", "2026-10-05T10:00:00Z", "pages", "2")
		e.Type = "fax"
		r.send(e)
	}
	name := []host.LetterName{{Number: 2}}
	r.settle(host.SettleRequest{Names: name, Discard: true, Why: "sent by mistake", By: "noah"}, host.Settled{Discarded: 1})
	r.settle(host.SettleRequest{Names: name, Discard: true, Why: "again"}, host.Settled{Passed: 1})
	r.apply(faxes)
	r.settle(host.SettleRequest{}, host.Settled{Priced: 2})
	for range 2 {
		want(t, r.subtotals(query.Filter{}), "emma per_page 4.00 (2)")
		if c := r.Counters(); c.Read != 3 || c.Priced != 2 || c.DeadLettered != 1 || c.Discarded != 1 {
			t.Errorf("%+v", c)
		}
		l, err := r.DeadLetter(name[0])
		if err != nil || l.Status != "discarded" || l.Why != "sent by mistake" || l.By != "noah" || l.At != "2026-10-10T00:00:00Z" {
			t.Errorf("%+v, %v", l, err)
		}
		r.restart()
	}
	if _, err := r.DeadLetter(host.LetterName{Number: 4}); err == nil {
		t.Error("a dead letter that is not there was found")
	}
}

// An order that names what is no dead letter changes nothing, and one that names
// a dead letter twice, or in the same breath as it came, prices it once.
func TestOrdersAreHeldAgainstTheState(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-10T00:00:00Z")
	r.apply(faxes)
	e := call("1", "emma", "2026-10-05T10:00:00Z", "minutes", "5")
	r.send(e)
	e.ID, e.Type = "2", "telex"
	r.send(e)
	first, err := r.DeadLetter(host.LetterName{Number: 1})
	if err != nil {
		t.Fatal(err)
	}
	r.apply(faxes + "\n" + `# no telex yet`)
	type ref struct {
		Number   uint64 `json:"number"`
		Position uint64 `json:"position"`
		Index    int    `json:"index"`
	}
	order := func(name string, refs ...ref) {
		t.Helper()
		body, err := json.Marshal(map[string]any{"letters": refs, "at": "2026-10-10T00:00:00Z", "by": "test"})
		if err != nil {
			t.Fatal(err)
		}
		sequence, err := r.Conn().Append(r.wait(), "usage.0.ctl.letters."+name, 0, nil, body)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Wait(r.wait(), []query.Position{{Stream: stream.Usage(0), Sequence: sequence}}); err != nil {
			t.Fatal(err)
		}
	}
	order("priced", ref{Number: 1, Position: first.Position - 1})
	order("beyond", ref{Number: 7, Position: first.Position}, ref{Number: 0, Position: first.Position})
	want(t, r.letters(""), "2 open no_meter 0")
	order("twice", ref{1, first.Position, 0}, ref{1, first.Position, 0})
	want(t, r.letters(""), "2 open no_meter 1")
	r.wantCounts(1, 0, 1)
}

// rebuild makes the state anew from the log.
func (r *running) rebuild() {
	r.t.Helper()
	r.stop()
	if err := os.RemoveAll(filepath.Join(r.dir, "state")); err != nil {
		r.t.Fatal(err)
	}
	r.fresh = true
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	for p := range r.parts {
		_, last, err := r.Conn().LastSequence(r.wait(), stream.Usage(p))
		if err != nil {
			r.t.Fatal(err)
		}
		if err := r.Wait(r.wait(), []query.Position{{Stream: stream.Usage(p), Partition: p, Sequence: last}}); err != nil {
			r.t.Fatal(err)
		}
	}
}
