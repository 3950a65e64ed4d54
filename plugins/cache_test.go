package plugins

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A folder that stands as it was checked is not summed again, and one that was added to is.
func TestSealCache(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "module")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		must(os.MkdirAll(dir, 0o700))
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	check := func(want int) listing {
		t.Helper()
		found, err := checkCache(dir)
		must(err)
		if len(found) != want {
			t.Fatalf("%d files stand after the check, want %d", len(found), want)
		}
		return found
	}
	write("unsealed", "code")
	nothing := check(0)
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("a folder without a list stays: %v", err)
	}
	write("first", "code")
	must(sealCache(dir, nothing))
	found := check(1)

	// Damage that keeps time and size is not looked for when the folder is sealed, and found
	// by the next check.
	name := filepath.Join(dir, "first")
	info, err := os.Stat(name)
	must(err)
	write("first", "cold")
	must(os.Chtimes(name, time.Time{}, info.ModTime()))
	must(sealCache(dir, found))
	check(0)

	write("first", "code")
	must(sealCache(dir, nil))
	found = check(1)
	write("second", "code of another version")
	must(sealCache(dir, found))
	check(2)
}
