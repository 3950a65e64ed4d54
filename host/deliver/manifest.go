package deliver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"

	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/sdk/billing"
)

// Manifest says that the files of a period are complete. It is the last file of a
// period that is written.
type Manifest struct {
	Period   string          `json:"period"`
	Invoices uint64          `json:"invoices"`
	Totals   []ManifestTotal `json:"totals"` // by currency
	// SHA256 is that of the file SHA256SUMS, hexadecimal, which has those of the
	// invoices.
	SHA256 string `json:"sha256"`
}

// ManifestTotal is what the invoices of one currency come to.
type ManifestTotal struct {
	Currency string `json:"currency"`
	Invoices uint64 `json:"invoices"`
	Total    string `json:"total"`
}

// finish implements finisher: it writes the manifest of every period that is
// closed and whose invoices are all there. Where invoices come later, since they
// were parked, another manifest takes its place.
func (f *files) finish(ctx context.Context) error {
	var problems []error
	for _, p := range f.periods() {
		if !p.Closed || ctx.Err() != nil {
			continue
		}
		if n, done := f.complete[p.ID]; done && n == p.Invoices {
			continue
		}
		problems = append(problems, f.finishPeriod(p))
	}
	return errors.Join(problems...)
}

func (f *files) finishPeriod(p Period) error {
	folder := filepath.Join(f.directory, p.ID)
	var stands Manifest
	b, err := os.ReadFile(filepath.Join(folder, manifestFile))
	if err == nil {
		err = json.Unmarshal(b, &stands)
	}
	if err == nil && stands.Invoices == p.Invoices {
		f.complete[p.ID] = p.Invoices
		return nil
	}
	if err := f.folder(p.ID); err != nil {
		return err
	}
	names, err := invoiceFiles(folder)
	if err != nil || uint64(len(names)) != p.Invoices {
		return err // or they are on their way, or a sink that began later has not all of them
	}
	m, sums, err := summarize(folder, p.ID, names)
	if err != nil {
		return err
	}
	b, err = json.Marshal(m)
	if err != nil {
		return fmt.Errorf("deliver: manifest of period %s: %w", p.ID, err)
	}
	// A manifest never stands beside sums that are not its own.
	if err := os.Remove(filepath.Join(folder, manifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeFile(filepath.Join(folder, sumsFile), sums); err != nil {
		return err
	}
	failpoint.Hit("files.before-manifest")
	if err := writeFile(filepath.Join(folder, manifestFile), append(b, '\n')); err != nil {
		return err
	}
	f.complete[p.ID] = p.Invoices
	return nil
}

// invoiceFiles lists the invoices of a period's folder by name.
func invoiceFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if isInvoice(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// summarize reads every invoice of a period back from the disk and makes the
// manifest and the file of sums.
func summarize(folder, period string, names []string) (Manifest, []byte, error) {
	type sum struct {
		invoices uint64
		total    big.Rat // the sum of all accounts may be more than an amount can hold
		scale    int
	}
	totals := map[string]*sum{}
	var sums bytes.Buffer
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return Manifest{}, nil, err
		}
		var h head
		err = json.Unmarshal(b, &h)
		if err == nil && h.ID+invoiceSuffix != name {
			err = errors.New("it is the invoice " + h.ID)
		}
		if err == nil {
			_, err = billing.ParseAmount(h.Total)
		}
		if err != nil {
			return Manifest{}, nil, fmt.Errorf("deliver: %s is no invoice that was put there: %w", filepath.Join(folder, name), err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(b), name)
		of := totals[h.Currency]
		if of == nil {
			of = &sum{}
			totals[h.Currency] = of
		}
		of.invoices++
		of.scale = max(of.scale, decimals(h.Total))
		if amount, ok := new(big.Rat).SetString(h.Total); ok { // as ParseAmount has said
			of.total.Add(&of.total, amount)
		}
	}
	m := Manifest{Period: period, Invoices: uint64(len(names)), Totals: []ManifestTotal{}, SHA256: fmt.Sprintf("%x", sha256.Sum256(sums.Bytes()))}
	for currency, of := range totals {
		m.Totals = append(m.Totals, ManifestTotal{Currency: currency, Invoices: of.invoices, Total: of.total.FloatString(of.scale)})
	}
	slices.SortFunc(m.Totals, func(a, b ManifestTotal) int { return cmp.Compare(a.Currency, b.Currency) })
	return m, sums.Bytes(), nil
}

// decimals counts the digits behind an amount's point.
func decimals(text string) int {
	for i := range text {
		if text[i] == '.' {
			return len(text) - i - 1
		}
	}
	return 0
}
