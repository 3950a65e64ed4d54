package rpc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"go.uber.org/goleak"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListenRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   []string // parts of the message; none: accepted
	}{
		{"default", DefaultConfig(), nil},
		{"localhost", Config{Listen: "localhost:0"}, nil},
		{"loopback of IPv6", Config{Listen: "[::1]:8080"}, nil},
		{"another loopback", Config{Listen: "127.8.9.1:80"}, nil},
		{"every interface", Config{Listen: "0.0.0.0:8080"}, []string{"0.0.0.0:8080", "tls.cert", "tls.key", "token_file", "--listen 127.0.0.1:8080"}},
		{"no host", Config{Listen: ":8080"}, []string{":8080 can be reached", "token_file"}},
		{"a name", Config{Listen: "billing.example:443"}, []string{"tls.cert"}},
		{"TLS alone", Config{Listen: "0.0.0.0:443", TLSCertFile: "c", TLSKeyFile: "k"}, []string{"token_file"}},
		{"token alone", Config{Listen: "0.0.0.0:443", TokenFile: "t"}, []string{"tls.key"}},
		{"both", Config{Listen: "0.0.0.0:443", TLSCertFile: "c", TLSKeyFile: "k", TokenFile: "t"}, nil},
		{"no port", Config{Listen: "localhost"}, []string{`"localhost" is not an address`, "HOST:PORT"}},
		{"half a key pair", Config{TLSCertFile: "c"}, []string{"tls.key"}},
		{"everything at once", Config{Listen: ":1", TLSCertFile: "c", DrainMax: -1}, []string{"can be reached", "both tls.cert", "negative"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.config.Validate()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got error %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestListenNeverTakesAnExposedAddress(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		if server, err := Listen(t.Context(), Config{Listen: address}, nil); err == nil {
			t.Errorf("%s was taken as %s", address, server.Addr())
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, err = Listen(t.Context(), Config{Listen: taken.Addr().String()}, nil)
	if err == nil {
		t.Fatal("a taken address was taken again")
	}
	for _, part := range []string{taken.Addr().String(), "in use by another program", "--listen HOST:PORT"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if early := Check(t.Context(), Config{Listen: taken.Addr().String()}); early == nil || early.Error() != err.Error() {
		t.Errorf("asked before it says %v, want %v", early, err)
	}
}

// TestCheckGivesTheAddressBack: what was looked at can be taken.
func TestCheckGivesTheAddressBack(t *testing.T) {
	config := Config{Listen: "127.0.0.1:0"}
	if err := Check(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	server, err := Listen(t.Context(), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestForeignAddress(t *testing.T) {
	dir := t.TempDir()
	cert, key := keyPair(t, dir)
	_, err := Listen(t.Context(), Config{
		Listen: "192.0.2.1:0", TLSCertFile: cert, TLSKeyFile: key, TokenFile: tokenFile(t, dir, "0123456789abcdef"),
	}, nil)
	if err == nil || !strings.Contains(err.Error(), "not an address of this machine") {
		t.Errorf("got %v", err)
	}
}

func TestFilesThatAreNotThere(t *testing.T) {
	for name, config := range map[string]Config{
		"token file":      {Listen: "127.0.0.1:0", TokenFile: "/nowhere/tokens"},
		"TLS certificate": {Listen: "127.0.0.1:0", TLSCertFile: "/nowhere/cert", TLSKeyFile: "/nowhere/key"},
	} {
		_, err := Listen(t.Context(), config, nil)
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "/nowhere/") {
			t.Errorf("got %v, want the name of the %s", err, name)
		}
	}
}

func TestTLSAndTokens(t *testing.T) {
	dir := t.TempDir()
	cert, key := keyPair(t, dir)
	server, _ := serve(t, bill(), func(c *Config) {
		c.TLSCertFile, c.TLSKeyFile, c.TokenFile = cert, key, tokenFile(t, dir, "# mine", "", "0123456789abcdef", " fedcba9876543210 ")
	})
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for token, want := range map[string]string{
		"0123456789abcdef": "", "fedcba9876543210": "", "": ReasonUnauthenticated, "0123456789abcdeg": ReasonUnauthenticated,
	} {
		clients, err := NewClients(server.URL(), token, &tls.Config{RootCAs: roots})
		if err != nil {
			t.Fatal(err)
		}
		defer clients.Close()
		_, err = clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
		if got := reason(clients, err); got != want {
			t.Errorf("token %q: got %q (%v), want %q", token, got, err, want)
		}
		stream, err := clients.Invoices.Export(t.Context(), &tollwayv1.InvoiceServiceExportRequest{Partial: true})
		if err == nil {
			_, err = stream.Receive()
		}
		if got := reason(clients, err); got != want {
			t.Errorf("token %q, stream: got %q (%v), want %q", token, got, err, want)
		}
	}
}

// reason is "" for no error.
func reason(c *Clients, err error) string {
	if err == nil {
		return ""
	}
	if f := c.Explain(err); f != nil {
		return f.Reason
	}
	return err.Error()
}

func TestGRPCWithoutTLS(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	for name, option := range map[string]connecthttp.Option{"grpc": connecthttp.WithGRPC(), "grpcweb": connecthttp.WithGRPCWeb()} {
		subtotals := tollwayv1connect.NewSubtotalServiceClient(connect.NewClient(
			connecthttp.NewTransport(&http.Client{Transport: transport}, server.URL(), option)))
		answer, err := subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
		if err != nil || answer.GetTotals()[0].GetAmount() != "100.50" {
			t.Errorf("%s: got %v, %v", name, answer, err)
		}
		_, err = subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{})
		if got := reason(&Clients{}, err); got != ReasonInvalidRequest {
			t.Errorf("%s: got %v, want %s", name, err, ReasonInvalidRequest)
		}
	}
}

func TestServeEndsWatchesAndReturns(t *testing.T) {
	engine := bill()
	engine.watch = newFakeWatch()
	config := DefaultConfig()
	config.Listen = "127.0.0.1:0"
	server, err := Listen(t.Context(), config, engine)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	engine.watch.updates <- update(0, false)
	stream, err := clients.Subtotals.Watch(t.Context(), &tollwayv1.SubtotalServiceWatchRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Receive(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("an open watch held the server for %v", took)
	}
	if _, err := stream.Receive(); reason(clients, err) != ReasonShuttingDown {
		t.Errorf("the watch ended with %v", err)
	}
	<-engine.watch.closed
	if err := server.Close(); err != nil {
		t.Errorf("Close after Serve: %v", err)
	}
}

func TestServeCutsCallsThatDoNotEnd(t *testing.T) {
	engine := bill()
	entered := make(chan struct{})
	engine.apply = func(ctx context.Context, _ ApplyRequest) (Applied, error) {
		close(entered)
		<-ctx.Done()
		return Applied{}, ctx.Err()
	}
	config := DefaultConfig()
	config.Listen, config.DrainMax = "127.0.0.1:0", 50*time.Millisecond
	server, err := Listen(t.Context(), config, engine)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	called := make(chan error, 1)
	go func() {
		_, err := clients.Catalog.Apply(t.Context(), &tollwayv1.CatalogServiceApplyRequest{Files: []*tollwayv1.CatalogFile{{Name: "c.yaml"}}})
		called <- err
	}()
	<-entered
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if err := <-called; err == nil {
		t.Error("a call that was cut off returned no error")
	}
}

func TestServeReportsALostListener(t *testing.T) {
	server, err := Listen(t.Context(), Config{Listen: "127.0.0.1:0"}, bill())
	if err != nil {
		t.Fatal(err)
	}
	server.listener.Close()
	if err := server.Serve(t.Context()); err == nil {
		t.Error("Serve returned nil although nobody ended it")
	}
}

func TestProbes(t *testing.T) {
	ready := make(chan error, 1)
	dir := t.TempDir()
	server, _ := serve(t, bill(), func(c *Config) {
		c.Ready = func() error { return <-ready }
		c.TokenFile = tokenFile(t, dir, "0123456789abcdef")
	})
	get := func(path string) (int, string) {
		t.Helper()
		response, err := client(t).Get(server.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if status, body := get("/livez"); status != http.StatusOK || body != "alive\n" {
		t.Errorf("livez: %d %q", status, body)
	}
	ready <- nil
	if status, body := get("/readyz"); status != http.StatusOK || body != "ready\n" {
		t.Errorf("readyz: %d %q", status, body)
	}
	ready <- io.ErrUnexpectedEOF
	if status, body := get("/readyz"); status != http.StatusServiceUnavailable || strings.Contains(body, "EOF") {
		t.Errorf("readyz: %d %q: it must not tell anyone why", status, body)
	}
}

// keyPair writes a certificate for 127.0.0.1 and its key.
func keyPair(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	certPEM, keyPEM := selfSigned(t)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, content := range map[string][]byte{cert: certPEM, key: keyPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func tokenFile(t *testing.T, dir string, lines ...string) string {
	t.Helper()
	path := filepath.Join(dir, "tokens")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
