package rpc

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func TestHealthService(t *testing.T) {
	var down atomic.Bool
	server, _ := serve(t, bill(), func(c *Config) {
		c.Ready = func() error {
			if down.Load() {
				return errors.New("partition 3 is parked")
			}
			return nil
		}
	})
	check := func(service string) string {
		t.Helper()
		_, answer := call(t, server.URL()+"/grpc.health.v1.Health/Check", `{"service":"`+service+`"}`, nil)
		return answer
	}
	for _, service := range append(ServiceNames(), "") {
		if got := check(service); !strings.Contains(got, "_SERVING") || strings.Contains(got, "NOT_SERVING") {
			t.Errorf("%q: %s", service, got)
		}
	}
	if got := check("tollway.v1.Nothing"); !strings.Contains(got, "not_found") {
		t.Errorf("a service that is not there: %s", got)
	}
	down.Store(true)
	if got := check(""); !strings.Contains(got, "NOT_SERVING") {
		t.Errorf("a host that is not ready: %s", got)
	}
}

func TestReflection(t *testing.T) {
	server, _ := serve(t, bill(), nil)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	stream := grpcreflect.NewClient(&http.Client{Transport: transport}, server.URL()).NewStream(t.Context())
	defer func() {
		if _, err := stream.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}()
	names, err := stream.ListServices()
	if err != nil {
		t.Fatal(err)
	}
	want := append(ServiceNames(), grpchealth.HealthV1ServiceName)
	for _, name := range want {
		if !slices.Contains(names, protoreflect.FullName(name)) {
			t.Errorf("%s is not among %v", name, names)
		}
	}
	for _, name := range ServiceNames() {
		files, err := stream.FileContainingSymbol(protoreflect.FullName(name))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: got %d files, %v", name, len(files), err)
		}
	}
}
