package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// A program that follows an account live, goes on where its watch broke off, looks at
// the invoice before there is one, closes the month and fetches what was issued. The
// server is a real one, in the same process.
func Example_client() {
	if err := withServer(func(ctx context.Context, clients *rpc.Clients) error {
		position, err := sellCalls(ctx, clients, "1", "60")
		if err != nil {
			return err
		}
		// Follow the account. The first message is a snapshot.
		token, err := follow(ctx, clients, &tollwayv1.SubtotalServiceWatchRequest{
			Account: "emma", MinPosition: &tollwayv1.MinPosition{Token: position},
		})
		if err != nil {
			return err
		}
		// The connection is gone, and usage goes on. With the last token the next
		// watch begins with what has changed since.
		if position, err = sellCalls(ctx, clients, "2", "40"); err != nil {
			return err
		}
		if _, err = follow(ctx, clients, &tollwayv1.SubtotalServiceWatchRequest{
			Account: "emma", MinPosition: &tollwayv1.MinPosition{Token: position}, ResumeToken: token,
		}); err != nil {
			return err
		}
		preview, err := clients.Invoices.Preview(ctx, &tollwayv1.InvoiceServicePreviewRequest{Account: "emma", Period: "2026-01"})
		if err != nil {
			return err
		}
		for _, invoice := range preview.GetInvoices() {
			fmt.Println("preview:", invoice.GetTotal(), invoice.GetCurrency())
		}
		if _, err := clients.Periods.Close(ctx, &tollwayv1.PeriodServiceCloseRequest{Period: "2026-01", SkipGrace: true}); err != nil {
			return err
		}
		return export(ctx, clients)
	}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// snapshot: 0.60 EUR
	// changed: 1.00 EUR
	// preview: 1.00 EUR
	// exported: emma.2026-01-01.EUR.0
}

// follow prints the first message of a watch, and returns the token behind it.
func follow(ctx context.Context, clients *rpc.Clients, r *tollwayv1.SubtotalServiceWatchRequest) (token string, err error) {
	stream, err := clients.Subtotals.Watch(ctx, r)
	if err != nil {
		return "", err
	}
	defer stream.Close()
	m, err := stream.Receive()
	if err != nil {
		return "", err
	}
	kind := map[tollwayv1.WatchEvent]string{
		tollwayv1.WatchEvent_WATCH_EVENT_SNAPSHOT: "snapshot", tollwayv1.WatchEvent_WATCH_EVENT_CHANGED: "changed",
	}[m.GetEvent()]
	for _, s := range m.GetSubtotals() {
		fmt.Printf("%s: %s %s\n", kind, s.GetAmount(), s.GetCurrency())
	}
	return m.GetResumeToken(), nil
}

// export fetches the month. A stream that breaks off goes on behind the last cursor.
func export(ctx context.Context, clients *rpc.Clients) error {
	r := &tollwayv1.InvoiceServiceExportRequest{Period: "2026-01"}
	for done := false; !done; {
		stream, err := clients.Invoices.Export(ctx, r)
		if err != nil {
			return err
		}
		for !done {
			m, err := stream.Receive()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil {
				return err
			}
			for _, invoice := range m.GetInvoices() {
				fmt.Println("exported:", invoice.GetId())
			}
			r.Cursor, done = m.GetCursor(), m.GetDone()
		}
		if err := stream.Close(); err != nil {
			return err
		}
	}
	return nil
}

const exampleCatalog = `
meters: [{name: calls, event_type: call, quantity: seconds}]
tariffs:
  - name: per_second
    meter: calls
    currency: EUR
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.01"}}]
default_subscriptions: [per_second]
billing: {close: manual}
`

// sellCalls sends an event, and returns its position.
func sellCalls(ctx context.Context, clients *rpc.Clients, id, seconds string) (position string, err error) {
	answer, err := clients.Usage.Ingest(ctx, &tollwayv1.UsageServiceIngestRequest{Events: []*tollwayv1.UsageEvent{{
		Id: id, Source: "/shop", Type: "call", Subject: "emma", Data: map[string]string{"seconds": seconds},
		Time: timestamppb.New(time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)),
	}}})
	return answer.GetPositionToken(), err
}

// withServer runs a server with a catalog while fn does.
func withServer(fn func(context.Context, *rpc.Clients) error) (err error) {
	dir, err := os.MkdirTemp("", "tollway-example-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	quiet := slog.New(slog.DiscardHandler)
	config := serve.Config{
		Host: host.Config{
			DataDir: dir, Partitions: 2, NATS: stream.Config{Embedded: &stream.EmbeddedConfig{}}, PluginCache: host.UserPluginCache(), Now: time.Now, Log: quiet,
		},
		RPC: rpc.Config{Listen: "127.0.0.1:0", Log: quiet},
	}
	return serve.Run(ctx, config, func(url string, _ *host.Host) error {
		defer stop()
		clients, err := rpc.NewClients(url, "", nil)
		if err != nil {
			return err
		}
		defer clients.Close()
		if _, err := clients.Catalog.Apply(ctx, &tollwayv1.CatalogServiceApplyRequest{
			Files: []*tollwayv1.CatalogFile{{Name: "shop.yaml", Text: exampleCatalog}},
		}); err != nil {
			return err
		}
		return fn(ctx, clients)
	})
}
