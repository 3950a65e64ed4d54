package stream

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// envServer makes the test binary a NATS server: it holds the path of a
// configuration file.
const envServer = "TOLLWAY_TEST_NATS_SERVER"

func TestMain(m *testing.M) {
	if file := os.Getenv(envServer); file != "" {
		os.Exit(runServer(file))
	}
	goleak.VerifyTestMain(m)
}

// runServer is a nats-server until its input ends.
func runServer(file string) int {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		fmt.Println("error:", err)
		return 1
	}
	if os.Getenv("TOLLWAY_TEST_NATS_LOG") != "" {
		s.ConfigureLogger()
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		fmt.Println("error: not ready")
		return 1
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// natsProcess is a NATS server in a process of its own, which can be killed and
// started again on the same store and port.
type natsProcess struct {
	t      *testing.T
	config string // file
	port   int
	store  string
	cmd    *exec.Cmd
	stdin  interface{ Close() error }
}

// startNATS starts a server with the lines of configuration given, beside a port
// and a store directory.
func startNATS(t *testing.T, lines string) *natsProcess {
	t.Helper()
	dir := t.TempDir()
	p := &natsProcess{t: t, config: filepath.Join(dir, "nats.conf"), port: freePort(t), store: filepath.Join(dir, "store")}
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nserver_name: test\n%s\n", p.port, strings.ReplaceAll(lines, "STORE", p.store))
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start()
	t.Cleanup(p.kill)
	return p
}

// printedConfig is what an operator gets from `tollway doctor`, with a store
// directory.
func printedConfig(partitions int) string {
	return strings.Replace(ServerConfig(partitions), "jetstream {", "jetstream {\n  store_dir: \"STORE\"", 1)
}

func (p *natsProcess) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), envServer+"="+p.config)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	in, err := p.cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.stdin = in
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		p.t.Fatalf("NATS server process: %q %v", line, err)
	}
}

// kill ends the process as a crash would.
func (p *natsProcess) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
	p.cmd = nil
}

// killLater kills the process after a while; the channel is closed when it is
// dead.
func (p *natsProcess) killLater(d time.Duration) <-chan struct{} {
	dead := make(chan struct{})
	time.AfterFunc(d, func() {
		defer close(dead)
		p.kill()
	})
	return dead
}

func (p *natsProcess) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", p.port) }

// freePort finds a port that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// testContext ends with the test, or after a minute.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openTest opens a connection that the test's end closes.
func openTest(t *testing.T, config Config) *Conn {
	t.Helper()
	if testing.Verbose() && config.Log == nil {
		config.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c, err := Open(testContext(t), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// openEmbedded opens an embedded server on a new directory.
func openEmbedded(t *testing.T, partitions int) *Conn {
	t.Helper()
	c := openTest(t, Config{Embedded: &EmbeddedConfig{StoreDir: t.TempDir(), Partitions: partitions}})
	if err := c.EnsureStreams(testContext(t), partitions); err != nil {
		t.Fatal(err)
	}
	return c
}

// hostFile writes the user-password file of the printed configuration's host.
func hostFile(t *testing.T) string {
	t.Helper()
	return writeFile(t, "host.txt", hostUser+"\nCHANGE-ME-1\n")
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// openExternal opens a connection to a server process with the printed
// configuration, and makes the streams.
func openExternal(t *testing.T, p *natsProcess, partitions int) *Conn {
	t.Helper()
	c := openTest(t, Config{URL: p.url(), UserPasswordFile: hostFile(t)})
	if err := c.EnsureStreams(testContext(t), partitions); err != nil {
		t.Fatal(err)
	}
	return c
}

// plainJetStream is a server without users.
const plainJetStream = "jetstream { store_dir: \"STORE\" }"

// jsOf connects to a server as anybody would.
func jsOf(t *testing.T, url string, options ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// mustFail checks that an error is there and says all that it should.
func mustFail(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", texts)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("the error says\n  %v\nwant\n  %s", err, text)
		}
	}
}

// readAll reads until n messages are there.
func readAll(t *testing.T, r *Reader, n int) []Message {
	t.Helper()
	ctx := testContext(t)
	var out []Message
	for len(out) < n {
		batch, err := r.Next(ctx, Limit{})
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(out), n, err)
		}
		out = append(out, batch...)
	}
	return out
}

// openReader opens a reader that the test's end closes.
func openReader(t *testing.T, c *Conn, partition int, after uint64) *Reader {
	t.Helper()
	r, err := c.Reader(testContext(t), partition, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// events makes n messages for one partition.
func events(partition, n int, prefix string) []Outgoing {
	out := make([]Outgoing, n)
	for i := range out {
		out[i] = Outgoing{Subject: EventSubject(partition), Header: map[string]string{"Content-Type": "application/cloudevents+json"}, Data: fmt.Appendf(nil, "%s%d", prefix, i)}
	}
	return out
}

func mustPublish(t *testing.T, c *Conn, out []Outgoing) []uint64 {
	t.Helper()
	sequences, err := c.Publish(testContext(t), out)
	if err != nil {
		t.Fatal(err)
	}
	return sequences
}

// pause stops the process without ending it.
func (p *natsProcess) pause() {
	_ = p.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(50 * time.Millisecond) // the signal does not wait
}

// resume lets it go on.
func (p *natsProcess) resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }
