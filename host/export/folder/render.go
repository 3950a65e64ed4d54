package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/tollway/tollway/host/export"
)

// source calls a function with each document of an export, in order.
type source func(fn func(document []byte) error) error

// render writes the invoices of a source as the request says, and returns the
// manifest of what it wrote.
func render(r Request, from source, to *digests) (*Manifest, error) {
	w, err := newWriter(r, to)
	if err != nil {
		return nil, err
	}
	texts, _ := w.(textWriter)
	var newShaper func() shaper
	if texts != nil {
		newShaper = texts.newShaper
	}
	tally, all := export.NewTally(), sha256.New()
	err = eachBatch(from, newShaper, func(b *batch) error {
		_, _ = all.Write(b.documents) // a hash never fails to write
		for i := range b.invoices {
			if err := tally.Add(&b.invoices[i]); err != nil {
				return err
			}
			if texts == nil {
				if err := w.Write(&b.invoices[i], b.document(i)); err != nil {
					return err
				}
			}
		}
		if texts == nil {
			return nil
		}
		return texts.writeText(b.text)
	})
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	s := tally.Summary()
	return &Manifest{
		Version: manifestVersion, Request: r, Invoices: s.Invoices, Lines: s.Lines, Totals: s.Totals, Zones: s.Zones,
		Documents: hex.EncodeToString(all.Sum(nil)), Files: to.files,
	}, nil
}

// digests makes files in a folder, or nowhere, and keeps what a manifest says of
// them.
type digests struct {
	dir   string // empty: the bytes go nowhere but into the digest
	files []File
}

// create implements files.
func (d *digests) create(name string) (io.WriteCloser, error) {
	f := &digestFile{of: d, name: name, sum: sha256.New()}
	if d.dir == "" {
		return f, nil
	}
	path := filepath.Join(d.dir, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		// Two names that the file system takes for one would make one file.
		f.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	return f, nil
}

type digestFile struct {
	of   *digests
	name string
	file *os.File // nil: nowhere
	sum  hash.Hash
	n    int64
}

// Write implements io.Writer.
func (f *digestFile) Write(b []byte) (int, error) {
	_, _ = f.sum.Write(b) // never fails
	f.n += int64(len(b))
	if f.file == nil {
		return len(b), nil
	}
	return f.file.Write(b)
}

// Close makes the file durable and notes it.
func (f *digestFile) Close() error {
	f.of.files = append(f.of.files, File{Name: f.name, Bytes: f.n, SHA256: hex.EncodeToString(f.sum.Sum(nil))})
	if f.file == nil {
		return nil
	}
	return errors.Join(f.file.Sync(), f.file.Close())
}
