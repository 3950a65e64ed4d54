package host_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tollway/tollway/host"
)

var (
	flips    = flag.Int("flips", 30, "bits that TestFlippedBits flips, one at a time")
	flipSeed = flag.Uint64("flipseed", 0, "seed of TestFlippedBits; 0 draws one, which is printed")
)

func textLog(to *safeBuffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func asFault(err error, into **host.Fault) bool { return errors.As(err, into) }

// copyTree copies a folder. Holes stay holes: Badger's files are mostly that.
func copyTree(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		end := len(b)
		for end > 0 && b[end-1] == 0 {
			end--
		}
		return errors.Join(os.WriteFile(target, b[:end], 0o600), os.Truncate(target, int64(len(b))))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// anyByte chooses a byte in a file of a folder: each file as often as the next,
// and within it among the bytes that are not the zeros of its end, where most of
// Badger's files have nothing.
func anyByte(t testing.TB, chance *rand.Rand, dir string) (name string, at int64) {
	t.Helper()
	type file struct {
		name string
		used int
	}
	var files []file
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		used := len(b)
		for used > 0 && b[used-1] == 0 {
			used--
		}
		if used > 0 {
			files = append(files, file{name, min(used+8, len(b))})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	chosen := files[chance.IntN(len(files))]
	return chosen.name, chance.Int64N(int64(chosen.used))
}

// safeBuffer is a buffer that a host writes its log to.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *safeBuffer) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b.Reset()
}
