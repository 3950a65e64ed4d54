package deliver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tollway/tollway/host/internal/failpoint"
)

// files writes each invoice to DIRECTORY/PERIOD/ID.json. A file is there whole or
// not at all: it is written under another name, synced, and renamed.
type files struct {
	directory string
	periods   func() []Period

	mu       sync.Mutex
	made     map[string]bool   // periods whose folder is there
	complete map[string]uint64 // invoices in the manifest that stands, by period
}

const (
	invoiceSuffix   = ".json"
	temporarySuffix = ".tmp"
	sumsFile        = "SHA256SUMS"
	manifestFile    = "manifest.json"
)

func newFiles(config Files, periods func() []Period) (*files, error) {
	directory, err := filepath.Abs(config.Directory)
	if err != nil {
		return nil, fmt.Errorf("files.directory: %w", err)
	}
	f := &files{directory: directory, periods: periods, made: map[string]bool{}, complete: map[string]uint64{}}
	if info, err := os.Stat(filepath.Dir(f.directory)); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("files.directory: the folder above %s is not there; make it first, so that a disk that is not mounted is noticed", f.directory)
	}
	return f, nil
}

// deliver implements receiver.
func (f *files) deliver(_ context.Context, inv *Invoice) error {
	folder := filepath.Join(f.directory, inv.Period)
	if err := f.folder(inv.Period); err != nil {
		return err
	}
	file := filepath.Join(folder, inv.ID+invoiceSuffix)
	content := append(bytes.Clone(inv.Document), '\n')
	there, err := os.ReadFile(file)
	switch {
	case err == nil && bytes.Equal(there, content):
		return syncFolder(folder) // an earlier attempt, which may have ended before its sync
	case err == nil:
		return &failure{kind: failedRefused, err: fmt.Errorf("%s is there with other content; an invoice never changes, so move that file away", file)}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return writeFile(file, content)
}

// folder makes a period's folder, once.
func (f *files) folder(period string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.made[period] {
		return nil
	}
	for _, folder := range []string{f.directory, filepath.Join(f.directory, period)} {
		err := os.Mkdir(folder, 0o750)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = syncFolder(filepath.Dir(folder))
		}
		if err != nil {
			return err
		}
	}
	f.made[period] = true
	return nil
}

// writeFile puts a file there, whole or not at all. What a crash leaves under the
// temporary name the next attempt overwrites.
func writeFile(file string, content []byte) (err error) {
	temporary := file + temporarySuffix
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	failpoint.Hit("files.before-rename")
	// A crash here leaves the temporary file, which nobody takes for an invoice.
	if err := os.Rename(temporary, file); err != nil {
		return err
	}
	failpoint.Hit("files.after-rename")
	return syncFolder(filepath.Dir(file))
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// isInvoice reports whether a file in a period's folder is an invoice.
func isInvoice(name string) bool {
	return strings.HasSuffix(name, invoiceSuffix) && name != manifestFile
}

// close implements receiver.
func (f *files) close() error { return nil }
