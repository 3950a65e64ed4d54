package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CSV writes invoices as comma-separated values, one row for each line, with
// the columns of [Columns] in a row of their own first.
//
// The files are opened in spreadsheets, which run cells that look like
// formulas. A text that begins so, or with an apostrophe, gets an apostrophe in
// front, which [PlainText] takes off again; numbers are checked to be numbers and
// stay as they are.
//
// A CSV belongs to one goroutine.
type CSV struct {
	w       *csv.Writer
	columns []Column
	cells   []Cell
	row     []string
	started bool
}

// CSVColumns returns the names of the columns in order.
func CSVColumns() []string {
	var names []string
	for _, c := range Columns() {
		names = append(names, c.Name)
	}
	return names
}

// NewCSV makes a writer of CSV on w. The row of column names comes with the
// first Write or with Flush.
func NewCSV(w io.Writer) *CSV { return &CSV{w: csv.NewWriter(w), columns: Columns()} }

// Write writes the lines of an invoice. An error may also be that of an earlier
// row, which was still in the buffer.
func (c *CSV) Write(inv *Invoice) error {
	if err := c.header(); err != nil {
		return err
	}
	var err error
	for i := range inv.Lines {
		if c.cells, err = inv.Row(c.cells[:0], c.columns, &inv.Lines[i]); err != nil {
			return err
		}
		c.row = c.row[:0]
		for j := range c.cells {
			c.row = append(c.row, c.columns[j].safe(c.cells[j].Text))
		}
		if err := c.w.Write(c.row); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
}

// safe is a cell's text as it stands in a CSV file.
func (c *Column) safe(text string) string {
	if c.Kind == KindText {
		return SafeText(text)
	}
	return text
}

// Flush writes out what is buffered.
func (c *CSV) Flush() error {
	if err := c.header(); err != nil {
		return err
	}
	c.w.Flush()
	if err := c.w.Error(); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (c *CSV) header() error {
	if c.started {
		return nil
	}
	c.started = true
	if err := c.w.Write(CSVColumns()); err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

// WriteCSV writes invoices as one CSV file.
func WriteCSV(w io.Writer, invoices []Invoice) error {
	c := NewCSV(w)
	for i := range invoices {
		if err := c.Write(&invoices[i]); err != nil {
			return err
		}
	}
	return c.Flush()
}

// SafeText makes a text safe for spreadsheets: one that could be taken for a
// formula, or begins with an apostrophe, gets an apostrophe in front. What stands
// behind blanks counts: some programs trim them.
func SafeText(text string) string {
	const formula = "'=+-@\t\r\n＝＋－＠" // the wide forms are read as the narrow ones
	trimmed := strings.TrimLeftFunc(text, func(r rune) bool {
		return !strings.ContainsRune(formula, r) && (unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b')
	})
	if first, size := utf8.DecodeRuneInString(trimmed); size > 0 && strings.ContainsRune(formula, first) {
		return "'" + text
	}
	return text
}

// PlainText is the inverse of [SafeText].
func PlainText(cell string) string { return strings.TrimPrefix(cell, "'") }
