package stream

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/tollway/tollway/sdk/billing"
)

func TestValidateReportsEverything(t *testing.T) {
	err := Config{
		URL: "http://host, nats://me:secret@host", Replicas: 6, TLSCertFile: "/none/cert.pem", CredentialsFile: "/none/a.creds", NKeyFile: "/none/b.nk",
		Embedded: &EmbeddedConfig{Listen: "0.0.0.0:4222", Partitions: 5000},
	}.Validate()
	mustFail(t, err,
		"either the URL of a NATS server or the embedded server",
		"6 replicas",
		"certificate and its key go together",
		"give one of credentials file, nkey file and user-password file, not 2",
		"/none/a.creds", "/none/cert.pem",
		`the scheme "http" must be nats or tls`,
		"put the user and the password into a file",
		"store directory",
		"5000 partitions",
		"listens on loopback only, not on 0.0.0.0:4222",
	)
	if strings.Contains(err.Error(), "secret") {
		t.Error("the error repeats the password")
	}
	for listen, want := range map[string]string{"4222": "write it like 127.0.0.1:4222", "127.0.0.1:none": "cannot listen on"} {
		mustFail(t, Config{Embedded: &EmbeddedConfig{StoreDir: "x", Listen: listen}}.Validate(), want)
	}
	mustFail(t, Config{URL: "just-a-word"}.Validate(), "nats://host:4222")
	for _, good := range []Config{{URL: "nats://a:4222, tls://b"}, {Embedded: &EmbeddedConfig{StoreDir: "x", Listen: "[::1]:0"}}} {
		if err := good.withDefaults().Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestEmbeddedComesBack(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		c, err := Open(testContext(t), Config{Embedded: &EmbeddedConfig{StoreDir: dir}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.EnsureStreams(testContext(t), DefaultPartitions); err != nil {
			t.Fatal(err)
		}
		if got := mustPublish(t, c, events(3, 1, "e")); got[0] != uint64(round+1) {
			t.Errorf("round %d wrote %v", round, got)
		}
		if c.Address() != "" {
			t.Errorf("it listens on %s", c.Address())
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreDirInUse(t *testing.T) {
	dir := t.TempDir()
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: dir}})
	_, err := Open(testContext(t), Config{Embedded: &EmbeddedConfig{StoreDir: dir}})
	mustFail(t, err, dir, "is in use by process "+fmt.Sprint(os.Getpid())+" since ", "choose another directory")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: dir}})
}

func TestStoreDirUnusable(t *testing.T) {
	file := writeFile(t, "file", "")
	_, err := Open(testContext(t), Config{Embedded: &EmbeddedConfig{StoreDir: file}})
	mustFail(t, err, "store directory", file)
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	_, err = Open(testContext(t), Config{Embedded: &EmbeddedConfig{StoreDir: dir, Listen: l.Addr().String()}})
	mustFail(t, err, "cannot listen on "+l.Addr().String(), "address already in use", "choose another address, or port 0")
	// Nothing of it is left behind.
	openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: dir}})
}

// The mapping of an embedded server counts on the partitions of its streams: with
// another number nobody is let in.
func TestEmbeddedPartitionsAreFixed(t *testing.T) {
	dir := t.TempDir()
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: dir, Partitions: 4}})
	if err := c.EnsureStreams(testContext(t), 4); err != nil {
		t.Fatal(err)
	}
	mustFail(t, c.EnsureStreams(testContext(t), 8), "the log has 4 partitions and not 8", "start with 4 partitions")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(testContext(t), Config{Embedded: &EmbeddedConfig{StoreDir: dir, Partitions: 8, Listen: "127.0.0.1:0"}})
	mustFail(t, err, "the log has 4 partitions and not 8")
}

// Producers reach the embedded server without a password, their events land in
// the partition that the vocabulary computes, and they can do nothing else.
func TestProducersOfEmbedded(t *testing.T) {
	const partitions = 5
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: partitions, Listen: "127.0.0.1:0"}})
	if err := c.EnsureStreams(testContext(t), partitions); err != nil {
		t.Fatal(err)
	}
	checkProducer(t, c, partitions)
}

// The lines that an operator gets do the same on a server of its own.
// A host in another process uses an embedded server with the seed that it
// leaves.
func TestHostSeedOfEmbedded(t *testing.T) {
	seed := filepath.Join(t.TempDir(), "seed")
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: 2, Listen: "127.0.0.1:0", HostSeedFile: seed}})
	other := openTest(t, Config{URL: c.Address(), NKeyFile: seed})
	if err := other.EnsureStreams(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Append(testContext(t), "usage.1.ctl.x", 0, nil, []byte("a host may")); err != nil {
		t.Fatal(err)
	}
}

func TestProducersOfPrintedConfig(t *testing.T) {
	const partitions = 3
	p := startNATS(t, printedConfig(partitions))
	checkProducer(t, openExternal(t, p, partitions), partitions, nats.UserInfo(producerUser, "CHANGE-ME-2"))
}

func checkProducer(t *testing.T, c *Conn, partitions int, options ...nats.Option) {
	t.Helper()
	refused := make(chan string, 10)
	options = append(options, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() }))
	nc, js := jsOf(t, c.Address(), options...)
	ctx := testContext(t)
	for _, account := range []billing.AccountID{"emma", "a.b/c d", "Zoë", "0", "x_y-z"} {
		ack, err := js.Publish(ctx, InboundSubject(account.Token()), []byte(account))
		if err != nil {
			t.Fatalf("%s: %v", account, err)
		}
		want := billing.Partition(account, partitions)
		if ack.Stream != Usage(want) {
			t.Errorf("%s went to %s, not to partition %d", account, ack.Stream, want)
		}
		m, err := c.Get(ctx, ack.Stream, ack.Sequence)
		if err != nil || m.Subject != EventSubject(want) || string(m.Data) != string(account) {
			t.Errorf("%s: %+v %v", account, m, err)
		}
	}
	for _, subject := range []string{EventSubject(0), BatchSubject(1)} {
		if _, err := js.Publish(ctx, subject, []byte("x")); err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, subject := range []string{ControlSubject(0, "close.x"), "ledger.owner", "catalog.object", InvoicesSubject(0), "$JS.API.STREAM.DELETE.USAGE-0", "_TOLLWAY.x"} {
		if err := nc.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		expectRefusal(t, nc, refused, subject)
	}
	for _, subject := range []string{"usage.>", DefaultInboxPrefix + ".>", ">"} {
		sub, err := nc.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		expectRefusal(t, nc, refused, subject)
		_ = sub.Unsubscribe()
	}
	for p := range partitions {
		if m, err := c.Last(ctx, Usage(p), ControlSubject(p, ">")); m != nil || err != nil {
			t.Errorf("a control message got in: %+v %v", m, err)
		}
	}
}

func expectRefusal(t *testing.T, nc *nats.Conn, refused <-chan string, subject string) {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-refused:
		if !strings.Contains(strings.ToLower(text), "permissions violation") || !strings.Contains(text, `"`+subject+`"`) {
			t.Errorf("%s: %s", subject, text)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s is permitted", subject)
	}
}

func TestUnreachable(t *testing.T) {
	url := fmt.Sprintf("nats://127.0.0.1:%d", freePort(t))
	_, err := Open(testContext(t), Config{URL: url})
	mustFail(t, err, "cannot reach NATS at "+url, "connection refused", "start it, correct the address, or leave the address out to use the embedded server")
	_, err = Open(testContext(t), Config{URL: "nats://nowhere.invalid:4222"})
	mustFail(t, err, "cannot reach NATS at nats://nowhere.invalid:4222", "lookup nowhere.invalid")
}

func TestNotNATS(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	_, err = Open(testContext(t), Config{URL: "nats://" + l.Addr().String()})
	mustFail(t, err, "cannot connect to NATS at", "check that a NATS server answers there")
}

func TestOneOfSeveralServers(t *testing.T) {
	p := startNATS(t, plainJetStream)
	c := openTest(t, Config{URL: fmt.Sprintf("nats://127.0.0.1:%d,%s", freePort(t), p.url())})
	if c.Address() != p.url() {
		t.Errorf("connected to %s", c.Address())
	}
}

func TestJetStreamNotEnabled(t *testing.T) {
	_, err := Open(testContext(t), Config{URL: startNATS(t, "").url()})
	mustFail(t, err, "JetStream is not enabled on NATS at", "start nats-server with -js")
	p := startNATS(t, plainJetStream+"\naccounts { A { users: [{user: u, password: p}] } }")
	_, err = Open(testContext(t), Config{URL: p.url(), UserPasswordFile: writeFile(t, "u", "u\np\n")})
	mustFail(t, err, "JetStream is not enabled", p.url())
}

func TestBadCredentials(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	_, err := Open(testContext(t), Config{URL: p.url()})
	mustFail(t, err, "wants to know who this is", "Authorization Violation", "give a credentials file")
	file := writeFile(t, "u", hostUser+"\nwrong\n")
	_, err = Open(testContext(t), Config{URL: p.url(), UserPasswordFile: file})
	mustFail(t, err, "refuses the user-password file "+file, "Authorization Violation", "has not expired")
	file = writeFile(t, "u", "only one line")
	_, err = Open(testContext(t), Config{URL: p.url(), UserPasswordFile: file})
	mustFail(t, err, file, "the user name on its first line")
	_, err = Open(testContext(t), Config{URL: p.url(), NKeyFile: writeFile(t, "nk", "nonsense")})
	mustFail(t, err, "nkey file")
}

// A user that may not use the API is told what is missing.
func TestMissingPermissions(t *testing.T) {
	p := startNATS(t, plainJetStream+"\nauthorization { users: [{user: u, password: p, permissions: {publish: [usage.>], subscribe: [_INBOX.>]}}] }")
	_, err := Open(testContext(t), Config{URL: p.url(), UserPasswordFile: writeFile(t, "u", "u\np")})
	mustFail(t, err, "does not answer", "$JS.API.>", "_TOLLWAY.>")
}

func TestNKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	public, _ := user.PublicKey()
	p := startNATS(t, plainJetStream+"\nauthorization { users: [{nkey: "+public+"}] }")
	openTest(t, Config{URL: p.url(), NKeyFile: writeFile(t, "user.nk", string(seed)+"\n")})
	other, _ := nkeys.CreateUser()
	otherSeed, _ := other.Seed()
	_, err = Open(testContext(t), Config{URL: p.url(), NKeyFile: writeFile(t, "other.nk", string(otherSeed))})
	mustFail(t, err, "refuses the nkey file")
}

func TestCredentialsFile(t *testing.T) {
	operator, _ := nkeys.CreateOperator()
	account, _ := nkeys.CreateAccount()
	user, _ := nkeys.CreateUser()
	operatorKey, _ := operator.PublicKey()
	accountKey, _ := account.PublicKey()
	userKey, _ := user.PublicKey()
	operatorJWT, err := jwt.NewOperatorClaims(operatorKey).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	claims := jwt.NewAccountClaims(accountKey)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	accountJWT, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	system, _ := nkeys.CreateAccount()
	systemKey, _ := system.PublicKey()
	systemJWT, err := jwt.NewAccountClaims(systemKey).Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	p := startNATS(t, fmt.Sprintf("%s\noperator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: { %s: %s, %s: %s }",
		plainJetStream, operatorJWT, systemKey, systemKey, systemJWT, accountKey, accountJWT))
	creds := func(expires time.Duration) string {
		u := jwt.NewUserClaims(userKey)
		u.Expires = time.Now().Add(expires).Unix()
		token, err := u.Encode(account)
		if err != nil {
			t.Fatal(err)
		}
		seed, _ := user.Seed()
		text, err := jwt.FormatUserConfig(token, seed)
		if err != nil {
			t.Fatal(err)
		}
		return writeFile(t, "host.creds", string(text))
	}
	c := openTest(t, Config{URL: p.url(), CredentialsFile: creds(time.Hour)})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	expired := creds(-time.Hour)
	_, err = Open(testContext(t), Config{URL: p.url(), CredentialsFile: expired})
	mustFail(t, err, "refuses the credentials file "+expired)
}

func TestTLS(t *testing.T) {
	ca, cert, key := certificates(t, "localhost")
	p := startNATS(t, fmt.Sprintf("%s\ntls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", plainJetStream, cert, key, ca))
	url := fmt.Sprintf("tls://localhost:%d", p.port)
	c := openTest(t, Config{URL: url, TLSCAFile: ca, TLSCertFile: cert, TLSKeyFile: key})
	if err := c.EnsureStreams(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, c, events(0, 10, "e"))
	readAll(t, openReader(t, c, 0, 0), 10)

	_, err := Open(testContext(t), Config{URL: url, TLSCertFile: cert, TLSKeyFile: key})
	mustFail(t, err, "certificate of an unknown authority", "TLS CA file")
	_, err = Open(testContext(t), Config{URL: fmt.Sprintf("tls://127.0.0.1:%d", p.port), TLSCAFile: ca, TLSCertFile: cert, TLSKeyFile: key})
	mustFail(t, err, "certificate for another name")
	_, err = Open(testContext(t), Config{URL: url, TLSCAFile: ca})
	mustFail(t, err, "cannot connect to NATS at "+url)
	plain := startNATS(t, plainJetStream)
	_, err = Open(testContext(t), Config{URL: fmt.Sprintf("tls://localhost:%d", plain.port), TLSCAFile: ca})
	mustFail(t, err, "does not speak TLS", "nats://")
}

// certificates makes an authority and a certificate of it for a name, which does
// for servers and clients.
func certificates(t *testing.T, name string) (caFile, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	write := func(file, kind string, der []byte) string {
		file = filepath.Join(dir, file)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	issue := func(serial int64, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		template.SerialNumber = big.NewInt(serial)
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	ca := &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, caKey := issue(1, ca, nil, nil)
	leafDER, leafKey := issue(2, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, caKey)
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", caDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{"2.12.0": true, "2.15.2": true, "3.0.0": true, "2.11.9": false, "1.99.0": false, "2.9": false, "v2.12.1-beta": true, "dev": true} {
		if got := atLeast(version, serverMajorMin, serverMinorMin); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
}

// A secret that everybody can read is worth a warning, and so is a connection
// that goes away; both without the secret.
func TestWarnings(t *testing.T) {
	p := startNATS(t, printedConfig(1))
	file := hostFile(t)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	log := &logText{}
	c := openTest(t, Config{URL: p.url(), UserPasswordFile: file, Log: slog.New(slog.NewTextHandler(log, nil))})
	p.kill()
	p.start()
	waitConnected(t, c)
	for _, want := range []string{"chmod 600", "connection to NATS lost", "connected to NATS again"} {
		if !log.waitFor(want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "CHANGE-ME") {
		t.Error("the log has the password")
	}
}

// logText collects a log.
type logText struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logText) waitFor(text string) bool {
	for range 200 {
		if strings.Contains(l.String(), text) {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func TestOpenEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir()}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}
