package rpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync/atomic"

	connectv1 "connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
)

// health answers whether the server takes calls, as plain HTTP (/livez,
// /readyz) and as grpc.health.v1.Health. It is safe for concurrent use.
type health struct {
	ready    func() error
	draining atomic.Bool
}

// up reports whether the server takes calls.
func (h *health) up() bool { return !h.draining.Load() && h.ready() == nil }

// Check implements [grpchealth.Checker].
func (h *health) Check(_ context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	if r.Service != "" && !slices.Contains(ServiceNames(), r.Service) {
		return nil, connectv1.NewError(connectv1.CodeNotFound, fmt.Errorf("there is no service %q", r.Service))
	}
	if !h.up() {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

// mountProbes puts up what needs no token: a probe has none. It tells no more
// than up or down, since anyone may ask.
func (h *health) mountProbes(mux *http.ServeMux) {
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "alive\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.up() {
			plain(w, http.StatusServiceUnavailable, "not ready\n")
			return
		}
		plain(w, http.StatusOK, "ready\n")
	})
}

// mountServices puts up the health and reflection services of gRPC. They are
// built on Connect v1, which is an implementation detail of theirs.
func (h *health) mountServices(mux *http.ServeMux) {
	mux.Handle(grpchealth.NewHandler(h, connectv1.WithReadMaxBytes(requestBytesMax)))
	reflector := grpcreflect.NewStaticReflector(append(ServiceNames(), grpchealth.HealthV1ServiceName)...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, connectv1.WithReadMaxBytes(requestBytesMax)))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, connectv1.WithReadMaxBytes(requestBytesMax)))
}

// plain writes a short text.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// A probe that hung up does not need the answer.
	_, _ = io.WriteString(w, text)
}
