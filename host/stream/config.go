package stream

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
)

// DefaultPartitions is how many partitions an embedded log gets when nothing
// else is said.
const DefaultPartitions = 8

// Config says where the log is: an external NATS by URL, or a server embedded in
// this process. Secrets come from files only.
type Config struct {
	// URL is one or several addresses, separated by commas: nats://host:4222, or
	// tls://host:4222.
	URL string
	// CredentialsFile holds a user's JWT and seed, as `nsc generate creds` writes
	// them.
	CredentialsFile string
	// NKeyFile holds a user's seed.
	NKeyFile string
	// UserPasswordFile holds a user name on its first line and the password on its
	// second.
	UserPasswordFile string
	// TLSCAFile holds the certificates that the server's must be signed by; empty
	// uses the system's.
	TLSCAFile string
	// TLSCertFile and TLSKeyFile identify this client to the server.
	TLSCertFile, TLSKeyFile string
	// Replicas is how many servers keep each stream, 1 to 5; 0 is 1. It counts
	// when streams are made.
	Replicas int
	// InboxPrefix is the subject under which answers to this host arrive; empty is
	// DefaultInboxPrefix. Nobody else should be allowed to subscribe to it.
	InboxPrefix string
	// Embedded runs the server in this process instead.
	Embedded *EmbeddedConfig
	// Log gets what an operator should see; nil discards it.
	Log *slog.Logger
}

// DefaultInboxPrefix is where answers to a host arrive. It is not the _INBOX of
// producers, so that they cannot listen.
const DefaultInboxPrefix = "_TOLLWAY"

// EmbeddedConfig describes the server in this process. It syncs every write to
// disk before it acknowledges it.
type EmbeddedConfig struct {
	// StoreDir holds the streams. One process uses it at a time.
	StoreDir string
	// Listen is the loopback address where producers reach the server, as
	// 127.0.0.1:4222 (port 0 takes a free one); empty lets nobody in but the host
	// itself.
	Listen string
	// Partitions is how many the log has; 0 is DefaultPartitions. It cannot be
	// changed once the streams are made.
	Partitions int
	// HostSeedFile is where the seed of the host's own user is written, new at each
	// start, so that a host in another process can connect with it as its NKeyFile;
	// empty: nobody outside of this process ever has it.
	HostSeedFile string
	// Unsynced leaves syncing to the operating system. What was acknowledged does
	// not survive a power cut then: for temporary directories only.
	Unsynced bool
}

// withDefaults fills what is not set.
func (c Config) withDefaults() Config {
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.InboxPrefix == "" {
		c.InboxPrefix = DefaultInboxPrefix
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Embedded != nil {
		e := *c.Embedded
		if e.Partitions == 0 {
			e.Partitions = DefaultPartitions
		}
		c.Embedded = &e
	}
	return c
}

// Validate reports every problem at once.
func (c Config) Validate() error {
	var problems []error
	say := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if (c.URL == "") == (c.Embedded == nil) {
		say("either the URL of a NATS server or the embedded server must be chosen, not both and not neither")
	}
	if c.Replicas < 0 || c.Replicas > 5 {
		say("%d replicas: NATS keeps 1 to 5", c.Replicas)
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		say("a TLS certificate and its key go together: set both files or neither")
	}
	credentials := 0
	for _, file := range []string{c.CredentialsFile, c.NKeyFile, c.UserPasswordFile} {
		if file != "" {
			credentials++
		}
	}
	if credentials > 1 {
		say("give one of credentials file, nkey file and user-password file, not %d of them", credentials)
	}
	for _, file := range []string{c.CredentialsFile, c.NKeyFile, c.UserPasswordFile, c.TLSCAFile, c.TLSCertFile, c.TLSKeyFile} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			say("cannot read %s: %w", file, err)
		}
	}
	for _, u := range c.urls() {
		if err := checkURL(u); err != nil {
			problems = append(problems, err)
		}
	}
	if c.Embedded != nil {
		problems = append(problems, c.Embedded.problems()...)
		if c.Replicas > 1 {
			say("%d replicas: the embedded server is one server; use an external NATS cluster for more", c.Replicas)
		}
	}
	return errors.Join(problems...)
}

// problems reports what is wrong with the embedded server's settings.
func (e *EmbeddedConfig) problems() []error {
	var problems []error
	if e.StoreDir == "" {
		problems = append(problems, errors.New("the embedded NATS server needs a store directory"))
	}
	if e.Partitions < 0 || e.Partitions > PartitionsMax {
		problems = append(problems, fmt.Errorf("%d partitions: there must be 1 to %d", e.Partitions, PartitionsMax))
	}
	if e.Listen == "" {
		return problems
	}
	host, port, err := net.SplitHostPort(e.Listen)
	switch {
	case err != nil:
		problems = append(problems, fmt.Errorf("the embedded NATS server cannot listen on %q (%w); write it like 127.0.0.1:4222", e.Listen, err))
	case !isLoopback(host):
		problems = append(problems, fmt.Errorf("the embedded NATS server listens on loopback only, not on %s: it lets every local producer in; "+
			"for producers on other machines run a NATS server of your own and give its URL", e.Listen))
	default:
		if _, err := net.LookupPort("tcp", port); err != nil {
			problems = append(problems, fmt.Errorf("the embedded NATS server cannot listen on %q: %w", e.Listen, err))
		}
	}
	return problems
}

// isLoopback reports whether a host is this machine to itself.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// urls splits the addresses.
func (c Config) urls() []string {
	var out []string
	for u := range strings.SplitSeq(c.URL, ",") {
		if u = strings.TrimSpace(u); u != "" {
			out = append(out, u)
		}
	}
	return out
}

// checkURL refuses what is not the address of a NATS server. It does not repeat
// the address, which may hold a password.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return errors.New("a NATS URL must look like nats://host:4222 or tls://host:4222")
	}
	switch u.Scheme {
	case "nats", "tls", "ws", "wss":
	default:
		return fmt.Errorf("NATS URL %s: the scheme %q must be nats or tls", u.Redacted(), u.Scheme)
	}
	if u.User != nil {
		return fmt.Errorf("NATS URL %s: put the user and the password into a file, on two lines, and name it as the user-password file", u.Redacted())
	}
	return nil
}

// readUserPassword reads a user name and a password from the first two lines of
// a file.
func readUserPassword(file string) (user, password string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	user, rest, _ := strings.Cut(string(b), "\n")
	password, _, _ = strings.Cut(rest, "\n")
	user, password = strings.TrimSuffix(user, "\r"), strings.TrimSuffix(password, "\r")
	if user == "" || password == "" {
		return "", "", fmt.Errorf("%s must hold the user name on its first line and the password on its second", file)
	}
	return user, password, nil
}
