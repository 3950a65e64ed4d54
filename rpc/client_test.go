package rpc

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect/v2"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
	"github.com/tollway/tollway/rpc/tollway/v1/tollwayv1connect"
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

// receivingSoon is about how long it takes to be waiting for an answer. What comes
// sooner is told as well, which takes less to be right.
const receivingSoon = 200 * time.Millisecond

// Whoever waits for an answer on a stream that says nothing is told when the context
// ends, whether the sending side was closed or not.
func TestStreamEndsWithItsContext(t *testing.T) {
	_, clients := serve(t, &fakeEngine{}, nil)
	for name, begin := range map[string]func(tollwayv1connect.UsageServiceIngestStreamClientStream) error{
		"before an answer": func(tollwayv1connect.UsageServiceIngestStreamClientStream) error { return nil },
		"behind an answer": func(stream tollwayv1connect.UsageServiceIngestStreamClientStream) error {
			if err := stream.Send(&tollwayv1.UsageServiceIngestStreamRequest{}); err != nil {
				return err
			}
			_, err := stream.Receive()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stream, err := clients.Usage.IngestStream(ctx)
			if err == nil {
				err = begin(stream)
			}
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := stream.Receive()
				ended <- err
			}()
			time.AfterFunc(receivingSoon, cancel)
			// Without the end of what is sent, this is the server's limit for a message, two
			// minutes, or for ever.
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) && connect.CodeOf(err) != connect.CodeCanceled {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Error("the stream goes on without its context")
				_ = stream.CloseSend()
				<-ended
			}
		})
	}
}

// A server that speaks another scheme, one whose certificate nobody vouches for and
// one that is no Tollway server are told apart.
func TestExplainAnotherServer(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a page", http.StatusNotFound) })
	plain, secure := httptest.NewServer(page), httptest.NewTLSServer(page)
	defer plain.Close()
	defer secure.Close()
	for _, c := range []struct{ url, message, hint string }{
		{"https" + strings.TrimPrefix(plain.URL, "http"), "speaks http, not https", "http://"},
		{secure.URL, "is not one to trust", "--ca-file"},
		{"http" + strings.TrimPrefix(secure.URL, "https"), "is not understood", "https://"},
		{plain.URL, "is not understood", "Tollway server"},
	} {
		clients, err := NewClients(c.url, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = clients.Subtotals.Get(t.Context(), &tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
		f := clients.Explain(err)
		if f == nil || !strings.Contains(f.Message, c.message) || !strings.Contains(f.Message, c.url) || !strings.Contains(f.Hint, c.hint) {
			t.Errorf("%s: got %+v of %v, want %q and %q", c.url, f, err, c.message, c.hint)
		}
		clients.Close()
	}
}
