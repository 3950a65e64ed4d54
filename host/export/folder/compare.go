package folder

import (
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tollway/tollway/host/export"
)

// Engine streams all invoices of a request as they were issued, in the order of an
// export; the bytes are valid until the next one. It may be asked twice.
type Engine func(fn func(document []byte) error) error

// Compare compares a finished folder with what the engine gives for the same
// request. It makes the files again, keeping only their digests; where those
// differ, it reports which files, and, of a format with rows, which invoices, lines
// and columns, up to limit of them.
//
// Whether the files are still those of the manifest is for [Verify].
func Compare(dir string, m *Manifest, engine Engine, limit int, report func(problem string)) error {
	again, err := render(m.Request, source(engine), &digests{})
	if err != nil {
		return err
	}
	if again.Documents == m.Documents && slices.Equal(again.Files, m.Files) && sameSums(again, m) && !slices.ContainsFunc(m.Files, func(f File) bool {
		return checkFile(dir, f) != ""
	}) {
		return nil
	}
	if !sameSums(again, m) {
		report(fmt.Sprintf("%s says %s; the engine has %s", ManifestName, sumsText(m), sumsText(again)))
	}
	if again.Documents != m.Documents {
		report(fmt.Sprintf("%s has documents_sha256 %s; the engine's invoices have %s", ManifestName, m.Documents, again.Documents))
	}
	fileDifferences(m.Files, again.Files, report)
	t := tableOf(m.Request)
	if t == nil {
		return nil
	}
	d := &differ{table: t, left: limit, report: report}
	err = d.run(dir, engine)
	if d.more > 0 {
		report(fmt.Sprintf("and %d more differences", d.more))
	}
	return err
}

// rowsOf are the rows of an invoice.
type rowsOf struct {
	name export.Name
	rows [][]string
}

// differ finds where two tables differ.
type differ struct {
	table  *table
	left   int // differences still to be named
	more   int // those that were not
	report func(problem string)
}

func (d *differ) found(format string, args ...any) {
	if d.left == 0 {
		d.more++
		return
	}
	d.left--
	d.report(fmt.Sprintf(format, args...))
}

// run walks along both tables, which have the same order.
func (d *differ) run(dir string, engine Engine) error {
	var hereErr, thereErr error
	nextHere, stopHere := iter.Pull(d.inFolder(dir, &hereErr))
	defer stopHere()
	nextThere, stopThere := iter.Pull(d.inEngine(engine, &thereErr))
	defer stopThere()
	here, more := nextHere()
	there, moreThere := nextThere()
	for more || moreThere {
		order := 0
		switch {
		case !moreThere:
			order = -1
		case !more:
			order = 1
		default:
			order = here.name.Compare(there.name)
		}
		switch {
		case order < 0:
			d.found("%s is in the folder, not in the engine", here.name.ID())
		case order > 0:
			d.found("%s is in the engine, not in the folder", there.name.ID())
		default:
			d.compare(here, there)
		}
		if order <= 0 {
			here, more = nextHere()
		}
		if order >= 0 {
			there, moreThere = nextThere()
		}
	}
	if hereErr != nil {
		d.report(fmt.Sprintf("the rest of the folder's rows cannot be compared: %v", hereErr))
	}
	return thereErr
}

// compare compares the rows of an invoice.
func (d *differ) compare(here, there rowsOf) {
	for i := range max(len(here.rows), len(there.rows)) {
		switch {
		case i >= len(there.rows):
			d.found("%s, line %d: it is in the folder, not in the engine", here.name.ID(), i+1)
			continue
		case i >= len(here.rows):
			d.found("%s, line %d: it is in the engine, not in the folder", here.name.ID(), i+1)
			continue
		}
		for j, column := range d.table.columns {
			// The reader of CSV makes one newline of the two characters.
			want := strings.ReplaceAll(there.rows[i][j], "\r\n", "\n")
			if got := strings.ReplaceAll(here.rows[i][j], "\r\n", "\n"); got != want {
				d.found("%s, line %d: %s is %q in the folder, %q in the engine", here.name.ID(), i+1, column, got, want)
			}
		}
	}
}

// errStopped ends a walk that nobody follows any more.
var errStopped = errors.New("folder: stopped")

// inFolder yields the invoices of the folder's files.
func (d *differ) inFolder(dir string, failed *error) iter.Seq[rowsOf] {
	return func(yield func(rowsOf) bool) {
		var of rowsOf
		err := d.table.read(dir, func(row []string) error {
			name, err := export.ParseInvoiceID(row[d.table.id])
			if err != nil {
				return fmt.Errorf("folder: %s: %w", filepath.Base(dir), err)
			}
			if name != of.name && len(of.rows) > 0 {
				if !yield(of) {
					return errStopped
				}
				of.rows = nil
			}
			of.name, of.rows = name, append(of.rows, slices.Clone(row))
			return nil
		})
		if err == nil && len(of.rows) > 0 {
			yield(of)
		}
		if !errors.Is(err, errStopped) {
			*failed = err
		}
	}
}

// inEngine yields the invoices of the engine.
func (d *differ) inEngine(engine Engine, failed *error) iter.Seq[rowsOf] {
	return func(yield func(rowsOf) bool) {
		err := engine(func(document []byte) error {
			inv, err := export.DecodeInvoice(document)
			if err != nil {
				return err
			}
			name, err := export.ParseInvoiceID(inv.ID)
			if err != nil {
				return err
			}
			rows, err := d.table.rows(&inv)
			if err != nil {
				return err
			}
			if !yield(rowsOf{name, rows}) {
				return errStopped
			}
			return nil
		})
		if !errors.Is(err, errStopped) {
			*failed = err
		}
	}
}
