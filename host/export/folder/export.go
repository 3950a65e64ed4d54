package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Export is a folder that is being made.
type Export struct {
	dir     string
	request Request
	spool   *spool
}

// What a folder is refused for.
var (
	// ErrFinished: the folder holds a finished export.
	ErrFinished = errors.New("folder: it holds a finished export already")
	// ErrNotEmpty: the folder holds something else.
	ErrNotEmpty = errors.New("folder: it is not empty, and holds no export that was begun")
)

// Begin begins an export in a folder, which it makes if need be, or goes on with
// one that was cut there; see Cursor. Its errors are ErrFinished, ErrNotEmpty,
// ErrOtherRequest, and those of files.
func Begin(dir string, r Request) (*Export, error) {
	if !Known(r.Format) {
		return nil, fmt.Errorf("folder: there is no format %q", r.Format)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("folder: %w", err)
	}
	begun := false
	for _, e := range entries {
		if e.Name() == ManifestName {
			return nil, fmt.Errorf("%w: %s", ErrFinished, dir)
		}
		begun = begun || e.Name() == unfinished
	}
	if len(entries) > 0 && !begun {
		return nil, fmt.Errorf("%w: %s", ErrNotEmpty, dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	s, err := openSpool(filepath.Join(dir, unfinished), r)
	if err != nil {
		return nil, err
	}
	return &Export{dir: dir, request: r, spool: s}, nil
}

// Cursor is where the export goes on; empty at its start.
func (e *Export) Cursor() string { return e.spool.at.Cursor }

// Bytes is how much came so far.
func (e *Export) Bytes() int64 { return e.spool.at.Bytes }

// Complete reports whether all came, so that only Finish is left to do.
func (e *Export) Complete() bool { return e.spool.at.Done }

// Append takes a chunk: JSON Lines, cut anywhere, and the cursor that goes on
// behind it. It counts only as a whole, whenever the program ends.
func (e *Export) Append(chunk []byte, cursor string) error {
	return e.spool.append(chunk, journalLine{Cursor: cursor})
}

// Last takes the last chunk. open is what may still get invoices, of an export
// that is partial.
func (e *Export) Last(chunk []byte, cursor string, open []Open) error {
	return e.spool.append(chunk, journalLine{Cursor: cursor, Done: true, Open: open})
}

// Finish writes the files, puts them in place, and the manifest last. A crash
// before that leaves a folder to go on with.
func (e *Export) Finish() (*Manifest, error) {
	staging := filepath.Join(e.dir, unfinished, "files")
	if err := os.RemoveAll(staging); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	m, err := render(e.request, e.spool.documents, &digests{dir: staging})
	if err != nil {
		return nil, err
	}
	m.Open = e.spool.at.Open
	// Files of a Finish that a crash cut are replaced by the same bytes.
	folders := map[string]bool{e.dir: true}
	for _, f := range m.Files {
		to := filepath.Join(e.dir, filepath.FromSlash(f.Name))
		folders[filepath.Dir(to)] = true
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.Rename(filepath.Join(staging, filepath.FromSlash(f.Name)), to)
		}
		if err != nil {
			return nil, fmt.Errorf("folder: %w", err)
		}
	}
	for folder := range folders {
		if err := syncFolder(folder); err != nil {
			return nil, err
		}
	}
	if err := e.putManifest(m); err != nil {
		return nil, err
	}
	// From here on the folder is finished, whatever is left of how it was made.
	if err := os.RemoveAll(filepath.Join(e.dir, unfinished)); err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return m, nil
}

// putManifest puts the manifest in place.
func (e *Export) putManifest(m *Manifest) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	path := filepath.Join(e.dir, unfinished, ManifestName)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path, filepath.Join(e.dir, ManifestName))
	}
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	return syncFolder(e.dir)
}

// syncFolder makes the names in a folder durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("folder: %s: %w", dir, err)
	}
	return nil
}

// Close lets go of the folder, finished or not. One that nothing came for is taken
// away again.
func (e *Export) Close() error {
	err := e.spool.close()
	if e.Cursor() != "" || e.Complete() {
		return err
	}
	if err = errors.Join(err, os.RemoveAll(filepath.Join(e.dir, unfinished))); err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	if err := os.Remove(e.dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("folder: %w", err)
	}
	return nil
}
