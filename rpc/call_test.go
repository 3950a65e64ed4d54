package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tollway/tollway/host/query"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

func TestRequestLimits(t *testing.T) {
	engine := bill()
	engine.apply = func(context.Context, ApplyRequest) (Applied, error) { return Applied{}, nil }
	server, _ := serve(t, engine, nil)
	blob := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, method, body string
		status             int
	}{
		{"read", "SubtotalService/Get", `{"account":"` + blob(requestBytesMax) + `"}`, 429},
		{"ingest", "UsageService/Ingest", `{"events":[{"id":"` + blob(ingestBytesMax) + `"}]}`, 429},
		{"ingest that fits", "UsageService/Ingest", `{"events":[{"id":"` + blob(ingestBytesMax/2) + `"}]}`, 200},
		{"apply that fits", "CatalogService/Apply", `{"files":[{"name":"` + blob(ingestBytesMax*2) + `"}]}`, 200},
		{"apply", "CatalogService/Apply", `{"files":[{"name":"` + blob(applyBytesMax) + `"}]}`, 429},
		{"as many names as may be", "DeadLetterService/Replay", `{"selection":{"names":[` + strings.Repeat(`{"partition":65535,"number":"18446744073709551615"},`, settleNamesMax-1) + `{"number":"1"}]}}`, 200},
		{"part of a set that fits", "BackfillService/Send", `{"name":"a","events":"` + strings.Repeat("aGVs", backfillPartMax/3) + `"}`, 200},
		{"part of a set that is a little too large", "BackfillService/Send", `{"name":"a","events":"` + strings.Repeat("aGVs", backfillPartMax/3+1) + `"}`, 429},
		{"part of a set", "BackfillService/Send", `{"name":"a","events":"` + blob(partBytesMax) + `"}`, 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := call(t, server.URL()+"/tollway.v1."+c.method, c.body, nil)
			if status != c.status || status == 429 && !strings.Contains(answer, "request_too_large") {
				t.Errorf("got %d %.300s", status, answer)
			}
		})
	}
	status, _ := call(t, server.URL()+"/tollway.v1.SubtotalService/Get", `{}`, map[string]string{"X-Long": blob(headerBytesMax * 2)})
	if status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("headers of %d bytes: got %d", headerBytesMax*2, status)
	}
}

func TestPanicIsAnError(t *testing.T) {
	engine := bill()
	engine.subtotals = func(query.Filter) (query.Subtotals, error) { panic("boom") }
	_, clients := serve(t, engine, nil)
	_, err := clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
	if f := clients.Explain(err); f.Reason != ReasonInternal || !strings.Contains(f.Message, "boom") {
		t.Errorf("got %+v", f)
	}
}

func TestOpenCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCalls(DefaultConfig().Log)
		const procedure = tollwayv1connect.CatalogServiceApplyProcedure
		free, err := c.enter(t.Context(), procedure, &timedStream{calls: c})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := c.enter(t.Context(), procedure, &timedStream{calls: c}); err == nil || wireError(err).Code() != codeOf(ReasonTooManyCalls) || time.Since(begin) != c.limits.queue {
			t.Errorf("got %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.enter(ctx, procedure, &timedStream{calls: c}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		free()
		if free, err = c.enter(t.Context(), procedure, &timedStream{calls: c}); err != nil {
			t.Errorf("a place that is free was refused: %v", err)
		}
		free()
	})
}

// TestCallersThatStop opens a watch and never reads, and begins a call and
// never goes on: both are cut.
func TestCallersThatStop(t *testing.T) {
	engine := bill()
	engine.watch = newFakeWatch()
	server, _ := serve(t, engine, nil)
	open := newCalls(DefaultConfig().Log)
	open.limits.receive, open.limits.send = 50*time.Millisecond, 50*time.Millisecond
	svc := &services{engine: engine, draining: t.Context(), heartbeat: time.Minute}
	impatient := httptest.NewServer(server.handler(svc, open, tokens{}))
	defer impatient.Close()
	address := impatient.Listener.Addr().String()

	stalled := func(head string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, head); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	reader := stalled("POST /tollway.v1.SubtotalService/Watch HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
		"Content-Type: application/connect+json\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02{}")
	defer reader.Close()
	big := update(watchRowsMax, true)
	for sent := false; !sent; {
		select {
		case engine.watch.updates <- big:
		case <-engine.watch.closed:
			sent = true
		case <-time.After(10 * time.Second):
			t.Fatal("a watch that nobody reads was not cut")
		}
	}
	writer := stalled("POST /tollway.v1.SubtotalService/Get HTTP/1.1\r\nHost: 127.0.0.1\r\n" +
		"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
	defer writer.Close()
	answer, err := io.ReadAll(writer)
	if err != nil || !strings.Contains(string(answer), "deadline_exceeded") {
		t.Errorf("a call that never came got %q, %v", answer, err)
	}
}

// goneWriter is a response writer whose handler has returned.
type goneWriter struct {
	http.ResponseWriter
	t *testing.T
}

func (w goneWriter) SetReadDeadline(time.Time) error {
	w.t.Error("a connection was used after its call's end")
	return nil
}

// What interrupts a call may come after its end: a stream's context ends with
// its last answer, and a context's functions are not waited for.
func TestInterruptAfterTheCall(t *testing.T) {
	timed := &timedStream{control: http.NewResponseController(goneWriter{t: t}), calls: &calls{now: time.Now}}
	timed.leave()
	timed.interrupt()
}
