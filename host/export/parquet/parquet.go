// Package parquet writes and reads the table of line items as Apache Parquet: the
// columns of [export.Columns] with numbers as DECIMAL(38,18), times as UTC
// timestamps in microseconds, and texts as dictionaries.
//
//	[]export.Invoice ──Writer──▶ rows in groups of 65,536, Snappy ──Read──▶ the same cells
//
// It is the only importer of parquet-go. A Writer holds one group of rows in
// memory; what it writes depends on the invoices alone.
package parquet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/tollway/tollway/host/export"
	"github.com/tollway/tollway/sdk/billing"
)

// Precision and scale of numbers: all that DECIMAL allows. A decimal of ours may
// have a bit more, which is refused.
const (
	precision    = 38
	scale        = billing.Scale
	decimalBytes = 16
)

// rowsPerGroup bounds what a writer holds, and what a reader must take at once.
const rowsPerGroup = 1 << 16

// limit is the least number that does not fit. Of 39 digits there are no more than the
// first one: see billing.Decimal.
const limit = "100000000000000000000"

// ErrRange reports a number beyond DECIMAL(38,18): ±10^20 and more.
var ErrRange = errors.New("parquet: a number does not fit DECIMAL(38,18)")

// ordered is a group whose columns keep their order; the library sorts them by
// name.
type ordered struct {
	parquet.Group
	names []string
}

// Fields implements parquet.Node.
func (g ordered) Fields() []parquet.Field {
	fields := g.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(g.names, a.Name()) - slices.Index(g.names, b.Name())
	})
	return fields
}

// schema is that of the columns.
func schema(columns []export.Column) *parquet.Schema {
	g := ordered{Group: parquet.Group{}}
	for _, c := range columns {
		g.names = append(g.names, c.Name)
		var node parquet.Node
		switch c.Kind {
		case export.KindNumber:
			node = parquet.Decimal(scale, precision, parquet.FixedLenByteArrayType(decimalBytes))
		case export.KindTime:
			node = parquet.Timestamp(parquet.Microsecond)
		default:
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		}
		if c.Optional {
			node = parquet.Optional(node)
		}
		g.Group[c.Name] = node
	}
	return parquet.NewSchema("line_item", g)
}

// Writer writes invoices as one file. It belongs to one goroutine.
type Writer struct {
	out     *parquet.GenericWriter[any]
	rows    *export.Rows
	columns []export.Column
	row     parquet.Row
	one     [1]parquet.Row
	bytes   []byte // of the row's texts and numbers
	limit   billing.Decimal
}

// NewWriter makes a writer on w.
func NewWriter(w io.Writer) *Writer {
	rows := export.NewRows()
	return &Writer{rows: rows, columns: rows.Columns(), out: parquet.NewGenericWriter[any](w, schema(rows.Columns()),
		parquet.Compression(&parquet.Snappy), parquet.MaxRowsPerRowGroup(rowsPerGroup),
		parquet.CreatedBy("tollway", "1", ""), // of the format, not of the program: the same bytes always
	), limit: billing.MustDecimal(limit)}
}

// Write writes the lines of an invoice. Its errors are ErrRange and those of the
// writer.
func (w *Writer) Write(inv *export.Invoice) error {
	return w.rows.Typed(inv, func(l *export.Line, cells []export.Cell) error {
		w.row, w.bytes = w.row[:0], w.bytes[:0]
		for j := range cells {
			v, err := w.value(&w.columns[j], &cells[j])
			if err != nil {
				return fmt.Errorf("%w: invoice %s, line %s, %s %s", err, inv.ID, l.ID, w.columns[j].Name, cells[j].Number)
			}
			defined := 0
			if w.columns[j].Optional && !v.IsNull() {
				defined = 1
			}
			w.row = append(w.row, v.Level(0, defined, j))
		}
		// One by one: how many are written at a time decides where pages end, and so bytes.
		if _, err := w.out.WriteRows(w.list()); err != nil {
			return fmt.Errorf("parquet: %w", err)
		}
		return nil
	})
}

// list is the row as a list of one.
func (w *Writer) list() []parquet.Row {
	w.one[0] = w.row
	return w.one[:]
}

// value makes the value of a cell, which is valid until the next row.
func (w *Writer) value(column *export.Column, c *export.Cell) (parquet.Value, error) {
	if c.Missing {
		return parquet.NullValue(), nil
	}
	from := len(w.bytes)
	switch column.Kind {
	case export.KindNumber:
		if size, err := c.Number.Abs(); err != nil || size.Cmp(w.limit) >= 0 {
			return parquet.Value{}, ErrRange
		}
		var room [decimalBytes]byte
		w.bytes = append(w.bytes, room[:]...)
		c.Number.PutLE(w.bytes[from:])
		slices.Reverse(w.bytes[from:])
		return parquet.FixedLenByteArrayValue(w.bytes[from:]), nil
	case export.KindTime:
		return parquet.Int64Value(c.Time.UnixMicro()), nil
	default:
		w.bytes = append(w.bytes, c.Text...)
		return parquet.ByteArrayValue(w.bytes[from:]), nil
	}
}

// Close completes the file.
func (w *Writer) Close() error {
	if err := w.out.Close(); err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	return nil
}

// Rows are the cells of an invoice's lines as Read gives them.
func Rows(inv *export.Invoice) ([][]string, error) {
	of := export.NewRows()
	columns := of.Columns()
	var rows [][]string
	err := of.Each(inv, func(_ *export.Line, cells []export.Cell) error {
		row := make([]string, len(cells))
		for j, c := range cells {
			switch {
			case c.Text == "":
			case columns[j].Kind == export.KindNumber:
				row[j] = c.Number.String()
			case columns[j].Kind == export.KindTime:
				row[j] = instant(c.Time.UnixMicro())
			default:
				row[j] = c.Text
			}
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

func instant(micro int64) string { return time.UnixMicro(micro).UTC().Format(time.RFC3339Nano) }

// Read calls fn with the cells of each row of a file, which must have the columns of
// [export.Columns]; they are valid during the call.
func Read(path string, fn func(row []string) error) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	info, err := file.Stat()
	if err == nil {
		err = read(file, info.Size(), fn)
	}
	return errors.Join(err, file.Close())
}

func read(r io.ReaderAt, size int64, fn func(row []string) error) error {
	columns := export.Columns()
	file, err := parquet.OpenFile(r, size)
	if err != nil {
		return fmt.Errorf("parquet: %w", err)
	}
	if got, want := file.Schema().String(), schema(columns).String(); got != want {
		return fmt.Errorf("parquet: the columns are %s, not %s", got, want)
	}
	for _, group := range file.RowGroups() {
		rows := group.Rows()
		err := readRows(rows, columns, fn)
		if err = errors.Join(err, rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func readRows(rows parquet.Rows, columns []export.Column, fn func(row []string) error) error {
	buffer, cells := make([]parquet.Row, 256), make([]string, len(columns))
	for {
		n, err := rows.ReadRows(buffer)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("parquet: %w", err)
		}
		for _, row := range buffer[:n] {
			if len(row) != len(columns) {
				return fmt.Errorf("parquet: a row has %d values, not %d", len(row), len(columns))
			}
			for j, v := range row {
				cells[j] = text(columns[j].Kind, v)
			}
			if err := fn(cells); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || n == 0 {
			return nil
		}
	}
}

func text(kind export.ColumnKind, v parquet.Value) string {
	switch {
	case v.IsNull():
		return ""
	case kind == export.KindNumber:
		b := slices.Clone(v.ByteArray())
		slices.Reverse(b)
		return billing.DecimalLE(b).String()
	case kind == export.KindTime:
		return instant(v.Int64())
	default:
		return string(v.ByteArray())
	}
}
