package stream

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// lockName is the file in a store directory whose lock says that a process uses
// it. nats-server itself would let a second one in and damage both.
const lockName = "tollway.lock"

// errLocked is what lockFile returns when another process has the lock.
var errLocked = errors.New("locked")

// lockDir takes a directory for this process. The lock ends with the process,
// however that ends; release gives it back earlier.
func lockDir(dir string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	file := filepath.Join(dir, lockName)
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(lockError(dir, holder(f), err), f.Close())
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store directory: %w", err), f.Close())
	}
	return f.Close, nil
}

// holder says who has the lock, as far as its note can be read.
func holder(f *os.File) string {
	note := make([]byte, 20)
	n, err := f.ReadAt(note, 0)
	info, statErr := f.Stat()
	if n == 0 || err != nil && !errors.Is(err, io.EOF) || statErr != nil {
		return "another process"
	}
	return fmt.Sprintf("process %s since %s", note[:n], info.ModTime().UTC().Format(time.RFC3339))
}

// lockError says who has the directory.
func lockError(dir, holder string, err error) error {
	if !errors.Is(err, errLocked) {
		return fmt.Errorf("store directory %s cannot be locked: %w", dir, err)
	}
	return fmt.Errorf("store directory %s is in use by %s; stop that process, or choose another directory", strconv.Quote(dir), holder)
}
