package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	telcoexample "github.com/tollway/tollway/examples/tariffs/telco"
	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/catalog"
	"github.com/tollway/tollway/host/internal/telco"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/billing"
)

// demoCommand runs everything in one process.
type demoCommand struct {
	worldFlags
	Months     int           `default:"0" help:"Months of usage; 0 goes on until interrupted."`
	Exit       bool          `help:"Run as fast as possible, close every month, compare all invoices with the known sums, and exit."`
	Day        time.Duration `default:"1s" help:"How long a day of usage takes."`
	Listen     string        `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the RPC server."`
	Data       string        `placeholder:"DIR" help:"Data directory that is kept. Default: a temporary one."`
	Partitions int           `default:"8" help:"Partitions of the log."`
}

// endlessMonths is what a demo without end runs for: a hundred years of usage.
const endlessMonths = telco.MonthsMax

// errChecked ends a demo that has checked itself and found all well.
var errChecked = errors.New("all invoices are equal to the known sums")

// Run runs the demo.
func (c *demoCommand) Run(ctx context.Context, s streams) (err error) {
	months := c.Months
	switch {
	case months == 0 && c.Exit:
		months = 3
	case months == 0:
		months = endlessMonths
	}
	world, err := c.config(telco.Charged, months)
	if err != nil {
		return err
	}
	dir := c.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "tollway-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, host.RemoveTemporary(dir)) }()
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	config := serve.Config{
		Host: host.Config{
			DataDir: dir, Partitions: c.Partitions, PluginCache: host.UserPluginCache(), Log: log,
			NATS: stream.Config{Embedded: &stream.EmbeddedConfig{}, Log: log}, Turns: host.ShareProcessors(),
		},
		RPC:       rpc.Config{Listen: c.Listen, Log: log},
		Dashboard: true,
	}
	err = serve.Run(ctx, config, func(url string, h *host.Host) error {
		d := demo{host: h, world: world, url: url, out: s.out, bar: newProgress(s.err, "usage", "events"), sent: map[int]query.Position{}}
		defer d.bar.finish()
		if c.Exit {
			return d.check(ctx)
		}
		return d.live(ctx, c.Day)
	})
	if errors.Is(err, errChecked) {
		return nil
	}
	return err
}

// demo feeds a telco world into a host.
type demo struct {
	host  *host.Host
	world telco.Config
	url   string
	out   io.Writer
	bar   *progress
	sent  map[int]query.Position // last message, by partition
}

// apply puts the telco catalog in force.
func (d *demo) apply(ctx context.Context) error {
	applied, err := d.host.Apply(ctx, host.ApplyRequest{
		Files: []catalog.File{{Name: "examples/tariffs/telco/catalog.yaml", Data: telcoexample.Catalog}}, At: d.world.Period(0).Start,
	})
	if err != nil {
		return err
	}
	if len(applied.Problems) > 0 {
		return &host.CatalogError{Problems: applied.Problems}
	}
	return nil
}

// demoBatch is how many events are sent at a time when there is no waiting.
const demoBatch = 5_000

// send writes events to the log.
func (d *demo) send(ctx context.Context, events []billing.UsageEvent) error {
	results, err := d.host.Ingest(ctx, events)
	if err != nil {
		return err
	}
	for i, r := range results {
		if r.Problem != nil {
			return fmt.Errorf("generated event %s was refused: %w", events[i].ID, r.Problem)
		}
	}
	for _, r := range results {
		d.sent[r.Position.Partition] = r.Position
	}
	d.bar.add(len(events))
	return nil
}

// live sends usage as it would come in, a day in a moment, and tells of every
// month that closes.
func (d *demo) live(ctx context.Context, day time.Duration) error {
	if err := d.apply(ctx); err != nil {
		return err
	}
	if err := d.welcome(day); err != nil {
		return err
	}
	const tick = 50 * time.Millisecond
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	begin := time.Now()
	var batch []billing.UsageEvent
	closed := 0
	for a := range d.world.Arrivals() {
		due := begin.Add(paced(a.At.Sub(d.world.Start), day))
		for time.Now().Before(due) {
			if len(batch) > 0 {
				if err := d.send(ctx, batch); err != nil {
					return err
				}
				batch = batch[:0]
			}
			if err := d.tellClosed(&closed); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-ticker.C:
			}
		}
		batch = append(batch, a.Event)
	}
	if err := d.send(ctx, batch); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(d.out, "all usage is sent; the server goes on until interrupted"); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// paced returns how long usage of a span takes when a day of it takes day.
func paced(span, day time.Duration) time.Duration {
	const whole = 24 * time.Hour
	return span/whole*day + span%whole/time.Millisecond*day/(whole/time.Millisecond)
}

// welcome says what there is to look at.
func (d *demo) welcome(day time.Duration) error {
	_, err := fmt.Fprintf(d.out, `Tollway is running at %[1]s
Nine customers use a phone company; a day of usage takes %[2]s, a month closes by itself.

Watch it in a browser:
  %[3]s

Look at one customer's live subtotals:
  curl -H 'Content-Type: application/json' -d '{"account":"emma"}' %[1]s/tollway.v1.SubtotalService/Get
  .build/tollway subtotals get emma
Follow them all, list the invoices of closed months, see what could not be priced:
  .build/tollway subtotals watch
  .build/tollway invoices list
  .build/tollway dead-letters list
Emma's invoice is 100.00 EUR every month. Interrupt with Ctrl-C.

`, d.url, day, serve.DashboardURL(d.url))
	return err
}

// tellClosed prints the months that have closed in all partitions since.
func (d *demo) tellClosed(before *int) error {
	periods, _ := d.host.Periods()
	closed := 0
	for _, p := range periods {
		if len(p.Open) == 0 {
			closed++
		}
	}
	for n := *before; n < closed; n++ {
		id := d.world.Period(n).ID()
		issued := d.host.CountInvoices(host.InvoiceFilter{Period: id})
		d.bar.clear()
		if _, err := fmt.Fprintf(d.out, "month %s closed: %s\n", id, counted(issued, "invoice")); err != nil {
			return err
		}
	}
	*before = closed
	return nil
}

// check sends all usage at once, closes all months and compares every invoice
// with the sum that is known.
func (d *demo) check(ctx context.Context) error {
	if err := d.apply(ctx); err != nil {
		return err
	}
	batch := make([]billing.UsageEvent, 0, demoBatch)
	for a := range d.world.Arrivals() {
		if batch = append(batch, a.Event); len(batch) == demoBatch {
			if err := d.send(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := d.send(ctx, batch); err != nil {
		return err
	}
	if err := d.host.Wait(ctx, slices.Collect(maps.Values(d.sent))); err != nil {
		return err
	}
	for m := range d.world.Months {
		if _, err := d.host.ClosePeriod(ctx, host.CloseRequest{Period: d.world.Period(m).ID(), SkipGrace: true}); err != nil {
			return err
		}
	}
	d.bar.finish()
	wrong, err := d.compare()
	if err != nil {
		return err
	}
	n := d.host.Counters()
	if _, err := fmt.Fprintf(d.out, "\n%d events read = %d priced + %d duplicates + %d dead letters\n", n.Read, n.Priced, n.Duplicates, n.DeadLettered); err != nil {
		return err
	}
	if total := uint64(d.world.Total()); wrong > 0 || n.Priced != total || n.Read != total {
		return fmt.Errorf("%d of %d invoices differ from the known sums, %d of %d events were priced",
			wrong, d.world.Months*d.world.Customers, n.Priced, total)
	}
	if _, err := fmt.Fprintf(d.out, "all %d invoices are equal to the known sums\n", d.world.Months*d.world.Customers); err != nil {
		return err
	}
	return errChecked
}

// compare prints every invoice beside the sum that is known and returns how many
// differ or are missing, or are there without reason.
func (d *demo) compare() (wrong int, err error) {
	g := columns("period", "account", ">known", ">invoiced", "currency", "")
	for m := range d.world.Months {
		period := d.world.Period(m)
		issued := d.host.CountInvoices(host.InvoiceFilter{Period: period.ID()})
		wrong += max(0, int(issued)-d.world.Customers)
		for i := range d.world.Customers {
			account, known := d.world.Account(i), d.world.Sum(i)
			list, _, _, err := d.host.Invoices(host.InvoiceFilter{Account: account, Period: period.ID()}, query.Page{})
			if err != nil {
				return 0, err
			}
			invoiced, verdict := "none", "DIFFERS"
			if len(list) == 1 {
				invoiced = list[0].TotalText
				if list[0].Total.Cmp(known) == 0 && list[0].Currency == telco.Currency {
					verdict = "equal"
				}
			}
			if verdict != "equal" {
				wrong++
			}
			g.add(period.ID(), string(account), known.Fixed(2), invoiced, string(telco.Currency), verdict)
		}
	}
	return wrong, g.print(d.out, "table")
}
