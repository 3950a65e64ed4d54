package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	"github.com/tollway/tollway/host/catalog"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// answerBytesMax is the largest message that clients take.
const answerBytesMax = 256 << 20

// Clients call a server's services. They may be used by any number of
// goroutines at once. What their methods return as an error is for
// [Clients.Explain].
type Clients struct {
	Usage       tollwayv1connect.UsageServiceClient
	Subtotals   tollwayv1connect.SubtotalServiceClient
	Invoices    tollwayv1connect.InvoiceServiceClient
	Periods     tollwayv1connect.PeriodServiceClient
	Catalog     tollwayv1connect.CatalogServiceClient
	DeadLetters tollwayv1connect.DeadLetterServiceClient
	Plugins     tollwayv1connect.PluginServiceClient
	Admin       tollwayv1connect.AdminServiceClient
	Deliveries  tollwayv1connect.DeliveryServiceClient
	Alerts      tollwayv1connect.AlertServiceClient
	Backfills   tollwayv1connect.BackfillServiceClient

	base  string
	http  *http.Client
	http2 *http.Client // for streams in both directions, without TLS too
}

// NewClients makes clients of the server at base, such as
// "http://127.0.0.1:8080". token may be empty, security nil for the system's
// certificate authorities. A token never goes out unencrypted to another
// machine.
func NewClients(base, token string, security *tls.Config) (*Clients, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, fmt.Errorf("rpc: %q is not the address of a server: write http://HOST:PORT or https://HOST:PORT, such as --server http://%s", base, DefaultListen)
	}
	if token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("rpc: a token must not go to %s unencrypted: write https://%s", u.Host, u.Host)
	}
	if token != "" {
		if err := checkToken(token); err != nil {
			return nil, fmt.Errorf("rpc: token: %w", err)
		}
	}
	c := &Clients{base: u.Scheme + "://" + u.Host, http: newHTTPClient(security), http2: newHTTPClient(security)}
	onlyHTTP2(c.http2)
	over := func(h *http.Client) *connect.Client {
		return connect.NewClient(connecthttp.NewTransport(h, c.base,
			connecthttp.WithReadMaxBytes(answerBytesMax),
			// Most calls stay on the machine, where compressing costs more than sending.
			connecthttp.WithCompressors()), bearer(token), endCancelled)
	}
	client := over(c.http)
	c.Usage = usageClient{tollwayv1connect.NewUsageServiceClient(client), tollwayv1connect.NewUsageServiceClient(over(c.http2))}
	c.Subtotals = tollwayv1connect.NewSubtotalServiceClient(client)
	c.Invoices = tollwayv1connect.NewInvoiceServiceClient(client)
	c.Periods = tollwayv1connect.NewPeriodServiceClient(client)
	c.Deliveries = tollwayv1connect.NewDeliveryServiceClient(client)
	c.Alerts = tollwayv1connect.NewAlertServiceClient(client)
	c.Backfills = tollwayv1connect.NewBackfillServiceClient(client)
	c.Catalog = tollwayv1connect.NewCatalogServiceClient(client)
	c.DeadLetters = tollwayv1connect.NewDeadLetterServiceClient(client)
	c.Plugins = tollwayv1connect.NewPluginServiceClient(client)
	c.Admin = tollwayv1connect.NewAdminServiceClient(client)
	return c, nil
}

func newHTTPClient(security *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       security,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		ExpectContinueTimeout: time.Second,
	}}
}

// usageClient makes its stream over HTTP/2, which it needs.
type usageClient struct {
	tollwayv1connect.UsageServiceClient
	http2 tollwayv1connect.UsageServiceClient
}

// IngestStream implements tollwayv1connect.UsageServiceClient.
func (c usageClient) IngestStream(ctx context.Context) (tollwayv1connect.UsageServiceIngestStreamClientStream, error) {
	return c.http2.IngestStream(ctx)
}

// How a connection of streams is found to be dead: nothing came for a while, and
// then no answer to a ping.
const (
	streamPingAfter = 15 * time.Second
	streamPingMax   = 15 * time.Second
)

// onlyHTTP2 makes a client speak HTTP/2 and nothing else.
func onlyHTTP2(c *http.Client) {
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		return
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: streamPingAfter, PingTimeout: streamPingMax}
}

// bearer adds the token to every call.
func bearer(token string) connect.ClientInterceptor {
	return func(next connect.ClientFunc) connect.ClientFunc {
		if token == "" {
			return next
		}
		return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
			if info, ok := connect.CallInfoForClientContext(ctx); ok {
				info.RequestHeader().Set("Authorization", "Bearer "+token)
			}
			return next(ctx, spec)
		}
	}
}

// endCancelled has a stream in both directions end with its context. Of one on which
// nothing is being sent, HTTP/2's client waits for the next message and nothing else,
// so that a receiver would wait for as long as the server does; the end of what is sent
// makes it look.
func endCancelled(next connect.ClientFunc) connect.ClientFunc {
	return func(ctx context.Context, spec connect.Spec) (connect.ClientStream, error) {
		stream, err := next(ctx, spec)
		if err != nil || spec.StreamType != connect.StreamTypeBidi {
			return stream, err
		}
		return &endingStream{ClientStream: stream, stop: context.AfterFunc(ctx, func() {
			_ = stream.CloseSend() // who receives is told that the context has ended
		})}, nil
	}
}

// endingStream no longer waits for its context once it has ended.
type endingStream struct {
	connect.ClientStream
	stop func() bool
}

// Receive implements [connect.ClientStream].
func (s *endingStream) Receive(message any) error {
	err := s.ClientStream.Receive(message)
	if err != nil {
		s.stop()
	}
	return err
}

// Close implements [connect.ClientStream].
func (s *endingStream) Close() error {
	s.stop()
	return s.ClientStream.Close()
}

// Close gives the connections back. Open calls go on.
func (c *Clients) Close() {
	c.http.CloseIdleConnections()
	c.http2.CloseIdleConnections()
}

// Failure is an error of a call, taken apart for people and programs.
type Failure struct {
	Code     string // Connect's name, such as "not_found"
	Reason   string // one of the Reason constants, or what the engine gave
	Message  string // what is wrong
	Hint     string // what to do; may be empty
	Problems []catalog.Problem
	Open     []*tollwayv1.PeriodStatus // calendars whose period is not closed everywhere
}

// Explain takes the error of a call apart. It returns nil for errors that are
// not of a call.
func (c *Clients) Explain(err error) *Failure {
	coded, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return nil
	}
	f := &Failure{Code: coded.Code().String(), Message: coded.Message()}
	for _, detail := range coded.Details() {
		message, decodeErr := connectproto.UnmarshalErrorDetail(detail)
		if decodeErr != nil {
			continue // of a newer server: what is known is shown
		}
		switch m := message.(type) {
		case *tollwayv1.ErrorDetail:
			f.Reason, f.Hint = m.GetReason(), m.GetHint()
		case *tollwayv1.PeriodStatus:
			f.Open = append(f.Open, m)
		case *tollwayv1.CatalogProblem:
			f.Problems = append(f.Problems, catalog.Problem{File: m.GetFile(), Line: int(m.GetLine()), Path: m.GetPath(), Message: m.GetMessage()})
		}
	}
	if f.Reason == "" {
		f.Reason = reasonOf(coded.Code())
	}
	f.ofConnection(err, coded, c.base)
	return f
}

// ofConnection says what is wrong where no Tollway server has said so itself.
func (f *Failure) ofConnection(err error, coded *connect.Error, base string) {
	_, dialed := errors.AsType[*net.OpError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case dialed && coded.Code() == connect.CodeUnavailable:
		f.Message = fmt.Sprintf("no server answers at %s: %s", base, coded.Message())
		f.Hint = "start one with `tollway serve` or `tollway demo`, or name another with --server URL"
	case errors.Is(err, http.ErrSchemeMismatch):
		f.Message = fmt.Sprintf("the server at %s speaks http, not https", base)
		f.Hint = "call it as http://, or set tls in the server's configuration"
	case untrusted:
		f.Message = fmt.Sprintf("the certificate of the server at %s is not one to trust: %s", base, coded.Message())
		f.Hint = "name the authority that signed it with --ca-file FILE, and the server by a name that its certificate has"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		f.Reason, f.Message = ReasonUnavailable, fmt.Sprintf("the server at %s hung up before it had answered", base)
		f.Hint = "see whether it still runs, and ask again: it may or may not have done what was asked"
	case len(coded.Details()) == 0 && foreign(coded): // a Tollway server's errors have details
		f.Message = fmt.Sprintf("what the server at %s answers is not understood: %s", base, coded.Message())
		f.Hint = "see whether the address is that of a Tollway server, and begins with https:// where it has a certificate"
	}
}

// foreign reports whether an error is one that Connect makes of answers that are not
// in its protocol.
func foreign(err *connect.Error) bool {
	switch err.Code() {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeUnimplemented:
		return true
	case connect.CodeUnavailable: // HTTP/2 to a server that wants TLS, which hangs up
		return strings.Contains(err.Message(), "client conn could not be established")
	default:
		return false
	}
}
