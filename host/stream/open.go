package stream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conn is a connection to the log. All methods are safe for concurrent use.
type Conn struct {
	config     Config
	log        *slog.Logger
	embedded   *embedded // nil when the server is elsewhere
	nc         *nats.Conn
	js         jetstream.JetStream
	acks       *ackInbox
	ends       *ends
	closing    atomic.Bool
	closed     func() error // does the closing, once
	partitions atomic.Int32 // 0 before EnsureStreams

	mu      sync.Mutex
	handles map[string]jetstream.Stream
	created map[string]time.Time // of each stream, when first seen
	owner   ownership
}

// Times of the connection.
const (
	connectTimeout = 5 * time.Second
	pingInterval   = 10 * time.Second
	reconnectWait  = 250 * time.Millisecond
)

// Oldest server that has all that the log relies on: atomic batches came with
// 2.12.
const serverMajorMin, serverMinorMin = 2, 12

// Open connects to the log, starting the embedded server if that is what the
// configuration says. It makes no streams: EnsureStreams does. An embedded
// server lets producers in only once it is known that its streams have the
// partitions that its mapping counts on.
func Open(ctx context.Context, config Config) (*Conn, error) {
	config = config.withDefaults()
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	c := &Conn{config: config, log: config.Log, handles: map[string]jetstream.Stream{}, created: map[string]time.Time{}, ends: newEnds()}
	c.closed = sync.OnceValue(c.shut)
	if err := c.open(ctx); err != nil {
		return nil, fmt.Errorf("stream: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}

func (c *Conn) open(ctx context.Context) (err error) {
	if c.config.Embedded != nil {
		if c.embedded, err = startEmbedded(*c.config.Embedded, c.log); err != nil {
			return err
		}
	}
	c.warnReadable()
	c.acks = newAckInbox()
	if c.nc, err = c.connect(ctx, "tollway", nats.DisconnectErrHandler(c.disconnected), nats.ReconnectHandler(c.reconnected)); err != nil {
		return err
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		return err
	}
	if err := c.checkServer(ctx); err != nil {
		return err
	}
	if err := c.acks.listen(c.nc); err != nil {
		return err
	}
	if c.embedded == nil {
		return nil
	}
	if err := c.checkPartitions(ctx, c.config.Embedded.Partitions); err != nil {
		return err
	}
	return c.embedded.listen()
}

// Close ends the connection and stops the embedded server. Readers must have
// been closed. Only the first call does anything.
func (c *Conn) Close() error { return c.closed() }

func (c *Conn) shut() error {
	c.closing.Store(true)
	if c.nc != nil {
		c.nc.Close()
		c.acks.abandon(unavailable(nats.ErrConnectionClosed))
	}
	if c.embedded != nil {
		return c.embedded.stop()
	}
	return nil
}

// Address is where producers reach the log: the external server's address, or
// the embedded one's; empty when that lets nobody in.
func (c *Conn) Address() string {
	if c.embedded != nil {
		return c.embedded.address()
	}
	return c.nc.ConnectedUrlRedacted()
}

// Connected reports whether the server can be reached at the moment.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// disconnected gives up on acknowledgements: they will not come on another
// connection.
func (c *Conn) disconnected(_ *nats.Conn, err error) {
	if !c.closing.Load() {
		c.log.Warn("connection to NATS lost, trying to get it back; queries are answered from what is committed, no usage is taken until then", "error", err)
	}
	c.acks.abandon(unavailable(nats.ErrDisconnected))
}

func (c *Conn) reconnected(nc *nats.Conn) {
	c.log.Info("connected to NATS again", "address", nc.ConnectedUrlRedacted())
}

// connect makes a connection of its own, which comes back by itself when it is
// lost.
func (c *Conn) connect(ctx context.Context, name string, more ...nats.Option) (*nats.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dialer := &dialer{net.Dialer{Timeout: connectTimeout}, atomic.Pointer[error]{}}
	options := append([]nats.Option{
		nats.Name(name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		// What is published while the connection is away fails at once: kept back
		// and sent later it would arrive when its guard means something else.
		nats.ReconnectBufSize(-1),
		// Wrong credentials may be right again when the server has read its
		// configuration anew.
		nats.IgnoreAuthErrorAbort(),
		nats.PingInterval(pingInterval),
		nats.CustomInboxPrefix(c.config.InboxPrefix),
		nats.ErrorHandler(c.asyncError),
	}, more...)
	if c.embedded != nil {
		login, err := c.embedded.login()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.InProcessServer(c.embedded.server), login)
		nc, err := nats.Connect("", options...)
		if err != nil {
			return nil, fmt.Errorf("embedded NATS server: %w", err)
		}
		return nc, nil
	}
	secrets, err := c.config.secretOptions()
	if err != nil {
		return nil, err
	}
	options = append(append(options, nats.SetCustomDialer(dialer)), secrets...)
	nc, err := nats.Connect(strings.Join(c.config.urls(), ","), options...)
	if err != nil {
		return nil, c.config.explainConnect(err, dialer.last())
	}
	return nc, nil
}

// asyncError logs what goes wrong outside of any call.
func (c *Conn) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if c.closing.Load() {
		return
	}
	if errors.Is(err, nats.ErrPermissionViolation) {
		c.log.Error("NATS does not permit what the host needs; give its user all subjects of the account, as `tollway doctor` prints it", "error", err)
		return
	}
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	c.log.Warn("NATS connection", "error", err, "subject", subject)
}

// secretOptions reads the files that say who this is.
func (c Config) secretOptions() ([]nats.Option, error) {
	var options []nats.Option
	switch {
	case c.CredentialsFile != "":
		options = append(options, nats.UserCredentials(c.CredentialsFile))
	case c.NKeyFile != "":
		o, err := nats.NkeyOptionFromSeed(c.NKeyFile)
		if err != nil {
			return nil, fmt.Errorf("nkey file %s: %w", c.NKeyFile, err)
		}
		options = append(options, o)
	case c.UserPasswordFile != "":
		user, password, err := readUserPassword(c.UserPasswordFile)
		if err != nil {
			return nil, err
		}
		options = append(options, nats.UserInfo(user, password))
	}
	if c.TLSCAFile != "" {
		options = append(options, nats.RootCAs(c.TLSCAFile))
	}
	if c.TLSCertFile != "" {
		options = append(options, nats.ClientCert(c.TLSCertFile, c.TLSKeyFile))
	}
	return options, nil
}

// warnReadable complains about secrets that every user of the machine can read.
func (c *Conn) warnReadable() {
	for _, file := range []string{c.config.CredentialsFile, c.config.NKeyFile, c.config.UserPasswordFile, c.config.TLSKeyFile} {
		if info, err := os.Stat(file); file != "" && err == nil && info.Mode().Perm()&0o004 != 0 {
			c.log.Warn("every user of this machine can read the secret; run chmod 600", "file", file)
		}
	}
}

// dialer remembers why it could not connect, which the client library replaces
// by "no servers available".
type dialer struct {
	net.Dialer
	err atomic.Pointer[error]
}

// Dial connects, as the client library asks for.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		d.err.Store(&err)
	}
	return conn, err
}

func (d *dialer) last() error {
	if err := d.err.Load(); err != nil {
		return *err
	}
	return nil
}

// credentials names what the configuration says about who this is.
func (c Config) credentials() string {
	switch {
	case c.CredentialsFile != "":
		return "the credentials file " + c.CredentialsFile
	case c.NKeyFile != "":
		return "the nkey file " + c.NKeyFile
	case c.UserPasswordFile != "":
		return "the user-password file " + c.UserPasswordFile
	}
	return ""
}

// explainConnect says why NATS could not be reached and what to do.
func (c Config) explainConnect(err, dialed error) error {
	where := c.URL
	var unknownCA x509.UnknownAuthorityError
	var badName x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, nats.ErrAuthorization), errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthRevoked),
		errors.Is(err, nats.ErrAccountAuthExpired):
		if used := c.credentials(); used != "" {
			return fmt.Errorf("NATS at %s refuses %s (%w); check that it is this server's and has not expired", where, used, err)
		}
		return fmt.Errorf("NATS at %s wants to know who this is (%w); give a credentials file, an nkey file or a user-password file", where, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be read: %w", c.credentials(), err)
	case errors.As(err, &unknownCA):
		return fmt.Errorf("NATS at %s has a certificate of an unknown authority (%w); give the authority's certificate as TLS CA file", where, err)
	case errors.As(err, &badName):
		return fmt.Errorf("NATS at %s has a certificate for another name (%w); use the name in the certificate as the address", where, err)
	case errors.As(err, &record), errors.Is(err, nats.ErrSecureConnWanted):
		return fmt.Errorf("NATS at %s does not speak TLS (%w); write the address with nats:// and without TLS files, or set up TLS there", where, err)
	case dialed != nil && (errors.Is(err, nats.ErrNoServers) || errors.Is(err, dialed)):
		return fmt.Errorf("cannot reach NATS at %s: %w; start it, correct the address, or leave the address out to use the embedded server", where, dialed)
	}
	return fmt.Errorf("cannot connect to NATS at %s: %w; check that a NATS server answers there", where, errors.Join(err, dialed))
}

// checkServer refuses a server that lacks what the log relies on.
func (c *Conn) checkServer(ctx context.Context) error {
	version := c.nc.ConnectedServerVersion()
	if !atLeast(version, serverMajorMin, serverMinorMin) {
		return fmt.Errorf("NATS at %s is version %s, too old for atomic batches; upgrade it to %d.%d or newer", c.Address(), version, serverMajorMin, serverMinorMin)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	_, err := c.js.AccountInfo(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("JetStream is not enabled for the account of this user at %s (%w); enable it for the account (jetstream: enabled)", c.Address(), err)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled on NATS at %s (%w); start nats-server with -js, or with a jetstream block in its configuration", c.Address(), err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("JetStream on NATS at %s does not answer (%w); check that this user may publish to $JS.API.> and subscribe to %s.>", c.Address(), err, c.config.InboxPrefix)
	}
	return fmt.Errorf("JetStream on NATS at %s: %w", c.Address(), err)
}

// atLeast compares the first two numbers of a version. One that cannot be read
// passes: development builds have their own ideas.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return true
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	if errA != nil || errB != nil {
		return true
	}
	return a > major || a == major && b >= minor
}
