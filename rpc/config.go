package rpc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DefaultListen is where the server listens unless told otherwise: this
// machine alone can reach it.
const DefaultListen = "127.0.0.1:8080"

// Config says where a server listens and whom it serves.
type Config struct {
	// Listen is HOST:PORT. Port 0 takes a free one. A host that other machines
	// can reach needs TLS and a token file.
	Listen string
	// TLSCertFile and TLSKeyFile are PEM files. Both or neither.
	TLSCertFile, TLSKeyFile string
	// TokenFile has one bearer token per line; empty lines and lines that start
	// with # are skipped. With it every call needs one of them, on loopback too.
	TokenFile string
	// Pages is served below /ui/ to whoever asks, with or without a token: the
	// dashboard, which has no data of its own. Nil: there are no pages.
	Pages http.Handler
	// Log gets failed calls and warnings. Nil: nothing is logged.
	Log *slog.Logger
	// Ready says why the host cannot serve yet; nil error: it can. It is called
	// for each health check, from any goroutine. Nil: always ready.
	Ready func() error
	// Heartbeat is how long a watch may be silent. 0: 15 s.
	Heartbeat time.Duration
	// DrainMax is how long Serve waits for open calls when it ends. 0: 10 s.
	DrainMax time.Duration
}

// DefaultConfig is a server that this machine alone can reach.
func DefaultConfig() Config {
	return Config{
		Listen:    DefaultListen,
		Log:       slog.New(slog.DiscardHandler),
		Ready:     func() error { return nil },
		Heartbeat: 15 * time.Second,
		DrainMax:  10 * time.Second,
	}
}

// withDefaults fills what is not set.
func (c Config) withDefaults() Config {
	def := DefaultConfig()
	if c.Listen == "" {
		c.Listen = def.Listen
	}
	if c.Log == nil {
		c.Log = def.Log
	}
	if c.Ready == nil {
		c.Ready = def.Ready
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = def.Heartbeat
	}
	if c.DrainMax == 0 {
		c.DrainMax = def.DrainMax
	}
	return c
}

// Validate reports every problem at once, each with what to do.
func (c Config) Validate() error {
	c = c.withDefaults()
	var problems []error
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		problems = append(problems, fmt.Errorf(
			"%q is not an address to listen on: write HOST:PORT, such as --listen %s", c.Listen, DefaultListen))
	case !isLoopback(host) && (c.TLSCertFile == "" || c.TLSKeyFile == "" || c.TokenFile == ""):
		problems = append(problems, errExposed(c.Listen))
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		problems = append(problems, errors.New("TLS needs a certificate and its key: set both tls.cert and tls.key in the configuration"))
	}
	if c.Heartbeat < 0 || c.DrainMax < 0 {
		problems = append(problems, errors.New("heartbeat and drain time must not be negative"))
	}
	return errors.Join(problems...)
}

// errExposed refuses an address that others can reach without protection. It
// names everything that is needed, so that one attempt teaches it.
func errExposed(listen string) error {
	return fmt.Errorf("%s can be reached from other machines, and billing data must not be read or written by just anyone: "+
		"set tls.cert and tls.key to PEM files and token_file to a file of bearer tokens (one per line) in the configuration, or listen on this machine alone with --listen %s",
		listen, DefaultListen)
}

// isLoopback reports whether only this machine can reach the host. A name other
// than localhost may resolve to anything, so it does not count.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
