package host_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/stream"
)

// The invoices of a close come to a webhook, over a restart of the host while the
// receiver is away, and to files with a manifest; a refused one is passed over for
// the record.
func TestInvoicesAreDelivered(t *testing.T) {
	t.Parallel()
	const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	secret, err := deliver.ParseSecret(secretText)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	away, got := true, map[string]string{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		id := r.Header.Get(deliver.HeaderID)
		switch {
		case err != nil:
		case away:
			http.Error(w, "away", http.StatusBadGateway)
		case strings.HasPrefix(id, "noah."):
			http.Error(w, "who is noah?", http.StatusUnprocessableEntity)
		default:
			if err := deliver.Verify(secret, r.Header.Get, body, time.Now()); err != nil {
				t.Error(err)
			}
			got[id] = string(body)
		}
	}))
	t.Cleanup(receiver.Close)
	folder := filepath.Join(t.TempDir(), "invoices")
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte(secretText), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &running{t: t, dir: t.TempDir(), now: newClock(time.Now().UTC().Format(time.RFC3339)), parts: 2}
	r.config.Deliveries = []deliver.Sink{
		{Name: "ledger", Webhook: &deliver.Webhook{URL: receiver.URL, SecretFile: secretFile}},
		{Name: "archive", Files: &deliver.Files{Directory: folder}},
	}
	r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
	r.apply(priced)
	r.send(call("1", "emma", "2026-01-05T10:00:00Z", "minutes", "1"), call("2", "noah", "2026-01-05T10:00:00Z", "minutes", "2"))
	r.close("2026-01", "")
	manifest := filepath.Join(folder, "2026-01-01", "manifest.json")
	r.eventually("the manifest is there", func() bool {
		_, err := os.Stat(manifest)
		return err == nil
	})
	held := func() []deliver.Held {
		list, err := r.Deliveries(r.wait())
		if err != nil {
			t.Fatal(err)
		}
		return list[0].Held
	}
	r.eventually("the webhook holds both", func() bool { return len(held()) == 2 })
	mu.Lock()
	away = false
	mu.Unlock()
	r.restart()
	r.eventually("the webhook runs again", func() bool { return r.RetryDelivery(r.wait(), "ledger", "") == nil })
	r.eventually("emma's came, noah's is refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		list := held()
		return got["emma.2026-01-01.EUR.0"] != "" && len(list) == 1 && list[0].Refused && list[0].Invoice == "noah.2026-01-01.EUR.0"
	})
	skip := host.SkipRequest{Sink: "ledger", Invoice: "noah.2026-01-01.EUR.0", Why: "booked by hand", By: "anna"}
	if err := r.SkipDelivery(r.wait(), skip); err != nil {
		t.Error(err)
	}
	m, err := r.Conn().Last(r.wait(), stream.Ledger, "ledger.delivery.ledger.>")
	if err != nil || m == nil || !strings.Contains(string(m.Data), `"why":"booked by hand","by":"anna"`) {
		t.Errorf("the ledger has %v, %v", m, err)
	}
	r.eventually("there is nothing left to pass over", func() bool { // an attempt may be under way still
		var f *host.Fault
		return errors.As(r.SkipDelivery(r.wait(), skip), &f) && f.Reason() == host.ReasonNotHeld
	})
}

// What the receivers of invoices have had comes back with a backup, where the log's own
// record of it is lost: no invoice is handed over again, and none is left out. That holds
// for a sink that began with the first invoice as for one that began later, which would
// hand over all again, or pass over what is held.
func TestDeliveriesComeBackFromABackup(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	refuse, got := true, map[string]int{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.URL.Path + " " + r.Header.Get(deliver.HeaderID)
		if refuse && strings.Contains(id, "noah.") {
			http.Error(w, "who is noah?", http.StatusUnprocessableEntity)
			return
		}
		got[id]++
	}))
	t.Cleanup(receiver.Close)
	secretFile := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secretFile, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="), 0o600); err != nil {
		t.Fatal(err)
	}
	sinks := []deliver.Sink{
		{Name: "all", Webhook: &deliver.Webhook{URL: receiver.URL + "/all", SecretFile: secretFile}},
		{Name: "later", From: deliver.FromNew, Webhook: &deliver.Webhook{URL: receiver.URL + "/later", SecretFile: secretFile}},
	}
	r := &running{t: t, dir: t.TempDir(), now: newClock(time.Now().UTC().Format(time.RFC3339)), parts: 2}
	r.config.Deliveries = sinks
	embedded := stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}}
	r.open(embedded)
	r.eventually("the sinks run", func() bool {
		list, err := r.Deliveries(r.wait())
		return err == nil && list[0].State == deliver.StateDelivering && list[1].State == deliver.StateDelivering
	})
	r.apply(priced)
	r.send(call("1", "emma", "2026-01-05T10:00:00Z", "minutes", "1"), call("2", "noah", "2026-01-05T10:00:00Z", "minutes", "2"))
	r.close("2026-01", "")
	settled := func(delivered uint64, held int) func() bool {
		return func() bool {
			list, err := r.Deliveries(r.wait())
			return err == nil && !slices.ContainsFunc(list, func(s deliver.Status) bool { return s.Delivered != delivered || s.HeldAccounts != held || s.Behind > 0 })
		}
	}
	r.eventually("emma's came, noah's is held", settled(1, 1))
	r.stop() // which writes progress
	r.open(embedded)
	saved := r.snapshots()
	r.loseState()
	if err := os.RemoveAll(filepath.Join(r.dir, "nats", "jetstream", "$G", "streams", stream.Deliveries)); err != nil {
		t.Fatal(err)
	}
	if saved.DataDir = r.dir; len(saved.Deliveries) != len(sinks) {
		t.Fatalf("the backup has the progress of %d sinks", len(saved.Deliveries))
	}
	if err := host.Restore(t.Context(), saved); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	r.open(embedded)
	r.eventually("noah's is handed over", func() bool {
		return r.RetryDelivery(r.wait(), "all", "") == nil && r.RetryDelivery(r.wait(), "later", "") == nil && settled(2, 0)()
	})
	r.send(call("3", "emma", "2026-02-05T10:00:00Z", "minutes", "1"), call("4", "noah", "2026-02-05T10:00:00Z", "minutes", "2"))
	r.close("2026-02", "")
	r.eventually("the next month's are handed over", settled(4, 0))
	mu.Lock()
	defer mu.Unlock()
	for _, sink := range []string{"/all", "/later"} {
		for _, id := range []string{"emma.2026-01-01.EUR.0", "noah.2026-01-01.EUR.0", "emma.2026-02-01.EUR.0", "noah.2026-02-01.EUR.0"} {
			if n := got[sink+" "+id]; n != 1 {
				t.Errorf("%s has had %s %d times", sink, id, n)
			}
		}
	}
}

// eventually waits for a condition.
func (r *running) eventually(what string, condition func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: it did not come to that", what)
		}
	}
}
