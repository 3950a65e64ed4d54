package rpc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

func update(rows int, more bool) query.Update {
	u := query.Update{Kind: query.UpdateSnapshot, More: more}
	for i := range rows {
		u.Subtotals.Subtotals = append(u.Subtotals.Subtotals, subtotal("emma", fmt.Sprint(i), "1.00"))
	}
	u.AsOf = testAsOf
	u.Totals = []query.Total{{Currency: "EUR", AmountText: "12.00"}}
	return u
}

func TestWatch(t *testing.T) {
	engine := bill()
	engine.watch = newFakeWatch()
	_, clients := serve(t, engine, nil)
	engine.watch.updates <- update(1500, true)
	engine.watch.updates <- update(2, false)
	changed := update(1, false)
	changed.Kind = query.UpdateChanged
	engine.watch.updates <- changed
	engine.watch.updates <- query.Update{Kind: query.UpdateHeartbeat, Subtotals: query.Subtotals{AsOf: testAsOf}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{Account: "emma"})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var got []string
	for range 5 {
		m, err := stream.Receive()
		if err != nil {
			t.Fatal(err)
		}
		total := "-"
		if len(m.GetTotals()) > 0 {
			total = m.GetTotals()[0].GetAmount()
		}
		got = append(got, fmt.Sprintf("%s %d %s", strings.TrimPrefix(m.GetEvent().String(), "WATCH_EVENT_"), len(m.GetSubtotals()), total))
		if m.GetAsOf().GetPositions()[0].GetSequence() != 7 {
			t.Errorf("as_of is %v", m.GetAsOf())
		}
	}
	want := []string{"SNAPSHOT_PART 1000 -", "SNAPSHOT_PART 500 -", "SNAPSHOT 2 100.50", "CHANGED 1 12.00", "HEARTBEAT 0 -"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if engine.watch.heartbeat != 15*time.Second {
		t.Errorf("heartbeat is %v", engine.watch.heartbeat)
	}
	cancel()
	select {
	case <-engine.watch.closed:
	case <-time.After(10 * time.Second):
		t.Error("the watch outlived its caller")
	}
}

func TestWatchOfAllAccountsHasNoTotals(t *testing.T) {
	engine := bill()
	engine.watch = newFakeWatch()
	_, clients := serve(t, engine, nil)
	engine.watch.updates <- update(2, false)
	stream, err := clients.Subtotals.Watch(t.Context(), &tollwayv1.SubtotalServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if m, err := stream.Receive(); err != nil || len(m.GetTotals()) != 0 {
		t.Errorf("got %v, %v", m, err)
	}
}
