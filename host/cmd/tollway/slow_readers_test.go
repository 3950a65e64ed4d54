package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// How many read a byte a second. There are more exports than the server keeps open at
// a time.
const (
	slowWatches = 50
	slowExports = 70
)

// slowReader calls a method by hand and then takes one byte of the answer a second,
// until ctx ends or the server has enough of it.
func slowReader(ctx context.Context, url, method string, message proto.Message, read *atomic.Int64) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // it ends a read that waits
	// Or the system would read in the place of the slow one.
	if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
		return err
	}
	text, err := proto.Marshal(message)
	if err != nil {
		return err
	}
	body := append([]byte{0, 0, 0, 0, byte(len(text))}, text...)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/tollway.v1."+method, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/connect+proto")
	request.Header.Set("Connect-Protocol-Version", "1")
	if err := request.Write(conn); err != nil {
		return err
	}
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for first := []byte{0}; ; {
		if _, err := io.ReadFull(conn, first); err != nil {
			return err
		}
		read.Add(1)
		select {
		case <-second.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// TestReadersOfAByteASecond opens fifty watches of everything and seventy exports,
// each of which takes one byte of its answer a second. The server holds a bounded
// amount of memory for them; usage is folded, figures are answered and the month is
// exported as if they were not there, and the host stops in time.
func TestReadersOfAByteASecond(t *testing.T) {
	m := closedMonth(t)
	want := m.exported("before", "jsonl")
	clients, err := rpc.NewClients(m.url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	alone := asked(t, clients)
	before := heapBytes()
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var read atomic.Int64
	open := func(n int, method string, message proto.Message) {
		for range n {
			readers.Go(func() {
				err := slowReader(ctx, m.url, method, message, &read)
				var refused net.Error
				if err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.As(err, &refused) {
					t.Error(err)
				}
			})
		}
	}
	open(slowWatches, "SubtotalService/Watch", &tollwayv1.SubtotalServiceWatchRequest{})
	open(slowExports, "InvoiceService/Export", &tollwayv1.InvoiceServiceExportRequest{Period: "2026-10", AsDocuments: true})
	waitFor(t, func() bool { return read.Load() > slowWatches+slowExports })
	m.tollway("usage", "send", "--wait", m.file("more.jsonl", usage("more", 60, 5, 11))) // what the watches show changes
	if got := m.exported("beside", "jsonl"); !maps.Equal(got, want) {
		t.Error("beside slow readers: other bytes")
	}
	beside := asked(t, clients)
	// A reader holds one message, once as rows and once encoded: of a watch at most
	// 1,000 subtotals, of an export 256 KiB of documents.
	const each = 3 << 20
	held := heapBytes() - before
	t.Logf("%d readers hold %d KiB each; a Get takes %s alone and %s beside them", slowWatches+slowExports, held/(slowWatches+slowExports)>>10, alone, beside)
	if held > (slowWatches+slowExports)*each {
		t.Errorf("%d readers hold %d bytes", slowWatches+slowExports, held)
	}
	// A machine that does other things as well is slow at times; a call that waits for
	// slow readers takes minutes.
	if beside > 2*time.Second {
		t.Errorf("a Get takes %s beside slow readers", beside)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		m.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(2 * time.Minute):
		t.Error("the host does not stop")
	}
	stop()
	readers.Wait()
}

// asked is the median time of an answer to one client.
func asked(t *testing.T, clients *rpc.Clients) time.Duration {
	t.Helper()
	var took []time.Duration
	for i := range 50 {
		begun := time.Now()
		if _, err := clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: fmt.Sprint("account-", i)}); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// heapBytes is what is in use of the heap.
func heapBytes() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}
