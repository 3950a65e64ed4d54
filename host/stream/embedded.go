package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// embedded is a NATS server in this process.
type embedded struct {
	config  EmbeddedConfig
	server  *server.Server
	log     *serverLog
	host    nkeys.KeyPair // of the host's own user; nobody else ever has it
	release func() error
}

// embeddedReadyMax bounds how long the started server may take to accept
// connections; reading its streams comes before.
const embeddedReadyMax = 30 * time.Second

// startEmbedded starts the server. It reads its streams and accepts connections
// from this process; producers are let in by listen.
func startEmbedded(config EmbeddedConfig, log *slog.Logger) (e *embedded, err error) {
	release, err := lockDir(config.StoreDir)
	if err != nil {
		return nil, err
	}
	e = &embedded{config: config, log: &serverLog{to: log}, release: release}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.stop())
			e = nil
		}
	}()
	removed, err := removeUnfinished(config.StoreDir)
	if err != nil {
		return e, err
	}
	if len(removed) > 0 {
		log.Warn("a crash came while streams were being made: they are made anew", "streams", removed)
	}
	if e.host, err = nkeys.CreateUser(); err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	host, err := e.host.PublicKey()
	if err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	if err := e.writeSeed(); err != nil {
		return e, err
	}
	stranger, err := nkeys.CreateUser()
	if err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	producer, err := stranger.PublicKey()
	if err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	options := &server.Options{}
	text := serverConfig(config.Partitions, "nkey: "+host, "nkey: "+producer, !config.Unsynced)
	if err := options.ProcessConfigString(text); err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	options.ServerName = "tollway"
	options.StoreDir = config.StoreDir
	options.DontListen = true
	options.NoSigs = true
	// Whoever reaches the loopback address is a producer.
	options.NoAuthUser = producer
	if config.Listen != "" {
		if options.Host, options.Port, err = splitListen(config.Listen); err != nil {
			return e, err
		}
	}
	if e.server, err = server.NewServer(options); err != nil {
		return e, fmt.Errorf("embedded NATS server: %w", err)
	}
	e.server.SetLoggerV2(e.log, false, false, false)
	e.server.Start()
	if !e.server.ReadyForConnections(embeddedReadyMax) || !e.server.JetStreamEnabled() {
		return e, fmt.Errorf("embedded NATS server on %s did not start: %s", config.StoreDir, e.log.cause())
	}
	return e, nil
}

// writeSeed leaves the host's seed where the configuration wants it.
func (e *embedded) writeSeed() error {
	if e.config.HostSeedFile == "" {
		return nil
	}
	seed, err := e.host.Seed()
	if err == nil {
		err = os.WriteFile(e.config.HostSeedFile, seed, 0o600)
	}
	if err != nil {
		return fmt.Errorf("embedded NATS server: seed of the host's user: %w", err)
	}
	return nil
}

// splitListen parses an address; port 0 becomes the server's word for a free
// one.
func splitListen(listen string) (string, int, error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("embedded NATS server: %w", err)
	}
	port, err := net.LookupPort("tcp", service)
	if err != nil {
		return "", 0, fmt.Errorf("embedded NATS server: %w", err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// listen lets producers in. The address is tried first, since the server only
// logs why it could not have it.
func (e *embedded) listen() error {
	if e.config.Listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", e.config.Listen)
	if err != nil {
		return fmt.Errorf("embedded NATS server cannot listen on %s: %w; stop what uses that port (another tollway, or a NATS server?), "+
			"choose another address, or port 0 for any free one", e.config.Listen, err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("embedded NATS server on %s: %w", e.config.Listen, err)
	}
	ready := make(chan struct{})
	e.server.AcceptLoop(ready)
	<-ready
	if e.server.Addr() == nil {
		return fmt.Errorf("embedded NATS server cannot listen on %s: %s", e.config.Listen, e.log.cause())
	}
	return nil
}

// address is where producers reach the server, or "".
func (e *embedded) address() string {
	if e.config.Listen == "" {
		return ""
	}
	a, ok := e.server.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	return "nats://" + net.JoinHostPort(a.IP.String(), strconv.Itoa(a.Port))
}

// login is how the host says who it is.
func (e *embedded) login() (nats.Option, error) {
	public, err := e.host.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	return nats.Nkey(public, e.host.Sign), nil
}

// stop shuts the server down and gives the directory back.
func (e *embedded) stop() error {
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	return e.release()
}

// serverLog passes the server's log on and remembers its last complaint, which
// is the only way to learn why it did not start. It is safe for concurrent use.
type serverLog struct {
	to *slog.Logger

	mu   sync.Mutex
	last string
}

var _ server.Logger = (*serverLog)(nil)

// cause is the last complaint.
func (l *serverLog) cause() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == "" {
		return "it gave no reason"
	}
	return l.last
}

func (l *serverLog) complain(format string, args []any) string {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = text
	return text
}

// Fatalf logs an error; the server does not go on without it.
func (l *serverLog) Fatalf(format string, args ...any) {
	l.to.Error("embedded NATS server: " + l.complain(format, args))
}

// Errorf logs an error.
func (l *serverLog) Errorf(format string, args ...any) {
	l.to.Error("embedded NATS server: " + l.complain(format, args))
}

// Warnf logs a warning.
func (l *serverLog) Warnf(format string, args ...any) {
	l.to.Warn("embedded NATS server: " + fmt.Sprintf(format, args...))
}

// Noticef logs what is normal.
func (l *serverLog) Noticef(format string, args ...any) {
	l.to.Debug("embedded NATS server: " + fmt.Sprintf(format, args...))
}

// Debugf logs nothing: the server's debugging is not for operators of this one.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef logs nothing.
func (l *serverLog) Tracef(string, ...any) {}
