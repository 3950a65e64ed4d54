package rpc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// A server that ends in the middle of a call, and one that is not there, are told
// with what to do about it.
func TestExplainABrokenConnection(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if err := connection.Close(); err != nil {
			t.Error(err)
		}
	}))
	defer silent.Close()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	absent := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{silent.URL: "hung up before it had answered", absent: "no server answers at " + absent} {
		clients, err := NewClients(url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = clients.Catalog.Apply(t.Context(), &tollwayv1.CatalogServiceApplyRequest{})
		f := clients.Explain(err)
		if f == nil || f.Reason != ReasonUnavailable || !strings.Contains(f.Message, want) || f.Hint == "" {
			t.Errorf("%s: got %+v of %v, want %q with a hint", url, f, err, want)
		}
		clients.Close()
	}
}
