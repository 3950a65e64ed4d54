package export

import (
	"fmt"
	"io"
	"strings"
	"time"
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
// A CSV belongs to one goroutine. [CSVRows] makes the same rows where several
// goroutines make a file together.
type CSV struct {
	w       io.Writer
	rows    *CSVRows
	buffer  []byte
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

// CSVHeader is the row of column names.
func CSVHeader() []byte {
	var b []byte
	for _, name := range CSVColumns() {
		b = append(appendCell(b, name), ',')
	}
	b[len(b)-1] = '\n'
	return b
}

// CSVRows makes the rows of invoices as [CSV] writes them: what [Rows] gives, as text.
// What the lines of an invoice have alike at the start of their rows is made once. It
// belongs to one goroutine.
type CSVRows struct {
	columns []Column
	heads   int // as many of the columns, the first, are the same in all lines
	head    []byte
}

// NewCSVRows makes a CSVRows.
func NewCSVRows() *CSVRows {
	c := &CSVRows{columns: Columns()}
	for c.heads < len(c.columns) && c.columns[c.heads].whole {
		c.heads++
	}
	return c
}

// Append appends the rows of an invoice's lines. Its error says that an amount's text
// is no number.
func (c *CSVRows) Append(b []byte, inv *Invoice) ([]byte, error) {
	c.head = c.head[:0]
	for i := range inv.Lines {
		l := &inv.Lines[i]
		var err error
		if i == 0 {
			c.head, err = c.cells(c.head, c.columns[:c.heads], inv, l)
		}
		if err == nil {
			b, err = c.cells(append(b, c.head...), c.columns[c.heads:], inv, l)
		}
		if err != nil {
			return b, err
		}
		b[len(b)-1] = '\n'
	}
	return b, nil
}

// cells appends a line's cells, each with a comma behind it.
func (c *CSVRows) cells(b []byte, columns []Column, inv *Invoice, l *Line) ([]byte, error) {
	for j := range columns {
		column := &columns[j]
		switch {
		case column.text != nil:
			b = appendText(b, column.text(inv, l))
		case column.number != nil:
			if n, ok := column.number(l); ok {
				b, _ = n.AppendText(b) // it has no error
			}
		case column.time != nil:
			if t := column.time(inv, l); !t.IsZero() {
				b = t.AppendFormat(b, time.RFC3339Nano)
			}
		default:
			cell, err := column.of(inv, l)
			if err != nil {
				return b, column.failed(err, inv, l)
			}
			b = appendCell(b, column.safe(cell.Text))
		}
		b = append(b, ',')
	}
	return b, nil
}

// appendText appends a cell of text.
func appendText(b []byte, text string) []byte {
	if text == "" {
		return b
	}
	return appendCell(b, SafeText(text))
}

// appendCell appends a cell as encoding/csv writes it, which quotes what needs it.
func appendCell(b []byte, text string) []byte {
	if !needsQuotes(text) {
		return append(b, text...)
	}
	b = append(b, '"')
	for i := range len(text) {
		if text[i] == '"' {
			b = append(b, '"')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}

// needsQuotes reports whether a cell is quoted: one that would be taken for several,
// that begins with a blank, or that some databases take for the end of the data.
func needsQuotes(text string) bool {
	if text == "" {
		return false
	}
	if strings.IndexByte(text, ',') >= 0 || strings.IndexByte(text, '"') >= 0 || strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 || text == `\.` {
		return true
	}
	if text[0] > ' ' && text[0] < utf8.RuneSelf {
		return false
	}
	first, _ := utf8.DecodeRuneInString(text)
	return unicode.IsSpace(first)
}

// NewCSV makes a writer of CSV on w. The row of column names comes with the
// first Write or with Flush.
func NewCSV(w io.Writer) *CSV { return &CSV{w: w, rows: NewCSVRows()} }

// csvBufferBytes is about how much a CSV writes at a time.
const csvBufferBytes = 64 << 10

// Write writes the lines of an invoice. An error may also be that of an earlier
// row, which was still in the buffer.
func (c *CSV) Write(inv *Invoice) error {
	c.header()
	var err error
	if c.buffer, err = c.rows.Append(c.buffer, inv); err != nil {
		return err
	}
	if len(c.buffer) < csvBufferBytes {
		return nil
	}
	return c.Flush()
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
	c.header()
	_, err := c.w.Write(c.buffer)
	c.buffer = c.buffer[:0]
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	return nil
}

func (c *CSV) header() {
	if !c.started {
		c.started, c.buffer = true, append(c.buffer, CSVHeader()...)
	}
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
	if text == "" || text[0] < utf8.RuneSelf && (text[0] >= '0' && text[0] <= '9' || text[0] >= 'A' && text[0] <= 'Z' || text[0] >= 'a' && text[0] <= 'z') {
		return text // most texts
	}
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
