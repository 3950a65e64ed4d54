package folder

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/tollway/tollway/host/export"
)

// ManifestName is the file that a folder gets last.
const ManifestName = "manifest.json"

// manifestVersion is that of the manifest and of the files that it describes.
const manifestVersion = 2

// Request says what is exported. The same request gives the same bytes.
type Request struct {
	Period   string `json:"period"`             // id, "2026-10" or "2026-10-01"
	Account  string `json:"account,omitempty"`  // only this one's
	Currency string `json:"currency,omitempty"` // only in this one
	Partial  bool   `json:"partial,omitempty"`  // although more may come
	Format   string `json:"format"`             // one of Formats
	// Provider is the name of the seller in FOCUS, where the catalog gave none when
	// the invoice was issued.
	Provider string `json:"provider,omitempty"`
}

// Manifest describes a finished folder. It says nothing of the time, the program
// or the number of partitions: the same invoices make the same manifest.
type Manifest struct {
	Version int `json:"version"`
	Request
	// Open lists, of a partial export, what was open then.
	Open     []Open         `json:"open,omitempty"`
	Invoices uint64         `json:"invoices"`
	Lines    uint64         `json:"lines"`
	Totals   []export.Total `json:"totals"` // by currency
	Zones    []export.Zoned `json:"zones"`  // those of the invoices
	// Documents is the sha256 of all invoices as they were issued, one a line: the
	// same for every format.
	Documents string `json:"documents_sha256"`
	Files     []File `json:"files"`
}

// Open is a calendar whose period may get more invoices.
type Open struct {
	Period     string   `json:"period"`
	Zone       string   `json:"zone"`
	AnchorDay  uint32   `json:"anchor_day"`
	Partitions []uint32 `json:"partitions"`       // in which it is open
	Parked     uint64   `json:"parked,omitempty"` // accounts that have no invoice because a plugin failed
}

// File is a file of a folder.
type File struct {
	Name   string `json:"name"` // with slashes
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// encode writes the manifest for people as well.
func (m *Manifest) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("folder: %s: %w", ManifestName, err)
	}
	return b.Bytes(), nil
}

// ReadManifest reads the manifest of a folder. Its error wraps fs.ErrNotExist
// where there is none: the export was not finished.
func ReadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	m := &Manifest{}
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("folder: %s: %w", ManifestName, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("folder: %s: something stands behind the object", ManifestName)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("folder: %s has version %d, this program reads %d", ManifestName, m.Version, manifestVersion)
	}
	if !Known(m.Format) {
		return nil, fmt.Errorf("folder: %s names the format %q, which this program does not know", ManifestName, m.Format)
	}
	return m, nil
}
