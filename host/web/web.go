// Package web is the dashboard: pages that run in a browser and call the public
// services of tollway.v1. The sources are in src, built by Vite into dist, which
// is committed and embedded, so that Go alone builds the binary:
//
//	src ──make web──▶ dist ──go:embed──▶ Handler ──rpc.Config.Pages──▶ /ui/
//
// It holds no data: whoever may see the pages may see nothing yet. What they show
// comes through the same calls, with the same token, as any other client's.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// Prefix is where the pages expect to be served.
const Prefix = "/ui/"

//go:embed all:dist
var dist embed.FS

// policy lets the pages load what the server has and nothing else: no inline code
// or style, nothing from elsewhere, and no page of another site around them.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pages are the built files, by their name below Prefix. They do not change.
type pages map[string]page

// page is one file, as it is and compressed.
type page struct {
	contentType string
	etag        string
	cache       string
	plain, gzip []byte // gzip is nil where it saves nothing
}

// Handler serves the pages below [Prefix]. An error means that the binary was built
// without them.
func Handler() (http.Handler, error) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	all := pages{}
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		all[name], err = newPage(name, body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	if _, ok := all[index]; !ok {
		return nil, fmt.Errorf("web: dist has no %s: run make web", index)
	}
	return all, nil
}

// index is the one page; its code makes all others from the address.
const index = "index.html"

// assets is the folder of the files that have a digest of their content in their
// names.
const assets = "assets/"

// contentType is the type of a file that a build makes; empty for others. The
// system's own table may say otherwise, and browsers run no script of another type.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return ""
	}
}

func newPage(name string, body []byte) (page, error) {
	if contentType(name) == "" {
		return page{}, fmt.Errorf("%s is of no type that is listed", name)
	}
	digest := sha256.Sum256(body)
	p := page{
		contentType: contentType(name),
		etag:        `"` + hex.EncodeToString(digest[:16]) + `"`,
		cache:       "no-cache", // ask each time; the answer is mostly 304
		plain:       body,
	}
	if strings.HasPrefix(name, assets) {
		p.cache = "public, max-age=31536000, immutable"
	}
	var small bytes.Buffer
	w, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return page{}, err
	}
	if _, err := w.Write(body); err != nil {
		return page{}, err
	}
	if err := w.Close(); err != nil {
		return page{}, err
	}
	if small.Len() < len(body)*9/10 {
		p.gzip = small.Bytes()
	}
	return p, nil
}

// ServeHTTP implements [http.Handler].
func (all pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "The dashboard is only read.", http.StatusMethodNotAllowed)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	name := strings.TrimPrefix(r.URL.Path, Prefix)
	p, ok := all[name]
	if !ok && (strings.HasPrefix(name, assets) || !strings.HasPrefix(r.URL.Path, Prefix)) {
		http.Error(w, "There is no such file.", http.StatusNotFound)
		return
	}
	if !ok {
		p = all[index] // an address of the pages' own, such as accounts/emma
	}
	p.serve(w, r)
}

func (p page) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", p.contentType)
	header.Set("Cache-Control", p.cache)
	header.Set("Vary", "Accept-Encoding")
	body, etag := p.plain, p.etag
	if p.gzip != nil && acceptsGzip(r) {
		// Other bytes have another tag, or a cache between could mix them.
		body, etag = p.gzip, strings.TrimSuffix(p.etag, `"`)+`-gzip"`
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", etag)
	if r.Header.Get("If-None-Match") == etag {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	// A browser that went away does not need the rest.
	_, _ = w.Write(body)
}

// acceptsGzip reports whether the caller takes gzip. One that refuses it writes a
// quality of zero, with or without decimals.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, quality, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q, found := strings.CutPrefix(strings.TrimSpace(quality), "q=")
			return !found || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
