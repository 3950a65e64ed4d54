package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"

	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// Server serves the services of tollway.v1 on one address. Its methods may be
// called from any goroutine, Serve once.
type Server struct {
	config   Config
	health   *health
	listener net.Listener
	http     *http.Server
	secure   bool // speaks TLS; net/http changes its own TLSConfig while serving
	// drain ends the streams that would go on for ever.
	drain context.CancelFunc
}

// Check finds out whether Listen would do now: it reads the files that the
// configuration names, takes the address and gives it back. Opening an engine may
// take long, and what is wrong here is better told before. Its errors are Listen's.
func Check(ctx context.Context, config Config) error {
	config.Log = slog.New(slog.DiscardHandler) // Listen gives the warnings
	_, _, listener, err := prepare(ctx, config.withDefaults())
	if err != nil {
		return err
	}
	return listener.Close()
}

// prepare reads what the configuration names and takes the address.
func prepare(ctx context.Context, config Config) (accepted tokens, security *tls.Config, listener net.Listener, err error) {
	if err := config.Validate(); err != nil {
		return accepted, nil, nil, fmt.Errorf("rpc: %w", err)
	}
	if config.TokenFile != "" {
		if accepted, err = readTokens(config.TokenFile, config.Log); err != nil {
			return accepted, nil, nil, fmt.Errorf("rpc: %w", err)
		}
	}
	if config.TLSCertFile != "" {
		pair, err := tls.LoadX509KeyPair(config.TLSCertFile, config.TLSKeyFile)
		if err != nil {
			return accepted, nil, nil, fmt.Errorf("rpc: TLS certificate %s and key %s: %w", config.TLSCertFile, config.TLSKeyFile, err)
		}
		security = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	if listener, err = listen(ctx, config); err != nil {
		return accepted, nil, nil, fmt.Errorf("rpc: %w", err)
	}
	return accepted, security, listener, nil
}

// Listen takes the address and prepares to serve the engine on it. Calls wait
// until Serve runs. Its errors say what to pass or change.
func Listen(ctx context.Context, config Config, engine Engine) (*Server, error) {
	config = config.withDefaults()
	accepted, security, listener, err := prepare(ctx, config)
	if err != nil {
		return nil, err
	}
	draining, drain := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		config: config, listener: listener, secure: security != nil,
		drain: drain, health: &health{ready: config.Ready},
	}
	handler := s.handler(&services{engine: engine, draining: draining, heartbeat: config.Heartbeat}, newCalls(config.Log), accepted)
	s.http = newHTTPServer(handler, security, config.Log)
	return s, nil
}

// listen takes the address. A name that resolved to an address that others can
// reach is refused like that address.
func listen(ctx context.Context, config Config) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", config.Listen)
	if err != nil {
		return nil, listenError(config.Listen, err)
	}
	host, _, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("address %s: %w", listener.Addr(), err), listener.Close())
	}
	if !isLoopback(host) && (config.TLSCertFile == "" || config.TokenFile == "") {
		return nil, errors.Join(errExposed(config.Listen), listener.Close())
	}
	return listener, nil
}

// listenError says what to do when an address cannot be had.
func listenError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use by another program: stop it, or choose another port with --listen HOST:PORT (port 0 takes a free one): %w", address, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s needs a privilege that this program does not have: choose a port above 1023 with --listen HOST:PORT: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%s is not an address of this machine: choose one that is with --listen HOST:PORT: %w", address, err)
	default:
		return fmt.Errorf("cannot listen on %s, choose another address with --listen HOST:PORT: %w", address, err)
	}
}

// handler puts the parts together: probes, then the guard before everything
// else.
func (s *Server) handler(svc *services, open *calls, accepted tokens) http.Handler {
	rpcs := connect.NewServer(open.intercept)
	rpcs.SetUnknownHandler(func(_ context.Context, spec connect.Spec, _ connect.ServerStream) error {
		return refuse(ReasonUnknownMethod, "rpc/tollway/v1 has the services and their methods", "there is no method %s", spec.Procedure)
	})
	tollwayv1connect.RegisterUsageServiceHandler(rpcs, usageService{svc})
	tollwayv1connect.RegisterSubtotalServiceHandler(rpcs, subtotalService{svc})
	tollwayv1connect.RegisterInvoiceServiceHandler(rpcs, invoiceService{svc})
	tollwayv1connect.RegisterPeriodServiceHandler(rpcs, periodService{svc})
	tollwayv1connect.RegisterCatalogServiceHandler(rpcs, catalogService{svc})
	tollwayv1connect.RegisterDeadLetterServiceHandler(rpcs, deadLetterService{svc})
	tollwayv1connect.RegisterPluginServiceHandler(rpcs, pluginService{svc})
	tollwayv1connect.RegisterAdminServiceHandler(rpcs, adminService{svc})
	tollwayv1connect.RegisterDeliveryServiceHandler(rpcs, deliveryService{svc})
	tollwayv1connect.RegisterAlertServiceHandler(rpcs, alertService{svc})
	tollwayv1connect.RegisterBackfillServiceHandler(rpcs, backfillService{svc})

	guarded := http.NewServeMux()
	connecthttp.Mount(guarded, rpcs, transportOptions()...)
	s.health.mountServices(guarded)
	guarded.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusNotFound, "There is nothing here. Call POST /SERVICE/METHOD with one of the services\n  "+
			strings.Join(ServiceNames(), "\n  ")+"\n")
	})
	all := http.NewServeMux()
	s.health.mountProbes(all)
	if s.config.Pages != nil {
		all.Handle(pagesPrefix, s.config.Pages)
		all.Handle("GET /{$}", http.RedirectHandler(pagesPrefix, http.StatusFound))
	}
	all.Handle("/", newGuard(accepted, s.config.Log, withControl(guarded)))
	return all
}

// pagesPrefix is where [Config.Pages] is served. No service's path starts so.
const pagesPrefix = "/ui/"

// newHTTPServer speaks HTTP/1.1 and HTTP/2, without TLS too, since gRPC needs
// it. It has no write timeout: a watch has no end, call.go bounds each message.
func newHTTPServer(handler http.Handler, security *tls.Config, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(security == nil)
	return &http.Server{
		Handler:           handler,
		TLSConfig:         security,
		Protocols:         protocols,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    headerBytesMax,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Addr is the address that was taken.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// URL is how clients on this machine call the server.
func (s *Server) URL() string {
	if s.secure {
		return "https://" + s.Addr().String()
	}
	return "http://" + s.Addr().String()
}

// Serve takes calls until ctx is done. Then it reports itself as not ready,
// ends watches and exports, lets other calls finish for Config.DrainMax, and
// returns nil. An error means that it could not go on.
func (s *Server) Serve(ctx context.Context) error {
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { drained <- s.shutdown(context.WithoutCancel(ctx)) })
	var err error
	if s.secure {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if stop() {
		// Nobody asked for the end: the listener failed.
		return errors.Join(fmt.Errorf("rpc: serving %s: %w", s.Addr(), err), s.Close())
	}
	return <-drained
}

// shutdown ends all calls within Config.DrainMax.
func (s *Server) shutdown(ctx context.Context) error {
	s.health.draining.Store(true)
	s.drain()
	limit, cancel := context.WithTimeout(ctx, s.config.DrainMax)
	defer cancel()
	err := s.http.Shutdown(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		s.config.Log.Warn("calls were cut off at the end", "after", s.config.DrainMax.String())
		err = s.http.Close()
	}
	if err != nil {
		return fmt.Errorf("rpc: closing %s: %w", s.Addr(), err)
	}
	return nil
}

// Close gives the address back and cuts all calls off. After Serve has
// returned it does nothing.
func (s *Server) Close() error {
	s.health.draining.Store(true)
	s.drain()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, s.http.Close())
}
