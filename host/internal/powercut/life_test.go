package powercut

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/sdk/billing"
)

// TestMain is also a life.
func TestMain(m *testing.M) {
	text := os.Getenv("POWERCUT_LIFE")
	if text == "" {
		os.Exit(m.Run())
	}
	var l life
	err := json.Unmarshal([]byte(text), &l)
	if err == nil {
		err = l.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the host ends:", err)
		os.Exit(1)
	}
}

// life is one run of a host, from its start to its end.
type life struct {
	Data  string // the data directory
	Log   string // folder of the streams; in the data directory when empty
	From  int    // number of the first event that it sends
	Until int    // and of the last, plus one
	Scrub bool   // reads all that is stored again and again
	Free  int64  // bytes that must be free on the disk

	started time.Time
	host    *host.Host
}

// What the usage is: events have numbers, and everything follows from those.
const (
	partitions   = 2
	accounts     = 13
	octoberUntil = 3000 // events up to this one are October's
	batchEvents  = 400  // so many that a checkpoint has large values
)

func account(n int) string { return fmt.Sprint("account-", n%accounts) }

func minutes(n int) int { return n%50 + 1 }

func event(n int) billing.UsageEvent {
	at := time.Date(2026, 11, 5, 10, 0, 0, 0, time.UTC)
	if n < octoberUntil {
		at = time.Date(2026, 10, 5, 10, 0, 0, 0, time.UTC)
	}
	return billing.UsageEvent{
		Source: "test", ID: fmt.Sprint(n), Type: "call", Account: billing.AccountID(account(n)), Time: at,
		Data: []billing.Field{{Key: "minutes", Text: fmt.Sprint(minutes(n))}},
	}
}

const rules = `
meters: [{name: calls, event_type: call, quantity: minutes}]
tariffs:
  - name: per_minute
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.01"}}]
default_subscriptions: [per_minute]
billing: {close: manual}
`

// now is a clock that begins in November.
func (l *life) now() time.Time {
	return time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC).Add(time.Since(l.started))
}

// run opens the host, sends usage and says how far it is.
func (l *life) run() (err error) {
	l.started = time.Now()
	config := host.Config{
		DataDir: l.Data, Partitions: partitions, Now: l.now, PluginCache: host.UserPluginCache(), FreeMinBytes: l.Free,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		// A log on another disk survives as the system's cache does; on this one it
		// has to be synced.
		NATS: stream.Config{Embedded: &stream.EmbeddedConfig{StoreDir: l.Log, Unsynced: l.Log != ""}},
	}
	if l.Scrub {
		config.ScrubInterval = 50 * time.Millisecond
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if l.host, err = host.Open(ctx, config); err != nil {
		return err
	}
	l.tell("opened")
	ran := make(chan error, 1)
	go func() {
		err := l.host.Run(ctx)
		if err != nil { // nothing that is being waited for will come
			fmt.Fprintln(os.Stderr, "the host ends:", err)
			os.Exit(1)
		}
		ran <- nil
	}()
	err = l.work(ctx)
	stop()
	if err := errors.Join(err, <-ran, l.host.Close()); err != nil {
		return err
	}
	fmt.Println("closed")
	return nil
}

// tell says where the partitions stand.
func (l *life) tell(what string) {
	for _, p := range l.host.PartitionsHealth() {
		fmt.Println(what, p.Partition, p.Position, cmp.Or(p.Digest, "none"), p.Condition, p.Rebuilds)
	}
}

func (l *life) work(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	if _, revision, _, _, err := l.host.Catalog("", "", query.Page{Size: 1}); err != nil {
		return err
	} else if revision == 0 {
		applied, err := l.host.Apply(ctx, host.ApplyRequest{Files: []catalog.File{{Name: "catalog.yaml", Data: []byte(rules)}}, At: l.now()})
		if err != nil || len(applied.Problems) > 0 {
			return errors.Join(err, fmt.Errorf("%v", applied.Problems))
		}
	}
	for next := l.From; next < l.Until; {
		end := min(next+batchEvents, l.Until)
		if next < octoberUntil {
			end = min(end, octoberUntil)
		}
		if err := l.send(ctx, next, end); err != nil {
			return err
		}
		if next = end; next >= octoberUntil {
			if err := l.closeOctober(ctx); err != nil {
				return err
			}
		}
	}
	// Once more the first event of each account: who waits for it has seen all that
	// the log had.
	if err := l.send(ctx, 0, min(accounts, l.Until)); err != nil {
		return err
	}
	return l.settle(ctx)
}

// send sends events, and one a second time, and waits until all are part of a
// checkpoint.
func (l *life) send(ctx context.Context, next, end int) error {
	fmt.Println("sending", end) // before: it may be in the log though nobody hears of it
	var events []billing.UsageEvent
	for n := next; n < end; n++ {
		events = append(events, event(n))
	}
	events = append(events, event(next/2))
	results, err := l.host.Ingest(ctx, events)
	if err != nil {
		return err
	}
	fmt.Println("taken", end)
	var positions []query.Position
	for _, r := range results {
		if r.Problem != nil {
			return fmt.Errorf("an event was refused: %v", r.Problem)
		}
		positions = append(positions, r.Position)
	}
	if err := l.host.Wait(ctx, positions); err != nil {
		return err
	}
	l.tell("durable")
	return nil
}

// closeOctober closes the period, also when it is closed already.
func (l *life) closeOctober(ctx context.Context) error {
	for {
		positions, err := l.host.ClosePeriod(ctx, host.CloseRequest{Period: "2026-10", SkipGrace: true})
		if fault := (*host.Fault)(nil); errors.As(err, &fault) && fault.Reason() == host.ReasonUnavailable {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if err != nil {
			return err
		}
		return l.host.Wait(ctx, positions)
	}
}

// settle waits until every partition serves, and says what was billed and what the
// subtotals are.
func (l *life) settle(ctx context.Context) error {
	for l.host.Servable("") != nil {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", err, l.host.Servable(""))
		}
		time.Sleep(5 * time.Millisecond)
	}
	l.tell("settled")
	invoices, _, _, err := l.host.Invoices(host.InvoiceFilter{}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		return err
	}
	for _, i := range invoices {
		fmt.Println("invoice", i.Account, i.TotalText)
	}
	list, err := l.host.Queries().List(query.Filter{Period: "2026-11-01"}, query.Page{Size: query.MaxPageSize})
	if err != nil {
		return err
	}
	for _, s := range list.Subtotals {
		fmt.Println("subtotal", s.Account, s.AmountText)
	}
	c := l.host.Counters()
	fmt.Println("counts", c.Priced, c.DeadLettered, c.Read-c.Priced-c.Duplicates-c.DeadLettered)
	return nil
}
