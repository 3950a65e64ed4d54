package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tollway/tollway/host/export"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// impatient serves an engine with limits that a test does not wait long for.
func impatient(t *testing.T, engine Engine, change func(*calls)) *httptest.Server {
	t.Helper()
	server, _ := serve(t, engine, nil)
	open := newCalls(DefaultConfig().Log)
	change(open)
	svc := &services{engine: engine, draining: t.Context(), heartbeat: time.Minute}
	s := httptest.NewUnstartedServer(server.handler(svc, open, tokens{}))
	s.Config.ConnContext = withConn
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// slowWay is a way to a server that lets so many bytes of each answer through at once,
// and then one byte a second.
type slowWay struct {
	t      *testing.T
	to     string
	atOnce int64
	url    string
	hangUp chan struct{} // closed when the server has let go of its readers
}

func newSlowWay(t *testing.T, to *httptest.Server, atOnce int64) *slowWay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &slowWay{t: t, to: to.Listener.Addr().String(), atOnce: atOnce, url: "http://" + listener.Addr().String(), hangUp: make(chan struct{})}
	var passing sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		passing.Wait()
	})
	passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { w.pass(client) })
		}
	})
	return w
}

func (w *slowWay) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.to)
	if err != nil {
		w.t.Error(err)
		return
	}
	defer server.Close()
	if err := server.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil { // or the system reads in the slow one's place
		w.t.Error(err)
	}
	go func() { _, _ = io.Copy(server, client) }() // ends with either connection
	if _, err := io.CopyN(client, server, w.atOnce); err != nil {
		return
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-second.C:
			if _, err := io.CopyN(client, server, 1); err != nil {
				return
			}
		case <-w.hangUp:
			return
		}
	}
}

// exportBehind exports behind a cursor until it is done or breaks off.
func exportBehind(ctx context.Context, clients *Clients, r *tollwayv1.InvoiceServiceExportRequest, to *bytes.Buffer) (done bool, err error) {
	stream, err := clients.Invoices.Export(ctx, r)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	for !done {
		m, err := stream.Receive()
		if err != nil {
			return false, err
		}
		for _, d := range m.GetDocuments() {
			to.Write(append(d, '\n'))
		}
		if to.Write(m.GetDocumentPiece()); m.GetDocumentEnds() {
			to.WriteByte('\n')
		}
		r.Cursor, done = m.GetCursor(), m.GetDone()
	}
	return true, nil
}

// TestSlowExportsMakeRoom fills all places with readers of one byte a second. Another
// one exports nevertheless: the slow ones lose their places, and go on from their
// cursors to the same bytes.
func TestSlowExportsMakeRoom(t *testing.T) {
	const slow = 4
	engine := bill()
	engine.invoices = []export.Invoice{longInvoice("emma-0", 10), longInvoice("emma-1", 20<<20), longInvoice("emma-2", 100)}
	var want bytes.Buffer
	if err := export.WriteJSONL(&want, engine.invoices); err != nil {
		t.Fatal(err)
	}
	var full *places
	server := impatient(t, engine, func(c *calls) {
		c.limits.stalled, c.limits.queue = 100*time.Millisecond, time.Minute
		full = newPlaces(slow)
		c.places[tollwayv1connect.InvoiceServiceExportProcedure] = full
	})
	ask := func() *tollwayv1.InvoiceServiceExportRequest {
		return &tollwayv1.InvoiceServiceExportRequest{Partial: true, AsDocuments: true}
	}
	direct, err := NewClients(server.URL, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var readers sync.WaitGroup
	var ways []*slowWay
	for i := range slow {
		way := newSlowWay(t, server, int64(i+1)*(300<<10))
		ways = append(ways, way)
		readers.Go(func() {
			clients, err := NewClients(way.url, "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer clients.Close()
			var got bytes.Buffer
			r := ask()
			if done, err := exportBehind(ctx, clients, r, &got); done || err == nil {
				t.Errorf("reader %d came to its end at a byte a second", i)
				return
			}
			if i > 0 && r.GetCursor() == "" {
				t.Errorf("reader %d has no cursor to go on from", i)
			}
			if done, err := exportBehind(ctx, direct, r, &got); !done || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("reader %d goes on to %d bytes, not %d: %v", i, got.Len(), want.Len(), err)
			}
		})
	}
	for len(full.taken) < slow {
		time.Sleep(time.Millisecond)
	}
	for range slow / 2 {
		var got bytes.Buffer
		if done, err := exportBehind(ctx, direct, ask(), &got); !done || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("beside slow readers: %d bytes, not %d: %v", got.Len(), want.Len(), err)
		}
	}
	// Each that is left is in somebody's way as long as somebody waits.
	for full.count() > 0 && ctx.Err() == nil {
		full.makeRoom(100 * time.Millisecond)
		time.Sleep(10 * time.Millisecond)
	}
	for _, way := range ways {
		close(way.hangUp)
	}
	readers.Wait()
}

// TestSlowWatchGoesOn cuts off a watch whose reader takes a byte a second, while
// everything changes again and again: its last token brings what it has missed, and no
// more.
func TestSlowWatchGoesOn(t *testing.T) {
	engine := newLiveEngine()
	names := make([]string, 900)
	for i := range names {
		names[i] = strings.Repeat("x", 100) + string(rune('a'+i/26/26)) + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
	}
	engine.commit(t, "1", "quiet")
	engine.commit(t, "1", names...)
	open := newPlaces(10)
	server := impatient(t, engine, func(c *calls) {
		c.limits.send = 200 * time.Millisecond
		c.places[tollwayv1connect.SubtotalServiceWatchProcedure] = open
	})
	way := newSlowWay(t, server, 1<<20)
	clients, err := NewClients(way.url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stream, err := clients.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	cut := make(chan string)
	go func() {
		token := ""
		for {
			m, err := stream.Receive()
			if err != nil {
				cut <- token
				return
			}
			if m.GetResumeToken() != "" {
				token = m.GetResumeToken()
			}
		}
	}()
	for round := 0; open.count() > 0 && ctx.Err() == nil; round++ {
		engine.commit(t, strings.Repeat("9", 1+round%9), names...)
		time.Sleep(10 * time.Millisecond)
	}
	close(way.hangUp)
	token := <-cut
	engine.commit(t, "77", names...)
	direct, err := NewClients(server.URL, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	again, err := direct.Subtotals.Watch(ctx, &tollwayv1.SubtotalServiceWatchRequest{ResumeToken: token})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	missed := map[string]string{}
	for len(missed) < len(names) {
		m, err := again.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if m.GetEvent() != tollwayv1.WatchEvent_WATCH_EVENT_CHANGED {
			t.Fatalf("it begins anew: %v", m.GetEvent())
		}
		for _, s := range m.GetSubtotals() {
			missed[s.GetAccount()] = s.GetAmount()
		}
	}
	for _, name := range names {
		if missed[name] != "77.00" {
			t.Fatalf("%s: %q", name, missed[name])
		}
	}
	if _, ok := missed["quiet"]; ok {
		t.Error("what has not changed comes again")
	}
}

// TestAbandon: what the system still has for a reader whose call was cut off is gone
// with the connection, not kept until it is read.
func TestAbandon(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reader, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = conn.Write(make([]byte, 1<<20))
	}
	abandon(withConn(t.Context(), conn))
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, reader); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%d more bytes, %v", n, err)
	}
	abandon(t.Context()) // of HTTP/2, nothing happens
}

// count is how many calls are open.
func (p *places) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}
