package query_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	"github.com/tollway/tollway/sdk/billing"
)

// world is an engine over partitions whose state the test writes.
type world struct {
	t      *testing.T
	states []*accumulate.State
	engine *query.Engine
}

func newWorld(t *testing.T, partitions int) *world {
	w := &world{t: t}
	var views []query.Partition
	for n := range partitions {
		w.states = append(w.states, accumulate.NewState())
		views = append(views, query.Partition{Stream: fmt.Sprint("USAGE-", n), State: w.states[n]})
	}
	w.engine = query.NewEngine(views)
	return w
}

var october = time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)

// slot makes a slot with one line.
func slot(account, tariff string, month time.Time, amount string, rounding billing.Rounding) *rate.Slot {
	return &rate.Slot{
		Key: rate.Key{Account: account, Tariff: tariff, Subscription: tariff, Period: month.UnixNano(), Group: rate.EncodeGroup([]string{"eu"})},
		Plan: &rate.Plan{
			Tariff: tariff, Meter: "calls", Currency: "EUR", Rounding: rounding, GroupBy: []string{"region"},
			Lines: []rate.PlanLine{{ID: "usage", Description: "Usage"}},
		},
		Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, PeriodEnd: month.AddDate(0, 1, 0).UnixNano(), Events: 1, State: []byte{1},
		Lines: []rate.Line{{Quantity: billing.DecimalFromInt(1), Amount: billing.MustDecimal(amount)}},
	}
}

// commit makes slots part of the committed state at the next position.
func (w *world) commit(slots ...*rate.Slot) {
	w.t.Helper()
	for n, state := range w.states {
		for _, s := range slots {
			if billing.Partition(billing.AccountID(s.Account), len(w.states)) == n {
				if err := state.Put(s); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		state.Now().Position++
		state.Publish()
		w.engine.Advanced(n)
		g, err := state.Cut()
		if err != nil {
			w.t.Fatal(err)
		}
		state.Durable(g)
		w.engine.Committed(n, func(fn func(string)) { state.AccountsOf(g, fn) })
	}
}

var (
	cents = billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp}
	exact = billing.Rounding{Mode: billing.RoundNone}
)

func TestAccount(t *testing.T) {
	w := newWorld(t, 4)
	w.commit(
		slot("emma", "a", october, "1.005", cents), slot("emma", "b", october, "2", cents),
		slot("emma", "a", october.AddDate(0, -1, 0), "9", cents), slot("noah", "a", october, "7", cents),
	)
	got, err := w.engine.Account(query.Filter{Account: "emma"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Subtotals) != 2 || got.Subtotals[0].AmountText != "1.01" || got.Subtotals[1].AmountText != "2.00" {
		t.Errorf("subtotals of the newest period: %+v", got.Subtotals)
	}
	if len(got.Totals) != 1 || got.Totals[0].AmountText != "3.01" {
		t.Errorf("totals %+v", got.Totals)
	}
	if s := got.Subtotals[0]; s.Period.ID() != "2026-10-01" || s.Group[0].Key != "region" || s.Group[0].Text != "eu" || s.Lines[0].ID != "usage" || s.Final {
		t.Errorf("subtotal %+v", s)
	}
	if len(got.AsOf.Positions) != 1 || got.AsOf.Positions[0].Sequence != 1 {
		t.Errorf("as of %+v", got.AsOf)
	}
	for _, c := range []struct {
		filter query.Filter
		rows   int
	}{
		{query.Filter{Account: "emma", Period: "2026-09"}, 1},
		{query.Filter{Account: "emma", Period: "2026-09-01"}, 1},
		{query.Filter{Account: "emma", Period: "2026-08"}, 0},
		{query.Filter{Account: "emma", Tariff: "b"}, 1},
		{query.Filter{Account: "emma", Meter: "other"}, 0},
		{query.Filter{Account: "emma", Currency: "USD"}, 0},
		{query.Filter{Account: "nobody"}, 0},
	} {
		if got, err := w.engine.Account(c.filter); err != nil || len(got.Subtotals) != c.rows {
			t.Errorf("%+v: %d subtotals, %v; want %d", c.filter, len(got.Subtotals), err, c.rows)
		}
	}
	for _, bad := range []query.Filter{{}, {Account: "emma", Period: "October"}} {
		if _, err := w.engine.Account(bad); !errors.Is(err, query.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
}

func TestTotalKeepsEveryDigitWhereALineDoes(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(slot("emma", "a", october, "1.5", cents), slot("emma", "b", october, "0.000000000000000001", exact))
	got, err := w.engine.Account(query.Filter{Account: "emma"})
	if err != nil || got.Totals[0].AmountText != "1.500000000000000001" {
		t.Errorf("total %+v, %v", got.Totals, err)
	}
}

func TestListPagesThroughAllAccounts(t *testing.T) {
	w := newWorld(t, 3)
	var want []string
	for i := range 25 {
		account := fmt.Sprintf("account-%02d", i)
		w.commit(slot(account, "a", october, "1", cents), slot(account, "b", october, "1", cents))
		want = append(want, account+" a", account+" b")
	}
	for _, size := range []int{1, 7, 100} {
		var got []string
		page := query.Page{Size: size}
		for {
			answer, err := w.engine.List(query.Filter{}, page)
			if err != nil {
				t.Fatal(err)
			}
			if len(answer.Subtotals) > size {
				t.Fatalf("a page of %d has %d rows", size, len(answer.Subtotals))
			}
			for _, s := range answer.Subtotals {
				got = append(got, string(s.Account)+" "+s.Tariff)
			}
			if page.Token = answer.NextToken; page.Token == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %v", size, got)
		}
	}
	if _, err := w.engine.List(query.Filter{}, query.Page{Token: "not a token"}); !errors.Is(err, query.ErrInvalid) {
		t.Errorf("a bad token: %v", err)
	}
}

func TestWait(t *testing.T) {
	w := newWorld(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		done <- w.engine.Wait(ctx, []query.Position{{Partition: 1, Sequence: 2}, {Stream: "USAGE-0", Partition: 0, Sequence: 1}})
	}()
	w.commit()
	w.commit()
	if err := <-done; err != nil {
		t.Error(err)
	}
	short, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := w.engine.Wait(short, []query.Position{{Sequence: 99}}); !errors.Is(err, query.ErrNotReached) {
		t.Errorf("a position that is not reached: %v", err)
	}
	for _, bad := range []query.Position{{Partition: 2}, {Partition: -1}, {Stream: "USAGE-1"}} {
		if err := w.engine.Wait(ctx, []query.Position{bad}); !errors.Is(err, query.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
	}
}

// The latest state is ahead of the committed one, for who asks for it.
func TestLatestIsAhead(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(slot("emma", "a", october, "1", cents))
	if err := w.states[0].Put(slot("emma", "a", october, "2", cents)); err != nil {
		t.Fatal(err)
	}
	arrived := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	go func() { arrived <- w.engine.WaitLatest(ctx, []query.Position{{Sequence: 2}}) }()
	time.Sleep(10 * time.Millisecond) // whether it waits already or not, it must come back
	w.states[0].Now().Position++
	w.states[0].Publish()
	w.engine.Advanced(0)
	if err := <-arrived; err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		latest   bool
		amount   string
		position uint64
	}{{false, "1.00", 1}, {true, "2.00", 2}} {
		for _, read := range []func() (query.Subtotals, error){
			func() (query.Subtotals, error) {
				return w.engine.Account(query.Filter{Account: "emma", Latest: c.latest})
			},
			func() (query.Subtotals, error) {
				return w.engine.List(query.Filter{Latest: c.latest}, query.Page{})
			},
		} {
			got, err := read()
			if err != nil || got.Totals[0].AmountText != c.amount || got.AsOf.Positions[0].Sequence != c.position {
				t.Errorf("latest %v: %+v as of %+v, %v", c.latest, got.Totals, got.AsOf, err)
			}
		}
	}
}

func TestWatchShowsTheNewestState(t *testing.T) {
	w := newWorld(t, 2)
	w.commit(slot("emma", "a", october, "1", cents), slot("noah", "a", october, "5", cents))
	one := w.engine.Watch(query.Filter{Account: "emma"}, time.Minute)
	defer one.Close()
	all := w.engine.Watch(query.Filter{}, 10*time.Millisecond)
	defer all.Close()
	if u, err := one.Next(t.Context()); err != nil || u.Kind != query.UpdateSnapshot || u.More || u.Totals[0].AmountText != "1.00" {
		t.Fatalf("snapshot %+v, %v", u, err)
	}
	if u, err := all.Next(t.Context()); err != nil || len(u.Subtotals.Subtotals) != 2 {
		t.Fatalf("snapshot of all %+v, %v", u, err)
	}
	w.commit(slot("noah", "a", october, "6", cents))
	for i := range 100 { // nobody reads meanwhile
		w.commit(slot("emma", "a", october, fmt.Sprint(i), cents))
	}
	u, err := one.Next(t.Context())
	if err != nil || u.Kind != query.UpdateChanged || len(u.Subtotals.Subtotals) != 1 || u.Subtotals.Subtotals[0].AmountText != "99.00" {
		t.Errorf("change %+v, %v", u, err)
	}
	u, err = all.Next(t.Context())
	if err != nil || len(u.Subtotals.Subtotals) != 2 {
		t.Errorf("changes of all %+v, %v", u, err)
	}
	if u, err := all.Next(t.Context()); err != nil || u.Kind != query.UpdateHeartbeat {
		t.Errorf("silence gives %+v, %v", u, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := one.Next(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("a watch whose context ended gives %v", err)
	}
}
