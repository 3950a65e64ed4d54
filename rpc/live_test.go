package rpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/rate"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/sdk/billing"
)

// liveEngine answers about subtotals from a real state that the test writes.
type liveEngine struct {
	Engine
	queries Queries

	mu    sync.Mutex
	state *accumulate.State
}

func newLiveEngine() *liveEngine {
	e := &liveEngine{state: accumulate.NewState()}
	e.queries = Queries{Engine: query.NewEngine([]query.Partition{{Stream: "USAGE-0", State: e.state}})}
	return e
}

func (e *liveEngine) AccountSubtotals(f query.Filter) (query.Subtotals, error) {
	return e.queries.AccountSubtotals(f)
}

func (e *liveEngine) WatchSubtotals(f query.Filter, heartbeat time.Duration) SubtotalWatch {
	return e.queries.WatchSubtotals(f, heartbeat)
}

// commit has accounts owe an amount.
func (e *liveEngine) commit(t testing.TB, amount string, accounts ...string) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	start := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for _, account := range accounts {
		err := e.state.Put(&rate.Slot{
			Key: rate.Key{Account: account, Tariff: "calls", Subscription: "calls", Period: start.UnixNano()},
			Plan: &rate.Plan{
				Tariff: "calls", Meter: "calls", Currency: "EUR", Rounding: billing.Rounding{Scale: 2, Mode: billing.RoundHalfUp},
				Lines: []rate.PlanLine{{ID: "usage", Description: "Usage"}},
			},
			Calendar: rate.Calendar{Zone: "UTC", AnchorDay: 1}, PeriodEnd: start.AddDate(0, 1, 0).UnixNano(), Events: 1,
			Lines: []rate.Line{{Quantity: billing.DecimalFromInt(1), Amount: billing.MustDecimal(amount)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	e.state.Now().Position++
	e.state.Publish()
	g, err := e.state.Cut()
	if err != nil {
		t.Fatal(err)
	}
	e.state.Durable(g)
	e.queries.Engine.Committed(0, func(fn func(account string)) { e.state.AccountsOf(g, fn) })
}

// oldBrowser calls Watch over HTTP/1.1 with JSON, by hand, and returns the body as it
// comes.
func oldBrowser(t testing.TB, server *Server, request string) (net.Conn, io.Reader) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	body := append([]byte{0}, binary.BigEndian.AppendUint32(nil, uint32(len(request)))...)
	body = append(body, request...)
	fmt.Fprintf(conn, "POST /tollway.v1.SubtotalService/Watch HTTP/1.1\r\nHost: %s\r\nContent-Type: application/connect+json\r\n"+
		"Connect-Protocol-Version: 1\r\nContent-Length: %d\r\n\r\n%s", server.Addr(), len(body), body)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 1 || response.Header.Get("Content-Type") != "application/connect+json" {
		t.Fatalf("%s %s, %v", response.Proto, response.Status, response.Header)
	}
	return conn, response.Body
}

// watchMessage is a message of a watch as JSON has it.
type watchMessage struct {
	Event     string `json:"event"`
	Subtotals []struct {
		Account, Amount string
	} `json:"subtotals"`
	ResumeToken string `json:"resume_token"`
}

// receive reads one message of a stream.
func receive(t testing.TB, body io.Reader) (m watchMessage) {
	t.Helper()
	var head [5]byte
	if _, err := io.ReadFull(body, head[:]); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(body, data); err != nil {
		t.Fatal(err)
	}
	if head[0] != 0 {
		t.Fatalf("the stream has ended: %s", data)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// What a browser without HTTP/2 gets: a snapshot, changes, signs of life, and after a
// broken connection what it missed.
func TestWatchOverHTTP1(t *testing.T) {
	engine := newLiveEngine()
	engine.commit(t, "1", "emma", "noah")
	server, _ := serve(t, engine, func(c *Config) { c.Heartbeat = 50 * time.Millisecond })
	conn, body := oldBrowser(t, server, `{}`)
	m := receive(t, body)
	if m.Event != "WATCH_EVENT_SNAPSHOT" || len(m.Subtotals) != 2 || m.ResumeToken == "" {
		t.Fatalf("first %+v", m)
	}
	if m = receive(t, body); m.Event != "WATCH_EVENT_HEARTBEAT" {
		t.Fatalf("then %+v", m)
	}
	engine.commit(t, "2.5", "noah")
	for m = receive(t, body); m.Event == "WATCH_EVENT_HEARTBEAT"; m = receive(t, body) {
	}
	if m.Event != "WATCH_EVENT_CHANGED" || len(m.Subtotals) != 1 || m.Subtotals[0].Amount != "2.50" {
		t.Fatalf("change %+v", m)
	}
	conn.Close()
	engine.commit(t, "7", "emma")
	_, body = oldBrowser(t, server, `{"resume_token":"`+m.ResumeToken+`"}`)
	if m = receive(t, body); m.Event != "WATCH_EVENT_CHANGED" || len(m.Subtotals) != 1 || m.Subtotals[0].Account != "emma" {
		t.Fatalf("resumed %+v", m)
	}
}

// What cannot be watched is refused.
func TestWatchRefuses(t *testing.T) {
	engine := newLiveEngine()
	engine.commit(t, "1", "emma")
	_, clients := serve(t, engine, nil)
	first, err := clients.Subtotals.Watch(t.Context(), &tollwayv1.SubtotalServiceWatchRequest{Account: "emma"})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	snapshot, err := first.Receive()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request *tollwayv1.SubtotalServiceWatchRequest
		reason  string
	}{
		{&tollwayv1.SubtotalServiceWatchRequest{Latest: true}, ReasonInvalidRequest},
		{&tollwayv1.SubtotalServiceWatchRequest{ResumeToken: "x"}, ReasonInvalidPageToken},
		{&tollwayv1.SubtotalServiceWatchRequest{ResumeToken: snapshot.GetResumeToken()}, ReasonInvalidPageToken}, // of another filter
		{&tollwayv1.SubtotalServiceWatchRequest{MinPosition: &tollwayv1.MinPosition{Token: "x"}}, ReasonInvalidPosition},
	} {
		stream, err := clients.Subtotals.Watch(t.Context(), c.request)
		if err == nil {
			_, err = stream.Receive()
			stream.Close()
		}
		if f := clients.Explain(err); f == nil || f.Reason != c.reason {
			t.Errorf("%v: %v, want %s", c.request, err, c.reason)
		}
	}
}

// Many readers that read nothing at all hold up nobody.
func TestSlowWatchersHoldUpNobody(t *testing.T) {
	const slow, accounts, rounds = 16, 200, 8
	engine := newLiveEngine()
	names := make([]string, accounts)
	for i := range names {
		names[i] = fmt.Sprintf("account-%03d-%s", i, strings.Repeat("x", 100))
	}
	engine.commit(t, "1", names...)
	server, clients := serve(t, engine, nil)
	for range slow {
		oldBrowser(t, server, `{}`) // its body is never read
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{Account: names[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for round := range rounds {
		amount := fmt.Sprintf("%d.00", 2+round)
		engine.commit(t, amount, names...)
		for {
			m, err := stream.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if s := m.GetSubtotals(); len(s) == 1 && s[0].GetAmount() == amount {
				break
			}
		}
	}
}
