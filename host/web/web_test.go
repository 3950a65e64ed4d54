package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/web"
)

func get(t *testing.T, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	return call(t, http.MethodGet, target, headers...)
}

func call(t *testing.T, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	handler, err := web.Handler()
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

var source = regexp.MustCompile(`(?:src|href)="(/ui/[^"]*)"`)

// Every address of the pages is the one page, and what it loads is there.
func TestPagesAndTheirFiles(t *testing.T) {
	page := get(t, "/ui/").Body.String()
	for _, target := range []string{"/ui/accounts/emma", "/ui/invoices/emma.2026-10-01.EUR.0", "/ui/dead-letters?reason=late"} {
		if r := get(t, target); r.Code != http.StatusOK || r.Body.String() != page {
			t.Errorf("%s is %d and not the page", target, r.Code)
		}
	}
	files := source.FindAllStringSubmatch(page, -1)
	if len(files) < 2 {
		t.Fatalf("the page loads %v", files)
	}
	for _, file := range files {
		r := get(t, file[1])
		if r.Code != http.StatusOK {
			t.Errorf("%s: %d", file[1], r.Code)
		}
		if immutable := strings.Contains(r.Header().Get("Cache-Control"), "immutable"); immutable != strings.Contains(file[1], "/assets/") {
			t.Errorf("%s: Cache-Control %s", file[1], r.Header().Get("Cache-Control"))
		}
	}
	if r := get(t, "/ui/assets/index-00000000.js"); r.Code != http.StatusNotFound {
		t.Errorf("a file that is not there: %d", r.Code)
	}
	if r := call(t, http.MethodPost, "/ui/"); r.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", r.Code)
	}
}

// The policy forbids inline code, so the page may have none.
func TestPolicyAndPageAgree(t *testing.T) {
	r := get(t, "/ui/")
	policy := r.Header().Get("Content-Security-Policy")
	if policy == "" || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %q", policy)
	}
	page := r.Body.String()
	for _, inline := range []string{"<style", " style=", " onclick=", "http://", "https://"} {
		if strings.Contains(page, inline) {
			t.Errorf("the page has %s", inline)
		}
	}
	for _, script := range regexp.MustCompile(`<script[^>]*>`).FindAllString(page, -1) {
		if !strings.Contains(script, " src=") {
			t.Errorf("inline script %s", script)
		}
	}
}

func TestCompressionAndValidation(t *testing.T) {
	plain := get(t, "/ui/")
	packed := get(t, "/ui/", "Accept-Encoding", "br, gzip;q=0.5")
	if packed.Header().Get("Content-Encoding") != "gzip" {
		t.Fatal("it is not compressed")
	}
	unpacked, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(unpacked)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != plain.Body.String() {
		t.Error("the compressed page is another one")
	}
	if r := get(t, "/ui/", "Accept-Encoding", "gzip;q=0.0"); r.Header().Get("Content-Encoding") != "" {
		t.Error("it is compressed for one who refuses that")
	}
	if plain.Header().Get("ETag") == packed.Header().Get("ETag") {
		t.Error("different bytes have the same tag")
	}
	r := get(t, "/ui/", "If-None-Match", plain.Header().Get("ETag"))
	if r.Code != http.StatusNotModified || r.Body.String() != "" {
		t.Errorf("what is known already: %d", r.Code)
	}
	if r := call(t, http.MethodHead, "/ui/"); r.Body.String() != "" || r.Header().Get("Content-Length") == "" {
		t.Error("HEAD has a body, or no length")
	}
}
