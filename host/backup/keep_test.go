package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// taken makes a finished backup that was begun at a minute.
func taken(t *testing.T, dir string, minute int) string {
	t.Helper()
	at := time.Date(2026, 11, 22, 8, minute, 0, 0, time.UTC)
	path := filepath.Join(dir, Name(at))
	w := begin(t, path)
	fill(t, w, "one "+at.String(), "two")
	if _, err := w.Finish(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNewestSkipsWhatIsNotWhole(t *testing.T) {
	dir := t.TempDir()
	if _, _, _, err := Newest(t.Context(), filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	older := taken(t, dir, 1)
	damaged, cut := taken(t, dir, 2), filepath.Join(dir, Name(time.Date(2026, 11, 22, 8, 3, 0, 0, time.UTC)))
	begin(t, cut)
	file := filepath.Join(damaged, fileName(0))
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	path, m, skipped, err := Newest(t.Context(), dir)
	if err != nil || path != older || m.MadeAt.Minute() != 1 {
		t.Fatalf("%s %v", path, err)
	}
	if len(skipped) != 2 || !strings.Contains(skipped[0].Error(), cut) || !strings.Contains(skipped[1].Error(), damaged) {
		t.Errorf("skipped %v", skipped)
	}
	if at, err := LastTaken(dir); err != nil || at.Minute() != 2 {
		t.Errorf("%v %v", at, err)
	}
}

func TestPrune(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for minute := range 5 {
		paths = append(paths, taken(t, dir, minute))
	}
	begin(t, filepath.Join(dir, Name(time.Date(2026, 11, 22, 8, 2, 30, 0, time.UTC)))) // was cut
	being := filepath.Join(dir, Name(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)))   // is being made
	begin(t, being)
	mine := filepath.Join(dir, "mine")
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	removed, err := Prune(dir, 2)
	if err != nil || len(removed) != 4 {
		t.Fatal(removed, err)
	}
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, filepath.Join(dir, e.Name()))
	}
	want := []string{paths[3], paths[4], being, mine}
	if strings.Join(left, " ") != strings.Join(want, " ") {
		t.Errorf("left %v, want %v", left, want)
	}
}
