package rpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"connectrpc.com/connect/v2"

	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
)

// limits are how long a caller may take, so that one that stops reading or
// writing holds its memory for a while and not for ever.
type limits struct {
	receive time.Duration // for the request's body
	send    time.Duration // for one message of the answer
	queue   time.Duration // for a free place among the calls of a method
	stalled time.Duration // for one message of the answer, while others wait for a place
}

// calls surrounds every call of the services: it bounds how many are open, puts
// deadlines on the connection, turns errors and panics into wire errors and
// logs them. It is safe for concurrent use.
type calls struct {
	log    *slog.Logger
	now    func() time.Time
	limits limits
	places map[string]*places // by procedure
}

func newCalls(log *slog.Logger) *calls {
	return &calls{
		log:    log,
		now:    time.Now, //nolint:forbidigo // connection deadlines are wall time; no figure depends on it
		limits: limits{receive: 2 * time.Minute, send: time.Minute, queue: 5 * time.Second, stalled: 2 * time.Second},
		places: map[string]*places{
			// What these hold in memory is bounded by their number.
			tollwayv1connect.UsageServiceIngestProcedure:        newPlaces(16),
			tollwayv1connect.UsageServiceIngestStreamProcedure:  newPlaces(64),
			tollwayv1connect.CatalogServiceApplyProcedure:       newPlaces(1),
			tollwayv1connect.PluginServicePushProcedure:         newPlaces(1),
			tollwayv1connect.BackfillServiceSendProcedure:       newPlaces(4),
			tollwayv1connect.PluginServiceDownloadProcedure:     newPlaces(4),
			tollwayv1connect.PluginServiceReportShadowProcedure: newPlaces(2),
			tollwayv1connect.InvoiceServiceExportProcedure:      newPlaces(64),
			tollwayv1connect.AdminServiceSnapshotProcedure:      newPlaces(2), // the disk fills up for as long as one lasts
			tollwayv1connect.SubtotalServiceWatchProcedure:      newPlaces(4096),
			tollwayv1connect.AlertServiceWatchProcedure:         newPlaces(4096),
			// Each folds a part of the log, one at a time: the others wait.
			tollwayv1connect.SubtotalServiceHistoryProcedure:  newPlaces(16),
			tollwayv1connect.SubtotalServiceForecastProcedure: newPlaces(16),
		},
	}
}

// intercept is the [connect.ServerInterceptor].
func (c *calls) intercept(next connect.ServerFunc) connect.ServerFunc {
	return func(ctx context.Context, spec connect.Spec, stream connect.ServerStream) (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				c.log.Error("a call panicked", "procedure", spec.Procedure, "panic", cause, "stack", string(debug.Stack()))
				err = wireError(refuse(ReasonInternal, "report it with the server's log", "internal error: %v", cause))
			}
		}()
		timed := &timedStream{ServerStream: stream, ctx: ctx, control: controlOf(ctx), calls: c, spec: spec}
		free, err := c.enter(ctx, spec.Procedure, timed)
		if err == nil {
			defer free()
			defer timed.leave()
			err = next(context.WithValue(ctx, interruptKey{}, timed.interrupt), spec, timed)
		}
		if err == nil {
			return nil
		}
		coded := wireError(err)
		c.log.LogAttrs(ctx, levelOf(coded.Code()), "call failed",
			slog.String("procedure", spec.Procedure), slog.String("code", coded.Code().String()), slog.Any("error", err))
		return coded
	}
}

// enter waits for a place among the open calls of the procedure. The function
// that it returns gives the place back.
func (c *calls) enter(ctx context.Context, procedure string, stream *timedStream) (func(), error) {
	places, bounded := c.places[procedure]
	if !bounded {
		return func() {}, nil
	}
	wait, cancel := context.WithTimeout(ctx, c.limits.queue)
	defer cancel()
	if places.enter(wait, stream, c.limits.stalled) {
		return func() { places.leave(stream) }, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, refuse(ReasonTooManyCalls, "try again later",
		"%d calls of %s are open already", cap(places.taken), procedure)
}

// levelOf keeps callers' mistakes out of an operator's way.
func levelOf(code connect.Code) slog.Level {
	switch code {
	case connect.CodeInternal, connect.CodeUnknown, connect.CodeDataLoss:
		return slog.LevelError
	case connect.CodeUnavailable, connect.CodeResourceExhausted:
		return slog.LevelWarn
	default: // the caller's doing
		return slog.LevelDebug
	}
}

type controlKey struct{}

// withControl lets calls reach the connection's deadlines.
func withControl(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), controlKey{}, http.NewResponseController(w))
		if r.ProtoMajor > 1 {
			ctx = context.WithValue(ctx, connKey{}, nil) // other calls are on it
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

type connKey struct{}

// withConn lets a call over HTTP/1.1 reach its connection; see abandon.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// abandon has the system forget, when a call's connection is closed, what its caller
// has not taken: a reader of a byte a second would hold those megabytes for weeks. So
// the caller is told at once that the answer has broken off. Over HTTP/2, where other
// calls share the connection, the stream's end says so.
func abandon(ctx context.Context) {
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		_ = plain.SetLinger(0) // without it the caller learns it later
	}
}

func controlOf(ctx context.Context) *http.ResponseController {
	control, _ := ctx.Value(controlKey{}).(*http.ResponseController)
	return control
}

// timedStream puts deadlines on the connection around each message.
type timedStream struct {
	connect.ServerStream
	ctx     context.Context          //nolint:containedctx // of the call
	control *http.ResponseController // nil without a connection
	calls   *calls
	spec    connect.Spec

	mu      sync.Mutex // around the deadlines
	cut     bool       // nothing more is to be received
	left    bool       // the handler is returning: the connection is the server's again
	sending time.Time  // since when a message is being sent; zero for none
	off     bool       // nothing more is to be sent
}

type interruptKey struct{}

// interruptOf returns what ends the receiving of a call's messages, from any
// goroutine; one that waits for a message gets an error.
func interruptOf(ctx context.Context) func() {
	if interrupt, ok := ctx.Value(interruptKey{}).(func()); ok {
		return interrupt
	}
	return func() {}
}

func (s *timedStream) interrupt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
	if s.control != nil && !s.left {
		// Without a connection that can do it, the receive limit ends the wait.
		_ = s.control.SetReadDeadline(s.calls.now())
	}
}

// leave takes the connection out of interrupt's reach. A response writer must
// not be used once its handler has returned, and what interrupts a call may run
// after that: a context's function is not waited for.
func (s *timedStream) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = true
}

// setReadDeadline sets a deadline unless receiving is over.
func (s *timedStream) setReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut {
		return context.Canceled
	}
	return s.control.SetReadDeadline(t)
}

// Receive reads a request message within its limit. Afterwards no read
// deadline stands, or the server would take a long call's silence for a broken
// connection.
func (s *timedStream) Receive(msg any) error {
	if s.control == nil {
		return s.ServerStream.Receive(msg)
	}
	if err := s.setReadDeadline(s.calls.now().Add(s.calls.limits.receive)); err != nil {
		return fmt.Errorf("read deadline: %w", err)
	}
	if err := s.ServerStream.Receive(msg); err != nil {
		// The deadline stays: the rest of a body that does not come must not be
		// waited for.
		return err
	}
	if err := s.setReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("read deadline: %w", err)
	}
	return nil
}

// Send writes an answer's message within its limit. A single answer is flushed
// after the call, so its deadline stays; a stream's must not cut the next
// silence short.
func (s *timedStream) Send(msg any) error {
	if s.control == nil {
		return s.ServerStream.Send(msg)
	}
	if err := s.beginSend(); err != nil {
		return fmt.Errorf("write deadline: %w", err)
	}
	err := s.ServerStream.Send(msg)
	return s.endSend(err)
}

// errCutOff is why a slow reader gets no further message.
func errCutOff() error {
	return refuse(ReasonTooManyCalls, "go on behind the last message that came, and read faster",
		"a message was not taken for too long while others waited for a place")
}

func (s *timedStream) beginSend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.off {
		return errCutOff()
	}
	s.sending = s.calls.now()
	return s.control.SetWriteDeadline(s.sending.Add(s.calls.limits.send))
}

// endSend takes the deadline away if the message was sent.
func (s *timedStream) endSend(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = time.Time{}
	switch {
	case s.off:
		abandon(s.ctx)
		return errors.Join(errCutOff(), err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		abandon(s.ctx)
		return err
	case err != nil || s.spec.StreamType == connect.StreamTypeUnary:
		return err
	}
	return s.control.SetWriteDeadline(time.Time{})
}

// sendingFor returns how long the caller has been taking the message that is being
// sent.
func (s *timedStream) sendingFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending.IsZero() {
		return 0
	}
	return s.calls.now().Sub(s.sending)
}

// cutOff ends the sending of messages. A stream can be taken up behind the last
// message that came.
func (s *timedStream) cutOff() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.control == nil || s.left || s.sending.IsZero() {
		return
	}
	s.off = true
	// Without a connection that can do it, the send limit ends the wait.
	_ = s.control.SetWriteDeadline(s.calls.now())
}
