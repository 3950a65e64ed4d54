package host_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// running is a host in this process, with a clock that stands still until it is
// moved. It fails its test when it stops by itself.
type running struct {
	*host.Host
	t     testing.TB
	dir   string
	now   *atomic.Int64 // unix ns
	stop  func()        // ends the host and waits for it
	parts int
	idle  bool // opened, but not run
	fresh bool // its folder has no state, the streams know another one

	config host.Config // what it has beside the rest: Log, FreeMinBytes, Plugins
}

// newClock is a clock that stands at a time.
func newClock(at string) *atomic.Int64 {
	c := &atomic.Int64{}
	c.Store(instant(at).UnixNano())
	return c
}

// startHost runs a host until the test ends.
func startHost(t testing.TB, partitions int, now string) *running {
	t.Helper()
	r := &running{t: t, dir: t.TempDir(), now: &atomic.Int64{}, parts: partitions}
	r.setNow(now)
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	return r
}

// open starts the host on the folder that it has.
func (r *running) open(config stream.Config) {
	r.t.Helper()
	h, err := host.Open(r.t.Context(), host.Config{
		DataDir: r.dir, Partitions: r.parts, NATS: config, PluginCache: host.UserPluginCache(), Temporary: true, TakeOver: r.fresh, Plugins: r.config.Plugins,
		Now: func() time.Time { return time.Unix(0, r.now.Load()) }, Log: r.config.Log, FreeMinBytes: r.config.FreeMinBytes, Deliveries: r.config.Deliveries,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Host = h
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	if r.idle {
		done <- nil
	} else {
		go func() { done <- h.Run(ctx) }()
	}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := errors.Join(<-done, h.Close()); err != nil {
			r.t.Error(err)
		}
	}
	r.t.Cleanup(r.stop)
}

func (r *running) setNow(text string) { r.now.Store(instant(text).UnixNano()) }

// instant reads a time of a test.
func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return at
}

// wait bounds what a test waits for.
func (r *running) wait() context.Context {
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	r.t.Cleanup(cancel)
	return ctx
}

// apply applies a catalog that must be right.
func (r *running) apply(yaml string) host.Applied {
	r.t.Helper()
	applied, err := r.tryApply(yaml)
	if err != nil {
		r.t.Fatal(err)
	}
	return applied
}

func (r *running) tryApply(yaml string) (host.Applied, error) {
	r.t.Helper()
	applied, err := r.Apply(r.wait(), host.ApplyRequest{Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(yaml)}}, At: r.Now()})
	for _, p := range applied.Problems {
		r.t.Fatal(p)
	}
	return applied, err
}

// send has events priced, or turned away.
func (r *running) send(events ...billing.UsageEvent) {
	r.t.Helper()
	results, err := r.Ingest(r.wait(), events)
	if err != nil {
		r.t.Fatal(err)
	}
	var positions []query.Position
	for _, result := range results {
		if result.Problem != nil {
			r.t.Fatal(result.Problem)
		}
		positions = append(positions, result.Position)
	}
	if err := r.Wait(r.wait(), positions); err != nil {
		r.t.Fatal(err)
	}
}

// publish writes a message to a partition as a producer without our client
// does, and waits for it.
func (r *running) publish(partition int, contentType string, body []byte) {
	r.t.Helper()
	sequences, err := r.Conn().Publish(r.wait(), []stream.Outgoing{{
		Subject: stream.BatchSubject(partition), Header: map[string]string{"Content-Type": contentType}, Data: body,
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Wait(r.wait(), []query.Position{{Partition: partition, Sequence: sequences[0]}}); err != nil {
		r.t.Fatal(err)
	}
}

// close closes a period, grace time or not.
func (r *running) close(period, zone string) {
	r.t.Helper()
	if _, err := r.ClosePeriod(r.wait(), host.CloseRequest{Period: period, Zone: zone, SkipGrace: true}); err != nil {
		r.t.Fatal(err)
	}
}

// bills lists the matching invoices as "id total".
func (r *running) bills(f host.InvoiceFilter) []string {
	r.t.Helper()
	list, next, _, err := r.Invoices(f, query.Page{Size: query.MaxPageSize})
	if err != nil || next != "" {
		r.t.Fatal(next, err)
	}
	return idsAndTotals(list)
}

// waiting lists what is parked, or waits to be billed again, as "period account reason".
func (r *running) waiting() []string {
	r.t.Helper()
	list := []string{}
	for _, p := range first(r.Periods()) {
		for _, k := range p.Parked {
			list = append(list, p.Period.ID()+" "+string(k.Account)+" "+k.Reason)
		}
	}
	return list
}

func idsAndTotals(list []export.Invoice) []string {
	out := make([]string, 0, len(list))
	for _, inv := range list {
		out = append(out, inv.ID+" "+inv.TotalText)
	}
	return out
}

// call is a usage event of a test.
func call(id, account, at string, fields ...string) billing.UsageEvent {
	e := billing.UsageEvent{Source: "test", ID: id, Type: "call", Account: billing.AccountID(account), Time: instant(at)}
	for i := 0; i < len(fields); i += 2 {
		e.Data = append(e.Data, billing.Field{Key: fields[i], Text: fields[i+1]})
	}
	return e
}
