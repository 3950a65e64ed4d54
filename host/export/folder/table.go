package folder

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/host/export/focus"
	"github.com/tollway/tollway/host/export/parquet"
)

// table is a format whose files hold a row for each line item.
type table struct {
	columns []string
	// id, currency and amount are the places of the columns that every table has.
	id, currency, amount int
	// rows are those of an invoice, as read gives them.
	rows func(inv *export.Invoice) ([][]string, error)
	// read calls fn with each row of a folder; it is valid during the call.
	read func(dir string, fn func(row []string) error) error
	// check looks at a row by itself; nil: there are no rules for one.
	check func(row []string) error
}

// tableOf returns the table of a format, nil for one whose files hold none.
func tableOf(r Request) *table {
	t := &table{columns: export.CSVColumns(), rows: lineRows}
	switch r.Format {
	case "jsonl":
		t.read = readDocuments
	case "csv":
		t.read = func(dir string, fn func([]string) error) error {
			return readCSV(filepath.Join(dir, "lines.csv"), t.columns, plainRow(fn))
		}
	case "parquet":
		t.rows = parquet.Rows
		t.read = func(dir string, fn func([]string) error) error {
			return parquet.Read(filepath.Join(dir, "lines.parquet"), fn)
		}
	case "focus":
		return focusTable(r.Provider)
	default:
		return nil
	}
	t.id, t.currency, t.amount = slices.Index(t.columns, "invoice"), slices.Index(t.columns, "currency"), slices.Index(t.columns, "amount")
	return t
}

// focusTable is the table of a dataset of FOCUS, with its rules.
func focusTable(provider string) *table {
	t := &table{
		columns: focus.Columns(),
		rows:    func(inv *export.Invoice) ([][]string, error) { return focus.Rows(inv, provider) },
	}
	t.read = func(dir string, fn func([]string) error) error {
		return readCSV(filepath.Join(dir, "focus.csv"), t.columns, func(row []string) error {
			focus.Plain(row)
			return fn(row)
		})
	}
	checker, err := focus.NewChecker(t.columns)
	t.check = func(row []string) error {
		if err != nil {
			return err
		}
		return checker.Check(row)
	}
	t.id, t.currency, t.amount = slices.Index(t.columns, "InvoiceId"), slices.Index(t.columns, "BillingCurrency"), slices.Index(t.columns, "BilledCost")
	return t
}

// lineRows returns the cells of an invoice's lines.
func lineRows(inv *export.Invoice) ([][]string, error) {
	var rows [][]string
	err := export.NewRows().Each(inv, func(_ *export.Line, cells []export.Cell) error {
		row := make([]string, len(cells))
		for j := range cells {
			row[j] = cells[j].Text
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// readDocuments reads a folder of documents.
func readDocuments(dir string, fn func(row []string) error) error {
	file, err := os.Open(filepath.Join(dir, "invoices.jsonl"))
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	err = eachLine(file, func(document []byte) error {
		inv, err := export.DecodeInvoice(document)
		if err != nil {
			return err
		}
		rows, err := lineRows(&inv)
		for i := 0; err == nil && i < len(rows); i++ {
			err = fn(rows[i])
		}
		return err
	})
	return errors.Join(err, file.Close())
}

// readCSV reads a file of comma-separated values with these columns.
func readCSV(path string, columns []string, fn func(row []string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("folder: %w", err)
	}
	in := csv.NewReader(file)
	in.ReuseRecord = true
	for n := 0; err == nil; n++ {
		var row []string
		if row, err = in.Read(); err != nil {
			break
		}
		if n > 0 {
			err = fn(row)
		} else if !slices.Equal(row, columns) {
			err = fmt.Errorf("folder: %s: the columns are %q, not %q", filepath.Base(path), row, columns)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, file.Close())
}

// plainRow takes the defence against formulas off the cells of text.
func plainRow(fn func([]string) error) func([]string) error {
	columns := export.Columns()
	return func(row []string) error {
		for i := range row {
			if columns[i].Kind == export.KindText {
				row[i] = export.PlainText(row[i])
			}
		}
		return fn(row)
	}
}
