package rate_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/builtin"
	"github.com/tollway/tollway/sdk/billing"
)

// source has the built-in tariffs that price by a list, compiled once for all tests.
type source struct{ module *plugins.Module }

var builtins source

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx := context.Background()
		dir, err := os.MkdirTemp("", "tollway-rate-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		modules, err := builtin.Modules()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		runtime, err := plugins.NewRuntime(ctx, plugins.Config{CacheDir: dir})
		if err != nil {
			panic(err)
		}
		defer func() { _ = runtime.Close(ctx) }()
		for _, b := range modules {
			if b.Name != "standard" {
				continue
			}
			if builtins.module, err = runtime.Load(ctx, b.Wasm); err != nil {
				panic(err)
			}
		}
		return m.Run()
	}())
}

func (s source) Module(_ context.Context, digest string) (*plugins.Module, error) {
	if digest != s.module.Digest() {
		return nil, fmt.Errorf("there is no plugin %s", digest)
	}
	return s.module, nil
}

// Lookup and CheckParams make the source a catalog.Resolver that believes in
// all parameters: the plugin judges them when it is configured.
func (s source) Lookup(_ catalog.PluginKind, reference string) (module, tariff string, err error) {
	return s.module.Digest(), reference, nil
}

func (s source) CheckParams(string, string, json.RawMessage, billing.Currency) ([]string, error) {
	return nil, nil
}

// book is a state in memory.
type book struct {
	t        testing.TB
	accounts map[string]*rate.Account
	slots    *rate.Slab
	closed   int64
}

func newBook(t testing.TB) *book {
	t.Helper()
	return &book{t: t, accounts: map[string]*rate.Account{}, slots: rate.NewSlab(), closed: rate.Beginning}
}

func (b *book) Accounts(events []rate.Event, into []*rate.Account) {
	for i := range events {
		into[i] = b.accounts[events[i].Account]
	}
}

func (b *book) ClosedUntil(rate.Calendar) int64 { return b.closed }

func (b *book) CarryIn(*rate.Live) []byte { return nil }

// take makes the changes of a batch.
func (b *book) take(changes []rate.Change) {
	for _, c := range changes {
		l := c.Slot
		if l == nil {
			if c.Terms.Number == 0 {
				b.slots.Keep(c.Terms)
			}
			a := b.accounts[c.Account.ID()]
			if a == nil {
				a, _ = b.slots.NewAccount(c.Account.ID())
				b.accounts[a.ID()] = a
			}
			l = b.slots.Add()
			if err := b.slots.Name(l, a, c.Terms, c.Group); err != nil {
				b.t.Fatal(err)
			}
			at, _ := a.Find(c.Terms, c.Group)
			a.Insert(at, l)
			c.Made(l)
		}
		l.Events += c.Events
		l.LastTime = max(l.LastTime, c.LastTime)
		b.slots.SetData(l, c.Lines, c.State)
	}
}

// byKey returns all slots by key.
func (b *book) byKey() map[rate.Key]*rate.Slot {
	slots := map[rate.Key]*rate.Slot{}
	for _, a := range b.accounts {
		for l := range a.Slots() {
			slots[l.Key()] = l.Slot()
		}
	}
	return slots
}

// world rates events against a catalog and keeps the state.
type world struct {
	t     testing.TB
	rater *rate.Rater
	book  *book
}

func newWorld(t testing.TB, yaml string) *world {
	t.Helper()
	c, problems := catalog.Parse([]catalog.File{{Name: "catalog.yaml", Data: []byte(yaml)}})
	if problems = append(problems, c.Resolve(builtins)...); len(problems) > 0 {
		t.Fatalf("catalog: %v", problems)
	}
	w := &world{t: t, rater: rate.NewRater(builtins), book: newBook(t)}
	w.rater.SetCatalog(c)
	t.Cleanup(func() {
		if err := w.rater.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// rate prices events in batches of a size and returns the rejections, with the
// index in all events.
func (w *world) rate(events []rate.Event, size int) []rate.Rejection {
	w.t.Helper()
	var rejected []rate.Rejection
	for first := 0; first < len(events); first += size {
		out, err := w.rater.Rate(w.t.Context(), w.book, events[first:min(first+size, len(events))])
		if err != nil {
			w.t.Fatal(err)
		}
		w.book.take(out.Changes)
		for _, r := range out.Rejected {
			r.Event += first
			rejected = append(rejected, r)
		}
	}
	return rejected
}

// amounts shows the sum of each slot's lines by "account tariff group".
func (w *world) amounts() map[string]string {
	w.t.Helper()
	sums := map[string]string{}
	for k, s := range w.book.byKey() {
		var sum billing.Decimal
		for _, l := range s.Lines {
			var err error
			if sum, err = sum.Add(l.Amount); err != nil {
				w.t.Fatal(err)
			}
		}
		group, err := rate.DecodeGroup(k.Group)
		if err != nil {
			w.t.Fatal(err)
		}
		name := strings.Join(append([]string{k.Account, k.Tariff, time.Unix(0, k.Period).UTC().Format("2006-01")}, group...), " ")
		sums[name] = fmt.Sprintf("%s/%d", sum, s.Events)
	}
	return sums
}

// event makes an event of type "call" in October 2026; fields are key, text
// pairs.
func event(account string, fields ...string) rate.Event {
	e := rate.Event{Account: account, Type: "call", Time: time.Date(2026, 10, 15, 12, 0, 0, 0, time.UTC).UnixNano()}
	for i := 0; i < len(fields); i += 2 {
		e.Data = append(e.Data, billing.Field{Key: fields[i], Text: fields[i+1]})
	}
	return e
}

const twoTariffs = `
meters:
  - {name: calls, event_type: call, quantity: seconds, dimensions: [zone]}
tariffs:
  - name: per_second
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.01"}}]
  - name: by_zone
    meter: calls
    currency: EUR
    versions:
      - effective_from: 2026-01-01T00:00:00Z
        plugin: price_table
        params: {dimension: zone, prices: {eu: {unit_price: "0.5"}, us: {unit_price: "1"}}, default: null}
default_subscriptions: [per_second, by_zone]
`

func TestEventIsPricedByAllItsSubscriptionsOrByNone(t *testing.T) {
	for _, size := range []int{1, 2, 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newWorld(t, twoTariffs)
			rejected := w.rate([]rate.Event{
				event("emma", "seconds", "10", "zone", "eu"),
				event("emma", "seconds", "7", "zone", "mars"),
				event("emma", "seconds", "1", "zone", "us"),
				event("noah", "seconds", "3", "zone", "moon"),
			}, size)
			want := map[string]string{"emma per_second 2026-10": "0.11/2", "emma by_zone 2026-10": "6/2"}
			if diff := cmp.Diff(want, w.amounts()); diff != "" {
				t.Error(diff)
			}
			if len(rejected) != 2 || rejected[0].Event != 1 || rejected[1].Event != 3 || rejected[0].Reason != "no_price" {
				t.Fatalf("rejected %+v", rejected)
			}
			if !strings.Contains(rejected[0].Detail, `subscription "by_zone"`) || !strings.Contains(rejected[0].Detail, "mars") {
				t.Errorf("detail %q names neither the subscription nor the value", rejected[0].Detail)
			}
		})
	}
}

// The same usage in batches of any size comes to the same state and the same
// rejections, byte for byte.
func TestBatchSizeChangesNothing(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	zones := []string{"eu", "us", "mars", ""}
	quantities := []string{"1", "-1", "0.5", "0", "170141183460469231731", "-170141183460469231731", "x", "100000000000000000000"}
	var events []rate.Event
	for range 400 {
		events = append(events, event(fmt.Sprintf("account-%d", random.IntN(5)),
			"seconds", quantities[random.IntN(len(quantities))], "zone", zones[random.IntN(len(zones))]))
	}
	reference := newWorld(t, twoTariffs)
	rejected := reference.rate(events, 1)
	if len(rejected) < 100 || len(rejected) > 390 {
		t.Fatalf("%d of %d rejected: the events show nothing", len(rejected), len(events))
	}
	for _, size := range []int{2, 7, 63, 400} {
		w := newWorld(t, twoTariffs)
		if diff := cmp.Diff(rejected, w.rate(events, size)); diff != "" {
			t.Errorf("rejections in batches of %d: %s", size, diff)
		}
		have := w.book.byKey()
		for k, s := range reference.book.byKey() {
			other := have[k]
			if other == nil || other.Events != s.Events || string(other.State) != string(s.State) || !cmp.Equal(other.Lines, s.Lines) {
				t.Errorf("slot %v in batches of %d: %+v, one by one %+v", k, size, other, s)
			}
		}
		if len(w.book.byKey()) != len(reference.book.byKey()) {
			t.Errorf("%d slots in batches of %d, %d one by one", len(w.book.byKey()), size, len(reference.book.byKey()))
		}
	}
}

func TestReasons(t *testing.T) {
	w := newWorld(t, `
meters:
  - {name: calls, event_type: call, filter: {kind: voice}, quantity: seconds, amount: price}
tariffs:
  - name: paid
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-10-10T00:00:00Z, plugin: dynamic, params: {flavor: event_amount}}]
accounts:
  - {id: emma, subscriptions: [{tariff: paid, until: 2026-10-20T00:00:00Z}]}
`)
	at := func(e rate.Event, day int) rate.Event {
		e.Time = time.Date(2026, 10, day, 0, 0, 0, 0, time.UTC).UnixNano()
		return e
	}
	good := []string{"kind", "voice", "seconds", "1", "price", "2.50"}
	other := event("emma", good...)
	other.Type = "text"
	w.book.closed = time.Date(2026, 10, 12, 0, 0, 0, 0, time.UTC).UnixNano()
	for _, c := range []struct {
		name, reason, detail string
		event                rate.Event
	}{
		{"priced", "", "", event("emma", good...)},
		{"other type", rate.ReasonNoMeter, `type: no meter selects an event of type "text"`, other},
		{"filtered out", rate.ReasonNoMeter, "type: no meter selects", event("emma", "kind", "fax")},
		{"not subscribed", rate.ReasonNoSubscription, `account "noah" has no subscription`, event("noah", good...)},
		{"before the first version", rate.ReasonNoSubscription, "at 2026-10-09", at(event("emma", good...), 9)},
		{"after the subscription", rate.ReasonNoSubscription, "at 2026-10-20", at(event("emma", good...), 20)},
		{"closed period", rate.ReasonPeriodClosed, "usage counts from 2026-10-12T00:00:00Z on", at(event("emma", good...), 11)},
		{"no quantity", rate.ReasonBadQuantity, "data.seconds: is missing", event("emma", "kind", "voice", "price", "1")},
		{"bad quantity", rate.ReasonBadQuantity, `data.seconds: "1 s"`, event("emma", "kind", "voice", "seconds", "1 s", "price", "1")},
		{"bad amount", rate.ReasonBadAmount, `data.price: "free"`, event("emma", "kind", "voice", "seconds", "1", "price", "free")},
	} {
		t.Run(c.name, func(t *testing.T) {
			rejected := w.rate([]rate.Event{c.event}, 1)
			switch {
			case c.reason == "":
				if len(rejected) > 0 {
					t.Errorf("rejected: %+v", rejected[0])
				}
			case len(rejected) != 1:
				t.Errorf("priced, want %s", c.reason)
			case rejected[0].Reason != c.reason || !strings.Contains(rejected[0].Detail, c.detail):
				t.Errorf("got %+v, want %s with %q", rejected[0], c.reason, c.detail)
			}
		})
	}
}

func TestGroupsHaveALimitThatBatchesDoNotMove(t *testing.T) {
	const yaml = `
meters: [{name: calls, event_type: call, quantity: seconds, dimensions: [user]}]
tariffs:
  - name: by_user
    meter: calls
    currency: EUR
    group_by: [user]
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "1"}}]
default_subscriptions: [by_user]
`
	var events []rate.Event
	for i := range rate.MaxGroups {
		events = append(events, event("emma", "seconds", "1", "user", fmt.Sprint("user-", i)))
	}
	// A group that an event does not come to (its quantity overflows with the
	// price) takes no place; one that exists takes no other.
	events = append(events[:rate.MaxGroups-1:rate.MaxGroups-1],
		event("emma", "seconds", "x", "user", "nobody"),
		event("emma", "seconds", "1", "user", "the-last"),
		event("emma", "seconds", "1", "user", "one-too-many"),
		event("emma", "seconds", "1", "user", "user-7"))
	for _, size := range []int{len(events), 4000} {
		w := newWorld(t, yaml)
		rejected := w.rate(events, size)
		if len(rejected) != 2 || rejected[0].Reason != rate.ReasonBadQuantity || rejected[1].Reason != rate.ReasonTooManyGroups ||
			rejected[1].Event != rate.MaxGroups+1 {
			t.Errorf("batches of %d: rejected %+v", size, rejected)
		}
		if len(w.book.byKey()) != rate.MaxGroups {
			t.Errorf("batches of %d: %d groups, want %d", size, len(w.book.byKey()), rate.MaxGroups)
		}
	}
}

func TestFeesFallDueWithoutUsage(t *testing.T) {
	w := newWorld(t, `
meters: [{name: calls, event_type: call}]
tariffs:
  - name: line_rental
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: flat, params: {amount: "9.99"}}]
accounts:
  - {id: emma, time_zone: Europe/Berlin, subscriptions: [{tariff: line_rental}]}
  - {id: noah, subscriptions: [{tariff: line_rental, from: 2026-12-01T00:00:00Z}]}
`)
	calendar := w.rater.CalendarOf("emma")
	if calendar.Zone != "Europe/Berlin" {
		t.Fatalf("calendar %+v", calendar)
	}
	zone, err := time.LoadLocation(calendar.Zone)
	if err != nil {
		t.Fatal(err)
	}
	october := billing.Calendar{Zone: zone, AnchorDay: 1}.PeriodOf(time.Date(2026, 10, 15, 0, 0, 0, 0, time.UTC))
	slots := w.rater.Unused("emma", calendar, october, nil)
	if len(slots) != 1 {
		t.Fatalf("%d slots fall due, want 1", len(slots))
	}
	finished, _, err := w.rater.Finish(t.Context(), slots)
	if err != nil {
		t.Fatal(err)
	}
	if got := finished[0].Lines[0].Amount.String(); got != "9.99" || !finished[0].Final || finished[0].Events != 0 {
		t.Errorf("finished %+v", finished[0])
	}
	if slots[0].Final || slots[0].Lines != nil {
		t.Error("Finish changed the slot it was given")
	}
	if slots := w.rater.Unused("noah", calendar, october, nil); len(slots) != 0 {
		t.Errorf("a subscription that has not begun owes %d fees", len(slots))
	}
	if slots := w.rater.Unused("emma", calendar, october, finished); len(slots) != 0 {
		t.Error("a subscription with usage owes its fee twice")
	}
}

// A plugin that fails at the finish of some slots leaves the others as they are
// without them.
func TestFaultsOfFinishAreAlone(t *testing.T) {
	w := newWorld(t, `
meters: [{name: calls, event_type: call, quantity: q}]
tariffs:
  - name: tiers
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: graduated, params: {tiers: [{up_to: "10", unit_price: "1"}, {up_to: null, unit_price: "2"}]}}]
default_subscriptions: [tiers]
`)
	var events []rate.Event
	for n := range 9 {
		events = append(events, event(fmt.Sprint("account", n), "q", fmt.Sprint(10+n)))
	}
	if rejected := w.rate(events, len(events)); len(rejected) > 0 {
		t.Fatal(rejected)
	}
	var slots []*rate.Slot
	for _, s := range w.book.byKey() {
		slots = append(slots, s)
	}
	slices.SortFunc(slots, func(a, b *rate.Slot) int { return a.Compare(b.Key) })
	want, faults, err := w.rater.Finish(t.Context(), slots)
	if err != nil || slices.ContainsFunc(faults, func(f *rate.Fault) bool { return f != nil }) {
		t.Fatal(faults, err)
	}
	for _, broken := range [][]int{{0}, {8}, {2, 3, 7}, {0, 1, 2, 3, 4, 5, 6, 7, 8}} {
		mixed := slices.Clone(slots)
		for _, n := range broken {
			s := *slots[n]
			s.State = []byte{1} // no state that the tariff has left
			mixed[n] = &s
		}
		got, faults, err := w.rater.Finish(t.Context(), mixed)
		if err != nil {
			t.Fatal(err)
		}
		for n := range mixed {
			if slices.Contains(broken, n) {
				if got[n] != nil || faults[n] == nil || faults[n].Detail == "" || faults[n].Module != slots[n].Plan.Module {
					t.Errorf("broken %v: slot %d came out as %+v, %+v", broken, n, got[n], faults[n])
				}
				continue
			}
			if faults[n] != nil || !cmp.Equal(got[n].Lines, want[n].Lines) {
				t.Errorf("broken %v: slot %d came out as %+v, %+v", broken, n, got[n], faults[n])
			}
		}
	}
}

func TestGroupKeys(t *testing.T) {
	seen := map[string][]string{}
	for _, values := range [][]string{nil, {""}, {"", ""}, {"a", "b"}, {"ab", ""}, {"a\x00b"}, {"a\x01b"}, {strings.Repeat("x", 300), "y"}} {
		key := rate.EncodeGroup(values)
		if other, taken := seen[key]; taken {
			t.Errorf("%q and %q share a key", values, other)
		}
		seen[key] = values
		back, err := rate.DecodeGroup(key)
		if err != nil || !cmp.Equal(back, values) {
			t.Errorf("%q came back as %q, %v", values, back, err)
		}
	}
	for _, bad := range []string{"\x05ab", "\xff", "\x80"} {
		if values, err := rate.DecodeGroup(bad); err == nil {
			t.Errorf("%q was read as %q", bad, values)
		}
	}
}
