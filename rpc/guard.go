package rpc

import (
	"context"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"

	"connectrpc.com/connect/v2/connecthttp"
)

// guard decides about a call from its headers alone, before a byte of its body
// is read or decoded:
//   - with a token file, the call needs one of its tokens;
//   - without, the server listens on loopback, and the call must name this
//     machine as its host: a web page can make a browser call 127.0.0.1 under a
//     name of its own (DNS rebinding), but it cannot choose the Host header;
//   - a browser's call from another site's page is refused. There is no CORS.
//   - a body that calls itself a form is refused in words.
type guard struct {
	tokens tokens
	origin *http.CrossOriginProtection
	errors *connecthttp.ErrorWriter
	log    *slog.Logger
	next   http.Handler
}

func newGuard(t tokens, log *slog.Logger, next http.Handler) *guard {
	return &guard{
		tokens: t,
		origin: http.NewCrossOriginProtection(),
		errors: connecthttp.NewErrorWriter(),
		log:    log,
		next:   next,
	}
}

// ServeHTTP implements [http.Handler].
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	caller, err := g.check(r)
	if err != nil {
		if len(g.tokens.digests) > 0 {
			header.Set("WWW-Authenticate", `Bearer realm="tollway"`)
		}
		if writeErr := g.errors.Write(w, r, wireError(err)); writeErr != nil {
			g.log.Debug("a refusal did not reach its caller", "error", writeErr)
		}
		return
	}
	g.next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
}

// check returns who calls, or why the call is refused.
func (g *guard) check(r *http.Request) (caller string, err error) {
	caller, ok := g.tokens.accept(r)
	if !ok {
		return "", refuse(ReasonUnauthenticated,
			"send the header Authorization: Bearer TOKEN with a token of the server's token file; the command line takes --token-file FILE",
			"the call has no valid bearer token")
	}
	if len(g.tokens.digests) == 0 && !isLoopback(hostOf(r.Host)) {
		return "", refuse(ReasonForeignHost,
			"call it as 127.0.0.1 or localhost, or set token_file in the server's configuration to serve other names",
			"this server serves its own machine only, and %q is not a name of it", r.Host)
	}
	if err := g.origin.Check(r); err != nil {
		return "", refuse(ReasonForeignOrigin, "call from the server's own pages or from a program", "%s", err.Error())
	}
	if isForm(r) {
		return "", refuse(ReasonMalformedRequest, "send JSON as what it is: curl -H 'Content-Type: application/json'", "the request says that it is a form: %s", r.Header.Get("Content-Type"))
	}
	return caller, nil
}

// isForm reports whether a call says of its body what curl says when it is not told:
// the answer would be a status alone, and curl prints none.
func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && (kind == "application/x-www-form-urlencoded" || kind == "multipart/form-data")
}

// hostOf is the host without its port and brackets.
func hostOf(hostPort string) string {
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		return host
	}
	return strings.Trim(hostPort, "[]")
}
