package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fill writes partitions with these contents; "" is one that was empty.
func fill(t *testing.T, w *Writer, contents ...string) {
	t.Helper()
	for n, text := range contents {
		f, err := w.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		p := Partition{Partition: n, Stream: "USAGE", Position: 7, TakenAt: time.Unix(int64(n), 0).UTC()}
		if text != "" {
			p.Checkpoint = 3
		}
		sum := sha256.Sum256([]byte(text))
		if err := f.Finish(p, "ab", hex.EncodeToString(sum[:])); err != nil {
			t.Fatal(err)
		}
	}
}

func begin(t *testing.T, dir string) *Writer {
	t.Helper()
	w, err := Begin(dir)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return strings.Join(list, " ")
}

func TestBackup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	fill(t, begin(t, dir), "older", "older", "older")
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("one that is not finished: %v", err)
	}
	w := begin(t, dir) // anew
	fill(t, w, "zero", "", "two")
	made, err := w.Finish(t.Context(), time.Unix(9, 0))
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != "manifest.json partition-0.snapshot partition-2.snapshot" {
		t.Errorf("the folder has %s", got)
	}
	m, err := Read(dir)
	if err != nil || m.Sum != made.Sum || len(m.Partitions) != 3 || m.Partitions[2].Bytes != 3 || m.Partitions[1].File != "" {
		t.Fatalf("%+v, %v", m, err)
	}
	if err := m.Verify(t.Context(), dir); err != nil {
		t.Error(err)
	}
	if _, err := Begin(dir); !errors.Is(err, ErrFinished) {
		t.Errorf("into a finished backup: %v", err)
	}
}

func TestBeginLeavesOthersAlone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Begin(dir); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("got %v", err)
	}
	if got := names(t, dir); got != "letter" {
		t.Errorf("the folder has %s", got)
	}
}

// What did not arrive as it was sent is not kept.
func TestBrokenTransfer(t *testing.T) {
	dir := t.TempDir()
	w := begin(t, dir)
	f, err := w.Create(0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Finish(Partition{Checkpoint: 1}, "ab", "00"); err == nil || !strings.Contains(err.Error(), "did not arrive") {
		t.Errorf("got %v", err)
	}
	if got := names(t, dir); got != ".unfinished" {
		t.Errorf("the folder has %s", got)
	}
}

// Every bit of every file counts, and so does the length; the message names the
// file.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	w := begin(t, dir)
	fill(t, w, "zero", "one")
	if _, err := w.Finish(t.Context(), time.Unix(9, 0)); err != nil {
		t.Fatal(err)
	}
	check := func() error {
		m, err := Read(dir)
		if err != nil {
			return err
		}
		return m.Verify(t.Context(), dir)
	}
	for _, name := range []string{ManifestName, "partition-0.snapshot", "partition-1.snapshot"} {
		path := filepath.Join(dir, name)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		versions := [][]byte{whole[:len(whole)-2], nil}
		for at := range whole {
			flip := bytes.Clone(whole)
			flip[at] ^= 1 << (at % 7)
			versions = append(versions, flip)
		}
		for n, b := range versions {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := check(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, version %d: %v", name, n, err)
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(filepath.Join(dir, "partition-1.snapshot")); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "partition-1.snapshot is missing") {
		t.Errorf("missing: %v", err)
	}
}
