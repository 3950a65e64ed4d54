package rpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// BenchmarkIngest sends 10,000 events a call to an engine that drops them:
// what the protocol costs, both ends included.
func BenchmarkIngest(b *testing.B) {
	outcome := UsageOutcome{Positions: []query.Position{{Stream: "USAGE-1", Partition: 1, Sequence: 1}}, Runs: []UsageRun{{ingestEventsMax, 0}}}
	engine := &fakeEngine{submit: func(context.Context, UsageChunk) (UsageTicket, error) { return fakeTicket{outcome: outcome}, nil }}
	request := &tollwayv1.UsageServiceIngestRequest{}
	for i := range ingestEventsMax {
		request.Events = append(request.Events, &tollwayv1.UsageEvent{
			Id: strconv.Itoa(i), Source: "/gateway/eu-1", Type: "api.request", Subject: fmt.Sprintf("account-%d", i%100),
			Time: timestamppb.New(time.Date(2026, 10, 3, 4, 5, 6, i, time.UTC)), Data: map[string]string{"calls": "12", "region": "eu"},
		})
	}
	for name, option := range map[string]connecthttp.Option{
		"protobuf": connecthttp.WithCompressors(), "json": connecthttp.WithProtoJSON(), "gzip": connecthttp.WithSendGzip(),
	} {
		b.Run(name, func(b *testing.B) {
			server, clients := serve(b, engine, nil)
			usage := tollwayv1connect.NewUsageServiceClient(connect.NewClient(connecthttp.NewTransport(clients.http, server.URL(), option)))
			for b.Loop() {
				if _, err := usage.Ingest(b.Context(), request); err != nil {
					b.Fatal(err)
				}
				engine.ingested = engine.ingested[:0]
			}
			b.ReportMetric(ingestEventsMax*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkGet asks for one account's bill.
func BenchmarkGet(b *testing.B) {
	_, clients := serve(b, bill(), nil)
	request := &tollwayv1.SubtotalServiceGetRequest{Account: "emma"}
	for b.Loop() {
		if _, err := clients.Subtotals.Get(b.Context(), request); err != nil {
			b.Fatal(err)
		}
	}
}

// A call of Get over a connection that stays open takes a bounded number of pieces of
// memory, those of net/http and of what asks here included.
func TestGetAllocations(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	message, err := proto.Marshal(&tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
	if err != nil {
		t.Fatal(err)
	}
	request := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/proto\r\nConnect-Protocol-Version: 1\r\nContent-Length: %d\r\n\r\n%s",
		tollwayv1connect.SubtotalServiceGetProcedure, server.Addr(), len(message), message)
	in := bufio.NewReader(conn)
	ask := func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || answer.StatusCode != http.StatusOK || len(body) == 0 || answer.ContentLength != int64(len(body)) {
			t.Fatalf("%s, %d bytes of %d: %v", answer.Status, len(body), answer.ContentLength, err)
		}
	}
	n := testing.AllocsPerRun(100, ask)
	t.Logf("%v allocations", n)
	const most = 150
	if n > most {
		t.Errorf("%v allocations a call, at most %d are meant", n, most)
	}
}
