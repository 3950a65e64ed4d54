package folder

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// Verify checks a finished folder against itself: the manifest, that there are the
// files that it names and no others, their lengths and digests, the rules of the
// format, and that the line items come to the counts and sums of the manifest. It
// calls report with each thing that is wrong, in words.
//
// Its error says why the folder could not be checked at all.
func Verify(dir string, report func(problem string)) (*Manifest, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{ManifestName: true}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || named[f.Name] {
			report(fmt.Sprintf("%s names a file %q, which cannot be or stands there twice", ManifestName, f.Name))
			continue
		}
		named[f.Name] = true
		if problem := checkFile(dir, f); problem != "" {
			report(problem)
		}
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(dir, path)
		switch {
		case err != nil || relErr != nil:
			return errors.Join(err, relErr)
		case name == unfinished: // what a crash left of how a finished folder was made
			return fs.SkipDir
		case !entry.IsDir() && !named[filepath.ToSlash(name)]:
			report(fmt.Sprintf("%s is not in %s", filepath.ToSlash(name), ManifestName))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	checkContents(dir, m, report)
	return m, nil
}

// checkFile compares a file with its digest.
func checkFile(dir string, f File) (problem string) {
	file, err := os.Open(filepath.Join(dir, filepath.FromSlash(f.Name)))
	if errors.Is(err, fs.ErrNotExist) {
		return f.Name + " is missing"
	}
	if err != nil {
		return fmt.Sprintf("%s cannot be read: %v", f.Name, err)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Sprintf("%s cannot be read: %v", f.Name, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.SHA256 || n != f.Bytes {
		return fmt.Sprintf("%s has %d bytes and sha256 %s; when it was exported it had %d bytes and sha256 %s", f.Name, n, got, f.Bytes, f.SHA256)
	}
	return ""
}

// checkContents adds the rows of the files up and compares them with the manifest.
func checkContents(dir string, m *Manifest, report func(problem string)) {
	t := tableOf(m.Request)
	if t == nil {
		return
	}
	s := rowSums{table: t, totals: map[string]*rowSum{}}
	if err := t.read(dir, s.add); err != nil {
		report(err.Error())
		return
	}
	for _, problem := range s.problems {
		report(problem)
	}
	if s.more > 0 {
		report(fmt.Sprintf("and %d more rows against the rules", s.more))
	}
	if s.invoices != m.Invoices || s.lines != m.Lines {
		report(fmt.Sprintf("the files hold %d invoices with %d lines, %s says %d with %d", s.invoices, s.lines, ManifestName, m.Invoices, m.Lines))
	}
	for _, want := range m.Totals {
		got := s.totals[string(want.Currency)]
		delete(s.totals, string(want.Currency))
		if got == nil {
			report(fmt.Sprintf("the files hold nothing in %s, %s says %s", want.Currency, ManifestName, want.Amount))
			continue
		}
		amount, err := billing.ParseAmount(want.Amount)
		if err != nil || got.amount != amount || got.invoices != want.Invoices || got.lines != want.Lines {
			report(fmt.Sprintf("in %s the files come to %s on %d invoices with %d lines, %s says %s on %d with %d",
				want.Currency, got.amount, got.invoices, got.lines, ManifestName, want.Amount, want.Invoices, want.Lines))
		}
	}
	for currency, got := range s.totals {
		report(fmt.Sprintf("the files hold %s %s, %s nothing in %s", got.amount, currency, ManifestName, currency))
	}
	if m.Format == "jsonl" && (len(m.Files) != 1 || m.Files[0].SHA256 != m.Documents) {
		report(ManifestName + ": documents_sha256 is not the digest of the documents")
	}
}

// rowSums adds up the rows of a table.
type rowSums struct {
	table           *table
	last            export.Name
	invoices, lines uint64
	totals          map[string]*rowSum
	problems        []string // the first ones
	more            int      // further ones
}

type rowSum struct {
	invoices, lines uint64
	amount          billing.Amount
}

// problemsMax is how many rows are named that break a rule.
const problemsMax = 20

func (s *rowSums) add(row []string) error {
	s.lines++
	if s.table.check != nil {
		if err := s.table.check(row); err != nil {
			s.problem(err)
		}
	}
	name, err := export.ParseInvoiceID(row[s.table.id])
	if err != nil {
		return fmt.Errorf("row %d: %w", s.lines, err)
	}
	currency := row[s.table.currency]
	if s.totals[currency] == nil {
		s.totals[currency] = &rowSum{}
	}
	of := s.totals[currency]
	of.lines++
	if name != s.last {
		if s.invoices > 0 && s.last.Compare(name) > 0 {
			s.problem(fmt.Errorf("%s stands behind %s", name.ID(), s.last.ID()))
		}
		s.last = name
		s.invoices++
		of.invoices++
	}
	if string(name.Currency) != currency {
		s.problem(fmt.Errorf("%s has a line in %s", name.ID(), currency))
	}
	amount, err := billing.ParseAmount(row[s.table.amount])
	if err == nil {
		of.amount, err = of.amount.Add(amount)
	}
	if err != nil {
		return fmt.Errorf("row %d, %s: %w", s.lines, name.ID(), err)
	}
	return nil
}

func (s *rowSums) problem(err error) {
	if len(s.problems) == problemsMax {
		s.more++
		return
	}
	s.problems = append(s.problems, fmt.Sprintf("row %d: %v", s.lines, err))
}

// fileDifferences compares the files of two manifests of the same request.
func fileDifferences(here, there []File, report func(problem string)) {
	by := func(files []File) map[string]File {
		m := map[string]File{}
		for _, f := range files {
			m[f.Name] = f
		}
		return m
	}
	inFolder, inEngine := by(here), by(there)
	for _, f := range here {
		if other, ok := inEngine[f.Name]; !ok {
			report(f.Name + " is in the folder, and the engine has no invoice for it")
		} else if other != f {
			report(fmt.Sprintf("%s has %d bytes in the folder, %d as the engine makes it (sha256 %s and %s)", f.Name, f.Bytes, other.Bytes, f.SHA256, other.SHA256))
		}
	}
	for _, f := range there {
		if _, ok := inFolder[f.Name]; !ok {
			report(f.Name + " is not in the folder, and the engine makes it")
		}
	}
}

// sumsText writes the counts and sums of a manifest.
func sumsText(m *Manifest) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d invoices with %d lines", m.Invoices, m.Lines)
	for _, t := range m.Totals {
		fmt.Fprintf(&b, ", %s %s", t.Amount, t.Currency)
	}
	return b.String()
}

// sameSums reports whether two manifests count and add up alike.
func sameSums(a, b *Manifest) bool {
	return a.Invoices == b.Invoices && a.Lines == b.Lines && slices.Equal(a.Totals, b.Totals) && slices.Equal(a.Zones, b.Zones)
}
