package host_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tollway/tollway/host/accumulate"
	"github.com/tollway/tollway/host/stream"
)

var golden = flag.String("golden", "", "makes a new golden directory of this name, for instance v1.2, instead of opening those that there are")

const goldenFolder = "testdata/golden"

// goldenNow is the hour of all golden directories.
const goldenNow = "2026-11-20T00:00:00Z"

// TestGoldenDirectories opens the data directories of earlier releases, which are
// kept, and compares all that the host says of each with what was said when it was
// made; then again without the state, which comes back from the log to the same
// digest. So a change of a format, of the digest or of how a log is folded cannot
// come unnoticed. `make golden` makes one more.
func TestGoldenDirectories(t *testing.T) {
	if *golden != "" {
		makeGolden(t, *golden)
		return
	}
	archives, err := filepath.Glob(filepath.Join(goldenFolder, "*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("there are no golden directories: %v", err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join(goldenFolder, name+".txt"))
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			r := &running{t: t, dir: t.TempDir(), now: newClock(goldenNow), parts: 2}
			unpack(t, archive, r.dir)
			r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
			r.settled()
			want(t, r.outcome(), said...)
			r.stop()
			for _, state := range []string{"badger", ""} { // damaged, and lost
				if err := os.RemoveAll(filepath.Join(r.dir, "state", state)); err != nil {
					t.Fatal(err)
				}
				r.fresh = state == ""
				r.open(stream.Config{Embedded: &stream.EmbeddedConfig{Unsynced: true}})
				if err := r.Wait(r.wait(), ends(said)); err != nil {
					t.Fatal(err)
				}
				r.settled()
				want(t, r.outcome(), said...)
				r.stop()
			}
		})
	}
}

// The golden directory of the present formats is there: who changes the version of
// the digest makes one.
func TestGoldenOfThisRelease(t *testing.T) {
	texts, err := filepath.Glob(filepath.Join(goldenFolder, "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range texts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), " "+accumulate.DigestVersion+":") {
			return
		}
	}
	t.Errorf("no golden directory has a digest of version %s: run make golden", accumulate.DigestVersion)
}

// makeGolden keeps the data directory of a host that has everything.
func makeGolden(t *testing.T, name string) {
	t.Helper()
	r := stored(t, 2)
	said := strings.Join(r.outcome(), "\n") + "\n"
	r.stop()
	archive := filepath.Join(goldenFolder, name+".tar.gz")
	if _, err := os.Stat(archive); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s is there; golden directories are kept: %v", archive, err)
	}
	pack(t, r.dir, archive)
	if err := os.WriteFile(filepath.Join(goldenFolder, name+".txt"), []byte(said), 0o644); err != nil {
		t.Fatal(err)
	}
}

// pack writes the state and the log in a data directory to an archive.
func pack(t *testing.T, dir, archive string) {
	t.Helper()
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewWriterLevel(file, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(zip)
	err = fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
	if err := errors.Join(err, w.Close(), zip.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

// unpack does the reverse.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zip, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil && !filepath.IsLocal(h.Name) {
			err = fmt.Errorf("%s leads out of the folder", h.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		b, err := io.ReadAll(r)
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
