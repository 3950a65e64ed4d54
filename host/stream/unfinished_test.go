package stream

import (
	"os"
	"path/filepath"
	"testing"
)

// A crash while a stream was being made costs nothing that is written to it later:
// the next start makes it whole.
func TestUnfinishedStream(t *testing.T) {
	dir := t.TempDir()
	config := Config{Embedded: &EmbeddedConfig{StoreDir: dir, Partitions: 2, Unsynced: true}}
	open := func(streams bool) *Conn {
		t.Helper()
		c, err := Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		if streams {
			if err := c.EnsureStreams(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
		}
		return c
	}
	shut := func(c *Conn) {
		t.Helper()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	shut(open(true))
	// As a crash leaves it that comes when USAGE-1 is being made: nothing of what is
	// made later, and of the stream the first of two files.
	streams := filepath.Join(dir, "jetstream", "TOLLWAY", "streams")
	for _, name := range []string{Catalog, Invoices, DeadLetters, Plugins, Ledger} {
		if err := os.RemoveAll(filepath.Join(streams, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"meta.sum", "msgs"} {
		if err := os.RemoveAll(filepath.Join(streams, Usage(1), name)); err != nil {
			t.Fatal(err)
		}
	}
	c := open(true)
	if _, err := c.Publish(t.Context(), []Outgoing{{Subject: EventSubject(1), Data: []byte("event")}}); err != nil {
		t.Fatal(err)
	}
	shut(c)
	c = open(true)
	defer shut(c)
	if _, last, err := c.LastSequence(t.Context(), Usage(1)); err != nil || last != 1 {
		t.Errorf("the stream ends at %d: %v", last, err)
	}
}

// A stream that has messages and no sum is left as it is: the server says what is
// wrong, and whoever looks finds everything.
func TestMessagesAreNotRemoved(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "jetstream", "A", "streams", "S")
	if err := os.MkdirAll(filepath.Join(folder, "msgs"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"meta.inf": "{}", "msgs/1.blk": "message"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := removeUnfinished(dir)
	if err != nil || len(removed) > 0 {
		t.Errorf("removed %v: %v", removed, err)
	}
	if err := os.Truncate(filepath.Join(folder, "msgs", "1.blk"), 0); err != nil {
		t.Fatal(err)
	}
	if removed, err = removeUnfinished(dir); err != nil || len(removed) != 1 {
		t.Errorf("removed %v: %v", removed, err)
	}
}
