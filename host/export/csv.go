package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tollway/tollway/sdk/billing"
)

// CSV writes invoices as comma-separated values, one row for each line, with
// the columns of [CSVColumns] in a row of their own first.
//
// The files are opened in spreadsheets, which run cells that look like
// formulas. A text that begins so gets an apostrophe in front; numbers are
// checked to be numbers and stay as they are.
//
// A CSV belongs to one goroutine.
type CSV struct {
	w       *csv.Writer
	started bool
}

// CSVColumns returns the names of the columns in order.
func CSVColumns() []string {
	return []string{
		"invoice", "account", "period", "period_start", "period_end", "currency",
		"tariff", "meter", "subscription", "version", "line", "group", "description",
		"quantity", "amount", "unrounded", "module", "rule",
	}
}

// NewCSV makes a writer of CSV on w. The row of column names comes with the
// first Write or with Flush.
func NewCSV(w io.Writer) *CSV { return &CSV{w: csv.NewWriter(w)} }

// Write writes the lines of an invoice. An error may also be that of an earlier
// row, which was still in the buffer.
func (c *CSV) Write(inv *Invoice) error {
	if err := c.header(); err != nil {
		return err
	}
	for i := range inv.Lines {
		row, err := inv.row(&inv.Lines[i])
		if err != nil {
			return err
		}
		if err := c.w.Write(row); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	return nil
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

// row returns the cells of a line, in the order of CSVColumns.
func (inv *Invoice) row(l *Line) ([]string, error) {
	group := ""
	if len(l.Group) > 0 {
		b, err := l.Group.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("export: invoice %s: %w", inv.ID, err)
		}
		group = string(b)
	}
	version := ""
	if !l.Version.IsZero() {
		version = l.Version.Format(time.RFC3339Nano)
	}
	row := []string{
		cell(inv.ID), cell(string(inv.Account)), inv.Period.ID(),
		inv.Period.Start.Format(time.RFC3339Nano), inv.Period.End.Format(time.RFC3339Nano), cell(string(inv.Currency)),
		cell(l.Tariff), cell(l.Meter), cell(l.Subscription), version, cell(l.ID), cell(group), cell(l.Description),
	}
	for _, number := range []string{l.Quantity.String(), l.AmountText, l.Unrounded.String()} {
		if _, err := billing.ParseDecimal(number); err != nil {
			return nil, fmt.Errorf("export: invoice %s, line %s: %w", inv.ID, l.ID, err)
		}
		row = append(row, number)
	}
	return append(row, cell(l.Module), cell(l.Rule)), nil
}

// cell makes a text safe for spreadsheets. What stands behind blanks counts:
// some programs trim them.
func cell(text string) string {
	const formula = "=+-@\t\r\n＝＋－＠" // the wide forms are read as the narrow ones
	trimmed := strings.TrimLeftFunc(text, func(r rune) bool {
		return !strings.ContainsRune(formula, r) && (unicode.IsSpace(r) || r == '\ufeff' || r == '\u200b')
	})
	if first, size := utf8.DecodeRuneInString(trimmed); size > 0 && strings.ContainsRune(formula, first) {
		return "'" + text
	}
	return text
}
