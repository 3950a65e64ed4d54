package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/export/folder"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
)

// month is a host with a real log, real files and a real listener.
type month struct {
	t    *testing.T
	dir  string
	url  string
	stop func()
}

// start opens the host, on what the one before has left.
func (m *month) start(takeOver bool) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	config := serve.Config{
		Host: host.Config{
			DataDir: filepath.Join(m.dir, "data"), Partitions: 3, TakeOver: takeOver, PluginCache: host.UserPluginCache(), Now: time.Now,
			NATS: stream.Config{Embedded: &stream.EmbeddedConfig{StoreDir: filepath.Join(m.dir, "nats"), Partitions: 3}},
		},
		RPC: rpc.Config{Listen: "127.0.0.1:0"},
	}
	started, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- serve.Run(ctx, config, func(url string, _ *host.Host) error {
			started <- url
			return nil
		})
	}()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			m.t.Error(err)
		}
	})
	m.t.Cleanup(m.stop)
	select {
	case m.url = <-started:
	case err := <-done:
		m.t.Fatal(err)
	}
}

// tollway runs a command line, which must succeed.
func (m *month) tollway(args ...string) string {
	m.t.Helper()
	out, errs, code := m.try(args...)
	if code != exitOK {
		m.t.Fatalf("tollway %s: %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func (m *month) try(args ...string) (out, errs string, code int) {
	m.t.Helper()
	var printed, complained bytes.Buffer
	code = run(m.t.Context(), append(args, "--server", m.url), streams{strings.NewReader(""), &printed, &complained})
	return printed.String(), complained.String(), code
}

func (m *month) file(name, text string) string {
	m.t.Helper()
	path := filepath.Join(m.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

const monthCatalog = `
meters: [{name: calls, event_type: call, quantity: seconds, dimensions: [region]}]
tariffs:
  - name: per_second
    meter: calls
    currency: EUR
    group_by: [region]
    versions: [{effective_from: 2026-01-01T00:00:00Z, plugin: per_unit, params: {unit_price: "0.013"}}]
default_subscriptions: [per_second]
accounts: [{id: account-7, time_zone: Europe/Berlin, subscriptions: [{tariff: per_second, from: 2026-01-01T00:00:00Z}], details: {name: Seven AG}}]
billing: {close: manual, clock: event, seller: {name: Example Ltd}}
`

// usage makes events of accounts, each in many regions, in a month.
func usage(prefix string, accounts, regions, month int) string {
	var b strings.Builder
	for a := range accounts {
		for r := range regions {
			fmt.Fprintf(&b, `{"specversion":"1.0","id":"%s-%d-%d","source":"/shop","type":"call","subject":"account-%d","time":"2026-%02d-05T10:00:00Z","data":{"seconds":"%d","region":"region %d"}}`+"\n",
				prefix, a, r, a, month, a+r, r)
		}
	}
	return b.String()
}

// closedMonth has 3 partitions, 60 accounts in two zones and 3,600 lines, about
// 1.3 MB of documents.
func closedMonth(t *testing.T) *month {
	t.Helper()
	m := &month{t: t, dir: t.TempDir()}
	m.start(false)
	m.tollway("apply", "-f", m.file("catalog.yaml", monthCatalog))
	m.tollway("usage", "send", "--wait", m.file("usage.jsonl", usage("a", 60, 60, 10)))
	m.tollway("periods", "close", "2026-10", "--skip-grace")
	return m
}

// exported makes a folder in one go and returns its files.
func (m *month) exported(name, format string) map[string]string {
	m.t.Helper()
	dir := filepath.Join(m.dir, name)
	m.tollway("invoices", "export", "--period", "2026-10", "--format", format, "--out", dir)
	m.tollway("invoices", "verify", dir)
	return filesOf(m.t, dir)
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// cutter passes connections on and cuts each after so many bytes of answer.
type cutter struct {
	listener net.Listener
	to       string
	left     atomic.Int64
	cuts     atomic.Int64
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: listener, to: strings.TrimPrefix(to, "http://")}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.pass(conn)
		}
	}()
	return c
}

func (c *cutter) url() string { return "http://" + c.listener.Addr().String() }

func (c *cutter) pass(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }() // ends with either connection
	if _, err = io.CopyN(client, server, c.left.Load()); err == nil {
		c.cuts.Add(1)
	}
}

// TestExportCutAHundredTimes cuts the connection of an export at a random byte, a
// hundred times in all, and begins again each time as a new process would, from
// what is in the folder: the files of all of them are the same. Then usage goes on,
// late usage comes, the host is started again, and its state is made anew from the
// log: the files are still the same.
func TestExportCutAHundredTimes(t *testing.T) {
	m := closedMonth(t)
	want := m.exported("whole", "csv")
	proxy := newCutter(t, m.url)
	random := rand.New(rand.NewPCG(5, 6))
	for round := 0; proxy.cuts.Load() < 100; round++ {
		dir := filepath.Join(m.dir, fmt.Sprint("cut", round))
		for !m.exportUntilCut(dir, proxy, random.Int64N(600<<10)) {
		}
		if got := filesOf(t, dir); !maps.Equal(got, want) {
			t.Fatalf("round %d, after %d cuts: other bytes", round, proxy.cuts.Load())
		}
	}
	formats := map[string]map[string]string{"csv": want}
	for _, format := range folder.Formats() {
		if format != "csv" {
			formats[format] = m.exported("first-"+format, format)
		}
	}
	same := func(when string) {
		t.Helper()
		for format, want := range formats {
			if !maps.Equal(m.exported(when+"-"+format, format), want) {
				t.Errorf("%s, %s: other bytes", when, format)
			}
		}
	}
	m.tollway("usage", "send", "--wait", m.file("late.jsonl", usage("late", 20, 5, 10)))
	m.hundredThousandMore()
	same("later")
	m.stop()
	m.start(false)
	same("restarted")
	m.stop()
	if err := os.RemoveAll(filepath.Join(m.dir, "data")); err != nil {
		t.Fatal(err)
	}
	m.start(true)
	waitFor(t, func() bool { // it answers nothing before its state is made again
		out, _, code := m.try("periods", "list", "-o", "csv")
		return code == exitOK && strings.Contains(out, "2026-10-01,UTC,1,closed,3 of 3")
	})
	m.tollway("usage", "send", "--wait", m.file("last.jsonl", usage("last", 3, 1, 11))) // all before it is read by then
	same("rebuilt")
}

// hundredThousandMore sends 100,000 events of the following month.
func (m *month) hundredThousandMore() {
	m.t.Helper()
	const accounts, regions = 500, 200
	m.tollway("usage", "send", "--wait", m.file("more.jsonl", usage("more", accounts, regions, 11)))
	out := m.tollway("subtotals", "list", "--period", "2026-11", "--group-by", "total", "-o", "csv")
	if !strings.Contains(out, ",100000,") {
		m.t.Fatalf("100,000 events were sent: %s", out)
	}
}

// exportUntilCut is one process: it goes on with what is in the folder, until its
// connection is cut or it is done.
func (m *month) exportUntilCut(dir string, proxy *cutter, budget int64) (done bool) {
	m.t.Helper()
	proxy.left.Store(budget)
	clients, err := rpc.NewClients(proxy.url(), "", nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer clients.Close()
	c := invoicesExportCommand{Period: "2026-10", Format: "csv"}
	e, err := folder.Begin(dir, c.request())
	if err != nil {
		m.t.Fatal(err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			m.t.Error(err)
		}
	}()
	r := exportRequest(c.request(), e.Cursor())
	done, _, err = fetchOnce(m.t.Context(), clients, r, func(f fetched) error {
		if f.done {
			return e.Last(f.bytes, f.cursor, f.open)
		}
		return e.Append(f.bytes, f.cursor)
	})
	if err == nil && done {
		_, err = e.Finish()
	}
	if err != nil {
		m.t.Fatal(err)
	}
	return done
}

// waitFor waits until something holds.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	for range 600 {
		if holds() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("it does not come true")
}

// TestPassing: what the server refuses is not asked for again.
func TestPassing(t *testing.T) {
	clients, err := rpc.NewClients("http://127.0.0.1:1", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	if !passing(clients, errors.New("connection reset")) || !passing(clients, io.ErrUnexpectedEOF) {
		t.Error("a broken connection is not tried again")
	}
}
