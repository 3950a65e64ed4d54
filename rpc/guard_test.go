package rpc

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseTokens(t *testing.T) {
	for _, c := range []struct {
		name, file, want string // want: part of the error
		tokens           int
	}{
		{"comments and blanks", "# a\n\n  0123456789abcdef \n#x\nfedcba9876543210", "", 2},
		{"empty", "# nothing\n\n", "has no token", 0},
		{"short", "0123456789abcdef\nshort\n", "line 2: a token has 16 to 512 characters, this one 5", 0},
		{"long", strings.Repeat("x", 513), "line 1", 0},
		{"inner space", "0123456789 abcdef", "16 to 512 characters", 0},
		{"names", "0123456789abcdef anna\nfedcba9876543210 build server 2 \nfedcba9876543211", "", 3},
		{"bad name", "0123456789abcdef a\tb", "the name behind a token", 0},
		{"not ASCII", "0123456789abcdéf", "visible ASCII", 0},
		{"too many", strings.Repeat("0123456789abcdef\n", 1001), "more than 1000", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseTokens(strings.NewReader(c.file))
			if c.want == "" && (err != nil || len(got.digests) != c.tokens) {
				t.Errorf("got %d tokens, %v", len(got.digests), err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A token file that is not read to its end would end within a token.
func TestTokenFileThatIsTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	const token = "0123456789abcdef0123456789abcdef"
	text := strings.Repeat("#\n", tokenFileBytes/2-10) + token
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := readTokens(path, slog.New(slog.DiscardHandler)); err == nil {
		t.Errorf("%d tokens were taken", len(list.digests))
	}
	if err := os.WriteFile(path, []byte(text[len(token):]), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := readTokens(path, slog.New(slog.DiscardHandler)); err != nil || len(list.digests) != 1 {
		t.Errorf("%d tokens, %v", len(list.digests), err)
	}
}

func TestTokenFileThatOthersCanRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	for mode, warned := range map[os.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o644: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		if _, err := readTokens(path, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "chmod 600"); got != warned {
			t.Errorf("mode %v: warned is %v: %s", mode, got, log.String())
		}
	}
}

func TestAcceptTokens(t *testing.T) {
	accepted, err := parseTokens(strings.NewReader("0123456789abcdef\nfedcba9876543210"))
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]bool{
		"Bearer 0123456789abcdef":  true,
		"bearer fedcba9876543210":  true,
		"Bearer  0123456789abcdef": true,
		"Bearer 0123456789abcde":   false,
		"Bearer 0123456789abcdef0": false,
		"Basic 0123456789abcdef":   false,
		"0123456789abcdef":         false,
		"Bearer ":                  false,
		"Bearer":                   false,
		"":                         false,
	} {
		r := &http.Request{Header: http.Header{"Authorization": {header}}}
		if _, got := accepted.accept(r); got != want {
			t.Errorf("Authorization %q: %v", header, got)
		}
	}
	if _, ok := (tokens{}).accept(&http.Request{}); !ok {
		t.Error("without tokens a call was refused")
	}
}

// call sends a call as curl does.
func call(t *testing.T, url, body string, header map[string]string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestGuardWithoutTokens(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	url := server.URL() + "/tollway.v1.SubtotalService/Get"
	for _, c := range []struct {
		name   string
		header map[string]string
		status int
		want   string
	}{
		{"curl", nil, 200, `"amount":"100.50"`},
		{"localhost", map[string]string{"Host": "localhost:1234"}, 200, "100.50"},
		{"IPv6", map[string]string{"Host": "[::1]"}, 200, "100.50"},
		{"rebound name", map[string]string{"Host": "evil.example:8080"}, 403, `"reason":"foreign_host"`},
		{"name that begins alike", map[string]string{"Host": "localhost.evil.example"}, 403, "foreign_host"},
		{"page of another site", map[string]string{"Origin": "https://evil.example"}, 403, `"reason":"foreign_origin"`},
		{"page of another site, modern browser", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403, "foreign_origin"},
		{"own page", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200, "100.50"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, answer := call(t, url, `{"account":"emma"}`, c.header)
			if status != c.status || !strings.Contains(answer, c.want) {
				t.Errorf("got %d %s", status, answer)
			}
		})
	}
}

// The pages are for whoever asks, the services behind them are not.
func TestPagesNeedNoToken(t *testing.T) {
	for _, pages := range []bool{true, false} {
		server, _ := serve(t, bill(), func(c *Config) {
			c.TokenFile = tokenFile(t, t.TempDir(), "0123456789abcdef")
			if pages {
				c.Pages = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { plain(w, http.StatusOK, "page "+r.URL.Path) })
			}
		})
		for path, want := range map[string]string{"/": "page /ui/", "/ui/accounts/emma": "page /ui/accounts/emma"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client(t).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			answer, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(answer) == want; got != pages {
				t.Errorf("%s, pages %t: got %s %s", path, pages, response.Status, answer)
			}
		}
		if status, answer := call(t, server.URL()+"/tollway.v1.SubtotalService/Get", `{"account":"emma"}`, nil); status != http.StatusUnauthorized {
			t.Errorf("a service without token: got %d %s", status, answer)
		}
	}
}

func TestNoCORS(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, server.URL()+"/tollway.v1.SubtotalService/Get", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", "https://evil.example")
	request.Header.Set("Access-Control-Request-Method", "POST")
	response, err := client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "" || response.StatusCode < 400 {
		t.Errorf("a preflight got %d, allow %q", response.StatusCode, got)
	}
}

// TestAuthBeforeBody sends the headers of a huge call and waits: the refusal
// must come without a byte of the body.
func TestAuthBeforeBody(t *testing.T) {
	server, _ := serve(t, bill(), func(c *Config) { c.TokenFile = tokenFile(t, t.TempDir(), "0123456789abcdef") })
	conn, err := net.Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST /tollway.v1.CatalogService/Apply HTTP/1.1\r\nHost: 127.0.0.1\r\n"+
		"Content-Type: application/json\r\nContent-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	answer := string(buffer[:n])
	if !strings.HasPrefix(answer, "HTTP/1.1 401") || !strings.Contains(answer, `Www-Authenticate: Bearer realm="tollway"`) {
		t.Errorf("got %s", answer)
	}
}

func TestTokenLetsOtherHostNamesIn(t *testing.T) {
	server, _ := serve(t, bill(), func(c *Config) { c.TokenFile = tokenFile(t, t.TempDir(), "0123456789abcdef") })
	status, answer := call(t, server.URL()+"/tollway.v1.SubtotalService/Get", `{"account":"emma"}`,
		map[string]string{"Host": "billing.example", "Authorization": "Bearer 0123456789abcdef"})
	if status != 200 {
		t.Errorf("got %d %s", status, answer)
	}
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// curl says of a body that it is a form when it is not told otherwise. What comes
// back then is what to do, not an empty answer.
func TestFormsAreRefusedInWords(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	for _, kind := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL()+"/tollway.v1.SubtotalService/Get", strings.NewReader(`{"account":"emma"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", kind)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusBadRequest || !bytes.Contains(body, []byte("curl -H 'Content-Type: application/json'")) {
			t.Errorf("%s: got %s %s", kind, answer.Status, body)
		}
	}
}
