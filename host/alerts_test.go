package host_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// alertCatalog prices by the whole volume, so that more usage can cost less and an
// amount can cross a threshold more than once, and by units beside it.
const alertCatalog = `
meters:
  - {name: calls, event_type: call, quantity: q}
  - {name: store, event_type: store, quantity: q}
tariffs:
  - name: volume
    meter: calls
    currency: EUR
    versions:
      - effective_from: 2026-01-01T00:00:00Z
        plugin: volume
        params: {tiers: [{up_to: "10", unit_price: "1"}, {up_to: "30", unit_price: "0.5"}, {up_to: null, unit_price: "0.3"}]}
  - name: space
    meter: store
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.5"}}]
billing: {close: manual}
default_subscriptions: [volume, space]
`

const alertSection = `
alerts:
  - {name: spend, measure: amount, currency: EUR, thresholds: ["5", "9.5", "12"]}
  - {name: space_used, measure: units, meter: store, thresholds: [20]}
  - {name: ann_only, measure: amount, currency: EUR, tariffs: [volume], accounts: [ann], thresholds: ["7.5"]}
`

// naiveAlert is what an alert says of the account, worked out event by event.
type naiveAlert struct {
	Alert, Account, Threshold, Value string
	Crossing                         int
	Event                            string
}

// naiveAlerts evaluates every alert behind every event.
func naiveAlerts(events []billing.UsageEvent) (list []naiveAlert) {
	calls, store := map[billing.AccountID]*big.Rat{}, map[billing.AccountID]*big.Rat{}
	type side struct {
		above bool
		times int
	}
	sides := map[string]*side{}
	seen := map[string]bool{}
	for _, e := range events {
		if seen[e.ID] {
			continue
		}
		seen[e.ID] = true
		if calls[e.Account] == nil {
			calls[e.Account], store[e.Account] = new(big.Rat), new(big.Rat)
		}
		q, _ := new(big.Rat).SetString(e.Data[0].Text)
		if e.Type == "call" {
			calls[e.Account].Add(calls[e.Account], q)
		} else {
			store[e.Account].Add(store[e.Account], q)
		}
		volume := volumeOf(calls[e.Account])
		spend := new(big.Rat).Add(volume, new(big.Rat).Mul(store[e.Account], big.NewRat(1, 2)))
		check := func(alert string, value *big.Rat, thresholds ...string) {
			for _, text := range thresholds {
				t, _ := new(big.Rat).SetString(text)
				key := alert + "|" + string(e.Account) + "|" + text
				if sides[key] == nil {
					sides[key] = &side{}
				}
				s, above := sides[key], value.Cmp(t) >= 0
				if above && !s.above {
					s.times++
					list = append(list, naiveAlert{alert, string(e.Account), text, value.RatString(), s.times, e.ID})
				}
				s.above = above
			}
		}
		if e.Account == "ann" {
			check("ann_only", volume, "7.5")
		}
		check("space_used", store[e.Account], "20")
		check("spend", spend, "5", "9.5", "12")
	}
	return list
}

// volumeOf is the price of the tariff volume.
func volumeOf(units *big.Rat) *big.Rat {
	price := big.NewRat(3, 10)
	if units.Cmp(big.NewRat(10, 1)) <= 0 {
		price = big.NewRat(1, 1)
	} else if units.Cmp(big.NewRat(30, 1)) <= 0 {
		price = big.NewRat(1, 2)
	}
	return price.Mul(price, units)
}

// fired lists the alerts of a host, the oldest first.
func (r *running) fired(f query.AlertFilter) []query.Alert {
	r.t.Helper()
	var list []query.Alert
	for page := (query.Page{Size: 7}); ; {
		answer, err := r.Alerts(f, page)
		if err != nil {
			r.t.Fatal(err)
		}
		list = append(list, answer.Alerts...)
		if page.Token = answer.NextToken; page.Token == "" {
			break
		}
	}
	slices.Reverse(list)
	return list
}

// drawUsage draws usage of few accounts, with repeats.
func drawUsage(random *rand.Rand, n int) []billing.UsageEvent {
	events := make([]billing.UsageEvent, 0, n)
	for i := range n {
		if len(events) > 0 && random.IntN(20) == 0 {
			events = append(events, events[random.IntN(len(events))])
			continue
		}
		e := call(fmt.Sprint(i), []string{"ann", "bob", "cy d/e"}[random.IntN(3)], "2026-10-05T00:00:00Z", "q", fmt.Sprint(random.IntN(3), ".", random.IntN(2)*5))
		e.Time = e.Time.Add(time.Duration(i) * time.Minute)
		e.Data[0].Text = strings.ReplaceAll(e.Data[0].Text, " ", "")
		if random.IntN(3) == 0 {
			e.Type = "store"
		}
		events = append(events, e)
	}
	return events
}

// Whatever the batches in which usage comes, and however often the host is stopped
// and the state made again from the log, the alerts are those of a look behind every
// event; and each is published once.
func TestAlertsAgainstNaiveEvaluation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 6))
			events := drawUsage(random, 120)
			want := naiveAlerts(events)
			r := startHost(t, 2, "2026-10-20T00:00:00Z")
			r.apply(alertCatalog + alertSection)
			for rest := events; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(60))
				if random.IntN(2) == 0 {
					n = 1
				}
				r.send(rest[:n]...)
				rest = rest[n:]
				if random.IntN(10) == 0 {
					r.stop()
					r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
				}
			}
			compareFired(t, want, r.fired(query.AlertFilter{}))
			before, err := json.Marshal(r.fired(query.AlertFilter{}))
			if err != nil {
				t.Fatal(err)
			}
			positions := r.Queries().AsOf().Positions
			published := r.publishedAlerts(len(want))
			r.stop() // all at once, from the log alone
			if err := os.RemoveAll(filepath.Join(r.dir, "state", "badger")); err != nil {
				t.Fatal(err)
			}
			r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
			if err := r.Wait(r.wait(), positions); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(r.fired(query.AlertFilter{}))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(before), string(again)); diff != "" {
				t.Errorf("made again from the log (+), before (-):\n%s", diff)
			}
			time.Sleep(50 * time.Millisecond) // time to publish what must not be
			if diff := cmp.Diff(published, r.publishedAlerts(len(want))); diff != "" {
				t.Errorf("the stream has changed:\n%s", diff)
			}
		})
	}
}

// compareFired compares the alerts of each account with the naive ones.
func compareFired(t *testing.T, want []naiveAlert, fired []query.Alert) {
	t.Helper()
	byAccount := func(list []naiveAlert) map[string][]naiveAlert {
		out := map[string][]naiveAlert{}
		for _, a := range list {
			out[a.Account] = append(out[a.Account], a)
		}
		return out
	}
	var got []naiveAlert
	ids := map[string]bool{}
	for _, a := range fired {
		value, _ := new(big.Rat).SetString(a.Value)
		if ids[a.ID] || a.Event == nil || a.Cause != "usage" || a.At == "" {
			t.Errorf("unexpected alert %+v", a)
			continue
		}
		ids[a.ID] = true
		got = append(got, naiveAlert{a.Alert.Alert, a.Account, a.Threshold, value.RatString(), a.Crossing, a.Event.ID})
	}
	if len(want) == 0 {
		t.Fatal("nothing is to be told")
	}
	if diff := cmp.Diff(byAccount(want), byAccount(got)); diff != "" {
		t.Errorf("naive (-), engine (+):\n%s", diff)
	}
}

// publishedAlerts waits until the stream of alerts has so many messages, and returns
// their ids.
func (r *running) publishedAlerts(n int) (ids []string) {
	r.t.Helper()
	ctx := r.wait()
	for {
		ids = nil
		err := r.Conn().Each(ctx, stream.Alerts, "", 0, func(m stream.Message) error {
			var a struct{ ID string }
			ids = append(ids, a.ID)
			return json.Unmarshal(m.Data, &a)
		})
		if err != nil {
			r.t.Fatal(err)
		}
		if len(ids) >= n {
			return ids
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A void takes usage back and arms the thresholds again that it leads below; a new
// alert is told at once of what is reached already; a closed period tells nothing.
func TestAlertsOfCorrectionsAndCatalogs(t *testing.T) {
	t.Parallel()
	r := startHost(t, 1, "2026-10-20T00:00:00Z")
	r.apply(alertCatalog + `alerts: [{name: used, measure: units, meter: store, thresholds: [10, 15]}]`)
	store := func(id, at, q string) billing.UsageEvent {
		e := call(id, "ann", at, "q", q)
		e.Type = "store"
		return e
	}
	r.send(store("1", "2026-10-01T00:00:00Z", "12"))
	void := billing.UsageEvent{
		Source: "ops", ID: "v1", Type: "tollway.usage.void", Account: "ann", Time: instant("2026-10-02T00:00:00Z"),
		Data: []billing.Field{{Key: "source", Text: "test"}, {Key: "id", Text: "1"}},
	}
	r.send(void)
	r.send(store("2", "2026-10-03T00:00:00Z", "9"), store("3", "2026-10-03T00:00:00Z", "11"))
	r.apply(`alerts: [{name: early, measure: amount, currency: EUR, thresholds: ["4.99"]}]`)
	r.send(store("4", "2026-10-04T00:00:00Z", "1"))
	var got []string
	for _, a := range r.fired(query.AlertFilter{Account: "ann", Period: "2026-10"}) {
		got = append(got, fmt.Sprint(a.ID, " ", a.Value, " ", a.Cause))
	}
	want := []string{
		"used.ann.2026-10-01.10.1 12 usage", "used.ann.2026-10-01.10.2 20 usage", "used.ann.2026-10-01.15.1 20 usage",
		"early.ann.2026-10-01.4_99.1 10 catalog",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-), fired (+):\n%s", diff)
	}
	r.setNow("2026-11-10T00:00:00Z")
	r.close("2026-10", "")
	r.send(store("late", "2026-10-05T00:00:00Z", "100"))
	if n := len(r.fired(query.AlertFilter{})); n != len(want) {
		t.Errorf("%d alerts after late usage, %d before", n, len(want))
	}
	r.send(store("next", "2026-11-05T00:00:00Z", "10"))
	if list := r.fired(query.AlertFilter{Period: "2026-11", Alert: "used"}); len(list) != 1 || list[0].ID != "used.ann.2026-11-01.10.1" {
		t.Errorf("the next period: %+v", list)
	}
}

// A sink of alerts gets each once, and one of invoices none.
func TestAlertsAreDelivered(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	r := startHost(t, 1, "2026-10-20T00:00:00Z")
	r.stop()
	r.config.Deliveries = []deliver.Sink{
		{Name: "told", Of: deliver.OfAlerts, Files: &deliver.Files{Directory: filepath.Join(folder, "told")}},
		{Name: "billed", Files: &deliver.Files{Directory: filepath.Join(folder, "billed")}},
	}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.apply(alertCatalog + `alerts: [{name: used, measure: units, meter: calls, thresholds: [1, "2.5"]}]`)
	r.send(call("1", "ann", "2026-10-01T00:00:00Z", "q", "3"))
	for _, id := range []string{"used.ann.2026-10-01.1.1", "used.ann.2026-10-01.2_5.1"} {
		var b []byte
		for end := time.Now().Add(20 * time.Second); b == nil && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b, _ = os.ReadFile(filepath.Join(folder, "told", "2026-10-01", id+".json")) // not there yet
		}
		var a struct{ ID, Value string }
		if err := json.Unmarshal(b, &a); err != nil || a.ID != id || a.Value != "3" {
			t.Errorf("%s: %q, %v", id, b, err)
		}
	}
	if found, err := filepath.Glob(filepath.Join(folder, "billed", "*")); err != nil || len(found) > 0 {
		t.Errorf("delivered as invoices: %v, %v", found, err)
	}
}

// A watch brings what is fired, and goes on behind its token.
func TestWatchAlerts(t *testing.T) {
	t.Parallel()
	r := startHost(t, 2, "2026-10-20T00:00:00Z")
	r.apply(alertCatalog + `alerts: [{name: used, measure: units, meter: calls, thresholds: [1, 2, 3]}]`)
	r.send(call("1", "ann", "2026-10-01T00:00:00Z", "q", "1"))
	fresh, err := r.WatchAlerts(query.AlertFilter{}, false, "")
	if err != nil {
		t.Fatal(err)
	}
	r.send(call("2", "bob", "2026-10-01T00:00:00Z", "q", "1"), call("3", "ann", "2026-10-01T00:00:00Z", "q", "1"))
	var got []string
	token := ""
	for len(got) < 2 {
		list, next, err := fresh.Next(r.wait(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			got = append(got, a.ID)
		}
		token = next
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"used.ann.2026-10-01.2.1", "used.bob.2026-10-01.1.1"}, got); diff != "" {
		t.Error(diff)
	}
	resumed, err := r.WatchAlerts(query.AlertFilter{Account: "ann"}, false, token)
	if err != nil {
		t.Fatal(err)
	}
	r.send(call("4", "bob", "2026-10-01T00:00:00Z", "q", "1"), call("5", "ann", "2026-10-01T00:00:00Z", "q", "1"))
	for list := []query.Alert(nil); ; {
		if list, _, err = resumed.Next(r.wait(), time.Minute); err != nil || len(list) == 1 && list[0].ID == "used.ann.2026-10-01.3.1" {
			break
		}
		if len(list) > 0 {
			t.Fatalf("not behind the token: %+v", list)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.WatchAlerts(query.AlertFilter{}, false, "nonsense"); err == nil {
		t.Error("nonsense is a token")
	}
	all, err := r.WatchAlerts(query.AlertFilter{}, true, "")
	if err != nil {
		t.Fatal(err)
	}
	if list, _, err := all.Next(r.wait(), time.Minute); err != nil || len(list) != 5 {
		t.Errorf("all: %d alerts, %v", len(list), err)
	}
}
