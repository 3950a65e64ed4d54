package deliver

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/tollway/tollway/host/stream"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// log is a log with an INVOICES stream, on an embedded server.
type log struct {
	*stream.Conn
	t      testing.TB
	chain  *stream.Chain
	number uint64
}

func openLog(t testing.TB) *log {
	t.Helper()
	conn, err := stream.Open(t.Context(), stream.Config{Embedded: &stream.EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 1, Unsynced: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := conn.EnsureStreams(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	chain, err := conn.Chain(t.Context(), stream.InvoicesSubject(0))
	if err != nil {
		t.Fatal(err)
	}
	return &log{conn, t, chain, 0}
}

// issue writes the n-th invoice of accounts.
func (l *log) issue(n int, accounts ...string) {
	l.t.Helper()
	var entries [][]byte
	for _, a := range accounts {
		entries = append(entries, document(a, n))
	}
	if err := l.chain.Publish(l.t.Context(), l.number+1, entries); err != nil {
		l.t.Fatal(err)
	}
	l.number += uint64(len(entries))
}

// deliverTo runs sinks until the function that it returns is called or the test
// ends.
func (l *log) deliverTo(epoch uint64, periods func() []Period, sinks ...Sink) (*Deliverer, func()) {
	l.t.Helper()
	d, err := Open(l.t.Context(), l.Conn, Config{
		Sinks: sinks, Log: slog.New(slog.DiscardHandler), Now: time.Now, Epoch: epoch, Periods: periods,
		Whole: func(id string) ([]byte, error) { return []byte(`{"id":"` + id + `","whole":true}`), nil },
	})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	})
	l.t.Cleanup(stop)
	return d, stop
}

// until waits for a condition.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it did not come to that", what)
		}
	}
}

// endpoint is a system that takes webhooks.
type endpoint struct {
	*httptest.Server
	t      testing.TB
	secret []byte
	fail   atomic.Pointer[http.HandlerFunc] // answers in its place; nil: it takes what comes

	mu     sync.Mutex
	got    []string          // ids, in the order in which they came first
	bodies map[string]string // by id
	times  map[string]int    // by id
}

func newEndpoint(t testing.TB) *endpoint {
	t.Helper()
	secret, err := ParseSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	e := &endpoint{t: t, secret: secret, bodies: map[string]string{}, times: map[string]int{}}
	e.Server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) {
	if fail := e.fail.Load(); fail != nil {
		(*fail)(w, r)
		return
	}
	e.take(w, r)
}

// take takes a webhook as a receiver that works does.
func (e *endpoint) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was cut off
	}
	if err := Verify(e.secret, r.Header.Get, body, time.Now()); err != nil {
		e.t.Error(err)
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := r.Header.Get(HeaderID)
	if e.times[id]++; e.times[id] == 1 {
		e.got = append(e.got, id)
		e.bodies[id] = string(body)
	} else if e.bodies[id] != string(body) {
		e.t.Errorf("%s came with other bytes: %s", id, body)
	}
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.got)
}

func (e *endpoint) breakWith(f http.HandlerFunc) { e.fail.Store(&f) }
func (e *endpoint) mend()                        { e.fail.Store(nil) }

// sink is a webhook of an address.
func sink(t testing.TB, name, url string) Sink {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("# of "+name+"\n"+testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Sink{Name: name, Webhook: &Webhook{URL: url, SecretFile: file, Timeout: 300 * time.Millisecond}}
}

// Receivers that hang, answer 500, close in the middle of a request or an answer,
// or are not there at all hold up no other, and when they are back each has every
// invoice once by its id, in order.
func TestBrokenReceiversBlockNobody(t *testing.T) {
	t.Parallel()
	l := openLog(t)
	hijacked := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = buffered.ReadByte() // the connection may be gone already
			if _, err := conn.Write([]byte(answer)); err != nil {
				t.Log(err)
			}
			_ = conn.Close()
		}
	}
	released := make(chan struct{})
	broken := map[string]http.HandlerFunc{
		"hangs": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-released:
			}
		},
		"fails": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "out of order", http.StatusInternalServerError)
		},
		"half-request": hijacked(""),
		"half-answer":  hijacked("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthat is"),
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		},
	}
	good := newEndpoint(t)
	endpoints := map[string]*endpoint{"good": good}
	sinks := []Sink{sink(t, "good", good.URL)}
	for name, how := range broken {
		e := newEndpoint(t)
		e.breakWith(how)
		endpoints[name] = e
		sinks = append(sinks, sink(t, name, e.URL))
	}
	d, _ := l.deliverTo(1, nil, sinks...)
	accounts := []string{"emma", "noah", "mia"}
	for n := 1; n <= 4; n++ {
		l.issue(n, accounts...)
	}
	until(t, "the good one has all", func() bool { return good.count() == 12 })
	until(t, "the others hold all accounts", func() bool {
		list, err := d.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held := 0
		for _, s := range list {
			held += s.HeldAccounts
		}
		return held == 3*len(broken)
	})
	close(released)
	for name, e := range endpoints {
		if name != "good" && e.count() != 0 {
			t.Errorf("%s has taken %d", name, e.count())
		}
		e.mend()
	}
	for name, e := range endpoints {
		if name != "good" {
			if err := d.Retry(t.Context(), name, ""); err != nil {
				t.Error(err)
			}
		}
		until(t, name+" has all when it is back", func() bool { return e.count() == 12 })
		for _, a := range accounts {
			wantOrder(t, e.got, a, 4)
		}
	}
}

// A host that is killed in the middle, again and again, while new invoices come and
// the receiver fails now and then: every invoice comes, in its account's order, and
// what comes twice has the same bytes.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	l := openLog(t)
	e := newEndpoint(t)
	var calls atomic.Int64
	e.breakWith(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%5 == 0 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		e.take(w, r)
	})
	s := sink(t, "ledger", e.URL)
	accounts := []string{"emma", "noah", "mia", "finn"}
	const last = 12
	for n := 1; n <= last; n++ {
		_, stop := l.deliverTo(uint64(n), nil, s)
		l.issue(n, accounts...)
		until(t, "some come", func() bool { return calls.Load() > int64(2*n) })
		stop()
	}
	d, _ := l.deliverTo(100, nil, s)
	until(t, "all have come", func() bool {
		if err := d.Retry(t.Context(), "ledger", ""); err != nil && e.count() < last*len(accounts) {
			time.Sleep(50 * time.Millisecond)
		}
		return e.count() == last*len(accounts)
	})
	for _, a := range accounts {
		wantOrder(t, e.got, a, last)
	}
	var event struct {
		Type string
		Data struct{ ID, Total string }
	}
	if err := json.Unmarshal([]byte(e.bodies["emma.2026-03-01.EUR.0"]), &event); err != nil || event.Type != "invoice.issued" ||
		event.Data.ID != "emma.2026-03-01.EUR.0" || event.Data.Total != "3.50" {
		t.Errorf("%v: %s", err, e.bodies["emma.2026-03-01.EUR.0"])
	}
}

// Files come whole, with a manifest last that the ordinary tool can check, and what
// a crash has left behind is no invoice.
func TestFiles(t *testing.T) {
	t.Parallel()
	l := openLog(t)
	dir := filepath.Join(t.TempDir(), "invoices")
	var closed atomic.Bool
	periods := func() []Period {
		return []Period{{ID: "2026-01-01", Closed: closed.Load(), Invoices: 3}, {ID: "2026-02-01", Closed: false}}
	}
	s := Sink{Name: "archive", Files: &Files{Directory: dir}}
	if err := os.MkdirAll(filepath.Join(dir, "2026-01-01"), 0o750); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "2026-01-01", "emma.2026-01-01.EUR.0.json.tmp")
	if err := os.WriteFile(half, []byte(`{"id":"em`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stop := l.deliverTo(1, periods, s)
	l.issue(1, "emma", "noah", "mia")
	l.issue(2, "emma")
	names := func() []string {
		files, err := filepath.Glob(filepath.Join(dir, "2026-01-01", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			files[i] = filepath.Base(files[i])
		}
		return files
	}
	want := []string{"emma.2026-01-01.EUR.0.json", "mia.2026-01-01.EUR.0.json", "noah.2026-01-01.EUR.0.json"}
	until(t, "the files are there", func() bool { return slices.Equal(names(), want) })
	stop()
	closed.Store(true)
	_, stop = l.deliverTo(2, periods, s)
	until(t, "the manifest is there", func() bool { return slices.Contains(names(), manifestFile) })
	stop()
	b, err := os.ReadFile(filepath.Join(dir, "2026-01-01", manifestFile))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, "2026-01-01", sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	wantManifest := fmt.Sprintf(`{"period":"2026-01-01","invoices":3,"totals":[{"currency":"EUR","invoices":3,"total":"4.50"}],"sha256":"%x"}`+"\n", sha256.Sum256(sums))
	if string(b) != wantManifest {
		t.Errorf("manifest %s\nwant %s", b, wantManifest)
	}
	if tool, err := exec.LookPath("sha256sum"); err == nil {
		check := exec.CommandContext(t.Context(), tool, "--check", "--strict", sumsFile)
		check.Dir = filepath.Join(dir, "2026-01-01")
		if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 3 {
			t.Errorf("%v: %s", err, out)
		}
	}
	// What somebody has changed is not written over.
	changed := filepath.Join(dir, "2026-01-01", want[0])
	if err := os.WriteFile(changed, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, _ := l.deliverTo(3, periods, Sink{Name: "again", Files: s.Files})
	until(t, "the account is held", func() bool {
		list, err := d.Status(t.Context())
		return err == nil && list[0].HeldAccounts == 1 && list[0].Held[0].Refused && list[0].Held[0].Account == "emma"
	})
}

// A subject has an invoice once, whatever was published before a crash, and nothing
// is lost while the server is away or no stream takes the subject.
func TestBus(t *testing.T) {
	t.Parallel()
	l := openLog(t)
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	other, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	other.Start()
	t.Cleanup(func() { other.Shutdown(); other.WaitForShutdown() })
	if !other.ReadyForConnections(20 * time.Second) {
		t.Fatal("the other server does not start")
	}
	nc, err := nats.Connect(other.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	s := Sink{Name: "bus", NATS: &NATS{Subject: "billing.invoices", Server: stream.Config{URL: other.ClientURL()}}}
	d, stop := l.deliverTo(1, nil, s)
	l.issue(1, "emma", "noah")
	until(t, "nobody takes it", func() bool {
		list, err := d.Status(t.Context())
		return err == nil && list[0].HeldAccounts == 2 && strings.Contains(list[0].Held[0].Error, "no stream")
	})
	out, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"billing.>"}})
	if err != nil {
		t.Fatal(err)
	}
	messages := func() uint64 {
		info, err := out.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	until(t, "somebody takes it", func() bool { return messages() == 2 })
	l.issue(2, "emma")
	until(t, "the next comes", func() bool { return messages() == 3 })
	stop()
	// Another sink publishes all of it again, as after a crash.
	s.Name = "again"
	d, _ = l.deliverTo(2, nil, s)
	until(t, "all is there already", func() bool {
		list, err := d.Status(t.Context())
		return err == nil && list[0].Delivered == 3
	})
	if n := messages(); n != 3 {
		t.Errorf("%d messages, want 3", n)
	}
	m, err := out.GetLastMsgForSubject(t.Context(), "billing.invoices.emma.2026-02-01.EUR.0")
	if err != nil || string(m.Data) != string(document("emma", 2)) {
		t.Errorf("%v %v", m, err)
	}
}

// A port where nobody listens, and then somebody does.
func TestComesUpLater(t *testing.T) {
	t.Parallel()
	l := openLog(t)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	l.deliverTo(1, nil, sink(t, "later", "http://"+address))
	l.issue(1, "emma")
	time.Sleep(200 * time.Millisecond)
	if listener, err = config.Listen(t.Context(), "tcp", address); err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	e := newEndpoint(t)
	server := &http.Server{Handler: http.HandlerFunc(e.serve), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	until(t, "it has come", func() bool { return e.count() == 1 })
}

// The signature is what another implementation makes of it.
func TestSignature(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("there is no openssl to compare with")
	}
	secret, err := ParseSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), tool, "dgst", "-sha256", "-mac", "HMAC", "-macopt", fmt.Sprintf("hexkey:%x", secret), "-hex")
	run.Stdin = strings.NewReader(`emma.2026-10-01.EUR.0.1700000000.{"a":1}`)
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("%x", mac(secret, "emma.2026-10-01.EUR.0", "1700000000", []byte(`{"a":1}`)))
	if line, _, _ := strings.Cut(string(out), "\n"); !strings.HasSuffix(line, want) {
		t.Errorf("openssl says %s, this program %s", line, want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	secret, err := ParseSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	body, at := []byte(`{"type":"invoice.issued"}`), time.Unix(1_700_000_000, 0)
	other := secrets{slices.Repeat([]byte{7}, 32), secret}
	header := func(timestamp, signature string) func(string) string {
		h := http.Header{}
		h.Set(HeaderID, "id")
		h.Set(HeaderTimestamp, timestamp)
		h.Set(HeaderSignature, signature)
		return h.Get
	}
	good := other.sign("id", "1700000000", body)
	for _, test := range []struct {
		name   string
		header func(string) string
		body   string
		now    time.Time
		want   error
	}{
		{"one of two secrets", header("1700000000", good), string(body), at, nil},
		{"other body", header("1700000000", good), string(body) + " ", at, ErrSignature},
		{"other time", header("1700000001", good), string(body), at, ErrSignature},
		{"old", header("1700000000", good), string(body), at.Add(6 * time.Minute), ErrTimestamp},
		{"from the future", header("1700000000", good), string(body), at.Add(-6 * time.Minute), ErrTimestamp},
		{"no time", header("", good), string(body), at, ErrTimestamp},
		{"no signature", header("1700000000", ""), string(body), at, ErrSignature},
		{"other version", header("1700000000", strings.ReplaceAll(good, "v1,", "v2,")), string(body), at, ErrSignature},
	} {
		if err := Verify(secret, test.header, []byte(test.body), test.now); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// Configurations that cannot be meant are refused, all their mistakes at once.
func TestValidate(t *testing.T) {
	t.Parallel()
	err := Validate([]Sink{
		{Name: "a b", Webhook: &Webhook{URL: "https://x", SecretFile: "f"}},
		{Name: "x", Webhook: &Webhook{URL: "http://example.com/hook"}},
		{Name: "x", Files: &Files{}, From: "yesterday"},
		{Name: "y", NATS: &NATS{Subject: "ledger.out"}},
		{Name: "z"},
		{Name: "v", NATS: &NATS{Subject: "out.>"}},
	})
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, want := range []string{`"a b" of entry 1`, "without TLS", "secret_file is missing", "x is there twice", "files.directory is missing", "neither first nor new", "ledger.> is the log's own", "z: exactly one of", "without wildcards"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not said in:\n%v", want, err)
		}
	}
	if err := Validate([]Sink{{Name: "ok", Webhook: &Webhook{URL: "http://127.0.0.1:9/", SecretFile: "f"}}}); err != nil {
		t.Error(err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "soon": 0, "-5": 0, "Thu, 01 Oct 2026 01:00:00 GMT": time.Hour, "Thu, 01 Oct 2020 01:00:00 GMT": 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	for text, ok := range map[string]bool{
		testSecret: true, "# one\n" + testSecret + "\n\n" + testSecret: true, "": false, "whsec_short": false, "whsec_MTIz": false, "secret": false,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := readSecrets(file)
		if (err == nil) != ok || ok && len(list) != strings.Count(text, secretPrefix) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := readSecrets(file + ".missing"); err == nil {
		t.Error("a file that is not there")
	}
}
